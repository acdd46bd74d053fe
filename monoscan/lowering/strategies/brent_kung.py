"""Brent-Kung: scan the sums of pairs, then fill in between. O(n) work, no identity needed.

Source: Brent and Kung, *A Regular Layout for Parallel Adders* (IEEE Trans. Comput. C-31,
1982); the odd/even recursion is that of JAX's ``associative_scan``.
"""

from __future__ import annotations

from monoscan.lowering.strategies.hillis_steele import BASE, hillis_steele
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, interleave, join, length_of


def brent_kung(combine: Combine, xs: Leaves, axis: int, base: int = BASE) -> Leaves:
    """The inclusive scan; needs no identity.

    Args:
        combine: Combines arrays of elements.
        xs: The elements.
        axis: The scan axis.
        base: Up to this length, Hillis-Steele.
    """
    n = length_of(xs, axis)
    if n <= base:
        return hillis_steele(combine, xs, axis)
    pairs = combine(cut(xs, axis, 0, n - 1, 2), cut(xs, axis, 1, n, 2))
    odds = brent_kung(combine, pairs, axis, base)
    evens = cut(xs, axis, 0, 1)
    if n > 2:
        evens = join(axis, evens, combine(cut(odds, axis, 0, (n - 1) // 2), cut(xs, axis, 2, n, 2)))
    return interleave(evens, odds, axis)
