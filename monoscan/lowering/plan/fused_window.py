"""Which kernels windows need: those of the scan, in the loop for windows."""

from __future__ import annotations

from math import prod

import attrs

from monoscan.lowering.plan.fused import Fused, computed
from monoscan.lowering.plan.loops import too_large
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.render.source import unsupported
from monoscan.lowering.render.spec import Loop


def fused_window(problem: Problem, size: int, vector_bytes: int, flush: bool = True) -> tuple[Fused, ...] | str:
    """The kernels of windows over what a scan is asked of, or why none can be written.

    Args:
        problem: The scan.
        size: How many elements a window holds.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    if problem.program is None:
        return f"not traceable: {problem.traced.reason}"
    scans = computed(problem, vector_bytes, [problem.program], flush)
    if isinstance(scans, str):
        return scans
    kernels = tuple(attrs.evolve(each, spec=attrs.evolve(each.straight, loop=Loop.WINDOW)) for each in scans)
    if any(too_large(kernel.straight) for kernel in kernels):
        return "combine has more operations than a kernel of windows holds"
    if problem.options.strategy == "auto" and not any(_fills(problem, size, each.straight.width) for each in kernels):
        return f"windows of {size:,} are too few blocks to fill vectors: two scans are faster"
    return next(filter(None, (unsupported(kernel.spec) for kernel in kernels)), None) or kernels


def _fills(problem: Problem, size: int, width: int) -> bool:
    """Whether blocks, or columns, fill half of a vector (measured: two scans of blocks win with fewer)."""
    layout = problem.layout
    columns = max(prod(batch) for batch in layout.result_batches)
    return 2 * max(columns, layout.length // size) >= width
