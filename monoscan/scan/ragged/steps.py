"""The step of a loop that knows which elements are valid and where sequences start."""

from __future__ import annotations

from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.monoids.base import Element
from monoscan.scan.loop import Steps
from monoscan.scan.ragged.operator import select


@final
@attrs.frozen
class RaggedSteps(Steps):
    """A step on ``(valid, x)``, or ``(head, valid, start, x)``: what is not valid moves nothing, and its output is zero.

    Args:
        heads: Elements say whether they are the first of a sequence, and hold the state that it starts from.
        starts: The event axes of that state, leaf by leaf.
        shows: The state after the step is an output too.
    """

    heads: bool = False
    starts: tuple[int, ...] = ()
    shows: bool = False

    def taken(self, state: Any, element: Element) -> Any:
        *flags, valid, start, x = element if self.heads else (element[0], None, element[1])
        before = select(flags[0], start, state) if self.heads else state
        after, output = Steps.taken(self, before, x)
        after, output = select(valid, after, before), select(valid, output, tree.map_leaves(mx.zeros_like, output))
        return after, (output, after) if self.shows else output

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        inner = self.event if isinstance(self.event, tuple) else (self.event,) * tree.count(structure[-1][-1])
        return (0, 0, *self.starts, *inner) if self.heads else (0, *inner)
