"""Which kernels windows need: one for each shape of results."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import attrs

from monoscan import dtypes
from monoscan.lowering.plan.fused import alike, columns_of, element_dtype, padded, restricted
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Leaf, Program, Shape
from monoscan.lowering.render.window import unsupported_window
from monoscan.lowering.render.window_spec import WindowSpec

MOST_CODE = 1500
"""The most operations of a combine that is written out: more take the compiler a second."""

ALONG_CYCLES = 40
"""The most cycles of a combine of which windows along a row are faster than blocks side by side, which need three for
each element and not seven to twelve, and turn what they read and write (measured: a product of 3 by 3 matrices, of 24
cycles, is 2 times as fast along a row, a sum of logarithms, of 61, half as fast)."""


@attrs.frozen
class FusedWindow:
    """The windows of one shape, computed by one kernel.

    Args:
        leaves: The leaves of the inputs that it reads, ascending.
        shown: The leaves of the outputs that it yields.
        spec: The kernel.
    """

    leaves: tuple[int, ...]
    shown: tuple[int, ...]
    spec: WindowSpec


@attrs.frozen
class Shapes:
    """What kernels of windows run over.

    Args:
        size: How many elements a window holds.
        lead: The shape of all positions.
        axis: The scan axis.
        arrays: The aligned shapes of what is read, without event axes.
    """

    size: int
    lead: Shape
    axis: int
    arrays: tuple[Shape, ...]

    def along(self, spec: WindowSpec) -> bool:
        """Whether a vector holds windows of one row, one after the other."""
        inner, steps, width = columns_of(list(self.arrays), self.lead, self.axis), self.lead[self.axis], spec.width
        if inner >= width:
            return False
        rows = prod(self.lead) // steps
        blocks = steps // self.size
        if steps < 8 * self.size and 2 * rows >= width:
            return False  # half of the windows hold what there is, which are folded in order
        return spec.combine_cycles <= ALONG_CYCLES or self.size <= 4 or 2 * max(blocks, rows) < width


def fused_window(problem: Problem, size: int, vector_bytes: int, flush: bool = True) -> tuple[FusedWindow, ...] | str:
    """The kernels of windows over what a scan is asked of, or why none can be written.

    Args:
        problem: The scan.
        size: How many elements a window holds.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    if problem.program is None:
        return f"not traceable: {problem.traced.reason}"
    kernels = [_of_products(problem, problem.program, emit, size, vector_bytes, flush) for emit in alike(problem)]
    return next((kernel for kernel in kernels if isinstance(kernel, str)), None) or tuple(
        kernel for kernel in kernels if not isinstance(kernel, str)
    )


def _of_products(
    problem: Problem, combine: Program, emit: Sequence[int], size: int, vector_bytes: int, flush: bool
) -> FusedWindow | str:
    layout = problem.layout
    leaves = tuple(sorted(set().union(*(layout.depends[i] for i in emit))))
    combine = restricted(combine, leaves)
    state = combine.outputs
    spec = WindowSpec(
        prepare=_the_same(state, combine.captures, range(len(state)), 0),
        combine=combine,
        present=_the_same(state, combine.captures, [leaves.index(i) for i in emit], len(state)),
        stored=tuple(element_dtype(problem, i) for i in leaves),
        results=tuple(dtypes.lane(problem.results[i]) for i in emit),
        ordinary=tuple(problem.ordinary[i] for i in leaves),
        vector_bytes=vector_bytes,
        flush=flush,
    )
    lead = layout.aligned_shape(emit[0], layout.length)[: layout.rank + 1]
    shapes = Shapes(size, lead, layout.axis, tuple(padded(problem, i) for i in leaves))
    return chosen(spec, shapes, leaves, tuple(emit))


def chosen(spec: WindowSpec, shapes: Shapes, leaves: tuple[int, ...], shown: tuple[int, ...]) -> FusedWindow | str:
    """The kernel with its loop, or why there is none."""
    if len(spec.combine.code) > MOST_CODE:
        return "combine has more operations than a kernel of windows holds"
    spec = attrs.evolve(spec, along=shapes.along(spec))
    return unsupported_window(spec) or FusedWindow(leaves, shown, spec)


def _the_same(state: Sequence[Leaf], captures: Sequence[Leaf], leaves: Sequence[int], arity: int) -> Program:
    """Some leaves as they are: of inputs an element, of a fold its outputs."""
    given = (*state, *captures) if arity == 0 else (*state, *state, *captures)
    lanes, start = [], 0
    for leaf in state:
        lanes.append(range(start, start + leaf.lanes))
        start += leaf.lanes
    results = tuple(lane for leaf in leaves for lane in lanes[leaf])
    return Program(given, tuple(state[leaf] for leaf in leaves), (), results, arity, len(state))
