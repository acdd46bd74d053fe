"""Lanes of a state that are the same in all folds of as many elements, and what of a combine follows from them alone.

Where ``prepare`` makes a constant of every input, as the count of a mean is 1, the fold of so many elements has the same
value of that lane wherever it begins. A loop whose vectors hold folds of as many elements computes it once, in scalars.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.lowering.program.numbers import numbers


@attrs.frozen
class Parts:
    """A program in two: what follows from lanes that are the same alone, and the rest.

    Args:
        shared: The first, of these lanes. Its results are those of the program that it yields, then what ``own`` reads.
        own: The rest: of the other lanes, of what it reads of ``shared``, and of captured arrays.
        crossing: How many values it reads of ``shared``, the last of its results.
    """

    shared: Program
    own: Program
    crossing: int

    @property
    def read(self) -> list[tuple[int, str, bool]]:
        """What ``own`` reads of ``shared``: its place among the results, its dtype, and whether it but chooses."""
        places = range(len(self.shared.outputs) - self.crossing, len(self.shared.outputs))
        lanes = range(self.own.arity + self.own.rights, self.own.num_lanes)
        rows = zip(places, lanes, strict=False)
        return [(place, self.shared.outputs[place].dtype, _chooses(self.own, lane)) for place, lane in rows]


@attrs.frozen
class Split:
    """What a loop over windows runs, in parts.

    Args:
        lanes: The lanes of the state that are the same in all folds of as many elements.
        combine: The parts of ``combine``; the results of its shared part begin with these lanes.
        present: Those of ``present``.
    """

    lanes: tuple[int, ...]
    combine: Parts
    present: Parts

    def others(self, number: int) -> tuple[int, ...]:
        """The other lanes of a state of so many."""
        return tuple(lane for lane in range(number) if lane not in self.lanes)


@PROGRAMS.memoised
def split(prepare: Program, combine: Program, present: Program) -> Split:
    """The parts of what follows on what ``prepare`` makes."""
    number = len(prepare.results)
    lanes = _alike_lanes(prepare, combine)
    same = sorted(lanes) if len(lanes) < number else []  # a loop needs one lane that it walks for
    return Split(tuple(same), _combined(combine, same), _shown(present, same, number))


@attrs.frozen
class BackSplit:
    """What the gradient of windows runs, in parts.

    Args:
        lanes: As in `Split`.
        combine: The parts of ``combine``.
        back: Those of the cotangents of its operands.
        weigh: Those of the cotangents of a fold.
    """

    lanes: tuple[int, ...]
    combine: Parts
    back: Parts
    weigh: Parts


@PROGRAMS.memoised
def split_back(prepare: Program, combine: Program, back: Program, weigh: Program) -> BackSplit:
    """The parts of what follows on what ``prepare`` makes, and of the way back, which may read what is alike alone."""
    number = len(prepare.results)
    same = sorted(_alike_lanes(prepare, combine))
    left, right, both = _operands(same, number)
    pulled = _parts(back, both, left, right, [], list(back.results))
    return BackSplit(tuple(same), _combined(combine, same), pulled, _shown(weigh, same, number))


def _operands(same: list[int], number: int) -> tuple[list[int], list[int], list[int]]:
    """The other lanes of two states, and those of both that are the same."""
    others = [lane for lane in range(number) if lane not in same]
    return others, [number + lane for lane in others], [side * number + lane for side in (0, 1) for lane in same]


def _combined(combine: Program, same: list[int]) -> Parts:
    left, right, both = _operands(same, len(combine.results))
    wanted = [combine.results[lane] for lane in same], [combine.results[lane] for lane in left]
    return _parts(combine, both, left, right, *wanted)


def _shown(present: Program, same: list[int], number: int) -> Parts:
    """What is made of a fold, and of the inputs behind it."""
    others = [lane for lane in range(number) if lane not in same]
    inputs = list(range(number, present.num_lanes - sum(leaf.lanes for leaf in present.captures)))
    return _parts(present, same, others, inputs, [], list(present.results))


def _alike_lanes(prepare: Program, combine: Program) -> frozenset[int]:
    kept, number = set(numbers(prepare)), len(prepare.results)
    lanes = frozenset(
        lane for lane, value in enumerate(prepare.results) if value not in kept and _constant(prepare, value)
    )
    while True:
        alike = _alike_values(combine, {side * number + lane for lane in lanes for side in (0, 1)})
        grown = frozenset(lane for lane in lanes if combine.results[lane] in alike)
        if grown == lanes:
            return lanes
        lanes = grown


def _constant(program: Program, value: int) -> bool:
    return value >= program.num_lanes and program.code[value - program.num_lanes].op is Op.CONST


def _chooses(program: Program, value: int) -> bool:
    """Whether it is a truth value that nothing reads but selects, as what they choose by."""
    read = [(instr.op, place) for instr in program.code for place, arg in enumerate(instr.args) if arg == value]
    return value not in program.results and all(each == (Op.SELECT, 0) for each in read)


def _alike_values(program: Program, given: set[int]) -> frozenset[int]:
    """The values that follow from these, and constants of the text."""
    if not given:
        return frozenset()
    kept, found = set(numbers(program)), set(given)
    for value, instr in enumerate(program.code, program.num_lanes):
        if value not in kept and instr.op is not Op.LOOKUP and found.issuperset(instr.args):
            found.add(value)
    return frozenset(found)


def _parts(
    program: Program, same: list[int], left: list[int], right: list[int], shared: list[int], own: list[int]
) -> Parts:
    """A program in two, by the values that are the same, those of the operands, and its results in either part."""
    alike = _alike_values(program, set(same))
    read = _read(program, lambda value: value not in alike, own)
    crossing = [value for value in sorted(read & alike) if not _constant(program, value)]
    captured = range(program.num_lanes - sum(leaf.lanes for leaf in program.captures), program.num_lanes)
    return Parts(
        _restricted(program, same, [*shared, *crossing], len(same) // 2, 0),
        _restricted(program, [*left, *right, *crossing, *captured], own, len(left), len(right)),
        len(crossing),
    )


def _read(program: Program, inside: Callable[[int], bool], wanted: list[int]) -> set[int]:
    """All values that some values read, through those that are ``inside``."""
    found, open_ended = set(wanted), [*wanted]
    while open_ended:
        value = open_ended.pop()
        if value < program.num_lanes or not inside(value):
            continue
        new = set(program.code[value - program.num_lanes].args) - found
        found |= new
        open_ended += new
    return found


def _restricted(program: Program, given: list[int], wanted: list[int], arity: int, rights: int) -> Program:
    """Some values from others, lane by lane."""
    names = {value: place for place, value in enumerate(given)}
    inputs = tuple(Leaf(program.dtypes[value]) for value in given)
    code: list[Instr] = []
    needed = _read(program, lambda value: value not in names, wanted)
    for value, instr in enumerate(program.code, program.num_lanes):
        if value in needed and value not in names:
            names[value] = len(given) + len(code)
            code.append(Instr(instr.op, tuple(names[a] for a in instr.args), instr.dtype, instr.param))
    outputs = tuple(Leaf(program.dtypes[value]) for value in wanted)
    return Program(inputs, outputs, tuple(code), tuple(names[value] for value in wanted), arity, rights)
