"""A program among other inputs: some of its own in another order, and some that it does not read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import attrs

from monoscan.lowering.program.ir import Instr, Leaf, Program


def placed(program: Program, inputs: Sequence[int | Leaf], arity: int, rights: int) -> Program:
    """The same program.

    Args:
        program: The program.
        inputs: For each input which of the program's it is, or the leaf of another; what it reads is among them.
        arity: How many of them are the left operand's.
        rights: How many are the right operand's.
    """
    leaves = tuple(program.inputs[each] if isinstance(each, int) else each for each in inputs)
    number, names = 0, dict[int, int]()
    for each, leaf in zip(inputs, leaves, strict=True):
        if isinstance(each, int):
            names |= {lane: number + place for place, lane in enumerate(program.input_lanes[each])}
        number += leaf.lanes
    names |= {program.num_lanes + place: number + place for place in range(len(program.code))}
    code = tuple(attrs.evolve(instr, args=tuple(names[a] for a in instr.args)) for instr in program.code)
    return Program(leaves, program.outputs, code, tuple(names[value] for value in program.results), arity, rights)


def chained(
    first: Program, then: Program, inputs: Sequence[Leaf], read: Sequence[int], besides: Sequence[int],
    arity: int, rights: int,
) -> Program:  # fmt: skip
    """A program on what another yields.

    Args:
        first: The other one.
        then: The program, whose first inputs are what that yields.
        inputs: The inputs of both.
        read: For each input of the other one which of them it is.
        besides: The same of the program's further inputs.
        arity: How many of the inputs are the left operand's.
        rights: How many are the right operand's.
    """
    starts = [0, *accumulate(leaf.lanes for leaf in inputs)]
    lanes = [range(start, start + leaf.lanes) for start, leaf in zip(starts, inputs, strict=False)]
    values = [lane for i in read for lane in lanes[i]]
    code = list[Instr]()
    for program in (first, then):
        if program is then:
            values = [*(values[v] for v in first.results), *(lane for i in besides for lane in lanes[i])]
        for instr in program.code:
            values.append(starts[-1] + len(code))
            code.append(attrs.evolve(instr, args=tuple(values[a] for a in instr.args)))
    results = tuple(values[v] for v in then.results)
    whole = Program(tuple(inputs), then.outputs, tuple(code), results, arity, rights)
    return whole.select(range(len(then.outputs)))


def unchanged(leaves: Sequence[Leaf], captures: Sequence[Leaf]) -> Program:
    """What yields the leaves of a right operand as they are, beside captured arrays."""
    number = sum(leaf.lanes for leaf in leaves)
    return Program((*leaves, *captures), tuple(leaves), (), tuple(range(number)), 0, len(leaves))
