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
        rows: How many rows there are beside one another.
        acting: Whether elements act on states.
    """

    call: str
    ranks: int
    state: int
    totals: Plan
    results: Plan | None
    rows: int
    acting: bool

    @property
    def collectives(self) -> int:
        """All-gathers of a call; its gradient takes `gradient_collectives` more."""
        return 0 if self.ranks == 1 else 1 + (self.state > ROOM)

    @property
    def gradient_collectives(self) -> int:
        """All-gathers of a gradient, which sends a cotangent for the total of each rank."""
        return 0 if self.ranks == 1 else 1 + (self.ranks * self.state > ROOM)

    @property
    def bytes(self) -> int:
        """What a rank sends in a call."""
        return 0 if self.ranks == 1 else _sent(self.state)

    @property
    def gradient_bytes(self) -> int:
        """What a rank sends in a gradient."""
        return 0 if self.ranks == 1 else _sent(self.ranks * self.state)

    @property
    def nanoseconds(self) -> float:
        """The passes of one rank, by the estimates of their plans."""
        return (_nanoseconds(self.totals) if self.ranks > 1 else 0.0) + self._second

    @property
    def _second(self) -> float:
        return 0.0 if self.results is None else _nanoseconds(self.results)

    @property
    def speedup(self) -> float:
        """How many times faster than one rank with all elements: projected, without what messages take."""
        alone = self._second or _nanoseconds(self.totals)
        return self.ranks * alone / self.nanoseconds if self.nanoseconds else 1.0

    def __str__(self) -> str:
        second = "none" if self.results is None else f"{self.results.strategy}, {self._second / 1e3:.3g} us"
        lines = [
            f"{self.call}, on {self.ranks} rank{'s' * (self.ranks > 1)}",
            f"  sent      {_gathers(self.collectives)}, {self.bytes:,} B from each rank; total of {self.state:,} B",
            f"  gradient  {_gathers(self.gradient_collectives)}, {self.gradient_bytes:,} B from each rank",
            f"  totals    {self.totals.strategy}, {_nanoseconds(self.totals) / 1e3:.3g} us"
            if self.ranks > 1
            else "  totals    none",
            f"  results   {second}",
            f"  projected {self.nanoseconds / 1e3:.3g} us without messages, {self.speedup:.2g} times as fast as one rank",
        ]
        if self.acting and self.ranks > 1:
            relay = self.ranks * self.rows / (self.rows + self.ranks - 1)
            lines.append(
                f"  relay     {relay:.2g} times, were rows sent from rank to rank one after another (not built in)"
            )
        return "\n".join(lines)

    __repr__ = __str__


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
    rows = max(prod(batch) for batch in layout.result_batches)
    results = part.plan if part.asked.results else None
    return SplitPlan(part.said(), ranks, state, totals, results, rows, part.acting)
