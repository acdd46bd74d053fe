"""Where combines that are mostly sums of products run as loops, though they could be written out."""

from __future__ import annotations

from math import prod

from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.arrays import ArrayProgram, Form
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import Program

ROWS_CODE, COLUMNS_CODE = 200, 600
"""The most instructions of such a combine that is written out, for rows and for columns that fill a vector. Measured:
products of 5 by 5 matrices in rows are 1.5 to 5 times faster in loops, in columns 1.5 times slower; of 7 by 7 2 to 25
times faster in rows, 1.2 to 1.5 in columns, gradients 2.7 to 20; and the compiler takes a tenth of the time."""

SHARE = 0.9
"""The share of products from which that holds (Kalman filters have 0.6, and lose by it in columns)."""


def loops_are_faster(problem: Problem, vector_bytes: int) -> bool:
    """Whether a scan, for which there are both programs, had better run its array program."""
    assert problem.program is not None
    assert problem.arrays is not None
    if not _of_products(problem.program, problem.arrays):
        return False
    layout, width = problem.layout, vector_bytes // 4
    across = prod(layout.aligned_shape(0, layout.length)[layout.axis + 1 : layout.rank + 1])
    narrow = not problem.options.shapeless and across < width
    return instructions(problem.program) > (ROWS_CODE if narrow else COLUMNS_CODE)


@PROGRAMS.memoised
def _of_products(program: Program, arrays: ArrayProgram) -> bool:
    sums = [instr for instr in arrays.code if instr.form is Form.CONTRACT]
    return sum(prod(instr.shape) * (2 * instr.count - 1) for instr in sums) >= SHARE * len(program.code)
