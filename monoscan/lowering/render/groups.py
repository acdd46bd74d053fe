"""Which operations of an array program share a loop, and how long each array is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import attrs

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, View, is_whole
from monoscan.lowering.program.ir import Op, Shape
from monoscan.lowering.render.places import without_ones


@attrs.frozen
class Groups:
    """The loops of a program: neighbouring operations on every lane of one shape are one.

    Args:
        program: The program.
        steady: How many of its first instructions yield the same at every step: they have loops of their own.
    """

    program: ArrayProgram
    steady: int = 0

    def instr(self, value: int) -> ArrayInstr:
        """What yields a value that is no input."""
        return self.program.code[value - len(self.program.inputs)]

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """Arrays of constants; scalar ones are written where they are read."""
        code = enumerate(self.program.code, len(self.program.inputs))
        return tuple(value for value, instr in code if instr.op is Op.CONST and instr.shape)

    @cached_property
    def loops(self) -> tuple[tuple[int, ...], ...]:
        """The values that each loop yields, in order."""
        found: list[list[int]] = []
        for value, instr in enumerate(self.program.code, len(self.program.inputs)):
            if instr.op is Op.CONST:
                continue
            if found and value != self._moving and self._joins(instr, found[-1]):
                found[-1].append(value)
            else:
                found.append([value])
        return tuple(map(tuple, found))

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
        return sum(group[0] < self._moving for group in self.loops)

    @cached_property
    def kept(self) -> frozenset[int]:
        """Values that must stand in memory: results, and what other loops read."""
        read = {value for group in self.loops for value in self._read(group)}
        return frozenset(read | {view.value for view in self.program.results})

    @cached_property
    def ends(self) -> tuple[tuple[int, ...], ...]:
        """For each loop the arrays that no later one reads; every step reads what is made before all."""
        last = {value: number for number, group in enumerate(self.loops) for value in self._read(group)}
        held = {view.value for view in self.program.results}
        held |= {value for value, number in last.items() if value < self._moving and number >= self.before}
        made = {value for group in self.loops for value in group} - held
        return tuple(
            tuple(value for value, end in last.items() if end == number and value in made)
            for number in range(len(self.loops))
        )

    def overwrites(self, value: int, operand: int) -> bool:
        """Whether a value may be written where an operand of its shape stands: nothing reads that any more, lane by lane."""
        if any(view.value == operand for view in self.program.results):
            return False
        own = next((group for group in self.loops if value in group), ())
        if not own or self.is_steady(value) or self.instr(value).form is not Form.EACH:
            return False
        later = {each for group in self.loops if group[0] > own[0] for each in self._read(group)}
        reads = [(each, view) for each in own for view in self.instr(each).args if view.value == operand]
        return operand not in later and all(
            each <= value and self._is_whole(view, self.instr(each).shape) for each, view in reads
        )

    def _read(self, group: Sequence[int]) -> Iterator[int]:
        """The values that a loop reads from memory."""
        return (view.value for value in group for view in self.instr(value).args if view.value not in group)

    def _joins(self, instr: ArrayInstr, group: Sequence[int]) -> bool:
        first = self.instr(group[0])
        alike = first.form is instr.form is Form.EACH
        if not alike or without_ones(first.shape) != without_ones(instr.shape):
            return False
        return all(self._is_whole(view, instr.shape) for view in instr.args if view.value in group)

    def _is_whole(self, view: View, shape: Shape) -> bool:
        """Whether an operand is all of a value, lane by lane; axes of size 1 do not count."""
        own = without_ones(self.program.values[view.value].shape)
        strides = tuple(s for s, size in zip(view.strides, shape, strict=True) if size > 1)
        return is_whole(View(view.value, view.offset, strides), without_ones(shape), own)
