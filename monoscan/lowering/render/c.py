"""The C++ dialects: scalars, and the vector extensions that GCC and Clang share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from monoscan.lowering.program.ir import Op, Program
from monoscan.lowering.render.base import WIDE, CLike
from monoscan.lowering.render.casts import whole
from monoscan.lowering.render.spec import SIZES

SMALL = {"int8": 24, "int16": 16}
SMALL_UNSIGNED = {"uint8": 255, "uint16": 65535}


class CScalar(CLike):
    """C++ on scalars: the sequential loop. A lookup reads memory, from one table for all that share it."""

    def body(self, program: Program, lanes: Sequence[str]) -> tuple[list[str], list[str]]:
        names = list(lanes)
        statements: list[str] = []
        tables: dict[tuple[int, ...], str] = {}
        for number, instr in enumerate(program.code, program.num_lanes):
            args = [names[a] for a in instr.args]
            text = ""
            if instr.op is Op.LOOKUP:
                entries = instr.args[1:]
                if entries not in tables:
                    tables[entries] = f"table{number}"
                    content = ", ".join(args[1:])
                    statements.append(f"const {self.types[instr.dtype]} table{number}[] = {{{content}}};")
                index = f"(u64){args[0]} < {len(entries)} ? (u64){args[0]} : 0"
                text = f"{tables[entries]}[{index}]"
            else:
                text = self.expression(instr, args, [program.dtypes[a] for a in instr.args])
            statements.append(f"const {self.types[instr.dtype]} v{number} = {text};")
            names.append(f"v{number}")
        return statements, [names[value] for value in program.results]


class CVector(CLike):
    """C++ on vectors of `width` lanes.

    Integers of up to 32 bits live in 32-bit lanes. A bool is a mask of 0 and -1, as wide
    as the program's narrowest value, so that a select needs no conversion.

    Args:
        narrow_values: Whether any value is 32 bits wide.
    """

    types: ClassVar[Mapping[str, str]] = {
        "bool": "mask", "int8": "i32v", "uint8": "u32v", "int16": "i32v", "uint16": "u32v", "int32": "i32v",
        "uint32": "u32v", "int64": "i64v", "uint64": "u64v", "float32": "f32v", "float64": "f64v",
    }  # fmt: skip
    wrapping = ("u32v", "u64v")
    negation = "~"

    def __init__(self, narrow_values: bool) -> None:
        self.mask_bytes = 4 if narrow_values else 8

    def literal(self, value: Any, dtype: str) -> str:
        if dtype == "bool":
            return "~mask{}" if value else "mask{}"
        register = self.types[dtype][:3]
        return f"splat(({register}){self.number(value, dtype)})"

    def cast(self, text: str, source: str, target: str) -> str:
        if target == "bool":
            return self._as_mask(f"({text} != 0)", source)
        text, source = whole(text, source, target)
        wanted = self.types[target]
        held = self.types[source]
        if source == "bool":
            text, held = f"({text} & 1)", f"i{8 * self.mask_bytes}v"
        if held[1:] == wanted[1:] and "f" not in held + wanted:
            text = f"({wanted}){text}"
        elif held != wanted:
            text = f"__builtin_convertvector({text}, {wanted})"
        return self.narrow(f"({text})", target)

    def select(self, condition: str, if_true: str, if_false: str, dtype: str) -> str:
        lane = 8 if SIZES[dtype] == 8 else 4
        if dtype != "bool" and lane != self.mask_bytes:
            condition = f"__builtin_convertvector({condition}, i{8 * lane}v)"
        return f"{condition} ? {if_true} : {if_false}"

    def comparison(self, op: Op, args: Sequence[str], dtype: str) -> str:
        return self._as_mask(super().comparison(op, args, dtype), dtype)

    def narrow(self, text: str, dtype: str) -> str:
        if dtype in SMALL:
            return f"({text} << {SMALL[dtype]}) >> {SMALL[dtype]}"
        if dtype in SMALL_UNSIGNED:
            return f"({text}) & {SMALL_UNSIGNED[dtype]}"
        return text

    def _as_mask(self, text: str, dtype: str) -> str:
        lane = 8 if dtype in WIDE or dtype == "float64" else 4
        if dtype == "bool" or lane == self.mask_bytes:
            return text
        return f"__builtin_convertvector({text}, mask)"
