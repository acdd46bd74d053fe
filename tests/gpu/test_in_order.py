"""Acts and loops whose states come one after another, by a lane a row; the references are folds by NumPy and the CPU's."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from metal_driver import MetalShim, needs_clang
from scans import loop, scan
from selection import thinned
from shim_driver import Fault, Shim, needs_shim
from test_catalogue import same

import monoscan as ms
from monoscan.lowering.plan.plan import GpuKernels
from monoscan.lowering.render.gpu_spec import Body

pytestmark = needs_shim

SHAPES = {
    "rows": ((37, 11), 1),
    "columns": ((11, 37), 0),
    "columns of rows": ((3, 11, 13), 1),
    "many groups": ((6, 300), 0),
}


def witness(state: Any, x: Any) -> tuple[Any, Any]:
    """Tells every order and every element that is left out."""
    state = state * 1000003 + x
    return state, state ^ x


@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
@pytest.mark.parametrize("shape", thinned(SHAPES, ["rows", "columns of rows"]))
def test_every_step_comes_behind_the_one_before_it(shape: str, reverse: bool) -> None:
    lead, axis = SHAPES[shape]
    random = np.random.default_rng(0)
    xs = random.integers(1, 1 << 30, lead).astype(np.uint32)
    state = random.integers(1, 1 << 30, (*lead[:axis], *lead[axis + 1 :])).astype(np.uint32)
    shim = Shim()
    found, last = loop(witness, mx.array(xs), mx.array(state), axis, reverse=reverse, return_carry=True, start=shim)
    expected = np.zeros_like(xs)
    for t in range(lead[axis])[:: -1 if reverse else 1]:
        at = (slice(None),) * axis + (t,)
        state = state * np.uint32(1000003) + xs[at]
        expected[at] = state ^ xs[at]
    np.testing.assert_array_equal(np.array(found), expected)
    np.testing.assert_array_equal(np.array(last), state)
    assert [spec.body for spec in shim.started] == [Body.SEQUENTIAL]


def fire(state: Any, x: Any) -> tuple[Any, Any]:
    voltage = 0.9 * state["v"] + mx.exp(-state["rest"]) * x
    spike = voltage > 1
    return {"v": mx.where(spike, 0.0, voltage), "rest": 0.5 * state["rest"] + spike}, spike


@pytest.mark.parametrize(
    "start", [Shim(), pytest.param(MetalShim(), marks=needs_clang)], ids=["shim", "text for Metal"]
)
def test_bits_of_a_loop_are_the_cpus(start: Any) -> None:
    xs = mx.random.normal((50, 41), key=mx.random.key(0))
    state = {"v": mx.zeros((41,)), "rest": mx.ones(())}
    found = loop(fire, xs, state, return_carry=True, start=start)
    expected = ms.loop(fire, xs, state, return_carry=True, stream=mx.cpu)
    same(found, expected)


@pytest.mark.parametrize(
    ("reverse", "inclusive"), thinned([(False, True), (True, False), (False, False)], [(True, False)])
)
def test_bits_of_an_act_that_is_no_product(reverse: bool, inclusive: bool) -> None:
    maps = mx.random.randint(0, 3, (35, 9, 3), key=mx.random.key(0))
    state = mx.random.randint(0, 3, (35,), key=mx.random.key(1))
    options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "return_carry": True}
    found = scan(ms.FiniteMap(3), maps, 1, act=True, state=state, **options)
    same(found, ms.act(ms.FiniteMap(3), maps, state, 1, stream=mx.cpu, strategy="sequential", **options))


def test_captured_arrays_and_halves() -> None:
    weights = mx.array([[0.5, -0.25], [0.125, 0.75]])

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        state = mx.tanh(weights @ state) + x
        return state, state.sum()

    xs = mx.random.normal((12, 33, 2), key=mx.random.key(0)).astype(mx.bfloat16)
    state = mx.zeros((33, 2))
    options: dict[str, Any] = {"event": 1, "state_event": 1}
    same(loop(step, xs, state, **options), ms.loop(step, xs, state, stream=mx.cpu, **options))


def test_steps_that_read_no_element() -> None:
    def step(state: Any, _: Any) -> tuple[Any, Any]:
        return 3 * state + 1, state

    state = mx.array([1, 2, 3], mx.int32)
    same(loop(step, None, state, length=7), ms.loop(step, None, state, length=7, stream=mx.cpu))


@pytest.mark.long
def test_gradients_and_tangents() -> None:
    xs = mx.random.normal((9, 5), key=mx.random.key(0))
    state = mx.random.normal((5,), key=mx.random.key(1))

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        state = mx.sin(state) * x
        return state, state * x

    runs = (lambda x, s: loop(step, x, s), lambda x, s: ms.loop(step, x, s, stream=mx.cpu))
    losses = [lambda x, s, run=run: (run(x, s) ** 2).sum() for run in runs]
    found, expected = (mx.grad(loss, argnums=(0, 1))(xs, state) for loss in losses)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-6)
    found, expected = (mx.jvp(run, [xs, state], [mx.ones_like(xs), mx.ones_like(state)])[1][0] for run in runs)
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-4, atol=1e-6)


FAULTS = {
    "a step too many": ("if (first + v < n) x[v]", "x[v]"),
    "a row too many": ("  if (column >= (u32)sizes[size_rows] * inner) return;\n", ""),
    "rows for columns": ("column / inner, column % inner", "column % inner, column / inner"),
    "a state from the first step": ("before = just(after);", ""),
    "the state before": ("inclusive ? after : before.value", "before.value"),
    "from the front": ("reverse ? n - 1 - i : i", "i"),
    "without a step between": ("found.step = one_column ? 1 : sizes[at + axes]", "found.step = 1"),
}


@pytest.mark.parametrize("name", thinned(FAULTS, ["a step too many", "a state from the first step"]))
def test_mistakes_are_found(name: str) -> None:
    xs = np.random.default_rng(0).integers(1, 9, (3, 11, 13)).astype(np.uint32)
    state = mx.ones((3, 13), mx.uint32)
    shim = Shim(faulty=FAULTS[name])
    expected = ms.loop(witness, mx.array(xs), state, 1, reverse=True, stream=mx.cpu)
    try:
        found = loop(witness, mx.array(xs), state, 1, reverse=True, start=shim)
        wrong = not np.array_equal(np.array(found), np.array(expected))
    except Fault:
        wrong = True
    assert shim.replaced
    assert wrong


def test_what_is_planned_says_how() -> None:
    maps, state = mx.zeros((4000, 100, 3), mx.int32), mx.zeros((4000,), mx.int32)
    planned = ms.explain(ms.FiniteMap(3), maps, 1, act=True, state=state, stream=mx.gpu)
    assert isinstance(planned.way, GpuKernels)
    assert "in order: 125 groups of 32 threads, a thread a row" in str(planned)
    assert "one after another" in str(planned)


def test_too_many_numbers_for_registers_say_so() -> None:
    def step(state: Any, x: Any) -> tuple[Any, Any]:
        return state + x, state.sum()

    wide = mx.zeros((8, 2, 50))
    planned = ms.explain(step, wide, 0, loop=True, state=wide[0], event=1, state_event=1, stream=mx.gpu)
    assert not isinstance(planned.way, GpuKernels)
    assert "a thread in order holds 96" in str(planned)
