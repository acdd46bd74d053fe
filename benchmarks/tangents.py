"""Forward derivatives of a recurrence, by all inputs: our `mx.jvp` against the scan of dual numbers by hand and JAX's."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks import rivals
from benchmarks.model import Arrays, Call, Case, Peer, Reference, size_text
from benchmarks.peers import AUTO, jax_call, jax_recurrence, mlx_call
from benchmarks.problems import AFFINE, affine, sequential

DUAL = rivals.ALSO + "dual numbers by hand"
SHAPES = (((100_000,), 0), ((10_000, 32), 0), ((512, 1024), 1))


def _moved(gates: Any, updates: Any) -> tuple[Any, Any]:
    """Tangents of both inputs."""
    return updates, gates


def _dual(left: Arrays, right: Arrays) -> Arrays:
    """`affine` on values and tangents; the tangents of products of gates are the third leaf."""
    (a, b, da, db), (c, d, dc, dd) = left, right
    return c * a, c * b + d, dc * a + c * da, dc * b + c * db + dd


def _tangents(arrays: Arrays, axis: int) -> Arrays:
    gates, updates = (np.moveaxis(x.astype(np.float64), axis, 0) for x in arrays)
    states = np.moveaxis(sequential(affine, arrays, axis)[1], axis, 0)
    found = np.array(gates)  # the tangents of the updates
    found[1:] += updates[1:] * states[:-1]
    for t in range(1, len(found)):
        found[t] += gates[t] * found[t - 1]
    return (np.moveaxis(found, 0, axis),)


def _ours(arrays: Arrays, axis: int) -> Call:
    ms = import_module("monoscan")

    def tangents(a: mx.array, b: mx.array) -> mx.array:
        return mx.jvp(lambda a, b: ms.linear_recurrence(a, b, axis=axis), [a, b], [*_moved(a, b)])[1][0]

    return mlx_call(tangents, arrays, compiled=True)


def _by_hand(arrays: Arrays, axis: int) -> Call:
    ms = import_module("monoscan")
    operator = ms.monoid(_dual)
    return mlx_call(lambda a, b: ms.scan(operator, (a, b, *_moved(a, b)), axis=axis)[3], arrays, compiled=True)


def _jax(arrays: Arrays, axis: int) -> Call:
    jax = import_module("jax")
    run = lambda a, b: jax_recurrence(a, b, axis)  # noqa: E731
    return jax_call(lambda a, b: jax.jvp(run, (a, b), _moved(a, b))[1], arrays)


def cases() -> list[Case]:
    """One for each shape."""
    answer = Reference(_tangents)
    built = ((AUTO, "monoscan", _ours), (DUAL, "monoscan", _by_hand), (rivals.JAX_LOOP, "jax", _jax))
    racers = tuple(Peer(name, package, "the tangents", build, answer) for name, package, build in built)
    return [
        Case("tangents", f"linear_recurrence, {size_text(shape, axis)}", shape, axis, AFFINE, racers, AUTO)
        for shape, axis in SHAPES
    ]
