"""Estimates that decide how a kernel's work is cut."""

from __future__ import annotations

from math import prod

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form
from monoscan.lowering.program.cost_table import COSTS, Cost, cycles, instructions
from monoscan.lowering.program.ir import Op
from monoscan.lowering.render.places import without_ones
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


def cycles_of_step(program: ArrayProgram, width: int) -> float:
    """Cycles of one combine by loops over arrays, roughly: two vector instructions at once."""
    return sum(_cycles_of_array(instr, width) for instr in program.code) / 2


def nanoseconds_of_step(program: ArrayProgram, width: int) -> float:
    """Nanoseconds of one combine by loops over arrays, within a factor of two or three."""
    moved = sum(-(-leaf.lanes // width) for leaf in program.inputs)
    return 0.3 * (cycles_of_step(program, width) + 2 * moved)


def _cycles_of_array(instr: ArrayInstr, width: int) -> float:
    columns = (without_ones(instr.shape)[-1:] or (1,))[0]
    vectors = prod(instr.shape) // columns * -(-columns // width)
    if instr.form is Form.VIEW:
        return 2 * len(instr.pieces) + vectors
    cost = COSTS.get(instr.op, Cost()).cycles if instr.op is not None else 1
    if instr.form is Form.CONTRACT and instr.op is Op.LOGADDEXP:
        terms = prod(instr.shape) // columns * -(-instr.count // width) + instr.count * -(-columns // width)
        return vectors * (COSTS[Op.LOG].cycles + 2 * instr.count) + terms * COSTS[Op.EXP].cycles
    return vectors * (cost + 1) * max(instr.count, 1)
