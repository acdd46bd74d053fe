"""Scans that hardly run: length 0 or 1, or no item in the batch. At most one combine."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets import graph
from monoscan.lowering.trace.reads.captures import Captures


def run(
    problem: Problem, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Leaves, Leaves]:
    """The result leaves and the carry leaves, as the caller sees them."""
    layout, options = problem.layout, problem.options
    if layout.empty and layout.length:
        return _empty(problem)
    first = None
    if init is not None:
        first = graph.prepare_init(problem, init)
    elif (layout.length == 0 and (options.return_carry or not options.results)) or (
        layout.length and not options.inclusive
    ):
        first = graph.identity(problem, captures)
    if layout.length == 0:
        carry = [] if first is None else [layout.restore_carry(c.squeeze(layout.axis), i) for i, c in enumerate(first)]
        return _empty(problem)[0], carry
    total = graph.prepare(problem, leaves)
    if init is not None and first is not None:
        total = graph.whole_combine(problem, captures)(first, total)
    ys = total if options.inclusive or first is None else first
    results = graph.finish(problem, ys) if options.results else []
    return results, [layout.restore_carry(c.squeeze(layout.axis), i) for i, c in enumerate(total)]


def _empty(problem: Problem) -> tuple[Leaves, Leaves]:
    """Arrays without items; the carry of a batch without items has none either."""
    layout = problem.layout
    names = list(enumerate(problem.results))
    results = [mx.zeros(layout.result_shape(i), dtypes.by_name(name)) for i, name in names]
    carry = [mx.zeros(layout.carry_shape(i), dtypes.by_name(problem.accumulators[i])) for i, _ in names]
    return (results if problem.options.results else []), carry
