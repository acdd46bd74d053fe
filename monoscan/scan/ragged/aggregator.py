"""An aggregator on inputs with flags: which positions count, and where sequences begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.scan.ragged.operator import flagged, select
from monoscan.tree import Tree


@final
@attrs.frozen
class RaggedAggregator(Aggregator):
    """The aggregator on inputs ``(valid, ...)``, ``(head, valid, ...)`` or ``(head, valid, *start, ...)``.

    Outputs are zero where an input is not valid.

    Args:
        inner: The aggregator.
        operator: Its operator on elements with flags.
        event: How many trailing axes of each input belong to a position.
        heads: Inputs say whether they are the first of a sequence.
        form: The tree of the state that a sequence starts from, whose leaves are inputs; ``None`` where they are not.
        begun: No state is given: states have a flag whether anything came.
        inclusive: The state that is presented is that after the position.
        shows: The state with its flags is an output too.
    """

    inner: Aggregator
    operator: Semigroup = attrs.field()  # type: ignore[misc]  # fields here, class attributes elsewhere
    event: tuple[int, ...] = attrs.field()  # type: ignore[misc]
    heads: bool = False
    form: tree.Structure | None = None
    begun: bool = False
    inclusive: bool = True
    shows: bool = False

    @property
    def name(self) -> str:
        return self.inner.name

    def prepare(self, *inputs: Any) -> Any:
        flags, start, own = self._apart(inputs)
        return flagged(self.inner.operator, flags, *start, self.inner.prepare(*own))

    def present(self, state: Any, *inputs: Any) -> Any:
        flags, start, own = self._apart(inputs)
        before = unflagged(self.inner.operator, state) if self.begun else state
        if not self.inclusive and start:
            before = select(flags[0], start[0], before)
        output = self.inner.present(before, *own)
        output = select(flags[-1], output, tree.map_leaves(mx.zeros_like, output))
        return (output, state) if self.shows else output

    def _apart(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Tree], Sequence[Any]]:
        """Flags, the state to start from, and the aggregator's own inputs."""
        first = 1 + self.heads
        number = 0 if self.form is None else tree.count(self.form)
        start = [] if self.form is None else [tree.unflatten(self.form, inputs[first : first + number])]
        return list(inputs[:first]), start, inputs[first + number :]


def unflagged(operator: Semigroup, state: Tree, flag: int = -1) -> Tree:
    """The states behind flags; or the flags, the first of each part."""
    if not operator.parts:
        return state[flag]
    rows = zip(operator.parts, copies.entries(state), strict=True)
    return copies.like(state, [unflagged(part, s, flag) for part, s in rows])
