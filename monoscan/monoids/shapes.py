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
    padded = front.reshape(front.shape[0], *(1,) * (rank - batch), *front.shape[1:])
    return mx.moveaxis(padded, 0, axis)


def along(array: mx.array, axis: int, rank: int) -> mx.array:
    """A vector, laid along one of ``rank`` axes."""
    return array.reshape(*(1,) * axis, -1, *(1,) * (rank - axis - 1))
