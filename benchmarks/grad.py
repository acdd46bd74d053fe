"""Gradients of a recurrence by both inputs, of the loss sum(h^2)/2, against JAX's two scans.

The bars are on the gradient alone, which `mx.grad` and a jitted `jax.grad` yield without the value
of the loss. Loss and gradient together are timed too: MLX's own sum is a good part of that.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.model import Arrays, Bar, Call, Case, Peer, Reference, Results, Suite, size_text
from benchmarks.peers import jax_call, jax_recurrence, mlx_call, on_trees
from benchmarks.problems import AFFINE, affine, sequential

SHAPE, AXIS = (100_000, 32), 0
MONOSCAN, CUSTOM, RECURRENCE = "monoscan Affine", "monoscan custom monoid", "monoscan linear_recurrence"
JAX_SCAN, JAX_LOOP = "jax associative_scan", "jax lax.scan"
FORWARD, BOTH = " (states alone)", " (loss and gradient)"
EVALUATES = {"": "both gradients", FORWARD: "the states", BOTH: "loss and both gradients"}


def _states(arrays: Arrays, axis: int) -> Arrays:
    return (sequential(affine, arrays, axis)[1],)


def _loss(arrays: Arrays, axis: int) -> Arrays:
    (states,) = _states(arrays, axis)
    return (np.asarray((states**2).sum() / 2),)


def _gradients(arrays: Arrays, axis: int) -> Arrays:
    """The adjoint by a loop over time, in float64: g_t = h_t + a_{t+1} g_{t+1}, db = g, da_t = g_t h_{t-1}."""
    gates = np.moveaxis(arrays[0].astype(np.float64), axis, 0)
    states = np.moveaxis(sequential(affine, arrays, axis)[1], axis, 0)
    adjoint = states.copy()
    for t in range(len(gates) - 2, -1, -1):
        adjoint[t] += gates[t + 1] * adjoint[t + 1]
    before = np.concatenate([np.zeros_like(states[:1]), states[:-1]])
    return tuple(np.moveaxis(x, 0, axis) for x in (adjoint * before, adjoint))


REFERENCES: dict[str, Callable[[Arrays, int], Arrays]] = {
    "": _gradients,
    FORWARD: _states,
    BOTH: lambda arrays, axis: (*_loss(arrays, axis), *_gradients(arrays, axis)),
}


def _peer(name: str, package: str, call: Callable[[Arrays, int, str], Call], what: str) -> Peer:
    return Peer(
        name + what,
        package,
        EVALUATES[what],
        lambda arrays, axis: call(arrays, axis, what),
        Reference(REFERENCES[what]),
    )


def _asked(library: Any, states: Callable[[Any, Any], Any], what: str) -> Callable[[Any, Any], tuple[Any, ...]]:
    """The states, the gradient of their loss, or that and the loss; MLX and JAX have the same transformations."""

    def loss(a: Any, b: Any) -> Any:
        h = states(a, b)
        return (h * h).sum() / 2

    def both(a: Any, b: Any) -> tuple[Any, ...]:
        value, gradients = library.value_and_grad(loss, argnums=(0, 1))(a, b)
        return value, *gradients

    if what == FORWARD:
        return lambda a, b: (states(a, b),)
    return both if what == BOTH else library.grad(loss, argnums=(0, 1))


def on_mlx(states: Callable[[Any, int], Callable[..., mx.array]]) -> Callable[[Arrays, int, str], Call]:
    """A timed call on `states(monoscan, axis)`."""

    def build(arrays: Arrays, axis: int, what: str) -> Call:
        return mlx_call(_asked(mx, states(import_module("monoscan"), axis), what), arrays, compiled=True)

    return build


def on_jax(states: Callable[[Any, Any, int], Any]) -> Callable[[Arrays, int, str], Call]:
    """A timed call on `states(a, b, axis)`."""

    def build(arrays: Arrays, axis: int, what: str) -> Call:
        return jax_call(_asked(import_module("jax"), lambda a, b: states(a, b, axis), what), arrays)

    return build


def _affine_states(ms: Any, axis: int) -> Callable[..., mx.array]:
    return lambda a, b: ms.scan(ms.Affine(), (a, b), axis=axis)[1]


def _custom_states(ms: Any, axis: int) -> Callable[..., mx.array]:
    operator = ms.monoid(affine, identity=(1.0, 0.0))
    return lambda a, b: ms.scan(operator, (a, b), axis=axis)[1]


def _recurrence_states(ms: Any, axis: int) -> Callable[..., mx.array]:
    return lambda a, b: ms.linear_recurrence(a, b, axis=axis)


def _jax_states(a: Any, b: Any, axis: int) -> Any:
    return import_module("jax.lax").associative_scan(on_trees(affine), (a, b), axis=axis)[1]


RACERS = tuple(
    _peer(name, package, call, what)
    for name, package, call in (
        (MONOSCAN, "monoscan", on_mlx(_affine_states)),
        (CUSTOM, "monoscan", on_mlx(_custom_states)),
        (RECURRENCE, "monoscan", on_mlx(_recurrence_states)),
        (JAX_SCAN, "jax", on_jax(_jax_states)),
        (JAX_LOOP, "jax", on_jax(jax_recurrence)),
    )
    for what in EVALUATES
)
CASES = tuple(
    Case("gradient", size_text(SHAPE, AXIS), SHAPE, AXIS, AFFINE, RACERS, MONOSCAN, raised) for raised in (False, True)
)


def _case_bars(case: Case) -> tuple[Bar, ...]:
    where = " (raised cache)" if case.raised_cache else ""

    def faster(other: str, what: str = "") -> Callable[[Results], float | None]:
        return lambda results: next(iter(results.ratios([case.key], MONOSCAN + what, other + what)), None)

    def backward_over_forward(results: Results) -> float | None:
        ratio = next(iter(results.ratios([case.key], MONOSCAN + FORWARD, MONOSCAN)), None)
        return None if ratio is None else ratio - 1

    def arrays_at_peak(results: Results) -> float | None:
        found = results.find(case.key, MONOSCAN)
        if found is None or found.peak_bytes is None:
            return None
        return (found.peak_bytes + found.input_bytes) / (found.input_bytes / 2)

    return (
        Bar("forward and backward faster than jax associative_scan" + where, 8, faster(JAX_SCAN)),
        Bar("forward and backward faster than jax lax.scan" + where, 1.5, faster(JAX_LOOP)),
        Bar("the same with the loss, associative_scan" + where, 8, faster(JAX_SCAN, BOTH)),
        Bar("the same with the loss, lax.scan" + where, 1.5, faster(JAX_LOOP, BOTH)),
        Bar("backward over forward" + where, 2.5, backward_over_forward, at_least=False),
        Bar("peak memory, inputs included" + where, 7, arrays_at_peak, at_least=False, unit=" arrays"),
        Bar(
            "custom monoid over Affine" + where,
            1.25,
            lambda results: next(iter(results.ratios([case.key], MONOSCAN, CUSTOM)), None),
            at_least=False,
        ),
    )


GRAD = Suite("grad", "Gradients", CASES, tuple(bar for case in CASES for bar in _case_bars(case)))
