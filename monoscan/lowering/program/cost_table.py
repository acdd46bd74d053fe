"""What one operation costs: the only table of it, whoever asks.

A vector of float32 is the unit. Instructions were counted in compiled functions, an addition being one of
three that constants and moves make of it; cycles are those, and more where the processor waits for a unit.
"""

from __future__ import annotations

import attrs

from monoscan.lowering.program.ir import TRANSCENDENTAL, Instr, Op, Program

CALL = 40
"""Cycles of one scalar libm call."""


@attrs.frozen
class Cost:
    """What an operation costs.

    Args:
        instructions: The size of its code.
        cycles: The time that it takes.
    """

    instructions: int = 1
    cycles: int = 1


OWN = {
    Op.EXP: Cost(14, 14), Op.EXPM1: Cost(18, 18), Op.SIGMOID: Cost(20, 20), Op.LOG: Cost(20, 20), Op.LOG1P: Cost(28, 28),
    Op.TANH: Cost(28, 28), Op.LOGADDEXP: Cost(45, 45),
}  # fmt: skip
"""Functions for which there is vector code of this library."""

OWN_OF_DOUBLES = frozenset({Op.EXP, Op.SIGMOID, Op.LOG, Op.LOG1P, Op.LOGADDEXP})
"""Those of float64 too, at one and a half times the cycles of a vector (measured)."""

COSTS = OWN | {
    Op.DIV: Cost(1, 5), Op.SQRT: Cost(1, 6), Op.RSQRT: Cost(1, 10), Op.REM: Cost(1, 20), Op.FLOORDIV: Cost(1, 12),
}  # fmt: skip
"""All that is not one instruction and one cycle."""


def instructions(program: Program) -> int:
    """Vector instructions of a program, roughly; a call counts as one."""
    return sum(_choices(instr) or COSTS.get(instr.op, Cost()).instructions for instr in program.code)


def cycles(program: Program, width: int) -> int:
    """Cycles of a program on vectors of this width, roughly."""
    return sum(_cycles(instr, width) for instr in program.code)


def _cycles(instr: Instr, width: int) -> int:
    wide = instr.dtype == "float64"
    if instr.op in TRANSCENDENTAL and instr.op not in (OWN_OF_DOUBLES if wide else OWN):
        return CALL * width
    if instr.op in OWN_OF_DOUBLES and wide:
        return OWN[instr.op].cycles * 3 // 2
    return _choices(instr) or COSTS.get(instr.op, Cost()).cycles


def _choices(instr: Instr) -> int:
    """A table in registers is a chain of selects."""
    return 2 * len(instr.args) if instr.op is Op.LOOKUP else 0
