"""A plan: what will run and why, as data that prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

from monoscan import errors
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.plan.shown import launch_lines, loop_line, size, states, steady, time
from monoscan.lowering.program.ir import Program
from monoscan.lowering.render.source import render

if TYPE_CHECKING:  # pictures and GPUs are imported where they are asked for
    from monoscan.lowering.pictures.html import Section
    from monoscan.lowering.pictures.network import Network
    from monoscan.lowering.plan.gpu import GpuKernel

Executable = Callable[..., tuple[Sequence[Any], Sequence[Any]]]
"""Runs a plan: ``run(leaves, captures, init)`` returns result leaves and carry leaves."""


@attrs.frozen
class Reason:
    """Why a row of the planner's table was, or was not, taken."""

    row: int
    title: str
    text: str


@attrs.frozen
class Trivial:
    """At most one combine."""

    combine = "none"


@attrs.frozen
class Native:
    """MLX's own scan, of these aligned arrays."""

    scan: AlignedScan
    combine = "native"


@attrs.frozen
class Kernels:
    """Fused loops: one or more for each shape of results."""

    fused: tuple[Fused, ...]
    combine = "kernel"


@attrs.frozen
class GpuKernels:
    """Launches on a GPU: one kernel, of one launch or several, for each shape of results.

    Args:
        fused: The kernels.
        target: What they are made for: ``metal`` or ``cuda``.
    """

    fused: tuple[GpuKernel, ...]
    target: str
    combine = "kernel"


@attrs.frozen
class Portable:
    """A portable strategy, by operations on whole arrays.

    Args:
        strategy: Its name.
        combine: How ``combine`` runs: as the traced program on arrays of lanes, by ``mx.vmap``, or on slices as in JAX.
        scan: The same on aligned arrays; ``None`` without a program, or where the identity is no constant.
    """

    strategy: str
    combine: Literal["lanes", "vmap", "slices"]
    scan: AlignedScan | None


@attrs.frozen(eq=False)
class EachPart:
    """Each part of a product by a plan of its own."""

    plans: tuple[Plan, ...]
    combine = "none"


@attrs.frozen
class Restart:
    """What an exclusive scan does when it has run: it puts what comes before them in front of segments.

    Args:
        program: `Semigroup.before` as it was traced; ``None`` where it runs by ``mx.vmap``.
    """

    program: Program | None


Way = Trivial | Native | Kernels | GpuKernels | Portable | EachPart


@attrs.define(eq=False, on_setattr=attrs.setters.frozen)
class Plan:
    """The plan of one scan; `explain` returns it and `scan` runs it.

    Attributes:
        operator: The operator's name.
        problem: What was asked.
        strategy: The strategy.
        row: The row of the planner's table that chose it.
        way: What runs.
        restart: What an exclusive scan does after it, if anything.
        reasons: For each row of the table that was looked at, why it was passed or taken.
        work: Combines in all, over the whole batch.
        depth: The longest chain of combines.
        bytes: An estimate of the bytes moved to and from memory.
        sized: Whether it may hold the sizes that it was made for.
        executable: Runs it; made when it runs for the first time, for that may compile.
    """

    operator: str
    problem: Problem
    strategy: str
    row: int
    way: Way
    reasons: tuple[Reason, ...]
    work: int
    depth: int
    bytes: int
    restart: Restart | None = None
    sized: bool = True
    executable: Executable | None = attrs.field(default=None, init=False, on_setattr=attrs.setters.NO_OP)

    def __reduce__(self) -> tuple[type[Plan], tuple[Any, ...]]:
        """A copy, or one that travels, holds no executable and makes its own when it runs."""
        return Plan, tuple(getattr(self, field.name) for field in attrs.fields(Plan) if field.init)

    @property
    def device(self) -> str:
        """The device type, ``"cpu"`` or ``"gpu"``."""
        return self.problem.options.device

    @property
    def combine(self) -> str:
        """How ``combine`` is run: ``"native"`` inside MLX's scan, ``"lanes"``, ``"vmap"``, ``"slices"``, or in a ``"kernel"``."""
        return self.way.combine

    @property
    def parts(self) -> tuple[Plan, ...]:
        """The plans of a product's parts, each by its own row."""
        return self.way.plans if isinstance(self.way, EachPart) else ()

    @property
    def kernels(self) -> tuple[Fused | GpuKernel, ...]:
        """The kernels that run; none where none does."""
        return self.way.fused if isinstance(self.way, (Kernels, GpuKernels)) else ()

    @property
    def source(self) -> str:
        """The text of the kernels; empty where none runs."""
        own = [text for kernel in self.kernels for text in texts(kernel, own_target(kernel))]
        return "\n".join([*own, *(part.source for part in self.parts if part.source)])

    def source_for(self, target: str) -> str:
        """The text of the kernels, as it is compiled for a target of this device.

        Args:
            target: ``cpu``, ``metal`` or ``cuda``.

        Raises:
            ScanError: It is none of this device.
        """
        own = [text for kernel in self.kernels for text in texts(kernel, target)]
        return "\n".join([*own, *(part.source_for(target) for part in self.parts if part.source)])

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from monoscan.lowering.pictures import html

        return html.page(self._section())

    def _section(self, title: str = "") -> Section:
        from monoscan.lowering.pictures import html

        first, *lines = self.summary()
        reasons = tuple((reason.row, reason.title, reason.text) for reason in self.reasons)
        parts = tuple(part._section(f"part {i}: ") for i, part in enumerate(self.parts))
        return html.Section(title + first, tuple(lines), reasons, self.row, parts, self._drawn())

    def _drawn(self) -> Network | None:
        """The network, of what is short enough and made of combines that can be seen."""
        from monoscan.lowering.pictures.network import DRAWN, LONGEST

        options, layout = self.problem.options, self.problem.layout
        shown = options.results and layout.init is None and not self.kernels and self.problem.acts is None
        return self.network() if shown and self.strategy in DRAWN and layout.length <= LONGEST else None

    def network(self, strategy: str | None = None) -> Network:
        """The network of this plan, its tree down to single elements.

        Args:
            strategy: The strategy to draw. Default: that of the plan.

        Raises:
            ScanError: The strategy has no network, or there are too many elements.
        """
        from monoscan.lowering.pictures.network import record

        options, length = self.problem.options, self.problem.layout.length
        return record(strategy or self.strategy, length, reverse=options.reverse, inclusive=options.inclusive)

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
            f"  work      {self.work:,} combines, depth {self.depth}, about {size(self.bytes)} moved",
        ]
        for number, kernel in enumerate(self.kernels, 1):
            which = f"{number} of {len(self.kernels)}, of leaves {', '.join(map(str, kernel.emit))}: "
            first, *more = [loop_line(kernel)] if isinstance(kernel, Fused) else launch_lines(kernel)
            lines += [f"  kernel    {which if len(self.kernels) > 1 else ''}{first}", *more]
            if isinstance(kernel, Fused) and kernel.compared:
                times = ", ".join(f"{loop.value} {time(taken)}" for loop, taken in kernel.compared)
                lines.append(f"  estimates {times}")
        if self.restart is not None:
            lines.append(
                f"  restart   what comes before each segment, by {'vmap' if self.restart.program is None else 'lanes'}"
            )
        if self.problem.acts is not None:
            lines.append(f"  states    {states(self.problem.acts, self.strategy, self.kernels)}")
        if options.fixed:
            lines.append(
                f"  fixed     leaves {', '.join(map(str, options.fixed))}: the same at every step{steady(self.kernels)}"
            )
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


def own_target(kernel: Fused | GpuKernel) -> str:
    """What a kernel is planned for: ``cpu``, ``metal`` or ``cuda``."""
    return "cpu" if isinstance(kernel, Fused) else kernel.target


def texts(kernel: Fused | GpuKernel, target: str) -> list[str]:
    """The texts of a kernel, as they are compiled for a target of its device.

    Raises:
        ScanError: It is none of this device.
    """
    targets = ("cpu",) if isinstance(kernel, Fused) else ("metal", "cuda")
    if target not in targets:
        raise errors.ScanError(
            f"[source_for] takes a target of the plan's device, {' or '.join(targets)}; got {target!r}."
        )
    if isinstance(kernel, Fused):
        return [render(kernel.spec)]
    from monoscan.lowering.render import cuda, metal

    return [(metal if target == "metal" else cuda).text(launch.spec) for launch in kernel.launches_for(target)]
