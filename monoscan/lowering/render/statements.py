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


MOST_CHAINS = 8
"""The most parts of a fold side by side: the latency of an addition, twice as many as it takes at two a cycle."""

IN_ORDER = 32
"""The most terms of a sum that are added one after another; more wait too long for each other, and go in halves."""


@attrs.frozen
class Index:
    """The index of a statement in a loop.

    Args:
        names: One for each axis.
        count: How many lanes there are from there on.
        along: The axis that vectors go along, the last but for that of terms.
    """

    names: list[str]
    count: str
    along: int = attrs.field(default=attrs.Factory(lambda self: len(self.names) - 1, takes_self=True))

    def load(self, operand: Operand) -> str:
        """The next lanes of an operand."""
        stride = operand.strides[self.along] if self.along >= 0 else 0
        if not operand.shared and (stride == 1 or operand.batch):
            return lanes_at(operand.kind, operand.at(self.names), "const ")
        if not operand.shared and stride == 0 and operand.kind in ("f32", "f64"):
            return f"*({operand.at(self.names)}) - {operand.kind}{{}}"  # in every lane
        return f"get<{operand.kind}, {stride}>({operand.at(self.names)}, {self.count if stride else '1'})"

    def with_terms(self, name: str, axis: int) -> Index:
        """The index with an axis of terms put in at this place."""
        along = self.along + (axis <= self.along)
        return Index([*self.names[:axis], name, *self.names[axis:]], self.count, along)


def lanes_at(kind: str, address: str, constant: str = "") -> str:
    """The vector at an address. Not a function: a step has hundreds, and compilers take long to write out calls."""
    return f"*({constant}{kind}_lanes*)({address})"


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


def in_any_brackets(instr: ArrayInstr) -> bool:
    """Whether terms may be combined in any brackets."""
    return instr.op in EXTREMES or (instr.op is Op.ADD and instr.count > IN_ORDER)


def combined(op: Op, dtype: str, x: str, y: str) -> str:
    """The C++ of an operation between two lanes."""
    return emit.expression(Instr(op, (), dtype), [x, y], [dtype] * 2)


def sums_struct(instr: ArrayInstr) -> str:
    """The members of a struct of the two operations of a contraction."""
    kind = emit.TYPES[instr.dtype]
    free = str(in_any_brackets(instr)).lower()
    lines = [f"    static constexpr bool brackets = {free};\n"]
    for member, op in (("plus", instr.op), ("times", instr.multiply)):
        assert op is not None
        text = combined(op, instr.dtype, "x", "y")
        lines.append(f"    INLINE {kind} {member}({kind} x, {kind} y) {{ return {text}; }}\n")
    return "".join(lines)


def terms_struct(name: str, folds: Sequence[tuple[str, ArrayInstr]]) -> str:
    """The struct of a term of each of some folds, and of how two of them are combined."""
    lines = [f"    {emit.TYPES[instr.dtype]} {member};\n" for member, instr in folds]
    sums = []
    for member, instr in folds:
        assert instr.op is not None
        sums.append(combined(instr.op, instr.dtype, f"x.{member}", f"y.{member}"))
    plus = f"    INLINE {name} plus(const {name}& x, const {name}& y) {{ return {{{', '.join(sums)}}}; }}\n"
    return f"  struct {name} {{\n{''.join(lines)}{plus}  }};\n"


def chains_of(folds: Sequence[ArrayInstr], vectors: int = 1) -> int:
    """How many parts of the terms are folded side by side, of each vector: one waits for itself at every term."""
    free, count = all(map(in_any_brackets, folds)), folds[0].count
    return max(1, min(MOST_CHAINS // vectors, count // 2)) if free else 1


def vectors_at_once(sizes: Shape, width: int, folds: Sequence[ArrayInstr]) -> int:
    """How many vectors of lanes are folded side by side: two, which share the terms that are alike in all lanes.

    The brackets of a long sum are for one vector, and do not change.
    """
    even = bool(sizes) and sizes[-1] > width and -(-sizes[-1] // width) % 2 == 0
    return 2 if even and all(instr.op in EXTREMES or not in_any_brackets(instr) for instr in folds) else 1
