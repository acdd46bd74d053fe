"""Stopped gradients and derivatives of one's own inside ``combine``, against MLX's gradient of a Python loop."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.lowering.trace import stops

Array = mx.array
Combine = Callable[[Array, Array], Array]

held = mx.stop_gradient
RATES = mx.array([0.5, 0.7, 1.3])
library = types.ModuleType("library")
exec("import mlx.core as mx\ndef ste(x): return x + mx.stop_gradient(mx.round(x) - x)", library.__dict__)
compiled = mx.compile(lambda x: mx.stop_gradient(mx.sin(x)) * x)


@mx.custom_function
def rounded(x: Array) -> Array:
    return mx.round(x)


@rounded.vjp
def _(primal: Array, cotangent: Array, output: Array) -> Array:
    return cotangent * primal  # wrong on purpose: nobody could guess it


@rounded.jvp
def _(primal: Array, tangent: Array) -> Array:
    return tangent * primal


@mx.custom_function
def straight(x: Array) -> Array:
    return mx.round(x)


@straight.vjp
def _(primal: Array, cotangent: Array, output: Array) -> Array:
    return cotangent


STOPS: dict[str, tuple[Combine, int]] = {
    "an alias": (lambda l, r: held(l) + r * l, 0),
    "a function of another module": (lambda l, r: l * 0.5 + library.ste(r), 0),
    "a compiled function": (lambda l, r: l + compiled(r), 0),
    "a partial": (functools.partial(lambda k, l, r: l + held(k * r) * r, 2.0), 0),
    "one of two equal values": (lambda l, r: mx.sin(l) * held(mx.sin(l)) + r, 0),
    "a captured array": (lambda l, r: l * held(RATES.sum()) + r * RATES[0], 0),
    "a constant": (lambda l, r: l * held(mx.array(0.5)) + r, 0),
    "an element as it is": (lambda l, r: held(r) + 0 * l, 0),
    "inside of logsumexp": (lambda l, r: mx.logsumexp(mx.stack([l, r]), axis=0), 0),
    "inside of softmax": (lambda l, r: (mx.softmax(mx.stack([l, r]), axis=0) * mx.stack([l, r])).sum(0), 0),
    "one of several outputs": (
        lambda l, r: mx.concatenate([held(mx.split(l, 3)[1]), mx.split(r, 3)[2], l[:1] * held(r[:1]) * r[1:2]]), 1
    ),
}  # fmt: skip
RULES: dict[str, tuple[Combine, int]] = {
    "of elements": (lambda l, r: l * 0.5 + rounded(r), 0),
    "of states": (lambda l, r: rounded(l) * 0.5 + r, 0),
    "of vectors": (lambda l, r: l * 0.5 + rounded(r) * RATES, 1),
    "of a captured array": (lambda l, r: l * 0.5 + r * rounded(RATES.sum()), 0),
}
RNG = np.random.default_rng(3)
X, INIT = mx.array(RNG.uniform(0.3, 1.6, (4, 3)), mx.float32), mx.array(RNG.uniform(0.3, 1.6, 3), mx.float32)
W = mx.array(RNG.uniform(-1, 1, (4, 3)), mx.float32)


def losses(combine: Combine, event: int) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """A loss of a scan in order, and of the loop that it stands for."""
    operator = ms.monoid(combine, event=event)

    def of_scan(x: Array, init: Array) -> Array:
        return (ms.scan(operator, x, init=init, strategy="sequential") * W).sum()

    def of_loop(x: Array, state: Array) -> Array:
        total = mx.array(0.0)
        for t in range(len(x)):
            state = combine(state, x[t])
            total = total + (state * W[t]).sum()
        return total

    return of_scan, of_loop


def same(got: Any, want: Any) -> None:
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", thinned(STOPS, list(STOPS)[::6]))
def test_a_combine_that_stops_gradients_is_traced_and_keeps_them_stopped(name: str) -> None:
    combine, event = STOPS[name]
    assert ms.explain(ms.monoid(combine, event=event), X).problem.program is not None
    of_scan, of_loop = losses(combine, event)
    same(mx.grad(of_scan, argnums=(0, 1))(X, INIT), mx.grad(of_loop, argnums=(0, 1))(X, INIT))
    same(mx.jvp(of_scan, [X, INIT], [W, INIT])[1], mx.jvp(of_loop, [X, INIT], [W, INIT])[1])


@pytest.mark.parametrize("name", RULES)
def test_derivatives_of_ones_own_hold(name: str) -> None:
    combine, event = RULES[name]
    reason = ms.explain(ms.monoid(combine, event=event), X).problem.traced.reason
    assert reason == stops.OWN_RULES
    of_scan, of_loop = losses(combine, event)
    same(mx.grad(of_scan, argnums=(0, 1))(X, INIT), mx.grad(of_loop, argnums=(0, 1))(X, INIT))
    same(mx.jvp(of_scan, [X, INIT], [W, INIT])[1], mx.jvp(of_loop, [X, INIT], [W, INIT])[1])
    two = mx.stack([X, 1.1 * X])
    same(mx.vmap(mx.grad(of_scan), in_axes=(0, None))(two, INIT), [mx.grad(of_loop)(x, INIT) for x in two])


def test_a_second_derivative_of_ones_own_holds() -> None:
    of_scan, of_loop = losses(*RULES["of states"])

    def curved(loss: Callable[..., Array]) -> Array:
        return mx.grad(lambda x: (mx.grad(loss)(x, INIT) * W).sum())(X)

    same([curved(of_scan)], [curved(of_loop)])


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "brent_kung", "sequential"])
def test_a_rule_of_ones_own_holds_in_every_strategy(strategy: str) -> None:
    operator = ms.monoid(lambda l, r: l + straight(r), identity=0)
    found = mx.grad(lambda x: ms.scan(operator, x, strategy=strategy).sum())(mx.array([0.3, 1.4, 2.6]))
    assert found.tolist() == [3, 2, 1]


def test_a_checkpoint_inside_combine_is_refused_with_the_way_out() -> None:
    product = mx.checkpoint(lambda a, b: mx.sin(a) * b)
    operator = ms.monoid(lambda l, r: l + product(l, r))
    assert ms.scan(operator, mx.ones((2,))).shape == (2,)
    with pytest.raises(ms.TraceError, match="Leave the checkpoint out"):
        mx.grad(lambda x: ms.scan(operator, x).sum())(mx.ones((3,)))


def test_records_that_are_not_those_of_the_drawing_are_refused() -> None:
    records: list[dict[str, Any]] = []
    drawing = ""

    def function(x: Array, y: Array) -> tuple[Array]:
        nonlocal drawing
        drawing = stops.draw((x, y), (x * mx.stop_gradient(y),))
        return (x + mx.sin(y),)

    mx.export_function(records.append, function, mx.array(0.0), mx.array(0.0))
    assert stops.placed(records, drawing) == stops.LOST
    assert stops.placed(records, stops.draw((X,), (X,))) is records
