"""What the planner chose, and the plan that this makes."""

from __future__ import annotations

import attrs

from monoscan.lowering.case import Case
from monoscan.lowering.plan import cost, mappable
from monoscan.lowering.plan.native_scan import native_scan_holds
from monoscan.lowering.plan.plan import EachPart, GpuKernels, Kernels, Native, Plan, Reason, Restart, Way
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.hillis_steele import BASE

TITLES = {1: "forced", 2: "trivial", 3: "parts", 4: "native", 5: "kernel", 6: "blelloch", 7: "portable"}
"""The rows of the planner's table."""


@attrs.frozen
class Choice:
    """What a row answers that matches.

    Args:
        strategy: The strategy.
        text: Why it does.
        way: What will run.
    """

    strategy: str
    text: str
    way: Way


def make(case: Case, choice: Choice, row: int, reasons: tuple[Reason, ...] = ()) -> Plan:
    """The plan of a choice, with its counts."""
    problem, chosen = case.problem, choice.way
    if isinstance(chosen, EachPart):
        parts = chosen.plans
        work, depth, moved = sum(p.work for p in parts), max(p.depth for p in parts), sum(p.bytes for p in parts)
    else:
        folded = not problem.options.results and choice.strategy not in ("native", "kernel", "sequential")
        counted = "reduce" if folded else choice.strategy
        each, depth = cost.work_and_depth(counted, problem.layout.length, 1 if problem.whole else BASE)
        work = each * cost.rows(problem)
        moved = sum(kernel.bytes for kernel in chosen.fused) if isinstance(chosen, (Kernels, GpuKernels)) else 0
        moved = moved or cost.moved_bytes(problem, choice.strategy, each)
    starts = choice.strategy == "trivial" and problem.layout.init is not None and not problem.slices
    ordered = problem.acts is not None and problem.acts.ordered
    if problem.program is None and not ordered and (chosen.combine == "vmap" or starts):
        mappable.check(problem, choice.strategy)
    if problem.acts is not None and problem.acts.act.program is None and chosen.combine == "vmap":
        mappable.check_act(problem, problem.acts)
    return Plan(
        operator=problem.operator.name,
        problem=problem.kept(),
        strategy=choice.strategy,
        row=row,
        way=chosen,
        reasons=reasons or (Reason(row, TITLES[row], choice.text),),
        work=work,
        depth=depth,
        bytes=moved,
        restart=None if isinstance(chosen, EachPart) else _restart(problem),
        sized=_sized(problem, chosen),
    )


def _restart(problem: Problem) -> Restart | None:
    """By array operations where each leaf is a scalar."""
    before = problem.before
    return None if before is None else Restart(None if any(problem.layout.event) else before.program)


def _sized(problem: Problem, chosen: Way) -> bool:
    """Whether a plan may hold sizes: not if it has been made without them, nor where MLX's scan is all there is."""
    if problem.options.shapeless:
        return False
    if isinstance(chosen, EachPart):
        return any(part.sized for part in chosen.plans)
    return not isinstance(chosen, Native) or native_scan_holds(problem) is not None
