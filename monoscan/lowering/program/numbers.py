"""The numbers of a program that kernels read from a table given at launch.

A number that differs from call to call, as a decay rate, then costs a trace and no compiler: the text of a
kernel says where it stands in the table, and not what it is.
"""

from __future__ import annotations

from math import frexp, isfinite

import numpy as np

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Op, Program

ENTRY_BYTES = 8
"""Bytes of an entry, which begins with the number in its own dtype."""


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
        if instr.op is Op.CONST and instr.dtype in ("float32", "float64") and value not in kept
        and isfinite(instr.param) and abs(instr.param) not in (0, 1)
        and not (value in divisors and abs(frexp(instr.param)[0]) == 0.5)
    )  # fmt: skip


@PROGRAMS.memoised
def table(program: Program) -> bytes:
    """The table: one entry for each of `numbers`."""
    constants = (program.code[value - program.num_lanes] for value in numbers(program))
    return b"".join(np.array(c.param, c.dtype).tobytes().ljust(ENTRY_BYTES, b"\0") for c in constants)
