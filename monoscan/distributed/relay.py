"""A split sequence in order: each rank waits for the true state of the one before it, and sends its own on.

What products of elements break is whole this way, as gates above 1 over states of zero; and acts whose products cost
more than ranks gain are as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors
from monoscan.distributed.exchange import Link
from monoscan.distributed.lists import parted
from monoscan.distributed.part import Leaves, Part
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.mapped import listed


@attrs.frozen(eq=False)
class Relay:
    """One call that goes from rank to rank.

    Args:
        part: What this rank holds.
        link: The ranks.
        holding: Those that hold elements, in fold order.
        carrying: Whether all ranks want the last state.
    """

    part: Part
    link: Link
    holding: Sequence[int]
    carrying: bool

    def forward(self, leaves: Leaves, start: Leaves, captures: Captures) -> tuple[Leaves, Leaves, Leaves]:
        """The results of this rank, the last state of all where it is wanted, and the state before this rank."""
        state, ahead, results = start, start, None
        for rank in self.holding:
            own = None
            if rank == self.link.rank:
                ahead = state
                results, own = self.part.walk(leaves, state or None, captures)
            if self.carrying or rank != self.holding[-1]:
                state = self._sent(rank, own, "state")
        if results is None:  # no elements are here
            results = self.part.results(leaves, start or None, captures) if self.part.asked.results else []
        return results, state if self.carrying else [], ahead

    def backward(
        self, pull: Callable[[Leaves], tuple[Leaves, ...]], ends: Leaves, inputs: Leaves
    ) -> tuple[tuple[Leaves, ...] | None, Leaves]:
        """What this rank's walk back gives, nothing of a rank without elements; and the cotangent that was sent last.

        Args:
            pull: The cotangents of leaves, of the state before them and of captured arrays, from that of the last state.
            ends: This rank's cotangent of the last state of all.
            inputs: All that the call has derivatives of.
        """
        carried, mine = self._zeros(), None
        if self.carrying:
            carried = [x.sum(axis=0) for x in self._gathered(ends, "cotangent of the last state", inputs)]
        for rank in reversed(self.holding):
            own = None
            if rank == self.link.rank:
                mine = pull(carried)
                own = mine[1]
            if rank != self.holding[0]:
                carried = self._sent(rank, own, "cotangent", inputs)
        return mine, carried

    def tangents(
        self, push: Callable[[Leaves, Leaves], tuple[Leaves, Leaves]], start: Leaves, moved: Leaves, inputs: Leaves
    ) -> tuple[Leaves | None, Leaves, Leaves, Leaves]:
        """The tangents of this rank's results, nothing of a rank without elements; of the last state of all where it is
        wanted, and of the state before this rank; and what was sent last.

        Args:
            push: The tangents of results, and the last state with its own, from the state before them and its own.
            start: The leaves of the start.
            moved: Their tangents.
            inputs: All that the call has derivatives of.
        """
        state, ahead, mine, sent = start, moved, None, []
        for rank in self.holding:
            own = self._zeros() + self._zeros()
            if rank == self.link.rank:
                ahead = moved
                mine, own = push(state, moved)
            if self.carrying or rank != self.holding[-1]:
                sent = self._sent(rank, own, "state and tangent", inputs)
                state, moved = parted(sent, len(sent) // 2)
        return mine, moved if self.carrying else [], ahead, sent

    def _zeros(self) -> Leaves:
        return [mx.zeros(shape, dtype) for shape, dtype in self.part.last]

    def _sent(self, rank: int, own: Leaves | None, what: str, inputs: Leaves | None = None) -> Leaves:
        """What one rank sends, on all."""
        own = self._zeros() if own is None else own
        return [x[rank] for x in self._gathered(own, f"{what} of rank {rank}", inputs or [])]

    def _gathered(self, leaves: Leaves, what: str, inputs: Leaves) -> Leaves:
        """The leaves of all ranks; derivatives are refused, of what any of the inputs leads to on any rank."""
        number, link, said = len(leaves), self.link, f"{what}, {self.part.said()}"

        @mx.custom_function
        def forward(*xs: mx.array) -> Leaves:
            return link.swap([mx.stop_gradient(x) for x in xs[:number]], said)[0]

        def refuse(*_: Any) -> Leaves:
            error = errors.DistributedError(
                f"[{link.call}] was done in order, from rank to rank, since a total is not finite; it has first derivatives "
                "alone."
            )
            link.report(error)  # the rank that comes last in fold order waits for no one, and would go on
            raise error

        forward.vjp(refuse)
        forward.jvp(refuse)
        return listed(forward(*leaves, *inputs))
