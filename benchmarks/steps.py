"""Steps in order: neurons that fire, a gated cell, a biquad filter, against loops of JAX, MLX and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, Suite, least_of
from benchmarks.wide_steps import WIDE_BARS, WIDE_CASES

STEPS, ROWS, UNITS = 1000, 256, 4
CHANNELS, SAMPLES = 2, 480_000
LOOP, ACT, LAX, PYTHON, LFILTER = (
    "monoscan loop", "monoscan act", "jax lax.scan", "Python loop over compiled steps", "scipy lfilter",
)  # fmt: skip
Step = Callable[[Any, Any, tuple[Any, ...], Any], tuple[Any, Any]]
"""``step(xp, state, inputs, weights)`` of one row."""


def fires(xp: Any, v: Any, inputs: tuple[Any, ...], weights: Any) -> tuple[Any, Any]:
    """A leaky neuron that is reset when it fires."""
    v = 0.9 * v + inputs[0]
    spike = v > 1
    return xp.where(spike, 0.0, v), (spike, v)


def gated(xp: Any, h: Any, inputs: tuple[Any, ...], weights: Any) -> tuple[Any, Any]:
    """A gated recurrent unit of a few lanes."""
    x = inputs[0]
    z = 1 / (1 + xp.exp(-(x[:UNITS] + weights[0] @ h)))
    r = 1 / (1 + xp.exp(-(x[UNITS : 2 * UNITS] + weights[1] @ h)))
    h = (1 - z) * xp.tanh(x[2 * UNITS :] + r * (weights[2] @ h)) + z * h
    return h, h


WEIGHTS = np.random.default_rng(0).normal(size=(3, UNITS, UNITS)).astype(np.float32) * np.float32(0.3)


def _currents(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    return (rng.standard_normal(shape, dtype=np.float32),)


def _gates(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    return (rng.standard_normal((*shape, 3 * UNITS), dtype=np.float32),)


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("steps have no product")


NEURONS = Problem("integrate and fire", "standard normal currents", _currents, _combine, "loop")
CELL = Problem(f"gated cell of {UNITS}", "standard normal", _gates, _combine, "loop")
SHAPES: dict[str, tuple[Step, int, tuple[int, ...]]] = {
    NEURONS.name: (fires, 0, (ROWS,)),
    CELL.name: (gated, 1, (ROWS, UNITS)),
}


def _loop(problem: Problem) -> Peer:
    step, event, shape = SHAPES[problem.name]

    def build(arrays: Arrays, axis: int) -> Call:
        weights, state = mx.array(WEIGHTS), mx.zeros(shape)
        one = lambda s, x: step(mx, s, (x,), weights)  # noqa: E731
        return peers.mlx_call(lambda x: ms.loop(one, x, state, event=event, state_event=event), arrays, True)

    return Peer(LOOP, "monoscan", "outputs", build, None)


def _lax(problem: Problem) -> Peer:
    step, _, shape = SHAPES[problem.name]

    def build(arrays: Arrays, axis: int) -> Call:
        jax = import_module("jax")
        numpy, weights = jax.numpy, WEIGHTS
        rows = jax.vmap(lambda s, x: step(numpy, s, (x,), weights))
        return peers.jax_call(lambda x: jax.lax.scan(rows, numpy.zeros(shape, numpy.float32), x)[1], arrays)

    return Peer(LAX, "jax", "outputs", build, None)


def _python(problem: Problem) -> Peer:
    step, _, shape = SHAPES[problem.name]

    def build(arrays: Arrays, axis: int) -> Call:
        weights = mx.array(WEIGHTS)
        row = lambda s, x: step(mx, s, (x,), weights)  # noqa: E731
        rows = mx.compile(mx.vmap(row) if len(shape) > 1 else row)

        def run(x: mx.array) -> Any:
            state, found = mx.zeros(shape), []
            for t in range(x.shape[0]):
                state, y = rows(state, x[t])
                found.append(y)
            return [mx.stack(ys) for ys in zip(*found, strict=True)] if type(found[0]) is tuple else mx.stack(found)

        return peers.mlx_call(run, arrays, False)

    return Peer(PYTHON, "mlx", "outputs", build, None)


# -------------------------------------------------------------------------------------------- a filter

DENOMINATOR = (1.0, -1.56101808, 0.64135154)
"""Of a Butterworth filter of second order, at a tenth of the sampling rate's half; its numerator is 1 here."""
TURN = np.array([[-DENOMINATOR[1], 1.0], [-DENOMINATOR[2], 0.0]], np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    return (rng.standard_normal(shape, dtype=np.float32),)


def _impulse(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    x = np.zeros(shape, np.float32)
    x[..., 0] = 1
    return (x,)


NOISE = Problem("biquad", "standard normal samples", _noise, _combine, "MatrixAffine")
IMPULSE = Problem("biquad, impulse", "one sample of 1, then zeros", _impulse, _combine, "MatrixAffine")


def _filtered(arrays: Arrays, axis: int) -> Arrays:
    signal = import_module("scipy.signal")
    return (signal.lfilter([1.0], DENOMINATOR, arrays[0].astype(np.float64), axis=axis),)


def _act(stored: bool) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        x = arrays[0]
        b = np.stack([x, np.zeros_like(x)], axis=-1)
        turn: Any = ms.fixed(mx.array(TURN))
        if stored:
            turn = mx.contiguous(mx.broadcast_to(mx.array(TURN), (1, x.shape[axis], 2, 2)))
            mx.eval(turn)
        run = lambda b: ms.act(ms.MatrixAffine(), (turn, b), mx.zeros((2,)), axis=axis)[..., 0]  # noqa: E731
        return peers.mlx_call(run, (b,), False)

    name = f"{ACT}, matrix {'stored a step' if stored else 'fixed'}"
    return Peer(name, "monoscan", "the first state", build, Reference(_filtered))


def _lfilter() -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        signal = import_module("scipy.signal")
        one, back = np.ones(1, np.float32), np.array(DENOMINATOR, np.float32)
        return lambda: signal.lfilter(one, back, arrays[0], axis=axis)

    return Peer(LFILTER, "scipy", "the first state", build, Reference(_filtered))


def _case(problem: Problem) -> Case:
    racers = (_loop(problem), _lax(problem), _python(problem))
    return Case("loops", problem.name, (STEPS, ROWS), 0, problem, racers, LAX)


LOOPS = {p.name: _case(p) for p in (NEURONS, CELL)}
FILTERS = {
    p.name: Case("filters", p.name, (CHANNELS, SAMPLES), 1, p, (_act(True), _act(False), _lfilter()), LFILTER)
    for p in (NOISE, IMPULSE)
}


def _faster(case: Case, mine: str, other: str) -> Callable[[Results], float | None]:
    return lambda results: least_of(results.ratios([case.key], mine, other), 1)


def _impulse_against_noise(results: Results) -> float | None:
    """The time of a decaying impulse over that of noise."""
    times = [results.median(FILTERS[p.name].key, _act(False).name) for p in (IMPULSE, NOISE)]
    return None if times[0] is None or times[1] is None else times[0] / times[1]


BARS = (
    Bar("integrate and fire faster than jax lax.scan", 2, _faster(LOOPS[NEURONS.name], LOOP, LAX)),
    Bar("integrate and fire faster than a Python loop", 60, _faster(LOOPS[NEURONS.name], LOOP, PYTHON)),
    Bar("gated cell faster than jax lax.scan", 4, _faster(LOOPS[CELL.name], LOOP, LAX)),
    Bar("biquad faster than lfilter", 2.5, _faster(FILTERS[NOISE.name], _act(False).name, LFILTER)),
    Bar("biquad with stored matrices against lfilter", 1 / 1.5, _faster(FILTERS[NOISE.name], _act(True).name, LFILTER)),
    Bar("an impulse against noise", 1.15, _impulse_against_noise, at_least=False),
)

STEPWISE = Suite("steps", "Steps in order", (*LOOPS.values(), *FILTERS.values(), *WIDE_CASES), (*BARS, *WIDE_BARS))
