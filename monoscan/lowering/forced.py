"""Row 1 of the planner: the strategy that the caller names, or an error with the fact that it lacks."""

from __future__ import annotations

from monoscan import errors
from monoscan.lowering.case import Case, held_sizes, way
from monoscan.lowering.choice import Choice, make
from monoscan.lowering.plan.native_scan import no_native_scan
from monoscan.lowering.plan.plan import EachPart, Plan, Trivial


def forced(case: Case) -> Plan:
    """The plan of a strategy that is not ``auto``; of a ``Tuple`` or ``Struct``, for each part."""
    problem, strategy = case.problem, case.problem.options.strategy
    if problem.parts:
        parts = EachPart(tuple(forced(Case(part)) for part in problem.parts))
        return make(case, Choice("parts", f"each part by {strategy}", parts), 1)
    missing = _missing_fact(case, strategy)
    if missing:
        raise errors.StrategyError(
            f"[{problem.options.call}] strategy={strategy!r} cannot run {problem.operator.name}: {missing}. "
            'Use strategy="auto"; explain() says what it chooses and why.'
        )
    if strategy == "sequential" and case.on_cpu:  # which would be a loop
        case.announce_if_not_built()
    if problem.trivial and not problem.options.shapeless:
        return make(case, Choice("trivial", f"strategy={strategy!r}", Trivial()), 1)
    return make(case, Choice(strategy, f"strategy={strategy!r}", way(case, strategy)), 1)


def _missing_fact(case: Case, strategy: str) -> str | None:
    problem, missing = case.problem, None
    if strategy == "native":
        missing = "a function of whole slices has no native scan" if problem.slices else no_native_scan(problem)
    elif strategy == "kernel":
        missing = case.no_kernel
    elif strategy == "blelloch" and problem.acts is not None:
        missing = "an act starts from a state, and places no identity; brent_kung does the same work"
    elif strategy == "blelloch" and not problem.operator.has_identity:
        missing = "it has no identity; brent_kung does the same work without one"
    held = held_sizes(case, strategy)
    return missing or (held and f"{held}, and mx.compile(..., shapeless=True) has other sizes")
