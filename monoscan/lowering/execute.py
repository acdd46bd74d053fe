"""Runs a plan: a straight line from leaves to leaves."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.lowering.plan import restart
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.planner import plan as make_plan
from monoscan.lowering.targets import graph, native, trivial
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.trace.reads.captures import Captures, capture


def execute(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Sequence[mx.array | None], Sequence[mx.array | None]]:
    """The result leaves and the carry leaves; ``None`` in place of one that nobody wants.

    Args:
        plan: The plan.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        init: The leaves of ``init``, or ``None``.
    """
    if plan.parts:
        return _parts(plan, leaves, captures, init)
    results, carry = _run(plan, leaves, captures, init)
    if plan.problem.before is not None:
        results = restart.run(plan.problem, leaves, captures, results)
    return results, carry


def _run(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Sequence[mx.array | None], Sequence[mx.array | None]]:
    """Whatever the plan's strategy is."""
    if plan.strategy == "trivial":
        return trivial.run(plan.problem, leaves, captures, init)
    if plan.combine == "native":
        return native.run(plan, leaves, init)
    if plan.combine == "kernel":
        try:
            return cpu.run(plan, leaves, captures, init)
        except BridgeUnavailable:  # remembered, so that no new plan holds this kernel
            again = make_plan(attrs.evolve(plan.problem, captures=captures))
        return execute(again, leaves, captures, init)
    return graph.run(plan, leaves, captures, init)


def _parts(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Sequence[mx.array | None], Sequence[mx.array | None]]:
    """A product: each part on its own leaves."""
    results: list[mx.array | None] = []
    carry: list[mx.array | None] = []
    start = 0
    for part, operator in zip(plan.parts, captures.root.parts, strict=True):
        stop = start + tree.count(part.problem.structure)
        own_init = None if init is None else init[start:stop]
        ys, last = execute(part, leaves[start:stop], capture(operator), own_init)
        number = stop - start
        results += [*ys] or [None] * number
        carry += [*last] or [None] * number
        start = stop
    return results, carry
