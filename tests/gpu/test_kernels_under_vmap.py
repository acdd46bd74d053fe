"""``mx.vmap`` of GPU kernels on the machine of fibres; the references are folds in order by NumPy, one row after the other."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from lazy_kernels import LazyShim
from scans import fixed, loop, scan, started
from selection import thinned
from shim_driver import needs_shim
from test_cuda_start import Machine, machine
from test_kernel_gradients import recurrence

import monoscan as ms
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.render.gpu_spec import Body
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cuda import run as cuda
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.gpu.hidden import hidden, transformed
from monoscan.scan import call
from monoscan.scan.ragged import scans

pytestmark = needs_shim
__all__ = ["machine"]

BODIES = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), (2, 600)),
    "short rows": (fixed(Body.SHORT, 4, 1, 2, 32), (2, 77)),
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), (43, 3)),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), (1, 600)),
    "columns in three launches": (fixed(Body.COLUMNS, 2, 1, 4, chunk=2), (43, 3)),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), (1, 600)),
}
BATCH = 3


def axis_of(body: str) -> int:
    return 0 if body.startswith("columns") else 1


def given(body: str, seed: int = 0) -> list[Any]:
    """Gates, inputs, weights of results, a first state, weights of the last one; batches in front."""
    random, (_, shape) = np.random.default_rng(seed), BODIES[body]
    one = shape[:0] + shape[1:] if axis_of(body) == 0 else shape[:1]
    a = random.uniform(0.2, 1, (BATCH, *shape))
    others = [random.normal(size=(BATCH, *own)) for own in (shape, shape, one, one)]
    return [x.astype(np.float32) for x in (a, *others)]


def states(a: Any, b: Any, start: Any, axis: int, reverse: bool = False, inclusive: bool = True) -> tuple[Any, Any]:
    """All h_t = a_t h_{t-1} + b_t and the last one, in float64."""
    a, b = (np.moveaxis(np.asarray(x, np.float64), axis, 0) for x in (a, b))
    found, h = np.empty_like(b), np.broadcast_to(np.asarray(start, np.float64), b.shape[1:])
    for t in range(len(b))[:: -1 if reverse else 1]:
        before, h = h, a[t] * h + b[t]
        found[t] = h if inclusive else before
    return np.moveaxis(found, 0, axis), h


def close(found: Any, expected: Any, tolerance: float = 2e-4) -> None:
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("body", "reverse", "inclusive"),
    thinned([(body, r, i) for body in BODIES for r in (False, True) for i in (False, True)],
            [("rows", True, False), ("columns", False, True), ("three launches", False, False), ("looking back", True, True)]),
)  # fmt: skip
def test_every_body_with_its_options(body: str, reverse: bool, inclusive: bool) -> None:
    (plan, _), axis, shim = BODIES[body], axis_of(body), LazyShim()

    def run(a: Any, b: Any, start: Any) -> Any:
        init = (mx.ones_like(start), start)
        options: dict[str, Any] = {"init": init, "reverse": reverse, "inclusive": inclusive, "return_carry": True}
        (_, h), (_, last) = scan(ms.Affine(), (a, b), axis, start=shim, plan=plan, **options)
        return h, last

    a, b, _, start, _ = given(body)
    found = mx.vmap(run)(*map(mx.array, (a, b, start)))
    close(found, states(a, b, start, axis + 1, reverse, inclusive))
    assert shim.started


def test_a_kernel_that_is_not_hidden_is_refused_by_mlx() -> None:
    """Once it is not, nothing need be hidden."""
    run = partial(scan, ms.Sum(), start=LazyShim(hides=False))
    with pytest.raises(ValueError, match="vmap"):
        mx.vmap(run)(mx.ones((3, 40)))


def recurrent(body: str, a: Any, b: Any, start: Any) -> Any:
    """States from a first one, by kernels that are started late."""
    later = partial(in_order, axis=axis_of(body))
    shim = LazyShim(later=None if start is not None else later)
    init = None if start is None else (mx.ones_like(start), start)
    return scan(ms.Affine(), (a, b), axis_of(body), start=shim, plan=BODIES[body][0], init=init)[1]


def in_order(_: mx.array, a: mx.array, b: mx.array, *, axis: int) -> list[mx.array]:
    """The kernel's two results by array operations; axes count from the last."""
    return list(ms.scan(ms.Affine(), (a, b), a.ndim - 2 + axis, strategy="blelloch", stream=mx.cpu))


@pytest.mark.parametrize("order", ["compiled inside", "compiled outside"])
def test_compiled_functions(order: str) -> None:
    a, b, *_ = given("rows")
    run = partial(recurrent, "rows", start=None)
    run = mx.vmap(mx.compile(run)) if order == "compiled inside" else mx.compile(mx.vmap(run))
    for _ in range(2):
        close([run(mx.array(a), mx.array(b))], states(a, b, 0, 2)[:1])


def test_axes_anywhere_and_arrays_that_are_not_mapped() -> None:
    a, b, *_ = given("rows")
    run = partial(recurrent, "rows", start=None)
    found = mx.vmap(run, in_axes=(2, None), out_axes=1)(mx.moveaxis(mx.array(a), 0, 2), mx.array(b[0]))
    close([found], [np.moveaxis(states(a, np.broadcast_to(b[:1], b.shape), 0, 2)[0], 0, 1)])
    constant = mx.vmap(lambda x: x + run(mx.array(a[0]), mx.array(b[0])))(mx.zeros((2, 1, 1)))
    close([constant], [np.stack([states(a[0], b[0], 0, 1)[0]] * 2)])
    nested = mx.vmap(mx.vmap(run, in_axes=(0, None)), in_axes=(None, 0))(mx.array(a), mx.array(b))
    close([nested], [states(*np.broadcast_arrays(a[None], b[:, None]), 0, 3)[0]])


@pytest.mark.parametrize("body", thinned(BODIES, ["rows"]))
def test_gradients_in_both_orders(body: str) -> None:
    a, b, w, start, _ = given(body)
    axis = axis_of(body)
    arrays = [mx.array(x) for x in (a, b, start, w)]

    def loss(a: Any, b: Any, start: Any, w: Any) -> Any:
        return (recurrent(body, a, b, start) * w).sum()

    rows = [np.moveaxis(x, axis + 1, -1) for x in (a, b, w)]
    flat, first = [x.reshape(-1, x.shape[-1], 1) for x in rows], start.reshape(-1, 1)
    da, db, d0 = recurrence(*flat, np.zeros_like(first), first, reverse=False, inclusive=True)
    expected = [*(np.moveaxis(d.reshape(rows[0].shape), -1, axis + 1) for d in (da, db)), d0.reshape(start.shape)]
    inside = mx.vmap(mx.grad(loss, argnums=(0, 1, 2)))(*arrays)
    outside = mx.grad(lambda *xs: mx.vmap(loss)(*xs).sum(), argnums=(0, 1, 2))(*arrays)
    close(inside, expected)
    close(outside, expected)


@pytest.mark.long
def test_tangents_and_second_derivatives() -> None:
    a, b, w, start, _ = given("short rows")
    along = np.random.default_rng(1).normal(size=a.shape).astype(np.float32)

    def run(a: Any) -> Any:
        return recurrent("short rows", a, mx.array(b[0]), mx.array(start[0]))

    def push(a: Any, along: Any) -> Any:
        return mx.jvp(run, [a], [along])[1][0]

    def twice(a: Any, along: Any) -> Any:
        return mx.jvp(mx.grad(lambda a: (run(a) * mx.array(w[0])).sum()), [a], [along])[1][0]

    for function in (push, twice):
        found = mx.vmap(function)(mx.array(a), mx.array(along))
        close(
            [found[i] for i in range(BATCH)],
            [np.array(function(*map(mx.array, xs))) for xs in zip(a, along, strict=True)],
        )


def test_captured_arrays() -> None:
    random = np.random.default_rng(0)
    x, c = random.integers(-9, 9, (BATCH, 2, 300)).astype(np.float32), random.integers(1, 9, BATCH).astype(np.float32)

    def run(x: Any, c: Any) -> Any:
        return scan(ms.monoid(lambda left, right: left + right + c), x, 1, start=LazyShim())

    found = mx.vmap(run)(mx.array(x), mx.array(c))
    np.testing.assert_array_equal(np.array(found), np.cumsum(x, -1) + c[:, None, None] * np.arange(300))


def test_lengths() -> None:
    random = np.random.default_rng(0)
    x = random.integers(1, 99, (BATCH, 2, 150)).astype(np.int32)
    lengths = random.integers(0, 150, (BATCH, 2)).astype(np.int32)

    def run(x: Any, lengths: Any) -> Any:
        asked = call.options("scan", return_carry=True, stream=mx.gpu)
        return scans.run(asked, ms.Sum(), x, 1, None, (lengths, None, None))

    with started(LazyShim(), None):
        found, last = mx.vmap(run)(mx.array(x), mx.array(lengths))
    counts = np.arange(150) < lengths[..., None]
    np.testing.assert_array_equal(np.array(last), (x * counts).sum(-1))
    np.testing.assert_array_equal(np.array(found)[counts], np.cumsum(x, -1)[counts])


def fire(state: Any, x: Any) -> tuple[Any, Any]:
    """Leaky integrate and fire, in numbers that are exact."""
    voltage = 0.5 * state + x
    return mx.where(voltage > 4, 0.0, voltage), voltage > 4


def test_states_in_order() -> None:
    x = np.random.default_rng(0).integers(0, 5, (BATCH, 20, 40)).astype(np.float32)

    def run(x: Any) -> Any:
        return loop(fire, x, mx.zeros((40,)), start=LazyShim())

    state, expected = np.zeros((BATCH, 40)), np.empty(x.shape, bool)
    for t in range(20):
        state = 0.5 * state + x[:, t]
        expected[:, t] = state > 4
        state = np.where(expected[:, t], 0, state)
    np.testing.assert_array_equal(np.array(mx.vmap(run)(mx.array(x))), expected)


@pytest.mark.parametrize("by", thinned(["code", "text"], ["code"]))
def test_flags_of_a_single_pass_are_hidden_too(by: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "text":
        monkeypatch.delattr(mx.fast, "precompiled_cuda_kernel")
    x = np.random.default_rng(0).integers(-9, 9, (2, 1, 40_000)).astype(np.int32)
    plan = partial(launches, target="cuda")
    found = mx.vmap(lambda x: scan(ms.Sum(), x, 1, start=cuda.start, plan=plan))(mx.array(x))
    np.testing.assert_array_equal(np.array(found), np.cumsum(x, -1))
    assert [each[0] for each in machine.started].count("monoscan_clear") == 2, "of the trace, and of the batch"


def test_the_bridge_is_built_for_what_is_mapped_or_compiled_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for eager calls nor for their gradients forward, which need no compiler."""
    asked: list[str] = []
    monkeypatch.setattr(build.LOADER, "bridge", None)
    monkeypatch.setattr(FAILURES, "_reasons", {})

    def run(name: str, x: Any) -> Any:
        kernel = mx.depends([x * 2], [x])
        monkeypatch.setattr(build, "attempt", lambda: asked.append(name))
        assert hidden(kernel, [x]) is kernel
        return x

    run("eager", mx.ones(3))
    mx.grad(lambda x: run("grad", x).sum())(mx.ones(3))
    mx.vmap(partial(run, "vmap"))(mx.ones(3))
    mx.compile(partial(run, "compile"))(mx.ones(3))
    assert asked == ["vmap", "compile"]
    FAILURES.record("bridge", "test", "there is no compiler")
    mx.vmap(partial(run, "again"))(mx.ones(3))
    assert asked == ["vmap", "compile"], "what failed is not tried again"
    FAILURES.generation += 1
    assert not transformed()


def test_what_turns_out_not_to_be_mapped_keeps_its_values() -> None:
    @mx.custom_function
    def constant(x: Any) -> Any:
        return mx.zeros_like(x)

    @constant.vmap
    def _(x: Any, axis: Any) -> Any:
        return mx.array([1.0, 2.0]), None

    def run(x: Any) -> Any:
        y = constant(x)
        return x + hidden(mx.depends([y * 2], [y]), [y])[0]

    assert mx.vmap(run)(mx.zeros((3, 2))).tolist() == [[2, 4]] * 3
