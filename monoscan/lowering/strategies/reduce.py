"""The fold as a tree: neighbours are combined until one is left. n - 1 combines, log n deep."""

from __future__ import annotations

from monoscan.lowering.strategies.slices import Combine, Leaves, cut, join, length_of


def tree_reduce(combine: Combine, xs: Leaves, axis: int) -> Leaves:
    """The total, with a scan axis of length 1."""
    n = length_of(xs, axis)
    while n > 1:
        pairs = combine(cut(xs, axis, 0, n - 1, 2), cut(xs, axis, 1, n, 2))
        xs = join(axis, pairs, cut(xs, axis, n - 1, n)) if n % 2 else pairs
        n = length_of(xs, axis)
    return xs
