"""The memory of an array program: its arrays one behind the other, and operands as addresses there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from monoscan.lowering.program import numbers
from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, View, row_major
from monoscan.lowering.program.ir import Leaf, Op, Shape
from monoscan.lowering.render import emit
from monoscan.lowering.render.places import Place, Vectors, places, whole


@attrs.frozen
class Operand:
    """Where an instruction reads: an address, and a stride for each axis of its index.

    Args:
        kind: The type of its vectors.
        array: The name of the array.
        first: Where it begins there, in items.
        strides: Items from one to the next along each axis.
        shared: All elements of a vector have the same.
        batch: An item is a vector: the same lane of several elements.
    """

    kind: str
    array: str
    first: int
    strides: tuple[int, ...]
    shared: bool = False
    batch: bool = False

    def at(self, names: Sequence[str]) -> str:
        """The address at an index; ``"0"`` is the first."""
        terms = [self.array, *([str(self.first)] if self.first else [])]
        for name, step in zip(names, self.strides, strict=True):
            if step and name != "0":
                terms.append(name if step == 1 else f"{name} * {step}")
        return " + ".join(terms)


@attrs.frozen(order=True)
class Room:
    """Where an array may stand.

    Args:
        bytes: How large it is.
        offset: Where it begins, in bytes.
    """

    bytes: int
    offset: int


class Memory:
    """Gives the arrays of a program their places: its inputs at once, the others while they are needed.

    Args:
        program: The program.
        vectors: What vectors hold.
        shared: The inputs that all elements of a vector share.
    """

    def __init__(self, program: ArrayProgram, vectors: Vectors, shared: Collection[int] = ()) -> None:
        self.program, self.vectors, self.bytes = program, vectors, 0
        self.places = places(program, vectors, shared)
        self.rooms: dict[int, Room] = {}
        self._free: list[Room] = []
        for number in range(len(program.inputs)):
            self.hold(number)
        self.given = numbers.of_arrays(program)  # constants that are given at launch, and where in the table
        size = numbers.ENTRY_BYTES * sum(program.values[value].lanes for value in self.given)
        self.numbers = Room(size, self.bytes)
        self.bytes += -(-size // 64) * 64

    def add(self, place: Place) -> int:
        """The number of a new array, which is held."""
        self.places.append(place)
        self.hold(len(self.places) - 1)
        return len(self.places) - 1

    def hold(self, number: int) -> None:
        """Finds room for an array: the least that is free and large enough, so that what is in use stays in the caches."""
        size = self._size(number)
        fitting = [room for room in self._free if room.bytes >= size]
        if fitting:
            room = min(fitting)
            self._free.remove(room)
        else:
            room = Room(size, self.bytes)
            self.bytes += size
        self.rooms[number] = room

    def release(self, number: int) -> None:
        """Says that an array is read no more."""
        self._free.append(self.rooms[number])

    def _size(self, number: int) -> int:
        """The bytes of an array. Vectors may reach beyond its end."""
        place = self.places[number]
        size = 8 if emit.TYPES[place.leaf.dtype] in ("f64", "i64", "u64") else 4
        if place.shared:
            return -(-(place.items + self.vectors.width) * size // 64) * 64
        return -(-(place.items + self.vectors.lanes) * size * self.vectors.rows // 64) * 64

    def instr(self, value: int) -> ArrayInstr | None:
        """What yields a value, if anything does."""
        first = len(self.program.inputs)
        return self.program.code[value - first] if first <= value < len(self.program.values) else None

    def literal(self, view: View) -> str | None:
        """The text of an operand that is one constant."""
        instr = self.instr(view.value)
        if instr is None or instr.op is not Op.CONST or instr.shape or instr.param is None:
            return None
        return f"n{view.value}" if view.value in self.given else emit.literal(instr.param[0], instr.dtype)

    def number(self, value: int) -> str:
        """The address of the first of the numbers that a constant is given as."""
        return f"memory + {self.numbers.offset + numbers.ENTRY_BYTES * self.given[value]}"

    def operand(self, view: View, shape: Shape) -> Operand | None:
        """Where a view of this shape reads; ``None`` if strides do not tell it."""
        found = self.places[view.value].address(view, shape)
        if found is None:
            return None
        return Operand(
            self.kind(view.value), f"a{view.value}", *found, self.places[view.value].shared, self.vectors.rows > 1
        )

    def repacked(self, view: View, shape: Shape) -> tuple[list[str], int]:
        """The lanes of a view copied one by one, and the new array that holds them."""
        source = self.places[view.value]
        columns = Place(Leaf(source.leaf.dtype, shape), 1).columns
        pitch = whole(columns, self.vectors.width if source.shared else self.vectors.lanes)
        number = self.add(Place(Leaf(source.leaf.dtype, shape), pitch, source.shared))
        target, names = self.places[number], [f"i{axis}" for axis in range(len(shape))]
        lane = " + ".join([str(view.offset), *(f"{i} * {s}" for i, s in zip(names, view.strides, strict=True))])
        found = target.address(View(number, 0, row_major(shape)), shape)
        assert found is not None, "an array is a view of itself"
        to = Operand(self.kind(number), f"a{number}", *found).at(names)
        loops = [f"for (int {i} = 0; {i} < {size}; ++{i})" for i, size in zip(names, shape, strict=True)]
        moved = f"a{view.value}[lane / {source.columns} * {source.pitch} + lane % {source.columns}]"
        return [*loops, "{", f"  const int lane = {lane};", f"  *({to}) = {moved};", "}"], number

    def at(self, value: int) -> str:
        """The C++ of where an array begins."""
        items = "item_of" if self.places[value].shared else "cell"
        return f"({items}<{self.kind(value)}>*)(memory + {self.rooms[value].offset})"

    def kind(self, value: int) -> str:
        """The type of the vectors of an array."""
        return emit.TYPES[self.places[value].leaf.dtype]
