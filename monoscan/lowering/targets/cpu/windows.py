"""Windows by kernels: one launch for each shape of results."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.fused_window import fused_window
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.render.source import render
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu import kernels as cpu_kernels
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes
from monoscan.lowering.targets.cpu.target import not_built, numbers
from monoscan.lowering.targets.graph import aligned_arrays, restored
from monoscan.lowering.targets.kernels import arrays_of
from monoscan.lowering.trace.reads.captures import Captures


@attrs.frozen(eq=False)
class Windows:
    """The launches of windows of one size. It holds no arrays, and MLX knows no derivative of it.

    Args:
        problem: The scan over which they move.
        launches: For each kernel the arrays that it takes, and what runs it on them.
    """

    problem: Problem
    launches: tuple[tuple[Fused, tuple[int, ...], Launch], ...]

    def run(self, leaves: Sequence[mx.array], captures: Captures) -> list[mx.array]:
        """The fold of each window, partial ones first, as the caller sees them."""
        arrays = aligned_arrays(self.problem, leaves, captures, None)
        found: dict[int, mx.array] = {}
        for kernel, chosen, launch in self.launches:
            for leaf, y in zip(kernel.shown, launch([arrays[i] for i in chosen]), strict=True):
                found[leaf] = restored(self.problem, y, leaf)
        return [found[leaf] for leaf in range(len(found))]


def prepare(problem: Problem, size: int) -> Windows | str:
    """The launches of windows, with their kernels compiled; or why there are none.

    Raises:
        BridgeUnavailable: A kernel, or the bridge, cannot be built.
    """
    if problem.options.device != "cpu":
        return "kernels of windows run on the CPU"
    kernels = fused_window(problem, size, vector_bytes(), flush())
    missing = kernels if isinstance(kernels, str) else not_built(kernels)
    if isinstance(kernels, str) or missing is not None:
        return str(missing)
    return Windows(problem, tuple((k, arrays_of(problem, k), _launch(problem, k, size)) for k in kernels))


def _launch(problem: Problem, kernel: Fused, size: int) -> Launch:
    spec, name = kernel.straight, problem.operator.name
    bridge = build.load()
    with waiting(f"the kernel of windows of {name}"):
        compiled = cpu_kernels.compile_kernel(render(spec))
    captured = [leaf.shape for leaf in spec.combine.captures]
    return bridge.Launch(
        "monoscan",
        schedule=compiled.schedule,
        task=compiled.task,
        axis=problem.layout.axis,
        rank=problem.layout.rank + 1,
        elements=len(spec.element),
        captures=len(captured),
        window=size,
        events=[leaf.shape for leaf in spec.element] + captured,
        outputs=[(dtypes.by_name(name), spec.state[i].shape) for i, name in zip(spec.emit, spec.results, strict=True)],
        numbers=numbers(spec),
        label=name,
    )
