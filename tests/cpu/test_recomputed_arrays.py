"""Gradients of wide states that no output holds: made again, and what rows share summed, as the loop goes back."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.lowering.targets.cpu import recomputed_arrays

pytestmark = pytest.mark.usefixtures("kernels_are_built")

KEYS = 70
"""More than scalar code has lanes for."""


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each gradient that was asked for is one of this loop."""
    found: list[bool] = []
    own = recomputed_arrays.vjp

    def vjp(*args: Any) -> Any:
        result = own(*args)
        found.append(result is not None)
        return result

    monkeypatch.setattr(recomputed_arrays, "vjp", vjp)
    return found


def rule(m: mx.array) -> Any:
    """A gated delta rule with a nonlinearity and a captured array: a row of a state, corrected by a key."""

    def step(row: mx.array, x: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
        q, k, v, gate = x
        row = mx.tanh(row * gate) * m
        row = row + k * (v - (row * k).sum())
        return row, (row * q).sum()

    return step


def problem(
    steps: int, heads: int, rows: int, dtype: mx.Dtype = mx.float32
) -> tuple[list[mx.array], mx.array, mx.array]:
    """Queries a row, keys that rows share, values, gates that all share, what is captured, and the first state."""
    rng = np.random.default_rng(rows)
    shapes = [(steps, heads, rows, KEYS), (steps, heads, 1, KEYS), (steps, heads, rows), (steps, 1, 1), (KEYS,)]
    arrays = [rng.standard_normal(shape) for shape in shapes] + [rng.standard_normal((heads, rows, KEYS))]
    arrays[1] *= 0.1
    found = [mx.array(x.astype(np.float32)).astype(dtype) for x in arrays]
    weights = [rng.standard_normal((steps, heads, rows)), rng.standard_normal((heads, rows, KEYS))]
    return found, mx.array(weights[0].astype(np.float32)), mx.array(weights[1].astype(np.float32))


def walked(arrays: Any, reverse: bool) -> tuple[mx.array, mx.array]:
    """Outputs and the last state, one step after another."""
    q, k, v, gate, m, row = arrays
    ys = [None] * len(v)
    for t in range(len(v))[:: -1 if reverse else 1]:
        row = mx.tanh(row * gate[t][..., None]) * m
        row = row + k[t] * (v[t] - (row * k[t]).sum(-1))[..., None]
        ys[t] = (row * q[t]).sum(-1)
    return mx.stack(ys), row


def close(found: Any, wanted: Any, rtol: float) -> None:
    for x, y in zip(found, wanted, strict=True):
        assert x.shape == y.shape
        exact = np.array(y.astype(mx.float64))
        np.testing.assert_allclose(np.array(x.astype(mx.float32)), exact, rtol=0, atol=rtol * np.abs(exact).max())


CASES = [(37, 2, 20, False), (300, 1, 3, True), (20, 3, 32, True), (1, 2, 16, False)]


@pytest.mark.parametrize(("steps", "heads", "rows", "reverse"), thinned(CASES, CASES[:1]))
def test_they_are_those_of_the_walk(steps: int, heads: int, rows: int, reverse: bool, launches: list[bool]) -> None:
    arrays, w, last = problem(steps, heads, rows)

    def loss(q: mx.array, k: mx.array, v: mx.array, gate: mx.array, m: mx.array, row: mx.array) -> mx.array:
        found = ms.loop(
            rule(m), (q, k, v, gate), row, event=(1, 1, 0, 0), state_event=1, reverse=reverse, return_carry=True
        )
        return (found[0] * w).sum() + (found[1] * last).sum()

    def exact(*arrays: mx.array) -> mx.array:
        ys, row = walked(arrays, reverse)
        return (ys * w.astype(mx.float64)).sum() + (row * last.astype(mx.float64)).sum()

    every = tuple(range(6))
    gradient = mx.grad(loss, argnums=every)
    doubles = [x.astype(mx.float64) for x in arrays]
    with mx.stream(mx.cpu):
        wanted = mx.grad(exact, argnums=every)(*doubles)
    close(gradient(*arrays), wanted, 2e-5)
    assert launches == [True]
    close(mx.compile(gradient)(*arrays), wanted, 2e-5)
    some = mx.vmap(lambda v: mx.grad(loss, argnums=1)(arrays[0], arrays[1], v, *arrays[3:]))(mx.stack([arrays[2]] * 2))
    close([some[1]], wanted[1:2], 2e-5)
    if steps < 40:
        second = mx.grad(lambda k: mx.grad(loss, argnums=2)(arrays[0], k, *arrays[2:])[0].sum())(arrays[1])
        with mx.stream(mx.cpu):
            turned = mx.grad(lambda k: mx.grad(exact, argnums=2)(doubles[0], k, *doubles[2:])[0].sum())(doubles[1])
        close([second], [turned], 1e-4)


@pytest.mark.long
def test_halves_are_summed_in_float32_and_rounded_once(launches: list[bool]) -> None:
    arrays, w, _ = problem(24, 1, 16, mx.float16)

    def loss(*arrays: mx.array) -> mx.array:
        q, k, v, gate, m, row = arrays
        return (ms.loop(rule(m), (q, k, v, gate), row, event=(1, 1, 0, 0), state_event=1) * w).sum()

    found = mx.grad(loss, argnums=(0, 1, 3, 4))(*arrays)
    with mx.stream(mx.cpu):
        doubles = [x.astype(mx.float64) for x in arrays]
        wanted = mx.grad(lambda *x: (walked(x, False)[0] * w.astype(mx.float64)).sum(), argnums=(0, 1, 3, 4))(*doubles)
    assert [d.dtype for d in found] == [mx.float16] * 4
    close(found, wanted, 3e-2)


def test_no_array_holds_the_states() -> None:
    arrays, w, _ = problem(256, 1, 64)

    def loss(*arrays: mx.array) -> mx.array:
        q, k, v, gate, m, row = arrays
        return (ms.loop(rule(m), (q[:, :, :1], k, v, gate), row, event=(1, 1, 0, 0), state_event=1) * w).sum()

    gradient = mx.grad(loss, argnums=(1, 2, 3, 4))
    mx.eval(gradient(*arrays), w)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(gradient(*arrays))
    assert mx.get_peak_memory() - before < 256 * 64 * KEYS * 4 / 8


def test_cotangents_that_are_all_zero_reach_nothing() -> None:
    """The step chooses: what guards its derivative looks for a cotangent, and there is none."""
    x = mx.ones((3, 2, KEYS))

    def sums(x: mx.array) -> mx.array:
        return ms.loop(
            lambda row, x: (mx.where(x > 0, row, -row) + x, row.sum()), x, mx.ones((2, KEYS)), event=1, state_event=1
        )

    (found,) = mx.vjp(sums, [x], [mx.zeros((3, 2))])[1]
    assert found.shape == x.shape
    assert not found.any()
