"""What an exclusive scan shows where a segment starts, put there once the scan has run."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.on_arrays import capture_lanes
from monoscan.lowering.plan.plan import Restart
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.combine import by_lanes, by_vmap, on_lanes
from monoscan.lowering.targets.pairs import of_pairs, pairs
from monoscan.lowering.trace.before import before
from monoscan.lowering.trace.reads.captures import Captures


def run(
    problem: Problem,
    restart: Restart,
    leaves: Sequence[mx.array],
    captures: Captures,
    totals: Sequence[mx.array | None],
) -> list[mx.array | None]:
    """The results of an exclusive scan, where segments have been left out of account.

    Args:
        problem: What was asked.
        restart: How.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        totals: What comes before each element, as the caller sees it.
    """
    layout = attrs.evolve(problem.layout, batch=problem.layout.result_batches)
    names = [dtypes.by_name(name) for name in problem.accumulators]
    left = [layout.align(_wanted(y), i).astype(name) for i, (y, name) in enumerate(zip(totals, names, strict=True))]
    right = [problem.layout.align(x, i).astype(name) for i, (x, name) in enumerate(zip(leaves, names, strict=True))]
    pairs = zip(_combined(problem, restart, left, right, captures), problem.results, strict=True)
    return [layout.restore(y.astype(dtypes.by_name(name)), i) for i, (y, name) in enumerate(pairs)]


def _wanted(total: mx.array | None) -> mx.array:
    assert total is not None, "an exclusive scan yields every leaf"
    return total


def _combined(
    problem: Problem, restart: Restart, left: list[mx.array], right: list[mx.array], captures: Captures
) -> list[mx.array]:
    if restart.program is None:
        if not problem.layout.items:
            return left
        one = before(captures).rebuild
        return by_vmap(one, problem.structure, captures.operands, problem.layout.event)(left, right)
    events = [leaf.shape for leaf in restart.program.outputs]
    lanes = by_lanes(restart.program, capture_lanes([pairs(c) for c in captures.operands], 0))
    return of_pairs(on_lanes(lanes, events), problem.accumulators)(left, right)
