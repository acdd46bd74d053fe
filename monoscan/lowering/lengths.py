"""Plans that serve scans of any length of which the same would be chosen: what they launch holds none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monoscan.cache import PLANS
from monoscan.lowering.plan.native_scan import better_fused, faster_fused, no_native_scan
from monoscan.lowering.plan.plan import EachPart, Kernels, Native, Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Shape

MOST = 8
"""So many plans are known that differ in the length alone: there are hardly more loops to choose from."""


def plan_of(key: tuple[Any, ...], shapes: tuple[Shape, ...], axis: int, make: Callable[[], Plan]) -> Plan:
    """A plan that runs what is asked: one of another length, if the planner would choose the same here.

    Args:
        key: What is asked, these shapes among it.
        shapes: The shapes of the leaves.
        axis: The axis along which all have the length.
        make: Makes the plan for these shapes, and says what is wrong with them.
    """
    found = {shape[axis] if -len(shape) <= axis < len(shape) else -1 for shape in shapes}
    length = found.pop()
    if found or length < 2:
        return make()
    others = tuple([shape[:axis] + shape[axis:][1:] for shape in shapes])
    known: list[Plan] = PLANS.get(("lengths", *[others if each is shapes else each for each in key]), list)
    plan = next((plan for plan in known if _serves(plan, length)), None)
    if plan is None:
        plan = make()
        if not plan.problem.trivial and isinstance(plan.way, (Kernels, Native, EachPart)):
            known.append(plan)
            del known[:-MOST]
    return plan


def _serves(plan: Plan, length: int) -> bool:
    """Whether it has run, so that nothing of it is planned anew, and would be chosen."""
    if plan.executable is None:
        return False
    match plan.way:
        case Kernels(kernels):
            return all(kernel.fits(length) for kernel in kernels) and _by_kernels(plan.problem, length)
        case Native():
            return plan.problem.options.strategy == "native" or not _by_kernels(plan.problem, length)
        case EachPart(plans):
            return all(_serves(part, length) for part in plans)
        case _:
            return False


def _by_kernels(problem: Problem, length: int) -> bool:
    """Whether no part of it is a scan of MLX's, if kernels can run them all."""
    if problem.options.strategy != "auto":
        return True
    if problem.parts:
        return all(_by_kernels(part, length) for part in problem.parts)
    return bool(no_native_scan(problem) or better_fused(problem) or faster_fused(problem, length))
