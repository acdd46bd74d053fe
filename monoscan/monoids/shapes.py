"""How arrays of different rank share axes, that of a scan among them."""

from __future__ import annotations

import mlx.core as mx


def insert_axes(array: mx.array, at: int, number: int) -> mx.array:
    """So many axes of size 1, from this one on.

    They come one by one: of several at once ``mx.vmap`` loses sight of an axis that it maps behind the first one.
    """
    for _ in range(number):
        array = mx.expand_dims(array, at)
    return array


def remove_axes(array: mx.array, at: int, number: int) -> mx.array:
    """The same without so many axes of size 1, from this one on; its gradient is `insert_axes`."""
    for _ in range(number):
        array = array.squeeze(at)
    return array


def align(array: mx.array, axis: int, rank: int, event: int = 0) -> mx.array:
    """Pads the batch axes on the left, the scan axis set aside, until there are ``rank`` with it.

    An array with no batch axes at all is a constant and stays as it is; one with a single
    batch axis has the scan axis there.
    """
    batch = array.ndim - event
    if batch in (0, rank):
        return array
    front = mx.moveaxis(array, axis if batch > 1 else 0, 0)
    return mx.moveaxis(insert_axes(front, 1, rank - batch), 0, axis)


def along(array: mx.array, axis: int, rank: int) -> mx.array:
    """A vector, laid along one of ``rank`` axes."""
    return insert_axes(insert_axes(array, 0, axis), axis + 1, rank - axis - 1)


def positions(like: mx.array, axis: int) -> mx.array:
    """The index along an axis, in the shape of an array; no size of it is held, so a shapeless compile may have it."""
    others = [i for i in range(like.ndim) if i != axis % like.ndim]
    ones = mx.broadcast_arrays(mx.array(True), like)[0]
    column = mx.all(ones, axis=others, keepdims=True) if others else ones
    return mx.broadcast_arrays(mx.cumsum(column.astype(mx.int32), axis=axis) - 1, like)[0]
