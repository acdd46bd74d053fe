"""The memory of an array program: its arrays one behind the other, and operands as addresses there."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, View, row_major
from monoscan.lowering.program.ir import Leaf, Op, Shape
from monoscan.lowering.render import emit
from monoscan.lowering.render.places import Place, places, whole


@attrs.frozen
class Operand:
    """Where an instruction reads: an address, and a stride for each axis of its index.

    Args:
        kind: The type of its vectors.
        array: The name of the array.
        first: Where it begins there, in items.
        strides: Items from one to the next along each axis.
    """

    kind: str
    array: str
    first: int
    strides: tuple[int, ...]

    def at(self, names: Sequence[str]) -> str:
        """The address at an index; ``"0"`` is the first."""
        terms = [self.array, *([str(self.first)] if self.first else [])]
        for name, step in zip(names, self.strides, strict=True):
            if step and name != "0":
                terms.append(name if step == 1 else f"{name} * {step}")
        return " + ".join(terms)


class Memory:
    """Gives every array of a program its place.

    Args:
        program: The program.
        width: Lanes of a vector.
    """

    def __init__(self, program: ArrayProgram, width: int) -> None:
        self.program, self.width, self.bytes = program, width, 0
        self.places: list[Place] = []
        self.offsets: list[int] = []
        for place in places(program, width):
            self.add(place)

    def add(self, place: Place) -> int:
        """The number of a new array. Vectors may reach beyond its end."""
        size = 8 if emit.TYPES[place.leaf.dtype] in ("f64", "i64", "u64") else 4
        self.places.append(place)
        self.offsets.append(self.bytes)
        self.bytes += -(-(place.items + self.width) * size // 64) * 64
        return len(self.places) - 1

    def instr(self, value: int) -> ArrayInstr | None:
        """What yields a value, if anything does."""
        first = len(self.program.inputs)
        return self.program.code[value - first] if first <= value < len(self.program.values) else None

    def literal(self, view: View) -> str | None:
        """The text of an operand that is one constant."""
        instr = self.instr(view.value)
        if instr is None or instr.op is not Op.CONST or instr.shape or instr.param is None:
            return None
        return emit.literal(instr.param[0], instr.dtype)

    def operand(self, view: View, shape: Shape) -> Operand | None:
        """Where a view of this shape reads; ``None`` if strides do not tell it."""
        found = self.places[view.value].address(view, shape)
        return None if found is None else Operand(self.kind(view.value), f"a{view.value}", *found)

    def repacked(self, view: View, shape: Shape) -> tuple[list[str], int]:
        """The lanes of a view copied one by one, and the new array that holds them."""
        source = self.places[view.value]
        columns = Place(Leaf(source.leaf.dtype, shape), 1).columns
        number = self.add(Place(Leaf(source.leaf.dtype, shape), whole(columns, self.width)))
        target, names = self.places[number], [f"i{axis}" for axis in range(len(shape))]
        lane = " + ".join([str(view.offset), *(f"{i} * {s}" for i, s in zip(names, view.strides, strict=True))])
        found = target.address(View(number, 0, row_major(shape)), shape)
        assert found is not None, "an array is a view of itself"
        to = Operand(self.kind(number), f"a{number}", *found).at(names)
        loops = [f"for (int {i} = 0; {i} < {size}; ++{i})" for i, size in zip(names, shape, strict=True)]
        moved = f"a{view.value}[lane / {source.columns} * {source.pitch} + lane % {source.columns}]"
        return [*loops, "{", f"  const int lane = {lane};", f"  *({to}) = {moved};", "}"], number

    def kind(self, value: int) -> str:
        """The type of the vectors of an array."""
        return emit.TYPES[self.places[value].leaf.dtype]
