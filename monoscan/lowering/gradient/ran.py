"""A scan that has run: the states that it holds, or runs again for, and the cotangents of what it yielded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.strategies.slices import Leaves

Cotangents = Sequence[mx.array | None]

Rescan = Callable[[AlignedScan, Arrays, int, int], Arrays]
"""Runs a scan that derivatives ask for: states that the outputs do not hold, or tangents.

``rescan(scan, arrays, axis, rank)``."""


@attrs.frozen(eq=False)
class Ran:
    """A scan that has run.

    Args:
        scan: The scan.
        arrays: Its arrays.
        outputs: What it returned.
        axis: The scan axis.
        rank: The number of batch axes.
    """

    scan: AlignedScan
    arrays: Arrays
    outputs: Arrays
    axis: int
    rank: int


def reached_leaves(scan: AlignedScan, cotangents: Cotangents) -> tuple[int, ...]:
    """The leaves of which an output has a cotangent."""
    names = list(scan.shown) + (list(range(len(scan.state))) if scan.want_carry else [])
    found = {leaf for leaf, w in zip(names, cotangents, strict=True) if w is not None}
    return tuple(sorted(found & set(scan.emit)))


def fit(d: mx.array, like: mx.array, rank: int) -> mx.array:
    """Sums over the axes along which an array was broadcast."""
    return shapeless.sum_to(d, like, rank).astype(like.dtype)


def placed(cotangent: mx.array, lead: tuple[int, ...]) -> mx.array:
    """The cotangent of a result that is the same along some axes: it counts once, so at their first position."""
    widths = [(0, full - size) for size, full in zip(cotangent.shape, lead, strict=False)]
    if not any(after for _, after in widths):
        return cotangent
    return mx.pad(cotangent, [*widths, *[(0, 0)] * (cotangent.ndim - len(lead))])


def states_of(ran: Ran, lefts: tuple[int, ...], rescan: Rescan) -> tuple[Arrays, bool]:
    """The states that derivatives read, and whether the one before a position stands before it.

    The results serve where they are exact; else the scan runs again.
    """
    scan = ran.scan
    if not lefts:
        return [], True
    exact = [shown_exactly(scan, i) for i in lefts]
    known = [ran.outputs[i] for i in exact if i is not None]
    if len(known) == len(lefts):
        return known, scan.inclusive
    again = attrs.evolve(
        scan,
        emit=lefts,
        results=tuple(scan.state[i].dtype for i in lefts),
        inclusive=True,
        want_results=True,
        want_carry=False,
        identity=None,
        strategy=general(scan.strategy),
    )
    return rescan(again, ran.arrays, ran.axis, ran.rank), True


def shown_exactly(scan: AlignedScan, leaf: int) -> int | None:
    """The output that holds a leaf of the state unrounded: its own, or one of the same values at every step.

    Where the first element is the first state, equal results of later steps do not make two leaves equal.
    """
    values, name = scan.program.results_of(leaf), scan.state[leaf].dtype
    rows = enumerate(zip(scan.shown, scan.results, strict=True))
    same = (i for i, (k, stored) in rows if stored == name and scan.program.results_of(k) == values)
    always = scan.action and scan.begin is None and scan.inclusive
    return next((i for i in same if always or scan.shown[i] == leaf), None)


def general(strategy: str) -> str:
    """A strategy that runs any program and needs no identity."""
    return strategy if strategy in ("sequential", "hillis_steele") else "brent_kung"


def ends(ran: Ran, live: tuple[int, ...], cotangents: Cotangents, lead: tuple[int, ...]) -> Leaves:
    """The cotangents of the carry: where the walk back starts."""
    scan, axis = ran.scan, ran.axis
    first = len(scan.shown)
    one = (1,) * ran.rank
    (behind,) = scan.carry_axis(ran.arrays, axis) or (1,)
    ends = []
    for leaf in live:
        dtype, event = dtypes.by_name(scan.state[leaf].dtype), scan.events[leaf]
        w = cotangents[first + leaf] if scan.want_carry and leaf in scan.emit else None
        if w is not None:
            end = (w if scan.offsets else mx.expand_dims(w, axis)).astype(dtype)
            ends.append(placed(end, (*lead[:axis], behind, *lead[axis + 1 :])))
        else:
            ends.append(mx.zeros((*one, *event), dtype))
    return ends
