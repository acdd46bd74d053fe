"""What one operation costs: the only table of it, whoever asks.

A vector of float32 is the unit. Instructions were counted in compiled functions, an addition being one of
three that constants and moves make of it; cycles are those, and more where the processor waits for a unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import TRANSCENDENTAL, Instr, Op, Program

FEW_LANES = 8
"""Of more lanes than these it is not asked which depends on which."""

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
    Op.TANH: Cost(28, 28), Op.LOGADDEXP: Cost(45, 120),
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


@PROGRAMS.memoised
def chain(program: Program, width: int) -> int:
    """Cycles from a lane of the state to the same lane of the next one, where that is most: what no step can hide."""
    lanes = [lane for run in program.input_lanes[: program.arity] for lane in run]
    pairs = list(zip(lanes, program.results, strict=False))
    if len(pairs) > FEW_LANES:
        return _longest(program, lanes, program.results, width)
    return max((_longest(program, [lane], [result], width) for lane, result in pairs), default=0)


def _longest(program: Program, sources: Sequence[int], results: Sequence[int], width: int) -> int:
    """Cycles of the longest path from any of the sources to any of the results; 0 if there is none."""
    reached = dict.fromkeys(sources, 0)
    for value, instr in enumerate(program.code, program.num_lanes):
        before = [reached[arg] for arg in instr.args if arg in reached]
        if before:
            reached[value] = max(before) + _cycles(instr, width)
    return max((reached[result] for result in results if result in reached), default=0)


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
