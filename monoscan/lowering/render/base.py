"""What every C-like target shares: tables of names and operations, and a statement emitter.

A dialect is a class of attributes. The scalar tables here are those of C++, Metal and
CUDA alike; a dialect overrides the entries in which it differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf, isnan
from typing import Any, ClassVar

import numpy as np

from monoscan.lowering.program.ir import COMPARISONS, Instr, Op, Program
from monoscan.lowering.render.casts import whole

UNSIGNED = frozenset({"uint8", "uint16", "uint32", "uint64"})
INTEGERS = UNSIGNED | {"int8", "int16", "int32", "int64"}
FLOATS = frozenset({"float32", "float64"})
WIDE = frozenset({"int64", "uint64"})

WRAPPING = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.NOT, Op.SHL, Op.ABS, Op.POW, Op.FLOORDIV})

Table = Mapping[Op, str]


def kind(dtype: str) -> str:
    """``"float"``, ``"int"`` or ``"bool"``."""
    return "float" if dtype in FLOATS else "int" if dtype in INTEGERS else "bool"


class CLike:
    """A scalar dialect of C.

    A template's ``{0}``, ``{1}`` are arguments, ``{T}`` the result's type and ``{U}`` the
    unsigned type in which integers of that width wrap; ``{n}`` negates a bool, which is
    logic throughout: what stands for true is no number that could be compared or added.
    """

    types: ClassVar[Mapping[str, str]] = {
        "bool": "bool", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32",
        "uint32": "u32", "int64": "i64", "uint64": "u64", "float32": "f32", "float64": "f64",
    }  # fmt: skip
    wrapping: ClassVar[tuple[str, str]] = ("u32", "u64")  # of up to 32 bits, of 64
    compare: ClassVar[Table] = {
        Op.EQ: "{0} == {1}", Op.NE: "{0} != {1}", Op.LT: "{0} < {1}",
        Op.LE: "{0} <= {1}", Op.GT: "{0} > {1}", Op.GE: "{0} >= {1}",
    }  # fmt: skip
    floats: ClassVar[Table] = {
        Op.ADD: "{0} + {1}", Op.SUB: "{0} - {1}", Op.MUL: "{0} * {1}", Op.DIV: "{0} / {1}", Op.NEG: "-{0}",
        Op.RSQRT: "1 / square_root({0})", Op.SQRT: "square_root({0})", Op.MIN: "minimum({0}, {1})",
        Op.MAX: "maximum({0}, {1})", Op.ABS: "absolute({0})", Op.FLOORDIV: "floor({0} / {1})",
        Op.POW: "power({0}, {1})",
        Op.REM: "remainder({0}, {1})", Op.SIGN: "sign({0})", Op.EXP: "exp({0})", Op.EXPM1: "expm1({0})",
        Op.LOG: "log({0})", Op.LOG2: "log2({0})", Op.LOG10: "log10({0})", Op.LOG1P: "log1p({0})",
        Op.LOGADDEXP: "logaddexp({0}, {1})", Op.SIGMOID: "sigmoid({0})", Op.ERF: "erf({0})", Op.SIN: "sin({0})",
        Op.COS: "cos({0})", Op.TAN: "tan({0})", Op.ARCSIN: "arcsin({0})", Op.ARCCOS: "arccos({0})",
        Op.ARCTAN: "arctan({0})", Op.ARCTAN2: "arctan2({0}, {1})", Op.SINH: "sinh({0})", Op.COSH: "cosh({0})",
        Op.TANH: "tanh({0})", Op.STOP: "{0}", Op.FLOOR: "floor({0})", Op.CEIL: "ceil({0})", Op.ROUND: "round({0})",
    }  # fmt: skip
    integers: ClassVar[Table] = {
        Op.ADD: "({T})(({U}){0} + ({U}){1})", Op.SUB: "({T})(({U}){0} - ({U}){1})",
        Op.MUL: "({T})(({U}){0} * ({U}){1})", Op.NEG: "({T})(0 - ({U}){0})",
        Op.AND: "{0} & {1}", Op.OR: "{0} | {1}", Op.XOR: "{0} ^ {1}", Op.NOT: "~{0}",
        Op.SHL: "({T})(({U}){0} << ({1} & {last_bit}))", Op.SHR: "({T})({0} >> ({1} & {last_bit}))",
        Op.MIN: "{0} < {1} ? {0} : {1}", Op.MAX: "{0} > {1} ? {0} : {1}", Op.SIGN: "({T})sign({0})",
        Op.ABS: "({T})absolute({0})", Op.FLOORDIV: "({T})floor_divide({0}, {1})",
        Op.REM: "({T})remainder({0}, {1})", Op.POW: "({T})power({0}, {1})",
        Op.FLOOR: "{0}", Op.CEIL: "{0}", Op.ROUND: "{0}",
    }  # fmt: skip
    bools: ClassVar[Table] = {
        Op.AND: "{0} & {1}", Op.OR: "{0} | {1}", Op.XOR: "{0} ^ {1}", Op.NOT: "{n}{0}",
        Op.ADD: "{0} | {1}", Op.SUB: "{0} ^ {1}", Op.MUL: "{0} & {1}", Op.FLOORDIV: "{0} & {1}",
        Op.REM: "{0} & {n}{1}", Op.POW: "{0} | {n}{1}", Op.MIN: "{0} & {1}", Op.MAX: "{0} | {1}",
        Op.ABS: "{0}", Op.SIGN: "{0}", Op.FLOOR: "{0}", Op.CEIL: "{0}", Op.ROUND: "{0}",
        Op.EQ: "{n}({0} ^ {1})", Op.NE: "{0} ^ {1}", Op.LT: "{n}{0} & {1}", Op.LE: "{n}{0} | {1}",
        Op.GT: "{0} & {n}{1}", Op.GE: "{0} | {n}{1}",
    }  # fmt: skip
    negation: ClassVar[str] = "!"

    def supports(self, instr: Instr, operands: Sequence[str]) -> bool:
        """Whether an instruction on operands of these dtypes can be written."""
        if any(dtype not in self.types for dtype in (instr.dtype, *operands)):
            return False
        if instr.op in (Op.CONST, Op.CAST, Op.SELECT, Op.LOOKUP) or instr.op in COMPARISONS:
            return True
        return instr.op in self._table(instr.dtype)

    def missing(self, program: Program) -> str | None:
        """The first instruction that cannot be written, in words for the user; None if all can."""
        for instr in program.code:
            operands = [program.dtypes[a] for a in instr.args]
            if not self.supports(instr, operands):
                return f"{instr.op.value} of {', '.join(operands) or 'no operands'} giving {instr.dtype}"
        return None

    def literal(self, value: Any, dtype: str) -> str:
        """A constant."""
        if dtype == "bool":
            return "true" if value else "false"
        return self.number(value, dtype)

    def number(self, value: Any, dtype: str) -> str:
        """A scalar constant: exact, whatever the compiler's decimal conversion does."""
        if dtype in FLOATS:
            suffix = "f" if dtype == "float32" else ""
            number = float(np.float32(value)) if suffix else float(value)
            if isnan(number):
                return f'__builtin_nan{suffix}("")'
            if isinf(number):
                return f"{'-' if number < 0 else ''}__builtin_inf{suffix}()"
            return repr(number) + suffix
        wide = dtype in WIDE
        mask = (1 << (64 if wide else 32)) - 1
        return f"({CLike.types[dtype]}){hex(int(value) & mask)}{'ull' if wide else 'u'}"

    def cast(self, text: str, source: str, target: str) -> str:
        """A value in another dtype."""
        if target == "bool":
            return f"({text} != 0)"
        text, _ = whole(text, source, target)
        return f"({self.types[target]}){text}"

    def select(self, condition: str, if_true: str, if_false: str, dtype: str) -> str:
        """One of two values."""
        return f"{condition} ? {if_true} : {if_false}"

    def lookup(self, args: Sequence[str], index_dtype: str, dtype: str) -> str:
        """The table's lane at an index: a chain of selects, since registers have no address."""
        text = args[1]
        for position, lane in enumerate(args[2:], 1):
            at = self.literal(position, index_dtype)
            text = self.select(self.comparison(Op.EQ, (args[0], at), index_dtype), lane, f"({text})", dtype)
        return text

    def comparison(self, op: Op, args: Sequence[str], dtype: str) -> str:
        """A bool from two values of one dtype."""
        table = self.bools if dtype == "bool" else self.compare
        return f"({table[op].format(*args, n=self.negation)})"

    def narrow(self, text: str, dtype: str) -> str:
        """An integer brought back into its width."""
        return text

    def expression(self, instr: Instr, args: Sequence[str], operands: Sequence[str]) -> str:
        """The right-hand side of one instruction, given its arguments' text and dtypes."""
        if instr.op is Op.CONST:
            return self.literal(instr.param, instr.dtype)
        if instr.op is Op.CAST:
            return args[0] if operands[0] == instr.dtype else self.cast(args[0], operands[0], instr.dtype)
        if instr.op is Op.SELECT:
            return self.select(args[0], args[1], args[2], instr.dtype)
        if instr.op is Op.LOOKUP:
            return self.lookup(args, operands[0], instr.dtype)
        if instr.op in COMPARISONS:
            return self.comparison(instr.op, args, operands[0])
        wide = instr.dtype in WIDE
        text = self._table(instr.dtype)[instr.op].format(
            *args, T=self.types[instr.dtype], U=self.wrapping[wide], last_bit=63 if wide else 31, n=self.negation
        )
        return self.narrow(text, instr.dtype) if instr.op in WRAPPING else text

    def body(self, program: Program, lanes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The statements of a program and the text of each result, given its inputs' text."""
        names = list(lanes)
        statements = []
        for number, instr in enumerate(program.code, program.num_lanes):
            args = [names[a] for a in instr.args]
            operands = [program.dtypes[a] for a in instr.args]
            statements.append(f"const {self.types[instr.dtype]} v{number} = {self.expression(instr, args, operands)};")
            names.append(f"v{number}")
        return statements, [names[value] for value in program.results]

    def _table(self, dtype: str) -> Table:
        return {"float": self.floats, "int": self.integers, "bool": self.bools}[kind(dtype)]
