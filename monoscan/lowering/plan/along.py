"""The kernel of an aggregator along a row, in vectors of its steps: a scan of elements that are in no memory."""

from __future__ import annotations

import attrs

from monoscan.lowering.plan.acts import part_of
from monoscan.lowering.plan.fused_act import Read, begins_with
from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.render.around import Around
from monoscan.lowering.render.spec import KernelSpec


@attrs.frozen
class RowPrograms:
    """What an aggregator does with a row. All programs read the same captured arrays, fixed inputs among them.

    Args:
        prepare: From inputs to an element.
        combine: The operator's.
        act: Its action, from a state and an element.
        begin: From an element to the state that it begins; None where one is given.
        present: From a state and inputs to outputs.
        ordinary: For each leaf of the elements the infinities that are as good as any value.
    """

    prepare: Program
    combine: Program
    act: Program
    begin: Program | None
    present: Program
    ordinary: tuple[Kinds, ...]


def along_row(
    ordered: KernelSpec, read: Read, programs: RowPrograms, outputs: int, inclusive: bool
) -> KernelSpec | None:
    """The kernel; ``None`` where products of elements do not yield the states.

    Args:
        ordered: The kernel that keeps the order.
        read: The inputs that it reads, its outputs and states, and its step.
        programs: What the aggregator does.
        outputs: How many leaves it puts out, whether or not they are asked for.
        inclusive: Whether the state after a position is presented, and not that before it.
    """
    leaves, held, step = read
    states = tuple(i - outputs for i in held if i >= outputs)
    found = part_of(programs.act, programs.combine)
    whole = programs.combine.outputs == programs.combine.elements
    if found is None or not whole or any(step.parts) or not begins_with(programs.begin, found):
        return None
    kept = tuple(found[i] for i in states)
    scan = attrs.evolve(
        ordered, combine=programs.combine, emit=kept, held=kept, last=None, action=False, begin=None,
        ordinary=programs.ordinary, inclusive=inclusive,
    )  # fmt: skip
    prepare = _on(programs.prepare.select(scan.tree), (), leaves)
    present = _on(programs.present.select(held[: len(held) - len(states)]), states, leaves)
    if prepare is None or present is None:
        return None
    return attrs.evolve(scan, around=Around(prepare, present if present.outputs else None))


def _on(program: Program, states: tuple[int, ...], leaves: tuple[int, ...]) -> Program | None:
    """A program on some of the states and inputs; ``None`` where it reads others."""
    first = program.arity + program.rights
    kept = [*states, *(program.arity + i for i in leaves), *range(first, len(program.inputs))]
    if not frozenset[int]().union(*program.depends) <= set(kept):
        return None
    return program.reorder(kept, len(states), len(leaves))
