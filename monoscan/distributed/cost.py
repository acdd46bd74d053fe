"""What a split call costs: collectives and bytes by counting, time by the estimates of plans. Nothing is sent for it."""

from __future__ import annotations

from math import prod

import attrs

from monoscan import dtypes, tree
from monoscan.distributed.frame import FRAME, ROOM
from monoscan.distributed.part import Part
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.plan import Plan
from monoscan.scan import call

BYTES_A_NANOSECOND = 10.0
"""What a pass moves whose loops were not compared: measured on one thread of a server, and no more than a guess elsewhere."""


@attrs.frozen
class SplitPlan:
    """What each rank does in a call; it prints.

    Attributes:
        call: What is asked.
        ranks: How many ranks there are.
        state: The bytes of a total, which each rank sends.
        totals: The plan of the first pass.
        results: The plan of the second pass; ``None`` of a fold.
        relayed: The bytes of a state, which goes from rank to rank; 0 where totals are sent.
        hops: How many ranks send one.
        acting: Whether elements act on states.
    """

    call: str
    ranks: int
    state: int
    totals: Plan
    results: Plan | None
    relayed: int
    hops: int
    acting: bool

    @property
    def collectives(self) -> int:
        """All-gathers of a call; its gradient takes `gradient_collectives` more."""
        if self.ranks == 1:
            return 0
        return 1 + self.hops * (1 + (self.relayed > ROOM)) if self.relayed else 1 + (self.state > ROOM)

    @property
    def gradient_collectives(self) -> int:
        """All-gathers of a gradient, which sends a cotangent for the total of each rank; what was relayed, totals too."""
        if self.ranks == 1:
            return 0
        return 1 + (self.ranks * self.state > ROOM) + bool(self.relayed) * (1 + (self.state > ROOM))

    @property
    def bytes(self) -> int:
        """What a rank sends in a call."""
        if self.ranks == 1:
            return 0
        return FRAME + self.hops * _sent(self.relayed) if self.relayed else _sent(self.state)

    @property
    def gradient_bytes(self) -> int:
        """What a rank sends in a gradient."""
        if self.ranks == 1:
            return 0
        return _sent(self.ranks * self.state) + (_sent(self.state) if self.relayed else 0)

    @property
    def nanoseconds(self) -> float:
        """From the first rank's start to the last one's end, by the estimates of the plans of its passes."""
        return self.ranks * self._second if self.relayed else self._at_once

    @property
    def _at_once(self) -> float:
        return (_nanoseconds(self.totals) if self.ranks > 1 else 0.0) + self._second

    @property
    def _second(self) -> float:
        return 0.0 if self.results is None else _nanoseconds(self.results)

    @property
    def speedup(self) -> float:
        """How many times faster than one rank with all elements: projected, without what messages take."""
        return self._gain(self.nanoseconds)

    def _gain(self, taken: float) -> float:
        alone = self._second or _nanoseconds(self.totals)
        return self.ranks * alone / taken if taken else 1.0

    def __str__(self) -> str:
        second = "none" if self.results is None else f"{self.results.strategy}, {self._second / 1e3:.3g} us"
        total = (
            "none" if self.ranks == 1 or self.relayed else f"{self.totals.strategy}, {_us(_nanoseconds(self.totals))}"
        )
        said = f"state of {self.relayed:,} B" if self.relayed else f"total of {self.state:,} B"
        lines = [
            f"{self.call}, on {self.ranks} rank{'s' * (self.ranks > 1)}",
            f"  sent      {_gathers(self.collectives)}, {self.bytes:,} B from each rank; {said}",
            f"  gradient  {_gathers(self.gradient_collectives)}, {self.gradient_bytes:,} B from each rank",
            f"  totals    {total}",
            f"  results   {second}",
            f"  projected {_us(self.nanoseconds)} without messages, {self.speedup:.2g} times as fast as one rank",
        ]
        return "\n".join([*lines, *self._ways()] if self.acting and self.ranks > 1 else lines)

    def _ways(self) -> list[str]:
        """What both ways of an act take."""
        at_once, in_order = self._at_once, self.ranks * self._second
        chosen = [" (chosen)" * (bool(self.relayed) is relayed) for relayed in (False, True)]
        return [
            f"  products  {_us(at_once)} on all ranks at once, {self._gain(at_once):.2g} times as fast{chosen[0]}",
            f"  relay     {_us(in_order)}, each rank from the true state of the one before it{chosen[1]}",
        ]

    __repr__ = __str__


def _us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e3:.3g} us"


def _gathers(number: int) -> str:
    return "1 all-gather" if number == 1 else f"{number} all-gathers"


def _sent(state: int) -> int:
    return FRAME + (state if state > ROOM else 0)


def _nanoseconds(plan: Plan) -> float:
    """The time of a plan: by the estimates of its loops where several were compared, else by what it moves."""
    compared = [kernel.compared for kernel in plan.kernels if isinstance(kernel, Fused)]
    if compared and all(compared):
        return sum(min(taken for _, taken in each) for each in compared)
    return plan.bytes / BYTES_A_NANOSECOND


def split_plan(part: Part, ranks: int) -> SplitPlan:
    """The plan of a call on this many ranks, each with a part like this one."""
    layout, problem = part.whole, part.problem
    shapes = [layout.carry_shape(i) for i in range(len(problem.accumulators))]
    state = sum(prod(shape) * dtypes.itemsize(name) for shape, name in zip(shapes, problem.accumulators, strict=True))
    asked = call.options(part.asked.call, reverse=part.asked.reverse, results=False, strategy=part.asked.strategy)
    elems = tree.unflatten(problem.structure, part.leaves)
    totals = call.prepare(asked, part.captures, elems, layout.axis)[0] if layout.length else part.plan
    results = part.plan if part.asked.results else None
    relayed = part.is_relayed(ranks)
    last = sum(prod(shape) * kind.size for shape, kind in part.last) if relayed else 0
    hops = ranks - 1 + part.asked.return_carry if relayed else 0
    return SplitPlan(part.said(), ranks, state, totals, results, last, hops, part.acting)
