"""The plan of an aggregator, as data that prints."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import attrs

from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan, own_target, texts
from monoscan.lowering.plan.shown import launch_lines, loop_line
from monoscan.lowering.program.steady import hoisted
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.scan.inputs import FIXED, POSITION, TIMED
from monoscan.scan.passes import Pass

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel


@attrs.frozen(eq=False, repr=False)
class PassPlan:
    """What runs for an aggregator, and why.

    Args:
        over: The pass.
        asked: The options.
        kernel: The kernel of all, where there is one.
        reason: Why there is none.
        states: The plan of the states then.
    """

    over: Pass
    asked: Options
    kernel: Fused | GpuKernel | None
    reason: str = ""
    states: Plan | None = None

    @property
    def strategy(self) -> str:
        """``kernel`` where one does all, else the strategy of the states."""
        return "kernel" if self.states is None else self.states.strategy

    @property
    def source(self) -> str:
        """The text of the kernels; empty where none runs."""
        if self.kernel is None:
            return self.states.source if self.states else ""
        return self.source_for(own_target(self.kernel))

    def source_for(self, target: str) -> str:
        """The text of the kernels, as it is compiled for a target of this device.

        Args:
            target: ``cpu``, ``metal`` or ``cuda``.
        """
        if self.kernel is None:
            return self.states.source_for(target) if self.states else ""
        return "\n".join(texts(self.kernel, target))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> list[str]:
        over, asked, name = self.over, self.asked, self.over.aggregator.operator.name
        direction = ("reverse " if asked.reverse else "") + ("" if asked.inclusive else "exclusive ")
        inputs = ", ".join(self._input(i) for i in range(len(over.inputs)))
        first = f"{direction}{asked.call} of {over.aggregator.name} over {inputs}, axis {over.axis}, on {asked.device}"
        if self.kernel is None:
            passes = f"  strategy  three passes: prepare by vmap, states of {name} by {self.strategy}, present by vmap"
            below = [f"  {line}" for line in str(self.states).splitlines()]
            return [first, passes, f"  not fused {self.reason}", *below]
        how, *launches = [loop_line(self.kernel)] if isinstance(self.kernel, Fused) else launch_lines(self.kernel)
        acts = f"products of {name}" if _products(self.kernel) else f"act by {name}"
        lines = [f"  strategy  one kernel: prepare, {acts}, present", f"  kernel    {how}", *launches]
        return [first, *lines, f"  states    {self._carried(self.kernel)}", *self._reads(self.kernel)]

    def _input(self, i: int) -> str:
        geometry = self.over.geometry
        if geometry.kinds[i] == POSITION:
            return "position"
        shape = list(self.over.inputs[i].shape)
        return f"{'fixed ' if geometry.kinds[i] == FIXED else ''}{geometry.one[i].dtype}{shape}"

    def _carried(self, kernel: Fused | GpuKernel) -> str:
        types = self.over.types
        layout = self.over.geometry.layout
        batch = self.over.lead[: layout.axis] + self.over.lead[layout.axis + 1 :]
        leaves = ", ".join(f"{held.dtype}{list(batch + held.shape)}" for held in types.states)
        kept = sum(kernel.spec.state[i].lanes for i in kernel.spec.kept)
        declared = sum(prod(held.shape) for held in types.states)
        begun = "given" if self.over.leaves else "begun by the first element"
        lanes, spec = _products(kernel), kernel.spec
        if not isinstance(spec, RolledSpec) and spec.around is not None and spec.around.last is not None:
            return f"{leaves}, {begun}; made of products of {lanes} numbers"
        return f"{leaves}, {begun}; {kept} of {declared} numbers carried" + (
            f", in products of {lanes}" if lanes > kept else ""
        )

    def _reads(self, kernel: Fused | GpuKernel) -> list[str]:
        """What is read once, and by broadcast."""
        kinds = self.over.geometry.kinds
        timed = [i for i, kind in enumerate(kinds) if kind != FIXED]
        fixed = [str(i) for i, kind in enumerate(kinds) if kind == FIXED]
        alike = [str(timed[kernel.leaves[k]]) for k in kernel.spec.alike]
        unread = [str(i) for place, i in enumerate(timed) if place not in kernel.leaves and kinds[i] == TIMED]
        lines = [f"  fixed     inputs {', '.join(fixed)}: read once for all steps{_hoisted(kernel)}"] if fixed else []
        lines += [f"  shared    inputs {', '.join(alike)}: one element for all columns"] if alike else []
        return lines + ([f"  unread    inputs {', '.join(unread)}"] if unread else [])


def _products(kernel: Fused | GpuKernel) -> int:
    """How many numbers a product of elements has, where these are scanned; 0 where states come in order."""
    spec = kernel.spec
    if isinstance(spec, RolledSpec) or spec.around is None or spec.action:
        return 0
    return len(spec.lanes_of(spec.tree))


def _hoisted(kernel: Fused | GpuKernel) -> str:
    """How much is computed of what is fixed and captured, once a row; compilers for GPUs do not say."""
    if not isinstance(kernel, Fused):
        return ""
    number = hoisted(kernel.spec.program if isinstance(kernel.spec, RolledSpec) else kernel.scan.program)
    return f", and {number} operations on them done once" if number else ""
