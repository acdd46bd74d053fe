"""Estimates that decide how a kernel's work is cut."""

from __future__ import annotations

from monoscan.lowering.program.cost_table import cycles, instructions
from monoscan.lowering.render.spec import KernelSpec, Loop

WIDE_STATE = 9
"""States of more lanes than this live in memory: what moves them is called, not inlined."""

INLINE_LIMIT = 72
"""Programs of more weight than this are called, not inlined: compile time, and they spill in any case."""

HEAVY = 24
"""From this weight on (one exp and more), runs of 8 pay: fewer combines an element, more
registers. Below it two blocks of runs of 4 side by side do: each hides the other's latency."""

MEMORY_BOUND = 6
"""Cycles of a combine below which loads, stores and shuffles decide."""


def weight(spec: KernelSpec) -> int:
    """Vector instructions in one combine, roughly."""
    return instructions(spec.program(spec.tree))


def combine_cycles(spec: KernelSpec) -> float:
    """Cycles of one combine of a vector of elements, roughly."""
    return cycles(spec.program(spec.tree), spec.width) / 2 + 1


NANOSECONDS = {
    Loop.ROWS: (0.1, 0.2), Loop.PANELS: (0.06, 0.05), Loop.SWEEP: (0.1, 0.05), Loop.NARROW: (0.08, 0.1),
    Loop.SEQUENTIAL: (0.2, 0.3),
}  # fmt: skip
"""For each lane that is read or written, and for each cycle of a combine (measured with 8 lanes at 3.5 GHz)."""


def nanoseconds(spec: KernelSpec) -> float:
    """Nanoseconds for one element, within a factor of two or three."""
    moved = len(spec.lanes_of(spec.tree)) + sum(spec.state[i].lanes for i in spec.emit)
    lane, cycle = NANOSECONDS[spec.loop]
    total = lane * moved + cycle * combine_cycles(spec)
    return total if spec.loop is Loop.SEQUENTIAL else total * 8 / spec.width


def backward_nanoseconds(operations: int, moved: int, scalar: bool) -> float:
    """The same for a backward loop, whose step has so many operations and moves so many arrays."""
    return max(3.0, operations) if scalar else 0.05 * moved + 0.02 * operations


def fold_share(spec: KernelSpec) -> float:
    """The time of a fold against that of a scan (measured)."""
    if combine_cycles(spec) >= MEMORY_BOUND:
        return {Loop.ROWS: 0.55, Loop.NARROW: 0.75}.get(spec.loop, 0.9)
    if spec.loop is not Loop.ROWS:
        return 0.75 if spec.loop is Loop.NARROW else 0.6
    read = len(spec.lanes_of(spec.tree))
    written = sum(spec.state[i].lanes for i in spec.emit)
    return read / (0.9 * read + 0.65 * written)


def prefers_sequential(spec: KernelSpec) -> bool:
    """Whether a scalar loop beats vectors along a contiguous scan axis: states beyond the registers."""
    return len(spec.lanes_of(spec.tree)) > WIDE_STATE
