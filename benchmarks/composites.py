"""Gradients of composites in rows and columns, against those of the same formula by hand, without guards for empty sides.

The loss is the sum of the last leaf, and gradients are by the observations alone, or all leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks import rivals
from benchmarks.model import Arrays, Call, Case, Peer, Problem, Reference, size_text
from benchmarks.peers import AUTO, jax_call, mlx_call
from benchmarks.problems import AFFINE, MOMENTS, draw_moments

BY_HAND = rivals.ALSO + "the formula by hand"
SHAPES = (((100_000, 32), 0), ((4096, 128), 1), ((64, 8192), 1))


def mean(left: Arrays, right: Arrays) -> Arrays:
    """Count and mean."""
    count = left[0] + right[0]
    return count, left[1] + (right[1] - left[1]) * (right[0] / count)


def _draw_mean(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    return draw_moments(rng, shape, axis)[:2]


MEAN = Problem("Mean", "standard normal", _draw_mean, mean, "Mean")
# The problem, its identity, and by which leaves.
ASKED: tuple[tuple[Problem, tuple[float, ...], tuple[int, ...]], ...] = (
    (MEAN, (0, 0), (1,)),
    (MOMENTS, (0, 0, 0), (1,)),
    (MOMENTS, (0, 0, 0), (0, 1, 2)),
    (AFFINE, (1, 0), (0, 1)),
)


def _loss(states: Callable[..., Any]) -> Callable[..., Any]:
    def loss(*leaves: Any) -> Any:
        return states(*leaves)[-1].sum()

    return loss


def _by_jax(problem: Problem, identity: tuple[float, ...], axis: int, asked: tuple[int, ...]) -> Callable[..., Any]:
    loss = _loss(lambda *leaves: rivals.jax_states(problem, identity, leaves, axis))
    found: Callable[..., Any] = import_module("jax").grad(loss, argnums=asked)
    return found


def _racers(problem: Problem, identity: tuple[float, ...], asked: tuple[int, ...]) -> tuple[Peer, ...]:
    def ours(operator: Any, arrays: Arrays, axis: int) -> Call:
        scan = import_module("monoscan").scan
        loss = _loss(lambda *leaves: scan(operator, leaves, axis=axis))
        return mlx_call(mx.grad(loss, argnums=asked), arrays, compiled=True)

    def own(arrays: Arrays, axis: int) -> Call:
        return ours(problem.made(import_module("monoscan")), arrays, axis)

    def by_hand(arrays: Arrays, axis: int) -> Call:
        return ours(import_module("monoscan").monoid(problem.combine, identity=identity), arrays, axis)

    def by_jax(arrays: Arrays, axis: int) -> Call:
        return jax_call(_by_jax(problem, identity, axis, asked), arrays)

    def answer(arrays: Arrays, axis: int) -> Arrays:
        import_module("jax").config.update("jax_enable_x64", True)
        found = _by_jax(problem, identity, axis, asked)(*(x.astype(np.float64) for x in arrays))
        return tuple(np.asarray(x) for x in found)

    built = ((AUTO, "monoscan", own), (BY_HAND, "monoscan", by_hand), (rivals.JAX_LOOP, "jax", by_jax))
    return tuple(Peer(name, package, "the gradients", build, Reference(answer)) for name, package, build in built)


def cases() -> list[Case]:
    """One for each problem, what is asked for, and shape."""
    made = []
    for problem, identity, asked in ASKED:
        racers = _racers(problem, identity, asked)
        what = "gradient by values" if asked == (1,) else "gradient by all leaves"
        for shape, axis in SHAPES:
            label = f"{problem.name}, {size_text(shape, axis)}, {what}"
            made.append(Case("composites", label, shape, axis, problem, racers, AUTO, raised_cache=True))
    return made
