"""Operators that the loops are tested with, traced as every operator is."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.combine import trace_combine
from monoscan.lowering.trace.reads.captures import capture


def traced(operator: ms.Semigroup, like: Any) -> Program:
    """The program of an operator on elements like these leaves."""
    leaves, structure = tree.flatten(like)
    with mx.stream(mx.cpu):  # where there is float64
        found = trace_combine(operator, structure, tuple(leaves), capture(operator))
    assert found.program is not None, found.reason
    return found.program


def affine(dtype: str = "float32") -> Program:
    return traced(ms.Affine(), (Leaf(dtype), Leaf(dtype)))


def scaled_affine() -> Program:
    """Affine with a captured pair: a factor and a shift for every step."""
    pair = mx.zeros((2,))
    scaled = ms.monoid(lambda l, r: (r[0] * l[0] * pair[0], r[0] * l[1] + r[1] + pair[1]))
    return traced(scaled, (Leaf("float32"), Leaf("float32")))


Pair = tuple[mx.array, mx.array]


def steady_affine() -> Program:
    """Affine whose gates are scaled by what follows from a captured pair alone; where a comparison of it picks the order."""
    pair = mx.zeros((2,))

    def combine(l: Pair, r: Pair) -> Pair:
        scale = mx.exp(-pair[0] * 0.25) * mx.where(pair[1] > 0.75, mx.tanh(pair[1]), 0.5)
        moved = mx.where(pair[1] > 0.6, r[0] * l[1] * scale, l[1] * (r[0] * scale))
        return r[0] * l[0] * scale, moved + r[1]

    return traced(ms.monoid(combine), (Leaf("float32"), Leaf("float32")))


def matmul(size: int, dtype: str = "float32") -> Program:
    return traced(ms.MatMul(), Leaf(dtype, (size, size)))


def addition(lanes: int, dtype: str) -> Program:
    return traced(ms.monoid(mx.add, event=1), Leaf(dtype, (lanes,)))


def online_softmax() -> Program:
    return traced(ms.OnlineSoftmax(), (Leaf("float32"), Leaf("float32")))


def max_subarray() -> Program:
    return traced(ms.MaxSubarray(), (Leaf("float32"),) * 4)


def arg_max() -> Program:
    return traced(ms.ArgMax(), (Leaf("float32"), Leaf("int32")))


def moments() -> Program:
    """Number, mean and spread, all of them floats."""

    def combine(l: Any, r: Any) -> Any:
        count, delta = l[0] + r[0], r[1] - l[1]
        share = r[0] / mx.where(count == 0, 1.0, count)
        return count, l[1] + delta * share, l[2] + r[2] + delta * delta * (l[0] * share)

    return traced(ms.monoid(combine), (Leaf("float32"),) * 3)


def finite_map(states: int) -> Program:
    """Composition of maps: the left one first."""
    return traced(ms.FiniteMap(states), Leaf("int32", (states,)))


def segmented_sum(dtype: str = "float32") -> Program:
    """(flag, value): a flag starts afresh."""
    return traced(ms.Segmented(ms.Sum()), (Leaf("bool"), Leaf(dtype)))
