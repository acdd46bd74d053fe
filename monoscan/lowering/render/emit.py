"""A program of the IR as statements of C++: one text for scalars, for vectors and for GPUs.

What the operations do to values of each kind stands in ``kernels/ops.h`` and ``kernels/maths.h``; here
they are named. Integers of 8 and 16 bits are held in 32 bits, and brought back into their width where an
operation may leave it, unless nothing looks at the bits above before a store cuts them off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isinf, isnan
from types import MappingProxyType
from typing import Any

import numpy as np

from monoscan.lowering.program.ir import COMPARISONS, Instr, Op, Program
from monoscan.lowering.program.numbers import numbers

UNSIGNED = frozenset({"uint8", "uint16", "uint32", "uint64"})
INTEGERS = UNSIGNED | {"int8", "int16", "int32", "int64"}
FLOATS = frozenset({"float32", "float64"})
WIDE = frozenset({"int64", "uint64"})
SMALL = {"int8": "as_i8", "int16": "as_i16", "uint8": "as_u8", "uint16": "as_u16"}

TYPES: Mapping[str, str] = {
    "bool": "mask", "int8": "i32", "uint8": "u32", "int16": "i32", "uint16": "u32", "int32": "i32",
    "uint32": "u32", "int64": "i64", "uint64": "u64", "float32": "f32", "float64": "f64",
}  # fmt: skip
"""The type of a value of each dtype: of the family that the operator is instantiated for."""

_CUT = {"uint32": "i64", "int64": "i64", "uint64": "u64"}
"""What a float is cut to on its way to an integer, where that is not an i32."""

_WRAPPING = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.NOT, Op.SHL, Op.ABS, Op.POW, Op.FLOORDIV})

_COMPARE = {Op.EQ: "==", Op.NE: "!=", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}

_FLOATS = {
    Op.ADD: "{0} + {1}", Op.SUB: "{0} - {1}", Op.MUL: "{0} * {1}", Op.DIV: "{0} / {1}", Op.NEG: "-{0}",
    Op.RSQRT: "1 / square_root({0})", Op.SQRT: "square_root({0})", Op.MIN: "minimum({0}, {1})",
    Op.MAX: "maximum({0}, {1})", Op.ABS: "absolute({0})", Op.FLOORDIV: "floor({0} / {1})", Op.POW: "power({0}, {1})",
    Op.REM: "remainder({0}, {1})", Op.SIGN: "sign({0})", Op.EXP: "exp({0})", Op.EXPM1: "expm1({0})",
    Op.LOG: "log({0})", Op.LOG2: "log2({0})", Op.LOG10: "log10({0})", Op.LOG1P: "log1p({0})",
    Op.LOGADDEXP: "logaddexp({0}, {1})", Op.SIGMOID: "sigmoid({0})", Op.ERF: "erf({0})", Op.SIN: "sin({0})",
    Op.COS: "cos({0})", Op.TAN: "tan({0})", Op.ARCSIN: "arcsin({0})", Op.ARCCOS: "arccos({0})",
    Op.ARCTAN: "arctan({0})", Op.ARCTAN2: "arctan2({0}, {1})", Op.SINH: "sinh({0})", Op.COSH: "cosh({0})",
    Op.TANH: "tanh({0})", Op.STOP: "{0}", Op.FLOOR: "floor({0})", Op.CEIL: "ceil({0})", Op.ROUND: "round({0})",
}  # fmt: skip
_INTEGERS = {
    Op.ADD: "add({0}, {1})", Op.SUB: "subtract({0}, {1})", Op.MUL: "multiply({0}, {1})", Op.NEG: "negate({0})",
    Op.AND: "{0} & {1}", Op.OR: "{0} | {1}", Op.XOR: "{0} ^ {1}", Op.NOT: "~{0}",
    Op.SHL: "shift_left({0}, {1})", Op.SHR: "shift_right({0}, {1})", Op.MIN: "lesser({0}, {1})",
    Op.MAX: "greater({0}, {1})", Op.SIGN: "sign({0})", Op.ABS: "absolute({0})",
    Op.FLOORDIV: "floor_divide({0}, {1})", Op.REM: "remainder({0}, {1})", Op.POW: "power({0}, {1})",
    Op.FLOOR: "{0}", Op.CEIL: "{0}", Op.ROUND: "{0}",
}  # fmt: skip
# Logic throughout: what stands for true is no number that could be compared or added.
_BOOLS = {
    Op.AND: "{0} & {1}", Op.OR: "{0} | {1}", Op.XOR: "{0} ^ {1}", Op.NOT: "flip({0})",
    Op.ADD: "{0} | {1}", Op.SUB: "{0} ^ {1}", Op.MUL: "{0} & {1}", Op.FLOORDIV: "{0} & {1}",
    Op.REM: "{0} & flip({1})", Op.POW: "{0} | flip({1})", Op.MIN: "{0} & {1}", Op.MAX: "{0} | {1}",
    Op.ABS: "{0}", Op.SIGN: "{0}", Op.FLOOR: "{0}", Op.CEIL: "{0}", Op.ROUND: "{0}",
    Op.EQ: "flip({0} ^ {1})", Op.NE: "{0} ^ {1}", Op.LT: "flip({0}) & {1}", Op.LE: "flip({0}) | {1}",
    Op.GT: "{0} & flip({1})", Op.GE: "{0} | flip({1})",
}  # fmt: skip
_PLAIN = frozenset({
    Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.NEG, Op.MIN, Op.MAX, Op.ABS, Op.SIGN, Op.STOP, Op.RSQRT, Op.SQRT, Op.FLOOR,
    Op.CEIL, Op.ROUND, Op.FLOORDIV, Op.CONST, Op.CAST, Op.SELECT, Op.LOOKUP,
})  # fmt: skip
"""Operations on floats that ``ops.h`` has; the others stand in ``maths.h``."""


def missing(program: Program) -> str | None:
    """The first instruction that cannot be written, in words for the user; None if all can."""
    for instr in program.code:
        operands = [program.dtypes[a] for a in instr.args]
        if not supports(instr, operands):
            return f"{instr.op.value} of {', '.join(operands) or 'no operands'} giving {instr.dtype}"
    return None


def header(*programs: Program) -> str:
    """The header that has all that the programs call."""
    calls = any(instr.dtype in FLOATS and instr.op not in _PLAIN for program in programs for instr in program.code)
    return "maths.h" if calls else "ops.h"


def family_types(programs: Sequence[Program], more: Iterable[str]) -> str:
    """The types of the family under their own names, those that some programs and some more dtypes need."""
    named = {TYPES[dtype] for dtype in (*more, *(leaf.dtype for program in programs for leaf in program.captures))}
    for program in programs:
        for instr in program.code:
            operands = [program.dtypes[a] for a in instr.args]
            named |= {TYPES[dtype] for dtype in (instr.dtype, *operands)}
            if instr.op is Op.CAST and operands[0] in FLOATS and instr.dtype in INTEGERS:
                named.add(_CUT.get(instr.dtype, "i32"))
    return "\n".join(f"  typedef typename V::{name} {name};" for name in sorted(named))


CALLED_USES = 4
"""``logaddexp`` is called, and not written out, where a program has more of them: 64 compile in a fifth of the time, and
run 1 to 2.7 times as fast. Smaller functions are not, which a call would make slower (measured)."""


def called(program: Program) -> frozenset[Op]:
    """The operations of a program that CPU code calls."""
    many = sum(instr.op is Op.LOGADDEXP for instr in program.code) > CALLED_USES
    return frozenset({Op.LOGADDEXP} if many else ())


def statements(
    program: Program,
    lanes: Sequence[str],
    prefix: str,
    letter: str = "n",
    calls: frozenset[Op] = frozenset(),
    known: Mapping[int, str] = MappingProxyType({}),
    wanted: Sequence[int] | None = None,
    wrapped: bool = True,
) -> tuple[list[str], list[str]]:
    """The statements of a program and the text of each result, given its inputs' text.

    A table that several lookups read is written once.

    Args:
        program: The program.
        lanes: The text of each input lane.
        prefix: What stands in front of the names of `number_lanes`.
        letter: Their letter.
        calls: The operations that are called.
        known: The text of values that are found elsewhere.
        wanted: The values that are yielded. Default: the results.
        wrapped: Integers of 8 and 16 bits are brought back into their width, and not by the stores alone.
    """
    names, wanted = list(lanes), program.results if wanted is None else wanted
    needed = _needed(program, wanted, known)
    held = zip(numbers(program), number_lanes(program, letter), strict=True)
    given = {value: f"{prefix}{name}" for value, (name, _) in held}
    lines: list[str] = []
    tables: dict[tuple[int, ...], str] = {}
    for number, instr in enumerate(program.code, program.num_lanes):
        if number in given or number in known or number not in needed:
            names.append(given.get(number) or known.get(number, ""))
            continue
        args = [names[a] for a in instr.args]
        if instr.op is Op.LOOKUP:
            entries = instr.args[1:]
            if entries not in tables:
                tables[entries] = f"table{number}"
                lines.append(f"const auto table{number} = table_of({', '.join(args[1:])});")
            text = f"lookup({tables[entries]}, {args[0]})"
        else:
            text = expression(instr, args, [program.dtypes[a] for a in instr.args], wrapped)
            text = f"called_{text}" if instr.op in calls else text
        lines.append(f"const {TYPES[instr.dtype]} v{number} = {text};")
        names.append(f"v{number}")
    return lines, [names[value] for value in wanted]


def _needed(program: Program, wanted: Sequence[int], known: Mapping[int, str]) -> set[int]:
    """The values that some follow from, without what only those follow from that are known."""
    needed = set(wanted).difference(known)
    for number in range(len(program.dtypes) - 1, program.num_lanes - 1, -1):
        if number in needed:
            needed.update(a for a in program.code[number - program.num_lanes].args if a not in known)
    return needed


def number_lanes(program: Program, letter: str = "n") -> list[tuple[str, str]]:
    """The members that hold the numbers of a program, and their dtypes."""
    return [(f"{letter}{place}", program.dtypes[value]) for place, value in enumerate(numbers(program))]


def literal(value: Any, dtype: str) -> str:
    """A constant of the family's type."""
    if dtype == "bool":
        return f"V::truth({'true' if value else 'false'})"
    return f"splat<{TYPES[dtype]}>({number(value, dtype)})"


def supports(instr: Instr, operands: Sequence[str]) -> bool:
    """Whether there is code for an operation on operands of these dtypes."""
    if any(dtype not in TYPES for dtype in (instr.dtype, *operands)):
        return False
    if instr.op in (Op.CONST, Op.CAST, Op.SELECT, Op.LOOKUP) or instr.op in COMPARISONS:
        return True
    return instr.op in _table(instr.dtype)


def _table(dtype: str) -> Mapping[Op, str]:
    return _FLOATS if dtype in FLOATS else _INTEGERS if dtype in INTEGERS else _BOOLS


def number(value: Any, dtype: str) -> str:
    """Exact, whatever the compiler's decimal conversion does."""
    if dtype in FLOATS:
        suffix = "f" if dtype == "float32" else ""
        number = float(np.float32(value)) if suffix else float(value)
        item = "float" if suffix else "double"  # in vector code the family's own type holds many of them
        if isnan(number):
            return f"not_a_number<{item}>()"
        if isinf(number):
            return f"{'-' if number < 0 else ''}infinity<{item}>()"
        return repr(number) + suffix
    bits = 64 if dtype in WIDE else 32
    if dtype in UNSIGNED:
        return f"{int(value) % (1 << bits)}{'ull' if dtype in WIDE else 'u'}"
    number = (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    suffix = "ll" if dtype in WIDE else ""
    lowest = number == -(1 << (bits - 1))  # no literal is negative: its magnitude would overflow
    return f"{number + 1}{suffix} - 1" if lowest else f"{number}{suffix}"


def expression(instr: Instr, args: Sequence[str], operands: Sequence[str], wrapped: bool = True) -> str:
    """The right-hand side of one instruction, given its arguments' text and dtypes."""
    if instr.op is Op.CONST:
        return literal(instr.param, instr.dtype)
    if instr.op is Op.CAST:
        return args[0] if operands[0] == instr.dtype else _cast(args[0], operands[0], instr.dtype)
    if instr.op is Op.SELECT:
        return f"select({', '.join(args)})"
    if instr.op in COMPARISONS and operands[0] != "bool":
        return f"mask_of({args[0]} {_COMPARE[instr.op]} {args[1]})"
    text = _table("bool" if instr.op in COMPARISONS else instr.dtype)[instr.op].format(*args)
    return _narrow(text, instr.dtype) if wrapped and instr.op in _WRAPPING else text


def _cast(text: str, source: str, target: str) -> str:
    if target == "bool":
        return f"mask_of({text} != 0)"
    if source == "bool":
        text = f"number({text})"
    elif source in FLOATS and target in INTEGERS:
        text = f"truncated<{_CUT.get(target, 'i32')}>({text})"
    return _narrow(f"cast<{TYPES[target]}>({text})", target)


def _narrow(text: str, dtype: str) -> str:
    return f"{SMALL[dtype]}({text})" if dtype in SMALL else text
