"""What of a step follows from captured arrays alone, fixed inputs among them: it is the same at every step."""

from __future__ import annotations

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.arrays import ArrayProgram, steady_first
from monoscan.lowering.program.ir import Instr, Op, Program

HELD = frozenset({"float32", "float64", "int32", "uint32", "int64", "uint64"})
"""The dtypes of what is kept from step to step: their lanes are those of memory."""


@PROGRAMS.memoised
def steady_values(program: Program) -> frozenset[int]:
    """The values that follow from captured arrays alone; constants and the arrays themselves are none of them."""
    first = sum(leaf.lanes for leaf in program.inputs[: program.arity + program.rights])
    known, found = set(range(first, program.num_lanes)), set[int]()
    for value, instr in enumerate(program.code, program.num_lanes):
        if instr.op is Op.CONST:
            known.add(value)
        elif known.issuperset(instr.args):
            known.add(value)
            found.add(value)
    return frozenset(found)


@PROGRAMS.memoised
def held_values(program: Program) -> tuple[int, ...]:
    """Those of them that other operations read, or results show: what is found before all steps, and kept."""
    steady = steady_values(program)
    read = {a for value, instr in enumerate(program.code, program.num_lanes) if value not in steady for a in instr.args}
    kept = steady & (read | set(program.results))
    return tuple(sorted(value for value in kept if program.dtypes[value] in HELD))


def moving_code(program: Program) -> tuple[Instr, ...]:
    """The operations of every step."""
    steady = steady_values(program)
    return tuple(x for value, x in enumerate(program.code, program.num_lanes) if value not in steady)


def hoisted(program: Program | ArrayProgram) -> int:
    """How many operations of a step are done once for all of them; of arrays on all of their lanes."""
    if isinstance(program, Program):
        return len(steady_values(program))
    captures = range(program.arity + program.rights, len(program.inputs))
    ahead = steady_first(program, captures)
    return sum(instr.op is not Op.CONST for instr in ahead[0].code[: ahead[1]])
