"""An array program as loops in C++.

Neighbouring operations on every lane of one shape are one loop, with what lies between them in registers. What
combines lanes is a call of ``cells.h`` or ``log_sums.h``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import attrs

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, View, is_whole, row_major, steady_first
from monoscan.lowering.program.ir import Leaf, Op, Shape
from monoscan.lowering.render import emit
from monoscan.lowering.render.groups import Groups, Nest
from monoscan.lowering.render.memory import Memory, Operand
from monoscan.lowering.render.nests import NestWriter, index_of, looped
from monoscan.lowering.render.places import Place, Vectors, whole, without_ones
from monoscan.lowering.render.scan_spec import Scalar
from monoscan.lowering.render.statements import (
    items_of,
    lanes_at,
    long_axes,
    start_of,
    strides_of_matrix,
    sums_struct,
)


class Loops:
    """Writes the loops of one program.

    Args:
        program: The program.
        vectors: What vectors hold.
        captured: How many inputs behind those of both operands are the same at every step.
        shared: The inputs that all elements of a vector share.
    """

    def __init__(
        self, program: ArrayProgram, vectors: Vectors, captured: int = 0, shared: Collection[int] = ()
    ) -> None:
        first = program.arity + program.rights
        self.steady = range(first, first + captured)
        program, ahead = steady_first(program, self.steady)
        self.program, self.width = program, vectors.lanes
        self.memory = Memory(program, vectors, shared)
        self.groups = Groups(program, ahead, self.width)
        self.before: list[str] = []  # statements that run once
        self.lines: list[str] = []
        self.structs: list[str] = []
        self.sums: dict[str, str] = {}  # the structs of contractions, by what they hold
        self.repacked: list[int] = []  # arrays that one loop alone reads
        self.in_place: dict[int, int] = {}  # results that are written where their operand stands
        for value in self.groups.constants:
            self.memory.hold(value)

    def text(self, carried: Sequence[int], more: str, name: str = "operation", sums: Sequence[int] = ()) -> str:
        """A struct with the loops.

        Args:
            carried: The arrays that the results become, in order: operands, or others.
            more: Its further members.
            name: What it is called.
            sums: Those of the arrays that results are added to; zero before all steps, and by ``clear``.
        """
        self.in_place = self._in_place(carried, sums)
        for number, nest in enumerate(self._held_groups()):
            if number == self.groups.before:
                self.before, self.lines = self.lines, []
            self._write(nest)
        if self.groups.before == len(self.groups.loops):
            self.before, self.lines = self.lines, []
        self._carry(carried, sums)
        rooms = [self.memory.rooms[value] for value in sums]
        clear = "".join(f"    __builtin_memset(memory + {room.offset}, 0, {room.bytes});\n" for room in rooms)
        self.before.append("clear(memory);")
        types = "\n".join(
            f"  typedef vectors::{name} {name};\n  typedef anywhere<{name}>::type {name}_lanes;"
            for name in sorted(set(emit.TYPES.values()))
        )
        before = "".join(f"    {line}\n" for line in self._constants())
        lines = "\n".join(f"    {line}" for line in [*self._pointers(self.lines), *self.lines])
        ahead = "\n".join(f"    {line}" for line in [*self._pointers(self.before), *self.before])
        return f"""\
struct {name} {{
  typedef vectors V;
{types}
{"".join(self.structs)}  static void prepare([[maybe_unused]] u8* memory, [[maybe_unused]] const void* given) {{
{before}  }}
  static void clear([[maybe_unused]] u8* memory) {{
{clear}  }}
  static void once([[maybe_unused]] u8* memory) {{
{ahead}
  }}
  static void combine(u8* memory) {{
{lines}
  }}
{more}}};
"""

    def peak(self) -> int:
        """The bytes of all arrays, without those that are put in order first; nothing may have been written."""
        for _ in self._held_groups():
            pass
        return self.memory.bytes

    def table(self, value: int, lanes: Sequence[Scalar]) -> list[str]:
        """Statements that fill an array with constants."""
        place, kind = self.memory.places[value], self.memory.kind(value)
        dtype = place.leaf.dtype
        items = [emit.number(-int(x) if dtype == "bool" else x, dtype) for x in lanes]  # masks are 0 and -1
        # What is no literal is a call, and thousands of these, or of entries that are stored, would take the compiler seconds.
        names = {item: f"entry{value}_{n}" for n, item in enumerate(sorted({x for x in items if x.endswith(")")}))}
        calls = [f"constexpr item_of<{kind}> {name} = {item};" for item, name in names.items()]
        entries = ", ".join(names.get(item, item) for item in items)
        to = self.memory.at(value)
        return [
            *calls,
            f"static constexpr item_of<{kind}> table{value}[] = {{{entries}}};",
            f"fill<{kind}, {place.rows}, {place.columns}>({to}, {place.pitch}, table{value});",
        ]

    def _constants(self) -> Iterator[str]:
        """Statements that put constants into memory, once for all steps: those given at launch, and whole arrays."""
        memory = self.memory
        if memory.given:
            yield f"__builtin_memcpy(memory + {memory.numbers.offset}, given, {memory.numbers.bytes});"
        for value in self.groups.constants:
            if value in memory.given:
                place, kind = memory.places[value], memory.kind(value)
                to = f"{memory.at(value)}, {place.pitch}"
                yield f"fill_given<{kind}, {place.rows}, {place.columns}>({to}, {memory.number(value)});"
            else:
                yield from self.table(value, self.groups.instr(value).param or ())

    def _pointers(self, lines: Sequence[str]) -> Iterator[str]:
        """The arrays and the numbers that statements use."""
        memory, words = self.memory, set(re.findall(r"\w+", " ".join(lines)))
        for value in sorted(memory.rooms):
            if f"a{value}" in words:
                yield f"auto* const a{value} = {memory.at(value)};"
        for value in sorted(memory.given):
            if f"n{value}" in words:
                kind = memory.kind(value)
                yield f"const {kind} n{value} = splat<{kind}>(*(const item_of<{kind}>*)({memory.number(value)}));"

    def _held_groups(self) -> Iterator[Nest]:
        """The loops in order, while what they write and what is still needed is held."""
        for nest, ends in zip(self.groups.loops, self.groups.ends, strict=True):
            for value in sorted(self.groups.kept.intersection(nest.values)):
                if value in self.in_place:
                    self.memory.rooms[value] = self.memory.rooms[self.in_place[value]]
                else:
                    self.memory.hold(value)
            yield nest
            for value in [*ends, *self.repacked]:
                self.memory.release(value)
            self.repacked = []

    # ---------------------------------------------------------------- loops
    def _write(self, nest: Nest) -> None:
        if not nest.called:
            lines, struct = NestWriter(nest, self.groups, self.memory, self._operand, self.width).text()
            self.lines += lines
            self.structs.append(struct)
            return
        (value,) = nest.values
        instr = self.groups.instr(value)
        if instr.form is Form.VIEW:
            self._view(value, instr)
        else:
            self._contraction(value, instr)

    def _operand(self, view: View, shape: Shape, axes: Sequence[int]) -> Operand:
        """Where an operand is read along some of its axes, put in order first where it has to be."""
        if self.memory.literal(view) is not None:
            view = View(self._literal(view.value), 0, view.strides)
        found = self.memory.operand(view, shape)
        if found is None:
            lines, number = self.memory.repacked(view, shape)
            self.lines += lines
            self.repacked.append(number)
            found = self.memory.operand(View(number, 0, row_major(shape)), shape)
            assert found is not None, "an array is a view of itself"
        return attrs.evolve(found, strides=tuple(found.strides[axis] for axis in axes))

    def _literal(self, value: int) -> int:
        """A scalar constant in an array of its own, for loops that read memory alone."""
        number = self.memory.add(self.memory.places[value])
        self.repacked.append(number)
        kind, text = self.memory.kind(value), self.memory.literal(View(value, 0, ()))
        self.lines.append(f"put<{kind}>(a{number}, {kind}{{}} + ({text}));")
        return number

    def _own(self, value: int) -> Operand:
        """Where a value is written."""
        shape = self.memory.places[value].leaf.shape
        return self._operand(View(value, 0, row_major(shape)), shape, long_axes(shape))

    def _contraction(self, value: int, instr: ArrayInstr) -> None:
        """Sums of products, of a matrix at a time."""
        sizes = without_ones(instr.shape)
        outer, rows, columns = sizes[:-2], ([1, 1, *sizes])[-2], ([1, *sizes])[-1]
        names = [f"i{k}" for k in range(len(outer))]
        axes = (*long_axes(instr.shape), len(instr.shape))
        sides = [self._operand(view, (*instr.shape, instr.count), axes) for view in instr.args]
        matrices = [strides_of_matrix(side, len(sizes)) for side in sides]
        texts = [
            f"operand<{side.kind}, {', '.join(map(str, matrix))}{items_of(side)}>{{{start_of(side, names)}}}"
            for side, matrix in zip(sides, matrices, strict=True)
        ]
        to = self._own(value)
        pitch = to.strides[-2] if len(sizes) > 1 else 0
        sizes_of, more = f"{rows}, {columns}, {instr.count}>", ""
        if instr.op is Op.LOGADDEXP:
            separate = matrices[0][1] == 0 and matrices[1][0] == 0
            few = instr.count * (rows + columns) < rows * columns * instr.count
            call = f"log_sums<{str(separate and few).lower()}, "
            if separate and not outer and self._is_steady(instr.args[1].value):
                call, more = "log_sums_of_factor<", self._factor(texts[1], sides[1].kind, instr, columns)
        else:
            call = f"sums_of_products<{self._sums(instr)}, "
        sized = f"{call}{sizes_of}({texts[0]}, {texts[1]}, {more}{start_of(to, names)}, {pitch});"
        heads = [f"for (int i{k} = 0; i{k} < {size}; ++i{k})" for k, size in enumerate(outer)]
        self.lines += [*heads, ("  " if heads else "") + sized]

    def _is_steady(self, value: int) -> bool:
        """Whether an array is the same at every step."""
        return value in self.steady or self.groups.is_steady(value)

    def _factor(self, operand: str, kind: str, instr: ArrayInstr, columns: int) -> str:
        """The exponentials of a factor that is the same at every step, found before all of them."""
        wide = whole(columns, self.width)
        found = [
            self.memory.add(Place(Leaf(instr.dtype, (size,)), whole(size, self.width)))
            for size in (instr.count * wide, wide)
        ]
        to = ", ".join(f"a{number}" for number in found)
        self.before.append(f"log_factor<{columns}, {instr.count}>({operand}, {to});")
        return f"{to}, "

    def _sums(self, instr: ArrayInstr) -> str:
        """The struct of the two operations of a contraction: one for all that are alike, which share their code."""
        body = sums_struct(instr)
        if body not in self.sums:
            self.sums[body] = f"sums{len(self.sums)}"
            self.structs.append(f"  struct {self.sums[body]} {{\n{body}  }};\n")
        return self.sums[body]

    def _view(self, value: int, instr: ArrayInstr) -> None:
        """Pieces put beside each other, those further right later: vectors reach beyond the end of a piece."""
        axes, to = long_axes(instr.shape), self._own(value)
        last = axes[-1] if axes else 0
        for place in sorted(range(len(instr.args)), key=lambda i: instr.pieces[i].start[last : last + 1]):
            view, piece = instr.args[place], instr.pieces[place]
            sizes = tuple(piece.shape[axis] for axis in axes)
            index = index_of(sizes, self.width)
            start = to.first + sum(piece.start[a] * s for a, s in zip(axes, to.strides, strict=True))
            literal = self.memory.literal(view)
            text = literal or index.load(self._operand(view, piece.shape, axes))
            body = [f"{lanes_at(to.kind, attrs.evolve(to, first=start).at(index.names))} = {text};"]
            self.lines += looped(sizes, self.width, body)

    def _in_place(self, carried: Sequence[int], sums: Sequence[int]) -> dict[int, int]:
        """Results that may be written where the operand stands that they become, and that operand."""
        found: dict[int, int] = {}
        places, first = self.memory.places, len(self.program.inputs)
        moves = list(zip(self.program.results, self.program.outputs, carried, strict=True))
        read = {view.value for instr in self.program.code for view in instr.args}
        for view, leaf, target in sorted(moves, key=lambda move: move[2] not in read):  # which the next step waits for
            value = view.value
            fresh = value >= first > target and value not in found and target not in sums
            if fresh and self.groups.is_whole(view, leaf.shape):
                alike = all(
                    getattr(places[value], x) == getattr(places[target], x) for x in ("pitch", "dtype", "shape")
                )
                if alike and self.groups.overwrites(value, target):
                    found[value] = target
        return found

    def _carry(self, carried: Sequence[int], sums: Sequence[int]) -> None:
        """The results become operands of the next step: first those that are parts of what is overwritten."""
        moves = list(zip(self.program.results, self.program.outputs, carried, strict=True))
        moves = [m for m in moves if not (m[0].value == m[2] and is_whole(m[0], m[1].shape, m[1].shape))]
        moves = [m for m in moves if self.in_place.get(m[0].value) != m[2]]
        sources = []
        for view, leaf, _ in moves:
            axes = long_axes(leaf.shape)
            if view.value in carried:
                lines, number = self.memory.repacked(view, leaf.shape)
                self.lines += lines
                view = View(number, 0, row_major(leaf.shape))
            sources.append(self._operand(view, leaf.shape, axes) if self.memory.literal(view) is None else None)
        for (view, leaf, target), source in zip(moves, sources, strict=True):
            sizes = without_ones(leaf.shape)
            index = index_of(sizes, self.width)
            text = index.load(source) if source is not None else self.memory.literal(view)
            to = self._own(target)
            text = f"{index.load(to)} + {text}" if target in sums else text
            self.lines += looped(sizes, self.width, [f"{lanes_at(to.kind, to.at(index.names))} = {text};"])
