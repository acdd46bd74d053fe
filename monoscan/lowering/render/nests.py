"""Loops over lanes as statements: operations on every lane, folds of what they yield, and operations on the folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import attrs

from monoscan.lowering.program.arrays import Form, View, row_major
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.render import emit
from monoscan.lowering.render.groups import Groups, Nest
from monoscan.lowering.render.memory import Memory, Operand
from monoscan.lowering.render.places import without_ones
from monoscan.lowering.render.statements import (
    Index,
    chains_of,
    combined,
    expression,
    lanes_at,
    long_axes,
    terms_struct,
    vectors_at_once,
)

TERM = "k"
"""The index of terms."""

MARKS = ("", "b")
"""What the names of values end with, for each of the vectors that a loop does at once."""

Find = Callable[[View, Shape, Sequence[int]], Operand]
"""Where an operand of this shape is read along some of its axes."""


def index_of(sizes: Shape, width: int, vector: int = 0) -> Index:
    """The index in a loop over rows, and over the vectors of each where there are several.

    Args:
        sizes: Of the axes.
        width: The lanes of a vector.
        vector: Which one it is of those that the loop does at once.
    """
    rows = [f"i{k}" for k in range(len(sizes) - 1)]
    if not sizes:
        return Index([], "1")
    if sizes[-1] <= width:
        return Index([*rows, "0"], str(sizes[-1]))
    j = "j" if vector == 0 else f"(j + {vector} * E)"
    return Index([*rows, j], f"{sizes[-1]} - {j}")


def looped(sizes: Shape, width: int, body: Sequence[str], ahead: Sequence[str] = (), vectors: int = 1) -> list[str]:
    """Statements for every row, and for the vectors of each, so many at once; some of them before the innermost loop."""
    heads = [f"for (int i{k} = 0; i{k} < {size}; ++i{k})" for k, size in enumerate(sizes[:-1])]
    if sizes and sizes[-1] > width:
        heads.append(f"for (int j = 0; j < {sizes[-1]}; j += {'E' if vectors == 1 else f'{vectors} * E'})")
    if not heads:
        return ["{", *indented([*ahead, *body]), "}"]
    inner = [f"{heads[-1]} {{", *indented(body), "}"]
    if not ahead:
        return [*heads[:-1], *inner]
    return [*heads[:-1], "{", *indented([*ahead, *inner]), "}"]


def indented(lines: Sequence[str]) -> Iterator[str]:
    """Statements of a block."""
    return (f"  {line}" for line in lines)


@attrs.frozen
class _Zone:
    """A place where statements stand.

    Args:
        index: That of the lanes that they are about.
        fastest: The name of the index that moves from one run of them to the next; none if they run once.
        lines: The statements.
        ahead: Where what does not move with that index is read: before them.
        loaded: What was read.
    """

    index: Index
    fastest: str | None
    ahead: list[str]
    lines: list[str] = attrs.field(factory=list)
    loaded: dict[str, str] = attrs.field(factory=dict)
    mark: str = ""

    def name(self, value: int) -> str:
        """The name of a value."""
        return f"v{value}{self.mark}"


@attrs.frozen
class NestWriter:
    """Writes one loop.

    Args:
        nest: The loop.
        groups: All loops of the program.
        memory: Where arrays stand.
        find: Where operands are read.
        width: The lanes of an element that a vector holds.
    """

    nest: Nest
    groups: Groups
    memory: Memory
    find: Find
    width: int
    _numbers: Iterator[int] = attrs.field(factory=count)

    def text(self) -> tuple[list[str], str]:
        """The statements, and the struct that they need."""
        if self.nest.folds:
            return self._folding()
        sizes = without_ones(self.groups.instr(self.nest.each[0]).shape)
        index = index_of(sizes, self.width)
        moving = [name for name in index.names if name != "0"]
        zone = _Zone(index, moving[-1] if moving else None, [])
        for value in self.nest.each:
            self._compute(value, zone)
        return looped(sizes, self.width, zone.lines, zone.ahead), ""

    def _folding(self) -> tuple[list[str], str]:
        folds = [(value, self.groups.instr(value)) for value in self.nest.folds]
        _, first = folds[0]
        sizes, kind = without_ones(first.shape), f"terms{self.nest.folds[0]}"
        vectors = vectors_at_once(sizes, self.width, [instr for _, instr in folds])
        lines: list[str] = []
        loaded: dict[str, str] = {}
        indices = [index_of(sizes, self.width, vector) for vector in range(vectors)]
        arounds = [_Zone(index, None, [], lines, loaded, mark) for index, mark in zip(indices, MARKS, strict=False)]
        terms = _Zone(indices[0], TERM, lines)
        found = [text for around in arounds for text in self._terms_of(around, len(sizes), terms)]
        chains = chains_of([instr for _, instr in folds], vectors)
        lines.extend([
            f"const auto term = [&](int {TERM}) __attribute__((always_inline)) {{",
            *indented([*terms.lines, f"return {kind}{{{', '.join(found)}}};"]),
            "};",
            f"const {kind} sums = fold_terms<{first.count}, {chains}, {kind}>(term);",
        ])  # fmt: skip
        for around in arounds:
            for value, instr in folds:
                name = around.name(value)
                lines.append(f"const {emit.TYPES[instr.dtype]} {name} = sums.{name};")
                self._keep(value, around)
            for value in self.nest.after:
                self._compute(value, around)
        named = [(around.name(value), instr) for around in arounds for value, instr in folds]
        return looped(sizes, self.width, lines, vectors=vectors), terms_struct(kind, named)

    def _terms_of(self, around: _Zone, axis: int, all_terms: _Zone) -> list[str]:
        """The next term of every fold, at the lanes of one vector, behind what was written for others."""
        index, shared = around.index, (around.lines, all_terms.lines, all_terms.loaded, around.mark)
        lanes = _Zone(index.with_terms(TERM, self.nest.axis if self.nest.each else 0), TERM, *shared)
        terms = _Zone(index.with_terms(TERM, axis), TERM, *shared)
        for value in self.nest.each:
            self._compute(value, lanes)
        return [self._term(value, terms) for value in self.nest.folds]

    def _compute(self, value: int, zone: _Zone) -> None:
        """An operation on every lane."""
        instr = self.groups.instr(value)
        args = [self._read(view, instr.shape, long_axes(instr.shape), zone) for view in instr.args]
        operands = [self.groups.program.values[view.value].dtype for view in instr.args]
        zone.lines.append(f"const {emit.TYPES[instr.dtype]} {zone.name(value)} = {expression(instr, args, operands)};")
        self._keep(value, zone)

    def _term(self, value: int, zone: _Zone) -> str:
        """The next term of a fold."""
        instr = self.groups.instr(value)
        axes = (*long_axes(instr.shape), len(instr.shape))
        args = [self._read(view, (*instr.shape, instr.count), axes, zone) for view in instr.args]
        if instr.form is Form.REDUCE:
            return args[0]
        assert instr.multiply is not None, "a contraction"
        return combined(instr.multiply, instr.dtype, *args)

    def _keep(self, value: int, zone: _Zone) -> None:
        """A value in memory, where other loops read it."""
        if value in self.groups.kept:
            shape = self.memory.places[value].leaf.shape
            to = self.find(View(value, 0, row_major(shape)), shape, long_axes(shape))
            zone.lines.append(f"{lanes_at(to.kind, to.at(zone.index.names))} = {zone.name(value)};")

    def _read(self, view: View, shape: Shape, axes: Sequence[int], zone: _Zone) -> str:
        """The text of an operand: a value of this loop, a constant, or what was read from memory."""
        if view.value in self.nest.values:
            return zone.name(view.value)
        text = self.memory.literal(view)
        if text is not None:
            return text
        operand = self.find(view, shape, axes)
        load = zone.index.load(operand)
        if load not in zone.loaded:
            zone.loaded[load] = f"x{next(self._numbers)}"
            moving = any(s for s, i in zip(operand.strides, zone.index.names, strict=True) if i == zone.fastest)
            where = zone.lines if moving or zone.fastest is None else zone.ahead
            where.append(f"const {operand.kind} {zone.loaded[load]} = {load};")
        return zone.loaded[load]
