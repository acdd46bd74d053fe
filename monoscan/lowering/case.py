"""One scan to plan: the kernels that there are for it, and what would run for a strategy."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import attrs

from monoscan import dtypes
from monoscan.lowering.plan import mappable
from monoscan.lowering.plan.aligned import aligned_scan
from monoscan.lowering.plan.fused import fused
from monoscan.lowering.plan.fused_act import fused_act
from monoscan.lowering.plan.native_scan import native_scan_holds
from monoscan.lowering.plan.options import EXPORTED
from monoscan.lowering.plan.plan import GpuKernels, Kernels, Native, Portable, Way
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.interpret import own_answers
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes

ELEMENTS_PER_OPERATION = 8
"""So many elements make one array operation for each of a program's cheaper than ``mx.vmap`` (measured)."""


@attrs.define(eq=False)
class Case:
    """A scan to plan, with its kernels: made once, whatever asks for them."""

    problem: Problem

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU."""
        return self.problem.options.device == "cpu"

    @cached_property
    def fused(self) -> Kernels | GpuKernels | str:
        """The kernels that can be written for this scan, or why there are none."""
        if self.problem.options.exported:
            return EXPORTED
        if self.problem.bounds is not None and not self._knows_bounds:
            return "no kernel knows lengths and offsets"
        if self.on_cpu:
            acts = self.problem.acts
            if acts is None:
                loops = fused(self.problem, vector_bytes(), flush())
            else:
                loops = fused_act(self.problem, acts, vector_bytes(), flush())
            return loops if isinstance(loops, str) else Kernels(loops)
        from monoscan.lowering.plan.gpu import gpu_kernels
        from monoscan.lowering.targets.gpu import target as gpu

        target = self.problem.options.target or gpu.name()
        launched = gpu_kernels(self.problem, target)
        return launched if isinstance(launched, str) else GpuKernels(launched, target)

    @property
    def _knows_bounds(self) -> bool:
        """Whether kernels run sequences: what an exclusive scan asks of an operator at its own heads, arrays answer."""
        problem = self.problem
        return self.on_cpu and problem.before is None and not problem.options.shapeless

    @cached_property
    def kernels(self) -> Kernels | GpuKernels | str:
        """Those that this machine can build, as far as is known; or why it has none."""
        if isinstance(self.fused, str):
            return self.fused
        return self._not_built(self.fused) or self.fused

    def _not_built(self, kernels: Kernels | GpuKernels) -> str | None:
        if isinstance(kernels, Kernels):
            return cpu.not_built(kernels.fused)
        from monoscan.lowering.targets.gpu import target as gpu

        return gpu.not_built(kernels.fused)

    @property
    def no_kernel(self) -> str | None:
        """Why no kernel runs this scan, or ``None`` if one does."""
        return self.kernels if isinstance(self.kernels, str) else None

    def announce_if_not_built(self) -> None:
        """Says once that a scan which could have a kernel has none, and why."""
        if self.no_kernel is not None and not isinstance(self.fused, str) and self.problem.layout.items:
            _announce(self.no_kernel, self.on_cpu)


def _announce(reason: str, on_cpu: bool) -> None:
    if on_cpu:
        cpu.announce(reason)
    else:
        from monoscan.lowering.targets.gpu import target as gpu

        gpu.announce(reason)


def way(case: Case, strategy: str) -> Way:
    """What runs for a strategy of one scan that is not trivial."""
    problem = case.problem
    if strategy == "native":
        scan = aligned_scan(problem, strategy)
        assert scan is not None, "native scans have a program"
        return Native(scan)
    loops = ("kernel", "sequential") if case.on_cpu else ("kernel",)
    if strategy in loops and not isinstance(case.kernels, str):
        return case.kernels
    return Portable(strategy, _combination(problem), aligned_scan(problem, strategy))


def _combination(problem: Problem) -> Literal["lanes", "vmap", "slices"]:
    program, items = problem.program, problem.layout.items
    if problem.acts is not None:
        known = program is not None or problem.acts.ordered
        return "lanes" if known and problem.acts.traced else "vmap"
    if program is not None:
        complexes = any(name in dtypes.COMPLEX for name in problem.accumulators)
        direct = complexes or not any(problem.layout.event) or own_answers(program) or mappable.has_bits(program)
        if direct or not items or items >= ELEMENTS_PER_OPERATION * len(program.code):
            return "lanes"
    return "slices" if problem.slices else "vmap"


def held_sizes(case: Case, strategy: str) -> str | None:
    """Why a strategy does not fit every size where it has to; ``None`` where it does or need not."""
    problem = case.problem
    if not problem.options.shapeless:
        return None
    before = problem.before
    if before is not None and (before.program is None or any(leaf.shape for leaf in before.program.outputs)):
        return "what an exclusive scan shows at heads is made of slices, which hold the sizes of a trace"
    if strategy == "native":
        return native_scan_holds(problem)
    if strategy == "kernel" or (strategy == "sequential" and case.no_kernel is None):
        return None
    return "array operations hold the sizes of a trace"
