"""Blelloch: an up-sweep of totals, a down-sweep of exclusive prefixes. O(n) work.

The identity stands on the left spine of the tree, where it is *placed* by index: it is
never an operand, for ``0 * inf`` would turn an infinity into NaN. So does an ``init``,
which the first element holds already.

Source: Blelloch, *Prefix Sums and Their Applications* (CMU-CS-90-190, 1990).
"""

from __future__ import annotations

from monoscan.lowering.strategies.hillis_steele import BASE, hillis_steele
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, interleave, join, length_of


def blelloch(
    combine: Combine, xs: Leaves, axis: int, root: Leaves, inclusive: bool = False, base: int = BASE
) -> tuple[Leaves, Leaves]:
    """The scan and the total.

    Args:
        combine: Combines arrays of elements.
        xs: The elements.
        axis: The scan axis.
        root: What comes before the first element, of length 1: the identity or ``init``.
        inclusive: The inclusive scan, which is the exclusive one moved up by one position.
        base: Up to this length, Hillis-Steele.
    """
    n = length_of(xs, axis)
    if n <= base:
        return _base(combine, xs, axis, root, inclusive)
    pairs = combine(cut(xs, axis, 0, n - 1, 2), cut(xs, axis, 1, n, 2))
    before, total = blelloch(combine, pairs, axis, root, base=base)
    lefts = _right_children(combine, before, cut(xs, axis, 0, 2 * (n // 2), 2), axis)
    if inclusive:
        ys = interleave(lefts, join(axis, cut(before, axis, 1, n // 2), total), axis)
    else:
        ys = interleave(before, lefts, axis)
    if n % 2:
        last, total = total, combine(total, cut(xs, axis, n - 1, n))
        ys = join(axis, ys, total if inclusive else last)
    return ys, total


def _right_children(combine: Combine, before: Leaves, lefts: Leaves, axis: int) -> Leaves:
    """What comes before each right child: what comes before its parent, then its left sibling."""
    m = length_of(lefts, axis)
    rest = combine(cut(before, axis, 1, m), cut(lefts, axis, 1, m))
    return join(axis, cut(lefts, axis, 0, 1), rest)


def _base(combine: Combine, xs: Leaves, axis: int, root: Leaves, inclusive: bool) -> tuple[Leaves, Leaves]:
    n = length_of(xs, axis)
    ys = hillis_steele(combine, xs, axis)
    total = cut(ys, axis, n - 1, n)
    return (ys if inclusive else join(axis, root, cut(ys, axis, 0, n - 1))), total
