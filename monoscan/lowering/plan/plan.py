"""A plan: what will run and why, as data that prints."""

from __future__ import annotations

from typing import Literal

import attrs

from monoscan.lowering.pictures import html
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.targets.cpu import target as cpu

Combination = Literal["native", "lanes", "vmap", "slices", "kernel", "none"]


@attrs.frozen
class Reason:
    """Why a row of the planner's table was, or was not, taken."""

    row: int
    title: str
    text: str


@attrs.frozen(eq=False)
class Plan:
    """The plan of one scan; `explain` returns it and `scan` runs it.

    Attributes:
        operator: The operator's name.
        strategy: The strategy.
        row: The row of the planner's table that chose it.
        device: The device type, ``"cpu"`` or ``"gpu"``.
        combine: How ``combine`` is run: ``"native"`` inside MLX's scan, ``"lanes"`` as the
            traced program on whole arrays, ``"vmap"``, ``"slices"`` as JAX does, or in a
            ``"kernel"``.
        reasons: For each row of the table that was looked at, why it was passed or taken.
        work: Combines in all, over the whole batch.
        depth: The longest chain of combines.
        bytes: An estimate of the bytes moved to and from memory.
        parts: The plans of a product's parts, each by its own row.
        problem: What was asked.
        sized: Whether it may hold the sizes that it was made for.
        scan: The same on aligned arrays, for portable and native plans of a traced ``combine``.
    """

    operator: str
    strategy: str
    row: int
    device: str
    combine: Combination
    reasons: tuple[Reason, ...]
    work: int
    depth: int
    bytes: int
    problem: Problem
    parts: tuple[Plan, ...] = ()
    scan: AlignedScan | None = None
    sized: bool = True

    @property
    def source(self) -> str:
        """The text of the kernels; empty where none runs."""
        if self.parts:
            return "\n".join(part.source for part in self.parts if part.source)
        return cpu.source(self.problem) if self.combine == "kernel" else ""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html.page(self)

    def summary(self) -> list[str]:
        """What is scanned, and below it the strategy, the work and what is captured."""
        layout, options = self.problem.layout, self.problem.options
        leaves = ", ".join(
            f"{name}{list(layout.with_length(batch, layout.length) + event)}"
            for name, batch, event in zip(self.problem.stored, layout.batch, layout.event, strict=True)
        )
        direction = ("reverse " if options.reverse else "") + ("" if options.inclusive else "exclusive ")
        direction += "shapeless " if options.shapeless else ""
        combined = f", combine by {self.combine}" if self.combine != "none" else ""
        lines = [
            f"{direction}{options.call} of {self.operator} over {leaves}, axis {layout.axis}, on {self.device}",
            f"  strategy  {self.strategy} (row {self.row}){combined}",
            f"  work      {self.work:,} combines, depth {self.depth}, about {_bytes(self.bytes)} moved",
        ]
        if self.problem.captures.arrays:
            captured = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in self.problem.captures.leaves)
            lines.append(f"  captured  {captured}")
        return lines

    def _lines(self) -> list[str]:
        lines = self.summary()
        for reason in self.reasons:
            mark = "->" if reason.row == self.row else "  "
            lines.append(f"  {mark} {reason.row} {reason.title:<13} {reason.text}")
        for i, part in enumerate(self.parts):
            lines += [f"  part {i}: {line}" if j == 0 else f"  {line}" for j, line in enumerate(part._lines())]
        return lines


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError
