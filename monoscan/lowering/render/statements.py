"""What loops over arrays of lanes are written with: indices, strides of matrices, expressions."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.program.arrays import ArrayInstr
from monoscan.lowering.program.ir import Instr, Op, Shape
from monoscan.lowering.render import emit
from monoscan.lowering.render.memory import Operand

EXTREMES = (Op.MAX, Op.MIN, Op.OR, Op.AND)
"""What yields the same bits wherever brackets stand."""


IN_ORDER = 32
"""The most terms of a sum that are added one after another; more wait too long for each other, and go in halves."""


@attrs.frozen
class Index:
    """The index of a statement in a loop.

    Args:
        names: One for each axis; the last is where vectors go along.
        count: How many lanes there are from there on.
    """

    names: list[str]
    count: str

    def load(self, operand: Operand, *more: str) -> str:
        """The next lanes of an operand, which may have more axes."""
        stride = operand.strides[len(self.names) - 1] if self.names else 0
        return f"get<{operand.kind}, {stride}>({operand.at([*self.names, *more])}, {self.count})"


def long_axes(shape: Shape) -> tuple[int, ...]:
    """The axes that are longer than 1."""
    return tuple(i for i, size in enumerate(shape) if size > 1)


def strides_of_matrix(operand: Operand, rank: int) -> tuple[int, int, int]:
    """The strides along rows, columns and terms."""
    own = operand.strides[:rank]
    return ([0, 0, *own])[-2], ([0, *own])[-1], operand.strides[-1]


def items_of(operand: Operand) -> str:
    """A template argument that says what an operand is an array of, where that is not vectors."""
    return f", item_of<{operand.kind}>" if operand.shared else ""


def start_of(operand: Operand, names: Sequence[str]) -> str:
    """Where a matrix begins."""
    return operand.at([*names, *["0"] * (len(operand.strides) - len(names))])


def expression(instr: ArrayInstr, args: Sequence[str], operands: Sequence[str]) -> str:
    """The C++ of an operation on every lane."""
    assert instr.op is not None
    if instr.op is Op.LOOKUP:
        return f"lookup(table_of({', '.join(args[1:])}), {args[0]})"
    return emit.expression(Instr(instr.op, (), instr.dtype), args, operands)


def sums_struct(name: str, instr: ArrayInstr) -> str:
    """The struct of the two operations of a contraction."""
    kind = emit.TYPES[instr.dtype]
    free = str(instr.op in EXTREMES or (instr.op is Op.ADD and instr.count > IN_ORDER)).lower()
    lines = [f"    static constexpr bool brackets = {free};\n"]
    for member, op in (("plus", instr.op), ("times", instr.multiply)):
        assert op is not None
        text = emit.expression(Instr(op, (), instr.dtype), ["x", "y"], [instr.dtype] * 2)
        lines.append(f"    INLINE {kind} {member}({kind} x, {kind} y) {{ return {text}; }}\n")
    return f"  struct {name} {{\n{''.join(lines)}  }};\n"
