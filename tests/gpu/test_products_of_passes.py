"""Aggregators of few rows by the bodies of every scan, on the machine of fibres; the references are folds by NumPy."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from lazy_kernels import LazyShim
from metal_driver import MetalShim, check, needs_clang, recorded
from scans import aggregate, fixed, started
from selection import thinned
from shim_driver import Fault, Shim, needs_shim
from test_one_pass import SelectiveScan, folded, given, selective

import monoscan as ms
from monoscan.lowering.plan.gpu_launches import SHARED
from monoscan.lowering.render.gpu_spec import Body
from monoscan.lowering.targets.metal.run import start as metal_start

pytestmark = needs_shim

BODIES = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), (2, 600), 1),
    "short rows": (fixed(Body.SHORT, 4, 1, 2, 32), (3, 77), 1),
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), (43, 5), 0),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), (2, 1100), 1),
    "columns in three launches": (fixed(Body.COLUMNS, 2, 1, 4, chunk=2), (43, 3), 0),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), (1, 9000), 1),
}


class Witness(ms.Aggregator):
    """Integers that tell every order, and every input that is left out or stands elsewhere."""

    operator, factor = ms.Affine(), 2654435761

    def prepare(self, x: Any, y: Any) -> Any:
        return 2 * x + 1, x ^ y

    def present(self, state: Any, x: Any, y: Any) -> Any:
        return state ^ (self.factor * y), state + x


def in_order(x: Any, y: Any, state: Any, axis: int, reverse: bool, inclusive: bool) -> tuple[Any, Any, Any]:
    """Both outputs and the last state."""
    x, y = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    outputs = np.empty_like(x), np.empty_like(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        after = (2 * x[t] + 1) * state + (x[t] ^ y[t])
        shown = after if inclusive else state
        outputs[0][t], outputs[1][t] = shown ^ (np.uint32(Witness.factor) * y[t]), shown + x[t]
        state = after
    return *(np.moveaxis(z, 0, axis) for z in outputs), state


OPTIONS = [(False, True, False), (True, True, True), (True, False, True), (False, False, True)]


def witnessed(body: str, reverse: bool, inclusive: bool, seeded: bool, shim: Any) -> bool:
    """Whether all is as it must be."""
    plan, shape, axis = BODIES[body]
    random = np.random.default_rng(0)
    x, y = (random.integers(0, 1 << 32, shape, np.uint32) for _ in range(2))
    state = random.integers(0, 1 << 32, (*shape[:axis], *shape[axis + 1 :]), np.uint32) * seeded
    before = mx.array(state) if seeded else None
    options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "return_carry": True, "state": before}
    outputs, last = aggregate(
        Witness(), (mx.array(x), mx.array(y)), axis, start=shim, plan=plan, strategy="kernel", **options
    )
    expected = in_order(x, y, state, axis, reverse, inclusive)
    return all(np.array_equal(np.array(z), want) for z, want in zip((*outputs, last), expected, strict=True))


@pytest.mark.parametrize(
    ("body", "reverse", "inclusive", "seeded"),
    thinned([(body, *options) for body in BODIES for options in OPTIONS],
            [("rows", *OPTIONS[1]), ("columns", *OPTIONS[2]), ("three launches", *OPTIONS[3]), ("looking back", *OPTIONS[0])]),
)  # fmt: skip
def test_every_body_with_its_options(body: str, reverse: bool, inclusive: bool, seeded: bool) -> None:
    shim = Shim(seed=2)
    assert witnessed(body, reverse, inclusive, seeded, shim)
    assert all(spec.around is not None for spec in (shim.started[0], shim.started[-1]))


@needs_clang
@pytest.mark.parametrize("body", thinned(sorted(BODIES.keys() - {"looking back"}), ["columns"]))
def test_the_final_text_for_metal(body: str) -> None:
    assert witnessed(body, *OPTIONS[2], MetalShim())


@needs_clang
def test_its_address_spaces() -> None:
    texts: list[str] = []

    def started(spec: Any, arrays: Any, outputs: Any, groups: int) -> Any:
        texts.extend(each.text for each in recorded(lambda *xs: metal_start(spec, xs, outputs, groups), *arrays))
        return Shim()(spec, arrays, outputs, groups)

    assert witnessed("rows", *OPTIONS[1], started)
    assert not any(map(check, texts))


MISTAKES = {
    "inputs from the front": ("return reverse ? n - 1 - place : place;", "return place;"),
    "outputs of the inputs behind": ("read_again(a, at, i), k)", "read_again(a, at, i > 0 ? i - 1 : 0), k)"),
    "an element that is not prepared": ("return operation::prepare(x, k);", "return state();"),
    "no state before": ("before = just(x);", ""),
}


@pytest.mark.parametrize("name", thinned(MISTAKES, ["outputs of the inputs behind"]))
def test_mistakes_are_found(name: str) -> None:
    shim = Shim(faulty=MISTAKES[name])
    with contextlib.suppress(Fault):
        assert not witnessed("columns", *OPTIONS[1], shim)
    assert shim.replaced


@pytest.mark.parametrize("time", thinned([9, 700], [9]))
def test_a_selective_scan(time: int) -> None:
    """States are copies, 4 a channel; what is fixed is read once."""
    inputs, shim = selective(time=time), Shim()
    found, last = aggregate(SelectiveScan(), given(inputs), 1, return_carry=True, start=shim, strategy="kernel")
    expected, h = folded(*inputs)
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(np.array(last), h, rtol=2e-4, atol=2e-5)
    groups = [array.group for array in shim.started[-1].arrays]
    assert groups.count("elements") == 4
    assert groups.count("captures") == 1


def test_products_that_overflow_are_done_again_in_order() -> None:
    gates = np.tile(np.array([1e30, 1e30, 1e-30, 1e-30], np.float32), 150)[None]
    gates[0, 0] = 0
    run = partial(
        aggregate, ms.aggregator(lambda a: (a, 0 * a), ms.Affine(), lambda h, a: h + a), mx.array(gates), 1, plan=BODIES["rows"][0]
    )  # fmt: skip
    found = run(strategy="kernel")[0]
    np.testing.assert_array_equal(np.array(found), gates)


def test_halves_captured_arrays_positions_and_inputs_that_nothing_reads() -> None:
    random = np.random.default_rng(0)
    x, unread = (mx.array(random.normal(size=(3, 90))).astype(mx.float16) for _ in range(2))
    weight = mx.array(0.5)
    mean = ms.aggregator(
        lambda x, t, unread: (x * weight, mx.ones((), mx.int32)),
        ms.Tuple(ms.Sum(), ms.Sum()),
        lambda s, x, t, unread: s[0] / s[1] + t,
    )
    shim = Shim()
    found, _ = aggregate(mean, (x, ms.position, unread), 1, start=shim, strategy="kernel")
    sums = np.cumsum(np.array(x, np.float64) * 0.5, 1)
    np.testing.assert_allclose(np.array(found), sums / np.arange(1, 91) + np.arange(90), rtol=2e-3)
    groups = [array.group for array in shim.started[0].arrays]
    assert groups == ["elements", "elements", "captures", "results"]


def test_a_fold() -> None:
    x = np.random.default_rng(0).integers(1, 99, (3, 5000)).astype(np.int32)
    total = ms.aggregator(lambda x: x * x, ms.Sum(), lambda total, x: total)
    for plan in (None, BODIES["three launches"][0]):
        _, last = aggregate(total, mx.array(x), 1, call_of="fold", results=False, strategy="kernel", plan=plan)
        np.testing.assert_array_equal(np.array(last), (x * x).sum(1))


def run_selective(a: Any, c: Any, delta: Any, b: Any, x: Any) -> Any:
    return aggregate(SelectiveScan(), (delta, ms.fixed(a), b, c, x), 1, strategy="kernel", start=LazyShim())[0]


@pytest.mark.long
def test_derivatives_are_those_of_passes() -> None:
    delta, a, b, c, x = map(mx.array, selective(1, 5, 3, 2))

    def on_the_cpu(delta: Any, b: Any, x: Any) -> Any:
        return ms.scan(SelectiveScan(), (delta, ms.fixed(a), b, c, x), 1, stream=mx.cpu)

    run = partial(run_selective, a, c)
    with started(LazyShim(), None):
        found = mx.vjp(run, [delta, b, x], [x])[1] + mx.jvp(run, [delta, b, x], [x, b, delta])[1]
    expected = mx.vjp(on_the_cpu, [delta, b, x], [x])[1]
    expected += mx.jvp(on_the_cpu, [delta, b, x], [x, b, delta])[1]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-5)


def test_vmap() -> None:
    inputs = selective(6, 9, 3, 2)
    delta, a, b, c, x = map(mx.array, inputs)
    split = [y.reshape(3, 2, *y.shape[1:]) for y in (c, delta, b, x)]
    with started(LazyShim(), None):
        found = mx.vmap(partial(run_selective, a))(*split)
    np.testing.assert_allclose(np.array(found).reshape(6, 9, 3), folded(*inputs)[0], rtol=1e-4, atol=1e-5)


def test_what_is_planned_says_how() -> None:
    x = mx.zeros((9, 4096))
    planned = str(ms.explain(ms.aggregators.Variance(), x, 1, stream=mx.gpu))
    assert "one kernel: prepare, products of Moments(2), present" in planned
    assert "results of chunks by" in planned or "rows: 9 groups" in planned
    inputs = given(selective(1, 9, 3, 2))
    assert "2 of 2 numbers carried, in products of 4" in str(ms.explain(SelectiveScan(), inputs, 1, stream=mx.gpu))
    maps = ms.aggregator(lambda f: f, ms.FiniteMap(3), lambda s, f: s, event=1)
    given_maps = partial(
        ms.explain, maps, mx.zeros((9, 40, 3), mx.int32), 1, state=mx.zeros((9,), mx.int32), stream=mx.gpu
    )
    assert "given; made of products of 3 numbers" in str(given_maps())
    before = str(given_maps(inclusive=False))
    assert "9 rows leave a GPU idle" in before
    assert "what stands before each of its elements" in before


def test_what_a_group_shares_fits_every_gpu() -> None:
    for size in range(1, 6):
        planned = ms.explain(ms.MatMul(), mx.ones((500, 64, size, size)), stream=mx.gpu, strategy="kernel")
        for launch in planned.kernels[0].launches_for("metal"):
            assert launch.spec.places * 4 * (size * size + 1) <= SHARED
