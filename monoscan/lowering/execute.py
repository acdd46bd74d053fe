"""Runs a plan: a straight line from leaves to leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.lowering.plan.plan import EachPart, Executable, GpuKernels, Kernels, Native, Plan, Portable, Restart
from monoscan.lowering.planner import plan as make_plan
from monoscan.lowering.targets import graph, native, restart, states, trivial
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.trace.reads.captures import Captures, capture

Outputs = tuple[Sequence[mx.array | None], Sequence[mx.array | None]]


def execute(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None, *bounds: mx.array
) -> Outputs:
    """The result leaves and the carry leaves; ``None`` in place of one that nobody wants.

    Args:
        plan: The plan.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        init: The leaves of ``init``, or ``None``.
        bounds: The lengths and the offsets of sequences, those that the plan's `Bounds` names.

    Raises:
        BridgeUnavailable: There are bounds, and no kernel that could be built.
    """
    run = plan.executable
    if run is None:
        try:
            run = plan.executable = prepare(plan)
        except BridgeUnavailable:  # remembered, so that no new plan holds this kernel
            if bounds:
                raise
            again = make_plan(attrs.evolve(plan.problem, captures=captures))
            return execute(again, leaves, captures, init)
    return run(leaves, captures, init, *bounds)


def prepare(plan: Plan) -> Executable:
    """What runs a plan, with its kernels compiled.

    Raises:
        BridgeUnavailable: One of them, or the bridge, cannot be built.
    """
    run = _of_way(plan)
    return run if plan.restart is None else partial(_restarted, plan, plan.restart, run)


def _of_way(plan: Plan) -> Executable:
    if plan.problem.acts is not None and not isinstance(plan.way, (Kernels, GpuKernels)):
        return partial(states.run, plan.problem, plan.problem.acts, plan.way)
    match plan.way:
        case Kernels(kernels):
            return cpu.prepare(plan.problem, kernels).run
        case GpuKernels(kernels):
            from monoscan.lowering.targets.gpu import target as gpu  # with all that renders for GPUs

            return gpu.prepare(plan.problem, kernels).run
        case Native(scan):
            return partial(native.run, plan.problem, scan)
        case Portable():
            return partial(graph.run, plan.problem, plan.way)
        case EachPart(plans):
            return partial(_parts, plans)
        case _:
            return partial(trivial.run, plan.problem)


def _restarted(
    plan: Plan, after: Restart, run: Executable, leaves: Sequence[mx.array], captures: Captures,
    init: Sequence[mx.array] | None,
) -> Outputs:  # fmt: skip
    results, carry = run(leaves, captures, init)
    return restart.run(plan.problem, after, leaves, captures, results), carry


def _parts(
    plans: Sequence[Plan], leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> Outputs:
    """A product: each part on its own leaves."""
    results: list[mx.array | None] = []
    carry: list[mx.array | None] = []
    start = 0
    for part, operator in zip(plans, captures.root.parts, strict=True):
        stop = start + tree.count(part.problem.structure)
        own_init = None if init is None else init[start:stop]
        ys, last = execute(part, leaves[start:stop], capture(operator), own_init)
        number = stop - start
        results += [*ys] or [None] * number
        carry += [*last] or [None] * number
        start = stop
    return results, carry
