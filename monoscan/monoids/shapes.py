"""Shapes of raw input: how arrays of different rank share the axis of a scan."""

from __future__ import annotations

import mlx.core as mx


def align(array: mx.array, axis: int, rank: int, event: int = 0) -> mx.array:
    """Pads the batch axes on the left, the scan axis set aside, until there are ``rank`` with it.

    An array with no batch axes at all is a constant and stays as it is; one with a single
    batch axis has the scan axis there.
    """
    batch = array.ndim - event
    if batch in (0, rank):
        return array
    front = mx.moveaxis(array, axis if batch > 1 else 0, 0)
    return mx.moveaxis(mx.expand_dims(front, list(range(1, 1 + rank - batch))), 0, axis)


def along(array: mx.array, axis: int, rank: int) -> mx.array:
    """A vector, laid along one of ``rank`` axes."""
    return mx.expand_dims(array, [*range(axis), *range(axis + 1, rank)])


def positions(like: mx.array, axis: int) -> mx.array:
    """The index along an axis, in the shape of an array; no size of it is held, so a shapeless compile may have it."""
    others = [i for i in range(like.ndim) if i != axis % like.ndim]
    ones = mx.broadcast_arrays(mx.array(True), like)[0]
    column = mx.all(ones, axis=others, keepdims=True) if others else ones
    return mx.broadcast_arrays(mx.cumsum(column.astype(mx.int32), axis=axis) - 1, like)[0]
