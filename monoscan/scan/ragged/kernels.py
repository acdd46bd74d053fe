"""Calls on sequences by kernels that know lengths and offsets, where there are some."""

from __future__ import annotations

import attrs

from monoscan.cache import PLANS
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.planner import plan_bounded
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.scan.ragged.axes import Leaves
from monoscan.scan.ragged.given import Aligned
from monoscan.scan.ragged.lifted import Found


def by_kernel(
    problem: Problem, captures: Captures, leaves: Leaves, start: Leaves | None, aligned: Aligned
) -> Found | None:
    """The results and the carry by a kernel that knows lengths and offsets; ``None`` where there is none."""
    plan = kernel_plan(problem, captures, aligned)
    if isinstance(plan, str):
        return None
    try:
        return execute(plan, leaves, captures, start, *aligned.arrays)
    except BridgeUnavailable:  # said and remembered where it failed
        return None


def kernel_plan(problem: Problem, captures: Captures, aligned: Aligned) -> Plan | str:
    """The plan by such a kernel, or why there is none."""
    if aligned.mask is not None or (aligned.lengths is None and aligned.offsets is None):
        return "a mask is a leaf of the elements"
    plan: Plan | str = PLANS.get(  # the problem is kept itself, and made for arrays of these shapes
        ("bounded", problem, FAILURES.generation),
        lambda: plan_bounded(attrs.evolve(problem, bounds=aligned.bounds, captures=captures)),
    )
    return plan
