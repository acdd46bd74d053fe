"""A gate that is the same at every step of a linear recurrence."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan import dtypes
from monoscan.held import to_mlx
from monoscan.lowering.plan import shapeless
from monoscan.monoids import domain


def everywhere(gate: Any, b: Any, axis: Any) -> Any:
    """A number as gates of one row along the axis; anything else as it is: what is wrong with it is said later."""
    gate, axis = dtypes.number(gate), domain.whole(axis)
    b = to_mlx("[linear_recurrence] Affine leaf b", b)
    fits = isinstance(gate, (int, float, complex)) and isinstance(b, mx.array) and type(axis) is int
    if not fits or not -b.ndim <= axis < b.ndim or not dtypes.holds(dtypes.name_of(b.dtype), gate):
        return gate
    constant = dtypes.constant(gate, dtypes.name_of(b.dtype))
    if shapeless.tracing():  # which a size must not enter
        return mx.zeros_like(b) + constant
    shape = [1] * b.ndim
    shape[axis] = b.shape[axis]
    return mx.full(shape, constant)  # in memory: loops along the axis read no strides of 0
