"""Estimates that decide how a kernel's work is cut."""

from __future__ import annotations

from monoscan.lowering.program.ir import TRANSCENDENTAL, Op
from monoscan.lowering.render.spec import KernelSpec, Layout

CYCLES = {Op.DIV: 5, Op.SQRT: 6, Op.RSQRT: 10, Op.REM: 20, Op.FLOORDIV: 12}
VECTORISED = {
    Op.EXP: 14, Op.EXPM1: 18, Op.SIGMOID: 20, Op.LOG: 20, Op.LOG1P: 28, Op.TANH: 28, Op.LOGADDEXP: 45,
}  # fmt: skip
WIDE_STATE = 9
"""States of more lanes than this live in memory: what moves them is called, not inlined."""

CALL = 40
"""Cycles of one scalar libm call."""

MEMORY_BOUND = 6
"""Cycles of a combine below which loads, stores and shuffles decide."""


def combine_cycles(spec: KernelSpec) -> float:
    """Cycles of one combine of a vector of elements, roughly."""
    total = 0.0
    for instr in spec.program(spec.tree).code:
        if instr.op is Op.LOOKUP:
            total += 2 * len(instr.args)
        elif instr.op in VECTORISED and instr.dtype == "float32":
            total += VECTORISED[instr.op]
        elif instr.op in TRANSCENDENTAL:
            total += CALL * spec.width
        else:
            total += CYCLES.get(instr.op, 1)
    return total / 2 + 1


NANOSECONDS = {
    Layout.ROWS: (0.1, 0.2), Layout.PANELS: (0.06, 0.05), Layout.SWEEP: (0.1, 0.05), Layout.NARROW: (0.08, 0.1),
    Layout.SEQUENTIAL: (0.2, 0.3),
}  # fmt: skip
"""For each lane that is read or written, and for each cycle of a combine (measured with 8 lanes at 3.5 GHz)."""


def nanoseconds(spec: KernelSpec) -> float:
    """Nanoseconds for one element, within a factor of two or three."""
    moved = len(spec.lanes_of(spec.tree)) + sum(spec.state[i].lanes for i in spec.emit)
    lane, cycle = NANOSECONDS[spec.layout]
    total = lane * moved + cycle * combine_cycles(spec)
    return total if spec.layout is Layout.SEQUENTIAL else total * 8 / spec.width


def fold_share(spec: KernelSpec) -> float:
    """The time of a fold against that of a scan (measured)."""
    if combine_cycles(spec) >= MEMORY_BOUND:
        return {Layout.ROWS: 0.55, Layout.NARROW: 0.75}.get(spec.layout, 0.9)
    if spec.layout is not Layout.ROWS:
        return 0.75 if spec.layout is Layout.NARROW else 0.6
    read = len(spec.lanes_of(spec.tree))
    written = sum(spec.state[i].lanes for i in spec.emit)
    return read / (0.9 * read + 0.65 * written)


def prefers_sequential(spec: KernelSpec) -> bool:
    """Whether a scalar loop beats vectors along a contiguous scan axis: states beyond the registers."""
    return len(spec.lanes_of(spec.tree)) > WIDE_STATE
