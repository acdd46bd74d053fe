"""What an act is beside a scan of its elements: states, with a tree, dtypes and a geometry of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cached_property
from itertools import combinations

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Leaf, Program, Shape, Signature
from monoscan.lowering.trace.combine import Traced


@attrs.frozen(eq=False)
class Acts:
    """How elements act on states.

    Args:
        structure: The tree of a state.
        leaves: The dtype of accumulation and the event shape of each leaf.
        results: The dtype of each result; of a loop the first leaves are what is shown, the others the state.
        given: The batch shape of each leaf of the state that is given; ``None`` where the first element begins it.
        act: The program of ``act``, or why there is none.
        begin: That of ``begin``, where it is asked.
        elements: The geometry of elements.
        ordered: Elements are not combined: states come one after another, as those of a loop.
    """

    structure: tree.Structure
    leaves: tuple[Leaf, ...]
    results: tuple[str, ...]
    given: tuple[Shape, ...] | None
    act: Traced
    begin: Traced | None
    elements: Layout
    ordered: bool = False

    def wanted(self, carry: bool) -> tuple[int, ...]:
        """The leaves that are shown, and those of the carry if it is wanted."""
        return tuple(range(len(self.leaves if carry else self.results)))

    @property
    def traced(self) -> bool:
        """Whether there are programs of all that is asked."""
        return self.act.program is not None and (self.begin is None or self.begin.program is not None)

    @property
    def arrays(self) -> tuple[ArrayProgram, ArrayProgram | None] | None:
        """The array programs of ``act`` and, where it is asked, of ``begin``; ``None`` where one is missing."""
        begin = None if self.begin is None else self.begin.arrays
        if self.act.arrays is None or (self.begin is not None and begin is None):
            return None
        return self.act.arrays, begin

    @property
    def programs(self) -> tuple[Signature, Signature | None] | None:
        """The programs of both, of either kind; ``None`` where something could not be traced."""
        if not self.traced or self.act.program is None:
            return self.arrays
        return self.act.program, self.begun

    @property
    def begun(self) -> Program | None:
        """The program of ``begin``, where it is asked."""
        return None if self.begin is None else self.begin.program

    @cached_property
    def joint(self) -> Layout:
        """The geometry of elements and of the state that is given, together."""
        return attrs.evolve(self.elements, init=self.given)

    @cached_property
    def layout(self) -> Layout:
        """The geometry of the results: each leaf has the batch axes of all that it depends on.

        Raises:
            ValueError: They do not broadcast.
        """
        batch = tuple(tuple(mx.broadcast_shapes(*self._batches(leaf), ())) for leaf in range(len(self.leaves)))
        alone = tuple((leaf,) for leaf in range(len(batch)))
        return Layout(self.elements.length, self.elements.axis, batch, None, tuple(x.shape for x in self.leaves), alone)

    def _batches(self, leaf: int) -> list[Shape]:
        read, states = self.reads(leaf)
        given = [] if self.given is None else [self.given[i] for i in states]
        bounds = [self.elements.bounds] if self.elements.bounds else []
        return [self.elements.result_batches[i] for i in read] + given + bounds

    def reads(self, leaf: int) -> tuple[Iterable[int], Iterable[int]]:
        """The leaves of elements and of the first state that a leaf depends on; all, of what could not be traced."""
        found = self.programs
        if found is None:
            return range(len(self.elements.batch)), range(len(self.leaves))
        step, begin = found
        states = step.carried((leaf,))
        read = frozenset[int]().union(*(step.reads[i][1] for i in states))
        if begin is not None:
            read |= frozenset[int]().union(*(begin.reads[i][1] for i in states))
        return read, states


@PROGRAMS.memoised
def part_of(act: Program, combine: Program) -> tuple[int, ...] | None:
    """The leaves, ascending, of which ``combine`` does what an action does to its states; ``None`` if there are none.

    Products of elements then hold the states: those of affine maps their shift.
    """
    for leaves in combinations(range(combine.arity), act.arity):
        if tuple(combine.outputs[i] for i in leaves) != act.outputs or not _reads_alone(combine, leaves):
            continue
        kept = [*leaves, *range(combine.arity, len(combine.inputs))]
        part = combine.select(leaves).reorder(kept, act.arity, combine.rights)
        numbered: dict[Hashable, int] = {}
        if part.inputs == act.inputs and _numbers(part, numbered) == _numbers(act, numbered):
            return leaves
    return None


def _reads_alone(combine: Program, leaves: tuple[int, ...]) -> bool:
    return all(combine.reads[i][0] <= set(leaves) for i in leaves)


def _numbers(program: Program, numbered: dict[Hashable, int]) -> list[int]:
    """The results by numbers that equal values share, also those of other programs on the same inputs."""
    names = [numbered.setdefault(("input", lane), len(numbered)) for lane in range(program.num_lanes)]
    for instr in program.code:
        key = (instr.op, tuple(names[a] for a in instr.args), instr.dtype, repr(instr.param))
        names.append(numbered.setdefault(key, len(numbered)))
    return [names[value] for value in program.results]
