"""Kernels of an aggregator along a row, in vectors of its steps: scans and acts of elements that are in no memory."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.plan.acts import part_of
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused_act import Read, begins_with, by_runs
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


@attrs.frozen
class AlongRow:
    """The kernels of one aggregator.

    Args:
        ordered: The kernel that keeps the order.
        read: The inputs that it reads, its outputs and states, and its step.
        programs: What the aggregator does.
        outputs: How many leaves it puts out, whether or not they are asked for.
        inclusive: Whether the state after a position is presented, and not that before it.
    """

    ordered: KernelSpec
    read: Read
    programs: RowPrograms
    outputs: int
    inclusive: bool

    def by_products(self) -> KernelSpec | None:
        """The one that combines elements; ``None`` where their products do not yield the states."""
        programs, held = self.programs, part_of(self.programs.act, self.programs.combine)
        whole = programs.combine.outputs == programs.combine.elements
        if held is None or not whole or not begins_with(programs.begin, held):
            return None
        kept = tuple(held[i] for i in self.states)
        scan = attrs.evolve(
            self.ordered, combine=programs.combine, emit=kept, held=kept, last=None, action=False, begin=None,
            ordinary=programs.ordinary, inclusive=self.inclusive,
        )  # fmt: skip
        return self._with_around(scan, programs.prepare.select(scan.tree))

    def by_runs(self) -> KernelSpec | None:
        """The one that acts runs side by side, each from its true state; ``None`` where products do not tell of that."""
        programs, states = self.programs, self.states
        act = on(programs.act.select(states), states, range(programs.act.rights))
        if act is None:
            return None
        begin = None if programs.begin is None else programs.begin.select(states)
        everything = tuple(range(len(states)))
        scan = AlignedScan(act, everything, (), action=True, combine=programs.combine, begin=begin)
        ordered = attrs.evolve(
            self.ordered, combine=act, begin=begin, emit=everything, last=None, inclusive=self.inclusive
        )
        inputs = set(range(programs.prepare.rights))
        fixed = tuple(i for i, read in enumerate(programs.prepare.depends) if not read & inputs)
        found = by_runs(ordered, scan, programs.ordinary, fixed)
        return None if found is None else self._with_around(found, programs.prepare)

    @property
    def states(self) -> tuple[int, ...]:
        """The leaves of the state that are held."""
        return tuple(i - self.outputs for i in self.read[1] if i >= self.outputs)

    def _with_around(self, spec: KernelSpec, prepare: Program) -> KernelSpec | None:
        leaves, held, step = self.read
        made = on(prepare, (), leaves)
        shown = on(self.programs.present.select([i for i in held if i < self.outputs]), self.states, leaves)
        if made is None or shown is None or any(step.parts):
            return None
        return attrs.evolve(spec, around=Around(made, shown if shown.outputs else None))


def on(program: Program, states: Sequence[int], leaves: Sequence[int]) -> Program | None:
    """A program on some of the states and inputs; ``None`` where it reads others."""
    first = program.arity + program.rights
    kept = [*states, *(program.arity + i for i in leaves), *range(first, len(program.inputs))]
    if not frozenset[int]().union(*program.depends) <= set(kept):
        return None
    return program.reorder(kept, len(states), len(leaves))
