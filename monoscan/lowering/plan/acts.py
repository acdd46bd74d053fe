"""What an act is beside a scan of its elements: states, with a tree, dtypes and a geometry of their own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.program.ir import Leaf, Program, Shape
from monoscan.lowering.trace.combine import Traced


@attrs.frozen(eq=False)
class Acts:
    """How elements act on states.

    Args:
        structure: The tree of a state.
        leaves: The dtype of accumulation and the event shape of each leaf.
        results: The dtype of each result.
        given: The batch shape of each leaf of the state that is given; ``None`` where the first element begins it.
        act: The program of ``act``, or why there is none.
        begin: That of ``begin``, where it is asked.
        elements: The geometry of elements.
    """

    structure: tree.Structure
    leaves: tuple[Leaf, ...]
    results: tuple[str, ...]
    given: tuple[Shape, ...] | None
    act: Traced
    begin: Traced | None
    elements: Layout

    @property
    def traced(self) -> bool:
        """Whether there are programs of all that is asked."""
        return self.act.program is not None and (self.begin is None or self.begin.program is not None)

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
        read, states = self._reads(leaf)
        given = [] if self.given is None else [self.given[i] for i in states]
        return [self.elements.result_batches[i] for i in read] + given

    def _reads(self, leaf: int) -> tuple[Iterable[int], Iterable[int]]:
        """The leaves of elements and of the first state that a leaf depends on; all, of what could not be traced."""
        step, begin = self.act.program, self.begun
        if step is None or not self.traced:
            return range(len(self.elements.batch)), range(len(self.leaves))
        states = step.carried((leaf,))
        read = frozenset[int]().union(*(step.reads[i][1] for i in states))
        if begin is not None:
            read |= frozenset[int]().union(*(begin.reads[i][1] for i in states))
        return read, states
