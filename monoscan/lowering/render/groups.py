"""Which operations of an array program share a loop, and how long each array is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import prod

import attrs

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, View, row_major
from monoscan.lowering.program.arrays import is_whole as is_all
from monoscan.lowering.program.ir import Op, Shape
from monoscan.lowering.render.places import without_ones
from monoscan.lowering.render.statements import in_any_brackets, vectors_at_once

CHEAP = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.ABS, Op.MIN, Op.MAX, Op.SELECT})
"""What costs no more than to write a result and read it again."""

FEW_FOLDS = 4
"""Fewer rows than these are folded in loops: more hide the latency of one another, and share what they read."""

MOST_SUMS = 16
"""The most sums of products of a step that are written out, each in a loop of its own: compilers take 10 ms for each."""


@attrs.frozen
class Nest:
    """One loop over lanes.

    Args:
        each: What it computes of every lane; of every term, where terms are folded.
        folds: What it folds of these terms, or what a call computes.
        after: What it computes of every fold.
        axis: The axis of `each` along which terms lie, among those that are longer than 1.
        called: It is no loop but one call, or pieces put beside each other.
    """

    each: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    axis: int = -1
    called: bool = False

    @property
    def values(self) -> tuple[int, ...]:
        """All that it computes, in this order."""
        return (*self.each, *self.folds, *self.after)


@attrs.frozen
class Groups:
    """The loops of a program: neighbours that go over the same lanes are one, and what follows from few of them is found again.

    Args:
        program: The program.
        steady: How many of its first instructions yield the same at every step: they have loops of their own.
        lanes: How many lanes of an element a vector holds: along its last axis.
    """

    program: ArrayProgram
    steady: int = 0
    lanes: int = 1

    def instr(self, value: int) -> ArrayInstr:
        """What yields a value that is no input."""
        return self.program.code[value - len(self.program.inputs)]

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """Arrays of constants; scalar ones are written where they are read."""
        code = enumerate(self.program.code, len(self.program.inputs))
        return tuple(value for value, instr in code if instr.op is Op.CONST and instr.shape)

    @cached_property
    def loops(self) -> tuple[Nest, ...]:
        """The loops, in order."""
        return tuple(self._finding_again(self._neighbours()))

    def is_steady(self, value: int) -> bool:
        """Whether a value that is no input is the same at every step."""
        return len(self.program.inputs) <= value < self._moving

    @property
    def _moving(self) -> int:
        """The first value that is another one at each step."""
        return len(self.program.inputs) + self.steady

    @cached_property
    def before(self) -> int:
        """How many loops run once, before all steps."""
        return sum(all(map(self.is_steady, nest.values)) for nest in self.loops)

    @cached_property
    def kept(self) -> frozenset[int]:
        """Values that must stand in memory: results, and what other loops read."""
        read = {value for nest in self.loops for value in self._read(nest)}
        return frozenset(read | {view.value for view in self.program.results})

    @cached_property
    def ends(self) -> tuple[tuple[int, ...], ...]:
        """For each loop the arrays that no later one reads; every step reads what is made before all."""
        last = {value: number for number, nest in enumerate(self.loops) for value in self._read(nest)}
        held = {view.value for view in self.program.results}
        held |= {value for value, number in last.items() if value < self._moving and number >= self.before}
        made = {value for nest in self.loops for value in nest.values} - held
        return tuple(
            tuple(value for value, end in last.items() if end == number and value in made)
            for number in range(len(self.loops))
        )

    def overwrites(self, value: int, operand: int) -> bool:
        """Whether a value may be written where an operand of its shape stands: nothing reads that any more, lane by lane."""
        if self.is_steady(value) or any(view.value == operand for view in self.program.results):
            return False
        own = next((n for n, nest in enumerate(self.loops) if value in nest.values), -1)
        if own < 0 or self.loops[own].called or any(operand in self._read(nest) for nest in self.loops[own + 1 :]):
            return False
        nest = self.loops[own]
        order = {each: place for place, each in enumerate(nest.values)}
        alone = value not in nest.each and self._is_one_vector(self.instr(value).shape)  # then all terms come before it
        at_once = nest.folds and value not in nest.each and self._is_one_pass(nest)
        return all(
            order[each] <= order[value]
            and (
                alone
                or (at_once and each not in nest.after)
                or self.is_whole(view, self.instr(each).operand_shape(place))
            )
            for each in nest.values
            for place, view in enumerate(self.instr(each).args)
            if view.value == operand
        )

    # ---------------------------------------------------------------- what shares a loop
    def _neighbours(self) -> list[Nest]:
        """Loops of operations that follow one another."""
        found: list[Nest] = []
        for value, instr in enumerate(self.program.code, len(self.program.inputs)):
            if instr.op is Op.CONST:
                continue
            joined = self._joined(value, found[-1]) if found and value != self._moving else None
            if joined is None:
                found.append(self._alone(value))
            else:
                found[-1] = joined
        return found

    def _alone(self, value: int) -> Nest:
        form = self.instr(value).form
        if form is Form.EACH:
            return Nest(each=(value,))
        return Nest(folds=(value,), called=form is Form.VIEW or not self._folds(value))

    @cached_property
    def _many_sums(self) -> bool:
        return sum(instr.form is Form.CONTRACT for instr in self.program.code) > MOST_SUMS

    def _shares_code(self, instr: ArrayInstr) -> bool:
        """Whether it is one of so many sums of products that all those of a shape had better be calls of one function."""
        return instr.form is Form.CONTRACT and self._many_sums

    def _folds(self, value: int) -> bool:
        """Whether lanes are combined by a loop, not by a call for whole matrices."""
        instr = self.instr(value)
        if instr.form is Form.REDUCE or instr.op is Op.LOGADDEXP:
            return instr.form is Form.REDUCE
        if self._is_one_vector(instr.shape):
            return not self._shares_code(instr)
        sizes = without_ones(instr.shape)
        return in_any_brackets(instr) and prod(sizes[:-1]) < FEW_FOLDS and (self.lanes > 1 or sizes[-1] < FEW_FOLDS)

    def _joined(self, value: int, nest: Nest) -> Nest | None:
        """The loop with one operation more, if it can be part of it."""
        instr = self.instr(value)
        if nest.called or instr.form is Form.VIEW:
            return None
        if instr.form is not Form.EACH:
            axis = self._axis(value, nest)
            return None if axis is None else attrs.evolve(nest, folds=(*nest.folds, value), axis=axis)
        alike = [
            held for held in (nest.each, (*nest.folds, *nest.after)) if held and self._reads_lanes(instr, nest, held)
        ]
        if not alike:
            return None
        if alike[0] is nest.each:
            return attrs.evolve(nest, each=(*nest.each, value))
        return attrs.evolve(nest, after=(*nest.after, value))

    def _reads_lanes(self, instr: ArrayInstr, nest: Nest, held: Sequence[int]) -> bool:
        """Whether an operation goes over the lanes of these values of a loop, and reads no others of it."""
        if without_ones(instr.shape) != without_ones(self.instr(held[0]).shape):
            return False
        return all(
            view.value in held and self.is_whole(view, instr.shape) for view in instr.args if view.value in nest.values
        )

    def _axis(self, value: int, nest: Nest) -> int | None:
        """The axis of a loop's lanes that an operation folds, if it can do so as they are computed."""
        instr = self.instr(value)
        alike = [self.instr(fold) for fold in nest.folds]
        if nest.after or any((x.shape, x.count) != (instr.shape, instr.count) for x in alike):
            return None
        inside = [view for view in instr.args if view.value in nest.values]
        if not inside:  # terms of other arrays, folded side by side
            return nest.axis if alike and not nest.each and self._folds(value) else None
        axes = {self._folded_axis(view, instr) if view.value in nest.each else None for view in inside}
        axis = axes.pop()
        fits = not axes and axis is not None and (not alike or axis == nest.axis)
        fast = in_any_brackets(instr) or instr.form is Form.REDUCE or self._is_one_vector(instr.shape)
        return axis if fits and fast and instr.op is not Op.LOGADDEXP and not self._shares_code(instr) else None

    def _folded_axis(self, view: View, instr: ArrayInstr) -> int | None:
        """Which axis of an array a fold of all of it combines; none that vectors go along."""
        own = without_ones(self.program.values[view.value].shape)
        axes = [(n, s) for n, s in zip((*instr.shape, instr.count), view.strides, strict=True) if n > 1]
        whole = list(zip(own, row_major(own), strict=True))
        if view.offset or instr.count == 1 or axes[-1] not in whole:
            return None
        axis = whole.index(axes[-1])
        rest = [*whole[:axis], *whole[axis + 1 :]]
        return axis if axes[:-1] == rest and (self.lanes == 1 or axis < len(own) - 1) else None

    # ---------------------------------------------------------------- what is found again
    def _finding_again(self, nests: list[Nest]) -> list[Nest]:
        """The loops where each that reads a value computes it, if that costs less than memory: one operation on one array."""
        readers: dict[int, list[int]] = {view.value: [-1] for view in self.program.results}  # -1: behind all loops
        for n, nest in enumerate(nests):
            for value in dict.fromkeys(self._read(nest)):
                readers.setdefault(value, []).append(n)
        for value, home in sorted((value, n) for n, nest in enumerate(nests) for value in nest.each):
            reading = readers.get(value, [])
            if not self._is_cheap(value, readers) or not all(
                n >= 0 and self._can_find(value, nests[n]) for n in reading
            ):
                continue
            for n in reading:
                nests[n] = attrs.evolve(nests[n], each=tuple(sorted((value, *nests[n].each))))
                for view in self.instr(value).args:
                    if n not in readers.setdefault(view.value, []) and view.value not in nests[n].values:
                        readers[view.value].append(n)
            del readers[value]
            if not any(view.value == value for other in nests[home].values for view in self.instr(other).args):
                nests[home] = attrs.evolve(nests[home], each=tuple(x for x in nests[home].each if x != value))
        return [nest for nest in nests if nest.values]

    def _is_cheap(self, value: int, readers: Mapping[int, Sequence[int]]) -> bool:
        """Whether a value that loops read from memory costs less than that, and what it follows from stands there."""
        instr = self.instr(value)
        if instr.op not in CHEAP or self.is_steady(value) or not readers.get(value):
            return False
        there = all(
            v.value < len(self.program.inputs) or readers.get(v.value) or self._is_number(v.value) for v in instr.args
        )
        arrays = {view for view in instr.args if any(view.strides) and not self._is_number(view.value)}
        return there and len(arrays) <= 1

    def _can_find(self, value: int, nest: Nest) -> bool:
        """Whether a loop goes over all lanes of a value, and reads them so."""
        reads = [(each, view) for each in nest.values for view in self.instr(each).args if view.value == value]
        if nest.called or not nest.each or any(each in nest.after for each, _ in reads):
            return False
        if without_ones(self.instr(value).shape) != without_ones(self.instr(nest.each[0]).shape):
            return False
        return all(
            self._folded_axis(view, self.instr(each)) == nest.axis
            if each in nest.folds
            else self.is_whole(view, self.instr(each).shape)
            for each, view in reads
        )

    def _is_number(self, value: int) -> bool:
        return value >= len(self.program.inputs) and self.instr(value).op is Op.CONST and not self.instr(value).shape

    # ---------------------------------------------------------------- what loops read
    def _read(self, nest: Nest) -> Iterator[int]:
        """The values that a loop reads from memory."""
        own = frozenset(nest.values)
        return (view.value for value in nest.values for view in self.instr(value).args if view.value not in own)

    def _is_one_pass(self, nest: Nest) -> bool:
        """Whether a loop that folds does all its lanes at once."""
        folds = [self.instr(value) for value in nest.folds]
        sizes = without_ones(folds[0].shape)
        return len(sizes) == 1 and sizes[0] <= vectors_at_once(sizes, self.lanes, folds) * self.lanes

    def _is_one_vector(self, shape: Shape) -> bool:
        sizes = without_ones(shape)
        return not sizes or (len(sizes) == 1 and sizes[0] <= self.lanes)

    def is_whole(self, view: View, shape: Shape) -> bool:
        """Whether an operand is all of a value, lane by lane; axes of size 1 do not count."""
        own = without_ones(self.program.values[view.value].shape)
        strides = tuple(s for s, size in zip(view.strides, shape, strict=True) if size > 1)
        return is_all(View(view.value, view.offset, strides), without_ones(shape), own)
