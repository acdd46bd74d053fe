"""Windows by blocks: each block scanned from either end, and one combine where a window lies in two.

Source: van Herk (Pattern Recognition Letters 13, 1992); Gil and Werman (IEEE PAMI 15, 1993).
"""

from __future__ import annotations

from collections.abc import Callable

from monoscan.lowering.strategies.slices import Combine, Leaves, cut, join, length_of

Scan = Callable[[Leaves, int], Leaves]
"""Scans elements along an axis."""


def windows(combine: Combine, prefixes: Scan, suffixes: Scan, xs: Leaves, size: int, axis: int) -> Leaves:
    """The fold of the last ``size`` elements at each position; of all that there are at the first positions.

    Args:
        combine: Combines arrays of elements.
        prefixes: The scan from the first element on.
        suffixes: For each element the fold of it and all after it, in order.
        xs: Aligned leaves, in which there are more than ``size`` elements.
        size: The number of elements of a window.
        axis: The scan axis.
    """
    n = length_of(xs, axis)
    number = n // size
    blocks = _split(cut(xs, axis, 0, number * size), axis, number, size)
    heads, tails = prefixes(blocks, axis + 1), suffixes(blocks, axis + 1)
    found = [_block(heads, axis, 0, 1, size)]
    if number > 1:
        # position j of a block: what the block before holds behind its own j, and this one up to j
        before = cut(cut(tails, axis, 0, number - 1), axis + 1, 1, size)
        own = cut(heads, axis, 1, number)
        joined = combine(before, cut(own, axis + 1, 0, size - 1)) if size > 1 else before
        found.append(_merge(join(axis + 1, joined, cut(own, axis + 1, size - 1, size)), axis))
    if n > number * size:
        rest = n - number * size
        before = [x.squeeze(axis) for x in cut(cut(tails, axis, number - 1, number), axis + 1, 1, rest + 1)]
        found.append(combine(before, prefixes(cut(xs, axis, number * size, n), axis)))
    return join(axis, *found)


def _split(xs: Leaves, axis: int, number: int, size: int) -> Leaves:
    """The scan axis as two: blocks, and the places in each."""
    return [x.reshape(*x.shape[:axis], number, size, *x.shape[axis + 1 :]) for x in xs]


def _merge(xs: Leaves, axis: int) -> Leaves:
    """One axis of the two."""
    return [x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]) for x in xs]


def _block(xs: Leaves, axis: int, start: int, stop: int, size: int) -> Leaves:
    return _merge(cut(cut(xs, axis, start, stop), axis + 1, 0, size), axis)
