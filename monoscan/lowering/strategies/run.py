"""The portable strategies behind one call: seeds, exclusive scans, folds and carries."""

from __future__ import annotations

from collections.abc import Callable

from monoscan.lowering.strategies.blelloch import blelloch
from monoscan.lowering.strategies.brent_kung import brent_kung
from monoscan.lowering.strategies.hillis_steele import BASE, hillis_steele
from monoscan.lowering.strategies.reduce import tree_reduce
from monoscan.lowering.strategies.sequential import sequential
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, join, length_of

INCLUSIVE: dict[str, Callable[[Combine, Leaves, int, int], Leaves]] = {
    "hillis_steele": lambda combine, xs, axis, base: hillis_steele(combine, xs, axis),
    "brent_kung": brent_kung,
    "sequential": lambda combine, xs, axis, base: sequential(combine, xs, axis),
}


def run_strategy(
    strategy: str,
    combine: Combine,
    xs: Leaves,
    first: Leaves | None,
    axis: int,
    *,
    seeded: bool,
    inclusive: bool,
    results: bool,
    base: int = BASE,
) -> tuple[Leaves, Leaves]:
    """Results (none for a fold) and the carry, with a scan axis of length 1.

    Args:
        strategy: The strategy's name.
        combine: Combines arrays of elements.
        xs: Aligned leaves in fold order, in the accumulation dtype.
        first: ``init`` if seeded, else the identity where it is needed.
        axis: The scan axis.
        seeded: Whether ``first`` is an operand.
        inclusive: Whether each position includes its own element.
        results: Whether the results are wanted, or the carry alone.
        base: The length up to which trees are Hillis-Steele's; 1 shows them whole.
    """
    n = length_of(xs, axis)
    if seeded:
        assert first is not None
        xs = join(axis, combine(first, cut(xs, axis, 0, 1)), cut(xs, axis, 1, n))
    if strategy == "blelloch" and results:
        assert first is not None
        return blelloch(combine, xs, axis, first, inclusive, base)
    if not results:
        reduce = sequential if strategy == "sequential" else tree_reduce
        return [], _last(reduce(combine, xs, axis), axis)
    ys = INCLUSIVE[strategy](combine, xs, axis, base)
    if inclusive:
        return ys, _last(ys, axis)
    assert first is not None
    return join(axis, first, cut(ys, axis, 0, n - 1)), _last(ys, axis)


def _last(ys: Leaves, axis: int) -> Leaves:
    n = length_of(ys, axis)
    return cut(ys, axis, n - 1, n)
