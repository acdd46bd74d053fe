"""A call on all ranks while it runs: its pieces, and what ranks have told one another."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx
import numpy as np

from monoscan.distributed.exchange import Link
from monoscan.distributed.part import Leaves, Part
from monoscan.distributed.relay import Relay
from monoscan.lowering.trace.reads.captures import Captures, capture


@attrs.frozen
class Sizes:
    """How many arrays of each kind there are."""

    leaves: int
    start: int
    totals: int


@attrs.define(eq=False)
class Ranks:
    """What is known once ranks have told one another.

    Args:
        holding: Those that hold something, in the order of ranks.
        before: Those of them that come before this one.
        in_order: Whether a total is not finite, so that the call goes from rank to rank.
        known: How many arrays of what ranks told are kept for derivatives.
    """

    holding: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    in_order: bool = False
    known: int = 0


@attrs.frozen(eq=False)
class Call:
    """A call on the ranks of a link; its pieces are functions of flat lists of arrays, as ``mx.vjp`` takes them."""

    part: Part
    link: Link
    carrying: bool
    ranks: Ranks = attrs.field(factory=Ranks)

    @property
    def sizes(self) -> Sizes:
        """How many arrays of each kind there are."""
        return Sizes(len(self.part.leaves), len(self.part.start or ()), len(self.part.problem.accumulators))

    def totals(self, leaves: Leaves, captures: Captures) -> Leaves:
        """The totals of all ranks; afterwards it is known who holds what."""
        part = self.part
        with self.link.telling():
            own = part.total(leaves, captures)
        gathered, lengths = self.link.swap(own, part.said(), part.length)
        self.meet(lengths)
        return gathered

    def meet(self, lengths: Sequence[int]) -> None:
        """Learns how many elements each rank holds."""
        rank, after = self.link.rank, self.part.asked.reverse
        self.ranks.holding = tuple(i for i, length in enumerate(lengths) if length)
        self.ranks.before = tuple(i for i in self.ranks.holding if (i > rank if after else i < rank))

    def are_broken(self, totals: Leaves) -> bool:
        """Whether what comes before a rank may have lost by products what the order keeps: known alike on all ranks."""
        behind = self.relay.holding if self.carrying else self.relay.holding[:-1]
        return any(self.part.is_broken(np.array(rows)[list(behind)], i) for i, rows in enumerate(totals))

    @property
    def said(self) -> str:
        """What gathers of cotangents and tangents are of."""
        return "gradient of " + self.part.said()

    @property
    def relay(self) -> Relay:
        """The same from rank to rank."""
        order = self.ranks.holding[::-1] if self.part.asked.reverse else self.ranks.holding
        return Relay(self.part, self.link, order, self.carrying)

    def captured(self, arrays: Sequence[mx.array]) -> Captures:
        """The operator with these arrays."""
        captures = self.part.captures
        return capture(captures.rebuild(arrays), self.part.asked.call) if arrays else captures

    def prefix(self, totals: Leaves, start: Leaves, arrays: Leaves) -> Leaves:
        """What comes before this rank; nothing where there is nothing."""
        return self.part.before(totals, self.ranks.before, start or None, self.captured(arrays)) or []

    def carry(self, totals: Leaves, start: Leaves, arrays: Leaves) -> Leaves:
        """What comes after all ranks, where it is wanted."""
        if not self.carrying:
            return []
        return self.part.before(totals, self.ranks.holding, start or None, self.captured(arrays)) or []

    def walked(self, leaves: Leaves, ahead: Leaves, arrays: Leaves) -> Leaves:
        """The results of this rank, and the state after its last element."""
        results, last = self.part.walk(leaves, ahead or None, self.captured(arrays))
        return results + last

    def results(self, leaves: Leaves, prefix: Leaves, arrays: Leaves) -> Leaves:
        """The results of this rank."""
        if not self.part.asked.results:
            return []
        return self.part.results(leaves, prefix or None, self.captured(arrays))
