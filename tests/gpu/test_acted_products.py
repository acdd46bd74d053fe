"""Acts of few rows whose states no product holds: products act on the first state as they are stored; references in order."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from lazy_kernels import LazyShim
from metal_driver import MetalShim, needs_clang
from scans import aggregate, scan, started
from selection import thinned
from shim_driver import Shim, needs_shim
from test_products_of_passes import BODIES

import monoscan as ms
from monoscan.lowering.plan.plan import GpuKernels
from monoscan.lowering.render import cuda
from monoscan.lowering.targets.cuda import nvrtc

pytestmark = needs_shim


def applied(maps: Any, state: Any, axis: int, reverse: bool) -> Any:
    """Where maps lead, one after the other."""
    maps = np.moveaxis(maps, axis, 0)
    found = np.empty(maps.shape[:-1], np.int32)
    for t in range(len(maps))[:: -1 if reverse else 1]:
        state = np.take_along_axis(maps[t], state[..., None], -1)[..., 0]
        found[t] = state
    return np.moveaxis(found, 0, axis), state


@pytest.mark.parametrize(
    ("body", "reverse"),
    thinned(
        [(body, r) for body in BODIES for r in (False, True)], [("rows", True), ("columns in three launches", False)]
    ),
)
def test_every_body(body: str, reverse: bool) -> None:
    plan, shape, axis = BODIES[body]
    random = np.random.default_rng(0)
    maps = random.permuted(np.broadcast_to(np.arange(5, dtype=np.int32), (*shape, 5)), axis=-1)  # none forgets
    state = random.integers(0, 5, (*shape[:axis], *shape[axis + 1 :])).astype(np.int32)
    shim, options = Shim(seed=4), {"reverse": reverse, "return_carry": True}
    found = scan(
        ms.FiniteMap(5), mx.array(maps), axis, act=True, state=mx.array(state), plan=plan, start=shim, strategy="auto", **options
    )  # fmt: skip
    for got, want in zip(found, applied(maps, state, axis, reverse), strict=True):
        np.testing.assert_array_equal(np.array(got), want)
    assert not any(spec.kernel.action for spec in shim.started)


@needs_clang
def test_the_final_text_for_metal() -> None:
    maps = np.random.default_rng(0).integers(0, 3, (2, 300, 3)).astype(np.int32)
    state = np.array([0, 2], np.int32)
    run = partial(scan, ms.FiniteMap(3), mx.array(maps), 1, act=True, state=mx.array(state), strategy="auto")
    np.testing.assert_array_equal(np.array(run(start=MetalShim())), applied(maps, state, 1, False)[0])


def moved(start: Any, matrices: Any, vector: Any) -> Any:
    """Where matrices take a vector, a state that broadcasts along the batch."""
    return scan(ms.MatMul(), matrices, 1, act=True, state=vector, strategy="auto", start=start)


@pytest.mark.long
def test_derivatives_and_batches() -> None:
    random = np.random.default_rng(0)
    matrices = mx.array((0.6 * random.normal(size=(2, 60, 2, 2))).astype(np.float32))
    vector = mx.array(random.normal(size=(1, 2)).astype(np.float32))
    on_the_cpu = lambda m, v: ms.act(ms.MatMul(), m, v, 1, stream=mx.cpu)  # noqa: E731
    run = partial(moved, LazyShim())
    with started(LazyShim(), None):
        found = [run(matrices, vector), *mx.vjp(run, [matrices, vector], [mx.ones((2, 60, 2))])[1]]
        found += mx.jvp(run, [matrices, vector], [matrices, vector])[1]
        found += [mx.vmap(run, in_axes=(1, None))(mx.stack([matrices, 2 * matrices], 1), vector)[0]]
    expected = [on_the_cpu(matrices, vector), *mx.vjp(on_the_cpu, [matrices, vector], [mx.ones((2, 60, 2))])[1]]
    expected += [*mx.jvp(on_the_cpu, [matrices, vector], [matrices, vector])[1], on_the_cpu(matrices, vector)]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("body", thinned(["rows", "three launches", "columns"], ["three launches"]))
def test_states_before_each_element(body: str) -> None:
    plan, shape, axis = BODIES[body]
    random = np.random.default_rng(0)
    maps = random.integers(0, 3, (*shape, 3)).astype(np.int32)
    state = random.integers(0, 3, (*shape[:axis], *shape[axis + 1 :])).astype(np.int32)
    options: dict[str, Any] = {"inclusive": False, "return_carry": True, "strategy": "auto", "plan": plan}
    found, last = scan(ms.FiniteMap(3), mx.array(maps), axis, act=True, state=mx.array(state), **options)
    expected, end = applied(maps, state, axis, False)
    before = np.concatenate([np.expand_dims(state, axis), np.delete(expected, -1, axis)], axis)
    np.testing.assert_array_equal(np.array(found), before)
    np.testing.assert_array_equal(np.array(last), end)


def test_a_state_that_the_first_element_begins() -> None:
    clock = ms.Action(lambda s, x: (s + x) % 16, begin=lambda x: x % 16)
    x = np.random.default_rng(0).integers(0, 99, (3, 300)).astype(np.int32)
    shim = Shim()
    found, last = scan(
        ms.monoid(mx.add, identity=0, right=clock),
        mx.array(x),
        1,
        act=True,
        return_carry=True,
        strategy="auto",
        start=shim,
    )
    np.testing.assert_array_equal(np.array(found), x.cumsum(1) % 16)
    np.testing.assert_array_equal(np.array(last), x.sum(1) % 16)
    assert all(spec.kernel.around for spec in shim.started)


class Walk(ms.Aggregator):
    """A walk through an automaton, of which an output reads the state, two inputs and a fixed one."""

    operator, event = ms.FiniteMap(5), (1, 0, 0)

    def prepare(self, f: Any, w: Any, c: Any) -> Any:
        return f

    def present(self, s: Any, f: Any, w: Any, c: Any) -> Any:
        return s * w + f[0] * c


@pytest.mark.parametrize(
    ("body", "reverse"), thinned([(body, r) for body in BODIES for r in (False, True)], [("three launches", True)])
)
def test_aggregators(body: str, reverse: bool) -> None:
    plan, shape, axis = BODIES[body]
    random = np.random.default_rng(0)
    maps = random.permuted(np.broadcast_to(np.arange(5, dtype=np.int32), (*shape, 5)), axis=-1)
    weights = random.integers(1, 9, shape).astype(np.int32)
    state = random.integers(0, 5, (*shape[:axis], *shape[axis + 1 :])).astype(np.int32)
    shim, inputs = Shim(), (mx.array(maps), mx.array(weights), ms.fixed(mx.array(7)))
    found, last = aggregate(
        Walk(), inputs, axis, state=mx.array(state), reverse=reverse, return_carry=True, plan=plan, start=shim, strategy="auto"
    )  # fmt: skip
    states, end = applied(maps, state, axis, reverse)
    np.testing.assert_array_equal(np.array(found), states * weights + 7 * maps[..., 0])
    np.testing.assert_array_equal(np.array(last), end)
    assert all(spec.kernel.around for spec in (shim.started[0], shim.started[-1]))


def test_aggregators_that_the_first_element_begins() -> None:
    clock = ms.Action(lambda s, x: (s + x) % 16, begin=lambda x: x % 16)
    shown = ms.aggregator(lambda x: 3 * x, ms.monoid(mx.add, identity=0, right=clock), lambda s, x: s * x)
    x = np.random.default_rng(0).integers(0, 99, (3, 300)).astype(np.int32)
    found, last = aggregate(shown, mx.array(x), 1, strategy="auto", return_carry=True)
    states = (3 * x).cumsum(1) % 16
    np.testing.assert_array_equal(np.array(found), states * x)
    np.testing.assert_array_equal(np.array(last), states[:, -1])
    _, last = aggregate(shown, mx.array(x), 1, strategy="auto", call_of="fold", results=False)
    np.testing.assert_array_equal(np.array(last), states[:, -1])


def test_the_last_state_is_not_rounded() -> None:
    random = np.random.default_rng(0)
    matrices = mx.array((0.6 * random.normal(size=(2, 60, 2, 2))).astype(np.float16))
    vector = mx.array(random.normal(size=(2,)).astype(np.float32))
    options: dict[str, Any] = {"act": True, "state": vector, "return_carry": True}
    found, last = scan(ms.MatMul(), matrices, 1, strategy="auto", **options)
    expected, end = ms.act(ms.MatMul(), matrices, vector, 1, return_carry=True, stream=mx.cpu)
    assert found.dtype == expected.dtype
    assert last.dtype == mx.float32
    assert last.shape == end.shape
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(np.array(last), np.array(end), rtol=1e-4, atol=1e-9)


def test_what_is_planned_says_how_or_why_not() -> None:
    maps, state = mx.zeros((4, 100, 3), mx.int32), mx.zeros((4,), mx.int32)
    planned = ms.explain(ms.FiniteMap(3), maps, 1, act=True, state=state, stream=mx.gpu)
    assert isinstance(planned.way, GpuKernels)
    assert "each from the product of the elements before it" in str(planned)
    clock = ms.Action(lambda s, x: (s + x) % 16)
    without = ms.monoid(mx.add, right=clock)
    late = ms.explain(without, maps, 1, act=True, state=mx.zeros((4, 3), mx.int32), inclusive=False, stream=mx.gpu)
    assert not isinstance(late.way, GpuKernels)
    assert "12 rows leave a GPU idle" in str(late)
    assert "needs a state and an identity that is constant" in str(late)


@pytest.mark.long
def test_the_text_for_cuda_compiles() -> None:
    try:
        nvrtc.library()
    except nvrtc.NvrtcError:
        pytest.skip("no NVRTC")
    matrices, state = mx.zeros((5000, 40, 3, 3)), mx.zeros((40, 3))
    planned = ms.explain(ms.MatMul(), matrices, 0, act=True, state=state, stream=mx.gpu)
    for launch in planned.kernels[0].launches_for("cuda"):
        assert not nvrtc.compile_text(cuda.text(launch.spec), "sm_90").spilled
