"""Estimates of kernels of wide elements, which decide what their vectors hold and how work is cut."""

from __future__ import annotations

from math import prod

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form
from monoscan.lowering.program.cost_table import COSTS, Cost
from monoscan.lowering.program.ir import Op
from monoscan.lowering.render.places import Vectors, without_ones


@attrs.frozen
class Pace:
    """Nanoseconds of a step (measured with 16 lanes at 3.5 GHz: products of 5 to 32, filters of 3 to 8 states).

    Args:
        cycle: For each cycle of all vector instructions, two of them at once.
        operation: For each operation on arrays: what one writes the next must wait for.
        lane: For each lane that is read or written.
    """

    cycle: float
    operation: float
    lane: float


OF_ONE, OF_MANY = Pace(0.38, 1.6, 0.1), Pace(0.43, 0.0, 0.2)
"""Where vectors hold lanes of one element, and where they hold elements of many rows, which are transposed."""


LOG_SUMS = 1.7
"""Sums of products in log space take so much longer than their instructions: each waits for the one before (measured)."""


@PROGRAMS.memoised
def nanoseconds_of_step(program: ArrayProgram, vectors: Vectors) -> float:
    """Nanoseconds of one combine by loops over arrays, within a factor of two."""
    pace = OF_ONE if vectors.rows == 1 else OF_MANY
    moved = sum(leaf.lanes for leaf in program.inputs)
    computed = pace.cycle * cycles_of_step(program, vectors) + pace.operation * len(program.code)
    return computed / vectors.rows + pace.lane * moved


def nanoseconds_of_rows(program: ArrayProgram, vectors: Vectors, rows: int) -> float:
    """The same of one combine in each row: what vectors hold beyond the last row is lost."""
    return -(-rows // vectors.rows) * vectors.rows * nanoseconds_of_step(program, vectors)


def cycles_of_step(program: ArrayProgram, vectors: Vectors) -> float:
    """Cycles of the combines of all elements of a vector, roughly."""
    return sum(_cycles_of_array(instr, vectors.lanes) for instr in program.code) / 2


def _cycles_of_array(instr: ArrayInstr, width: int) -> float:
    columns = (without_ones(instr.shape)[-1:] or (1,))[0]
    vectors = prod(instr.shape) // columns * -(-columns // width)
    if instr.form is Form.VIEW:
        return 2 * len(instr.pieces) + vectors
    cost = COSTS.get(instr.op, Cost()).cycles if instr.op is not None else 1
    if instr.form is Form.CONTRACT and instr.op is Op.LOGADDEXP:
        terms = prod(instr.shape) // columns * -(-instr.count // width) + instr.count * -(-columns // width)
        return LOG_SUMS * (vectors * (COSTS[Op.LOG].cycles + 2 * instr.count) + terms * COSTS[Op.EXP].cycles)
    return vectors * (cost + 1) * max(instr.count, 1)
