"""Slices along the scan axis of all leaves at once: what every portable strategy is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

Leaves = list[mx.array]
Combine = Callable[[Leaves, Leaves], Leaves]
"""``combine`` of whole arrays of elements, left operands first."""


def length_of(xs: Leaves, axis: int) -> int:
    """The length of the scan axis."""
    return int(xs[0].shape[axis])


def steps_of(xs: Sequence[mx.array], axis: int) -> int:
    """How many steps there are; a leaf that is the same at every step may have one."""
    return next((x.shape[axis] for x in xs if x.shape[axis] != 1), 1)


def cut(xs: Leaves, axis: int, start: int, stop: int, step: int = 1) -> Leaves:
    """``x[start:stop:step]`` along the axis; views, not copies."""
    where = (slice(None),) * axis + (slice(start, stop, step),)
    return [x[where] for x in xs]


def spread(xs: Leaves, axis: int) -> Leaves:
    """As many steps in each leaf; one that is the same at every step may have one."""
    steps = steps_of(xs, axis)
    return [
        x if x.shape[axis] == steps else mx.broadcast_to(x, (*x.shape[:axis], steps, *x.shape[axis + 1 :])) for x in xs
    ]


def flip(xs: Leaves, axis: int) -> Leaves:
    """The leaves in the opposite order along the axis."""
    where = (slice(None),) * axis + (slice(None, None, -1),)
    return [x[where] for x in xs]


def join(axis: int, *parts: Leaves) -> Leaves:
    """The parts one after another along the axis."""
    return [mx.concatenate(list(each), axis) for each in zip(*parts, strict=True)]


def interleave(evens: Leaves, odds: Leaves, axis: int) -> Leaves:
    """``e0 o0 e1 o1 ...``; there may be one even more than odds."""
    pairs = length_of(odds, axis)
    spare = length_of(evens, axis) - pairs
    woven = []
    for even, odd in zip(cut(evens, axis, 0, pairs), odds, strict=True):
        shape = odd.shape
        stacked = mx.stack([even, odd], axis + 1)
        woven.append(stacked.reshape(*shape[:axis], 2 * pairs, *shape[axis + 1 :]))
    return join(axis, woven, cut(evens, axis, pairs, pairs + 1)) if spare else woven
