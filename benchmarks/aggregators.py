"""Mamba's selective scan from its raw inputs, and its training, against loops and scans of JAX."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import prod
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.hand_written import selective_scan
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, Suite, least_of

STATES = 16
SHAPES = ((1, 2048, 256), (8, 512, 256))
"""Batch, time, channels."""

SCAN, LAX, ASSOCIATIVE, HAND = "monoscan scan", "jax lax.scan", "jax associative_scan", "C++ by hand"
CHECKPOINT = "jax lax.scan, checkpointed step"
MAMBA = ms.aggregators.SelectiveScan()
Function = Callable[..., Any]


def _inputs(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Steps of .001 to .1, as Mamba begins with, and of 30 in a channel of eight, whose gates underflow."""
    batch, time, channels = shape
    delta = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape)).astype(np.float32)
    delta[..., ::8] = 30
    a = -np.broadcast_to(np.arange(1, STATES + 1, dtype=np.float32), (channels, STATES)).copy()
    b, c = rng.standard_normal((2, batch, time, STATES), dtype=np.float32)
    return delta, a, b, c, rng.standard_normal(shape, dtype=np.float32)


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("elements are made on the way")


def _slow_inputs(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Steps of .001 to .1 alone: no gate underflows."""
    delta, *others = _inputs(rng, shape, axis)
    return np.minimum(delta, np.float32(0.1)), *others


PROBLEM = Problem("selective scan", "steps of .001 to .1 and of 30", _inputs, _combine, "Affine")
SLOW = Problem("selective scan, slow decays", "steps of .001 to .1", _slow_inputs, _combine, "Affine")


def _wanted(arrays: Arrays, axis: int) -> Arrays:
    """The loop in float64."""
    delta, a, b, c, x = (each.astype(np.float64) for each in arrays)
    h, y = np.zeros((x.shape[0], *a.shape)), np.zeros_like(x)
    for t in range(x.shape[1]):
        h = np.exp(delta[:, t, :, None] * a) * h + (delta * x)[:, t, :, None] * b[:, t, None]
        y[:, t] = (h * c[:, t, None]).sum(-1)
    return (y,)


def _scan(delta: mx.array, a: mx.array, b: mx.array, c: mx.array, x: mx.array) -> mx.array:
    return ms.scan(MAMBA, (delta, ms.fixed(a), b[:, :, None], c[:, :, None], x), axis=1)


def _checkpointed(*inputs: Any) -> Any:
    return _lax(*inputs, wrap=import_module("jax").checkpoint)


def _lax(delta: Any, a: Any, b: Any, c: Any, x: Any, wrap: Function = lambda step: step) -> Any:
    jax = import_module("jax")
    np_ = jax.numpy

    def step(h: Any, now: Any) -> tuple[Any, Any]:
        d, b, c, x = now
        h = np_.exp(d[:, :, None] * a) * h + (d * x)[:, :, None] * b[:, None]
        return h, (h * c[:, None]).sum(-1)

    along = tuple(np_.moveaxis(each, 1, 0) for each in (delta, b, c, x))
    return np_.moveaxis(jax.lax.scan(wrap(step), np_.zeros((x.shape[0], *a.shape), x.dtype), along)[1], 0, 1)


def _associative(delta: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
    jax = import_module("jax")
    gates = jax.numpy.exp(delta[..., None] * a)
    taken = (delta * x)[..., None] * b[:, :, None]
    combine = lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1])  # noqa: E731
    return (jax.lax.associative_scan(combine, (gates, taken), axis=1)[1] * c[:, :, None]).sum(-1)


def _jax(name: str, function: Function) -> Peer:
    return Peer(name, "jax", "outputs", lambda arrays, axis: peers.jax_call(function, arrays), Reference(_wanted))


def _mlx(name: str, function: Function) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        return peers.mlx_call(function, arrays, True)

    return Peer(name, "monoscan", "outputs", build, Reference(_wanted))


def _trained(name: str, function: Function) -> Peer:
    """The gradient of the sum of outputs, by all inputs."""

    def build(arrays: Arrays, axis: int) -> Call:
        every = tuple(range(len(arrays)))
        if name == SCAN:
            return peers.mlx_call(mx.grad(lambda *xs: function(*xs).sum(), argnums=every), arrays, True)
        grad = import_module("jax").grad(lambda *xs: function(*xs).sum(), argnums=every)
        return peers.jax_call(grad, arrays)

    return Peer(name, "monoscan" if name == SCAN else "jax", "gradients", build, None)


_BY_HAND = Peer(HAND, "monoscan", "outputs", selective_scan, Reference(_wanted))
FORWARD = tuple(
    Case(problem.name, f"{shape}", shape, 1, problem,
         (_mlx(SCAN, _scan), _BY_HAND, _jax(LAX, _lax), _jax(ASSOCIATIVE, _associative)), LAX)
    for shape, problem in ((SHAPES[0], PROBLEM), (SHAPES[1], PROBLEM), (SHAPES[1], SLOW))
)  # fmt: skip
TRAINERS = (_trained(SCAN, _scan), _trained(LAX, _lax), _trained(CHECKPOINT, _checkpointed))
TRAINING = Case("selective scan, gradient", f"{SHAPES[1]}", SHAPES[1], 1, PROBLEM, TRAINERS, LAX)


def _faster(case: Case, *others: str) -> Callable[[Results], float | None]:
    return lambda results: least_of(results.ratios([case.key], SCAN, others), 1)


def _against_hand(results: Results) -> float | None:
    """The time of the scan over that of the loop by hand, where gates underflow and where they do not."""
    pairs = [(results.median(case.key, SCAN), results.median(case.key, HAND)) for case in FORWARD[1:]]
    ratios = [mine / other for mine, other in pairs if mine is not None and other is not None]
    return max(ratios) if len(ratios) == len(pairs) else None


def _backward(results: Results) -> float | None:
    """The time of a gradient over that of the scan."""
    times = [results.median(case.key, SCAN) for case in (TRAINING, FORWARD[1])]
    return None if times[0] is None or times[1] is None else times[0] / times[1]


def _beyond(results: Results) -> float | None:
    """What the gradient allocates beside the gradients, by MLX's counters, as a share of inputs, outputs, gradients."""
    found = results.find(TRAINING.key, SCAN)
    if found is None or found.peak_bytes is None:
        return None
    gradients, output = found.input_bytes, 4 * prod(TRAINING.shape)
    return 100 * (found.peak_bytes - gradients) / (found.input_bytes + output + gradients)


BARS = (
    Bar("one sequence, faster than jax associative_scan", 50, _faster(FORWARD[0], ASSOCIATIVE)),
    Bar("one sequence, faster than jax lax.scan", 15, _faster(FORWARD[0], LAX)),
    Bar("eight sequences, faster than jax lax.scan", 5, _faster(FORWARD[1], LAX)),
    Bar("eight sequences over a loop by hand", 1.2, _against_hand, at_least=False),
    Bar("training, faster than the better gradient of jax", 8, _faster(TRAINING, LAX, CHECKPOINT)),
    Bar("gradient over forward", 2.8, _backward, at_least=False),
    Bar("gradient, arrays beside inputs, outputs and gradients", 10, _beyond, at_least=False, unit="%"),
)

AGGREGATORS = Suite("aggregators", "Aggregators", (*FORWARD, TRAINING), BARS)
