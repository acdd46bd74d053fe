"""How the work of one kernel is cut: into tiles, into parts of a row, into tasks for threads.

The kernel itself decides when it runs, from its shape alone (`ms_schedule`); this says the same before.
"""

from __future__ import annotations

import attrs

from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.render.estimates import nanoseconds
from monoscan.lowering.render.rolled_estimates import nanoseconds_of_step
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.source import Spec

TILES = {
    Loop.ROWS: 512,
    Loop.NARROW: 256,
    Loop.PANELS: 64,
    Loop.SWEEP: 1,
    Loop.SHORT: 16,
    Loop.SEQUENTIAL: 1,
}
"""How many steps of the scan each loop does before it looks at the next columns, or copies the next piece of a row."""

RUN_STEPS = 32
"""The same for each lane of a vector, of two vectors of runs of 16 steps."""

WORTH_CUTTING = 60e3
"""Nanoseconds of work from which on it is cut into tasks, and half of which is enough for one of them."""

WIDE, UNPARTED, LONG = 256, 32, 1024
"""So many columns are cut in two, fewer where rows cannot be; rows of so many steps in parts."""

APART, HEAVY, MUCH = 1000, 0.6, 300e3
"""Columns, nanoseconds an element, nanoseconds in all: with less of each, columns are not cut (`halves_pay` in tasks.h)."""


@attrs.frozen
class Cut:
    """The cut of one kernel's work.

    Args:
        tile: The steps of a tile.
        parts: How many parts of a row run at the same time or after one another; 1 where rows stay whole.
        tasks: What threads take, in the widest phase.
    """

    tile: int
    parts: int
    tasks: int


def cut(spec: Spec, steps: int, inner: int, rows: int, bounds: Bounds | None = None) -> Cut:
    """How a kernel cuts its work.

    Args:
        spec: The kernel.
        steps: The length of the scan axis.
        inner: How many columns lie side by side.
        rows: How many scans of such rows there are.
        bounds: Where sequences begin and end, if they are not whole rows: these are not cut into parts.
    """
    parts, tasks = 1, 1
    each = pace(spec)
    work = each * steps * inner * rows
    if isinstance(spec, RolledSpec):
        taken = -(-rows * inner // spec.vectors.rows)
        return Cut(1, 1, 1 if work < WORTH_CUTTING else min(taken, 8, 1 + int(work / (WORTH_CUTTING / 2))))
    parted = spec.can_part and bounds is None
    if bounds is not None and bounds.sequences is not None:
        rows = rows * bounds.sequences
    if work > WORTH_CUTTING:
        tasks = max(rows, 1)
        if rows >= 4:
            tasks = min(rows, 8, int(work / (WORTH_CUTTING / 2))) // 2 * 2
        elif inner >= (WIDE if parted else UNPARTED):
            tasks = 2 * rows if inner >= APART or each >= HEAVY or work > MUCH else rows
        elif parted and rows != 2 and steps >= LONG:
            parts, tasks = 3 if spec.want_results else 2, 2 * rows
    return Cut(RUN_STEPS * spec.width if spec.loop is Loop.RUNS else TILES[spec.loop], parts, tasks)


def pace(spec: Spec) -> float:
    """Nanoseconds of a step of one column, to the digits that the kernel's own text has."""
    each = nanoseconds_of_step(spec.program, spec.vectors) if isinstance(spec, RolledSpec) else nanoseconds(spec)
    return float(f"{each:.3g}")
