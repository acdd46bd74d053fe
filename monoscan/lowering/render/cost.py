"""Estimates that decide how a kernel's work is cut."""

from __future__ import annotations

from monoscan.lowering.ir import TRANSCENDENTAL, Op
from monoscan.lowering.render.spec import SIZES, KernelSpec, Layout

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


def nanoseconds(spec: KernelSpec) -> float:
    """Nanoseconds for one element at 3 GHz: combines, or memory if that is slower."""
    sizes = [SIZES[d] * leaf.lanes for d, leaf in zip(spec.elements, spec.state, strict=True)]
    sizes += [SIZES[d] * spec.state[i].lanes for i, d in zip(spec.emit, spec.results, strict=False)]
    combines = {Layout.ROWS: 0.36, Layout.SWEEP: 0.15, Layout.NARROW: 0.5, Layout.SEQUENTIAL: 8.0}[spec.layout]
    return max(combine_cycles(spec) * combines * 8 / spec.width / 3, sum(sizes) / 120)


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
