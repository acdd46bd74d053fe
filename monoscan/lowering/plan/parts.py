"""Acts that carry parts of a state: what follows of it in none of what is asked is left out."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx
import numpy as np

from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.aligned import AlignedScan, Part
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.live import live_lanes, narrowed

Step = Program | ArrayProgram


def in_parts(scan: AlignedScan, emit: Sequence[int]) -> AlignedScan:
    """The act that carries of each leaf what these leaves of the state follow from; none of leaves that none of them reads.

    Args:
        scan: The act; what makes products of its elements knows whole states alone.
        emit: The leaves that are wanted, all of them.
    """
    if scan.combine is not None or len(emit) == scan.program.arity:
        return scan
    program, begin, parts = _in_parts(scan.program, scan.begin, tuple(emit))
    return attrs.evolve(scan, program=program, begin=begin, parts=parts) if any(parts) else scan


@PROGRAMS.memoised
def _in_parts(
    program: Step, begin: Step | None, emit: tuple[int, ...]
) -> tuple[Step, Step | None, tuple[Part | None, ...]]:
    lanes = live_lanes(program, emit)
    if all(each.all() for each in lanes):
        return program, begin, ()
    found, lanes = narrowed(program, lanes)
    first = None if begin is None else narrowed(begin, lanes)[0]
    parts = [None if x.all() else Part(x.shape, tuple(np.flatnonzero(x).tolist())) for x in lanes]
    return found, first, tuple(parts)


def parts_of(scan: AlignedScan, arrays: Sequence[mx.array]) -> list[mx.array]:
    """Aligned arrays with what a scan carries in the place of the leaves of its first state."""
    if not scan.parts or scan.begin is not None:
        return list(arrays)
    first = len(scan.program.inputs) - scan.program.arity
    given = arrays[first : first + len(scan.parts)]
    found = list(arrays[:first])
    for x, part, leaf in zip(given, scan.parts, scan.state, strict=True):
        if part is not None:
            rows = mx.flatten(x, -len(part.shape), -1)
            low, high = part.lanes[0], part.lanes[-1] + 1
            one = high - low == len(part.lanes)
            x = mx.unflatten(
                rows[..., low:high] if one else mx.take(rows, mx.array(part.lanes), axis=-1), -1, leaf.shape
            )
        found.append(x)
    return [*found, *arrays[first + len(given) :]]
