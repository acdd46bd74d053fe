"""A program among other inputs: some of its own in another order, and some that it does not read."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.program.ir import Leaf, Program


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


def unchanged(leaves: Sequence[Leaf], captures: Sequence[Leaf]) -> Program:
    """What yields the leaves of a right operand as they are, beside captured arrays."""
    number = sum(leaf.lanes for leaf in leaves)
    return Program((*leaves, *captures), tuple(leaves), (), tuple(range(number)), 0, len(leaves))
