"""The algorithms of mlx-scan's table, by operations on whole arrays, of any library with slices and concatenation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .formulas import Combine, Leaves

Join = Callable[[list[Any], int], Any]
"""Joins arrays along an axis."""


def hillis_steele(combine: Combine, leaves: Leaves, axis: int, join: Join) -> Leaves:
    """All positions at once, with what stands 1, 2, 4, ... steps before."""
    n, distance = leaves[0].shape[axis], 1
    while distance < n:
        later = combine(_part(leaves, axis, slice(0, n - distance)), _part(leaves, axis, slice(distance, n)))
        kept = _part(leaves, axis, slice(0, distance))
        leaves = tuple(join([a, b], axis) for a, b in zip(kept, later, strict=True))
        distance *= 2
    return leaves


def blelloch(combine: Combine, leaves: Leaves, axis: int, join: Join) -> Leaves:
    """Folds of pairs, their scan, and what follows from it at the other positions."""
    n = leaves[0].shape[axis]
    if n == 1:
        return leaves
    pairs = combine(_part(leaves, axis, slice(0, n - 1, 2)), _part(leaves, axis, slice(1, n, 2)))
    odd = blelloch(combine, pairs, axis, join)
    first = _part(leaves, axis, slice(0, 1))
    before = _part(odd, axis, slice(0, (n - 1) // 2))
    even = combine(before, _part(leaves, axis, slice(2, n, 2))) if n > 2 else before
    even = tuple(join([a, b], axis) for a, b in zip(first, even, strict=True))
    return tuple(_interleaved(a, b, n, axis, join) for a, b in zip(even, odd, strict=True))


def one_by_one(combine: Combine, leaves: Leaves, axis: int, join: Join) -> Leaves:
    """One position after another."""
    found = [_part(leaves, axis, slice(0, 1))]
    for i in range(1, leaves[0].shape[axis]):
        found.append(combine(found[-1], _part(leaves, axis, slice(i, i + 1))))
    return tuple(join(list(leaf), axis) for leaf in zip(*found, strict=True))


def _part(leaves: Leaves, axis: int, where: slice) -> Leaves:
    place = (*(slice(None),) * axis, where)
    return tuple(leaf[place] for leaf in leaves)


def _interleaved(even: Any, odd: Any, n: int, axis: int, join: Join) -> Any:
    """An array of n positions from every second one of two."""
    shape = [*even.shape[: axis + 1], 1, *even.shape[axis + 1 :]]
    if even.shape[axis] > odd.shape[axis]:
        odd = join([odd, even[(*(slice(None),) * axis, slice(0, 1))]], axis)  # cut off again
    both = join([even.reshape(shape), odd.reshape(shape)], axis + 1)
    whole = both.reshape([*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :]])
    return whole[(*(slice(None),) * axis, slice(0, n))]
