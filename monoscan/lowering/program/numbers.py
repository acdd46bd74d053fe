"""The numbers of a program that kernels read from a table given at launch.

A number that differs from call to call, as a decay rate, then costs a trace and no compiler: the text of a
kernel says where it stands in the table, and not what it is.
"""

from __future__ import annotations

from math import frexp, isfinite

import numpy as np

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Op, Program

ENTRY_BYTES = 8
"""Bytes of an entry, which begins with the number in its own dtype."""

DTYPES = ("float32", "float64")


def numbers(program: Program) -> tuple[int, ...]:
    """The constants that stand in the table, by value number, in order.

    Those of which compilers make something else stay in the text: 0 and 1, infinities and NaN, exponents, and
    divisors by which division is multiplication. So do integers.
    """
    kept = {instr.args[1] for instr in program.code if instr.op is Op.POW}
    divisors = {instr.args[1] for instr in program.code if instr.op in (Op.DIV, Op.FLOORDIV)}
    return tuple(
        value
        for value, instr in enumerate(program.code, program.num_lanes)
        if instr.op is Op.CONST and instr.dtype in DTYPES and value not in kept
        and _varies(instr.param, value in divisors)
    )  # fmt: skip


def of_arrays(program: ArrayProgram) -> dict[int, int]:
    """The same of an array program, whose constants may be arrays: for each value its first entry in the table."""
    kept = {instr.args[1].value for instr in program.code if instr.op is Op.POW}
    divisors = {instr.args[1].value for instr in program.code if instr.op in (Op.DIV, Op.FLOORDIV)}
    found: dict[int, int] = {}
    entries = 0
    for value, instr in enumerate(program.code, len(program.inputs)):
        if instr.param is None or instr.dtype not in DTYPES or value in kept:
            continue
        if any(_varies(number, value in divisors) for number in instr.param):
            found[value] = entries
            entries += len(instr.param)
    return found


def _varies(number: float, divides: bool) -> bool:
    return isfinite(number) and abs(number) not in (0, 1) and not (divides and abs(frexp(number)[0]) == 0.5)


@PROGRAMS.memoised
def table(program: Program | ArrayProgram) -> bytes:
    """The table: one entry for each of `numbers`, and for each lane of `of_arrays`."""
    if isinstance(program, ArrayProgram):
        given = (program.code[value - len(program.inputs)] for value in of_arrays(program))
        return b"".join(_entry(number, instr.dtype) for instr in given for number in instr.param or ())
    constants = (program.code[value - program.num_lanes] for value in numbers(program))
    return b"".join(_entry(instr.param, instr.dtype) for instr in constants)


def _entry(number: float, dtype: str) -> bytes:
    return np.array(number, dtype).tobytes().ljust(ENTRY_BYTES, b"\0")
