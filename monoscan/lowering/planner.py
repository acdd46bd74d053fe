"""The choice of a strategy: one table, first match wins."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from monoscan import errors
from monoscan.lowering.case import Case, held_sizes, way
from monoscan.lowering.choice import TITLES, Choice, make
from monoscan.lowering.forced import forced
from monoscan.lowering.plan.missing_identity import check_identity
from monoscan.lowering.plan.native_scan import better_fused, faster_fused, no_native_scan
from monoscan.lowering.plan.plan import EachPart, Plan, Reason, Trivial
from monoscan.lowering.plan.problem import Problem

HILLIS_STEELE_ITEMS = 1 << 12
"""Up to this many elements in all, Hillis-Steele's fewer array operations win (measured)."""

LARGER, PRODUCTS = 4, 1000
"""States in order win where elements are so many times larger, and one step's hold so many numbers: matrices of 20
rows and columns on three rows of states (measured)."""


def plan(problem: Problem) -> Plan:
    """Plans a scan; the first row that matches wins.

    | # | condition | plan |
    |---|---|---|
    | 1 | ``strategy`` is forced | that, or an error that names the missing fact |
    | 2 | length 0 or 1, or an empty batch | at most one combine |
    | 3 | a ``Tuple`` or ``Struct`` | fused if each part would be a kernel, up to `TOGETHER` numbers an element in one loop; else each part by its own row |
    | 4 | a primitive with a native MLX scan, commutative, dtype right | that scan; row 5, if it can, for floats that are folded or summed or multiplied after an ``init``, and where a kernel is faster |
    | 5 | ``combine`` traces to a scalar program and the device has a kernel for it | ``kernel`` |
    | 6 | a true identity | Blelloch, with the identity placed |
    | 7 | otherwise | Hillis-Steele; past `HILLIS_STEELE_ITEMS` elements, and on whole slices, Brent-Kung; in order the states of elements that are `LARGER` and `PRODUCTS` in all |

    A kernel that cannot be built is found out when it first runs; the failure is remembered, and row 5
    answers with it from then on.

    In a shapeless compile a plan is to fit every size: there rows 2, 6 and 7 do nothing, and row 4
    takes scans without ``init`` and carry.

    Raises:
        StrategyError: A forced strategy cannot run this scan, or none fits every size.
        IdentityError: An exclusive scan, or an empty one, has neither identity nor ``init``.
    """
    check_identity(problem)
    case = Case(problem)
    if problem.options.strategy != "auto":
        return forced(case)
    taken: Choice | None = None
    row = 0
    reasons = [Reason(1, TITLES[1], "strategy is auto")]
    for number, rule in _ROWS.items():
        answer = rule(case) if taken is None or number != 3 else "a row before it was taken"
        if isinstance(answer, str):
            text = answer
        elif taken is None:
            taken, row, text = answer, number, answer.text
        else:
            text = f"would do, but row {row} comes first"
        reasons.append(Reason(number, TITLES[number], text))
    if taken is None:
        raise _no_plan_for_every_size(problem, reasons)
    if row > 5:
        case.announce_if_not_built()
    return make(case, taken, row, tuple(reasons))


def plan_bounded(problem: Problem) -> Plan | str:
    """Plans a scan of sequences that have bounds, which kernels alone know; or why there is none for it."""
    if problem.options.strategy not in ("auto", "kernel", "sequential"):
        return f"strategy is {problem.options.strategy}"
    if problem.trivial:
        return "no elements"
    if problem.before is not None:
        return "what an exclusive scan shows at heads is put there by all elements"
    case = Case(problem)
    if isinstance(case.kernels, str):
        return case.kernels
    reasons = (Reason(5, TITLES[5], "one fused loop"),)
    return make(case, Choice("kernel", "one fused loop", case.kernels), 5, reasons)


Answer = str | Choice
"""A choice, or why a row does not match."""


def _row_trivial(case: Case) -> Answer:
    layout = case.problem.layout
    if case.problem.options.shapeless:
        return "a shapeless compile knows no length"
    if not case.problem.trivial:
        return f"length {layout.length:,}"
    return Choice("trivial", f"length {layout.length}, {layout.items} elements", Trivial())


def _row_parts(case: Case) -> Answer:
    if not case.problem.parts:
        return "not a Tuple or Struct"
    parts = tuple(plan(part) for part in case.problem.parts)
    if all(part.kernels for part in parts) and not isinstance(case.kernels, str):
        loops = len(case.kernels.fused)
        served = "one loop for all" if loops == 1 else f"{loops} loops for all"
        return Choice("kernel", f"each part would be a kernel: {served}", case.kernels)
    return Choice("parts", "each part by its own row", EachPart(parts))


def _row_native(case: Case) -> Answer:
    problem = case.problem
    reason = "a function of whole slices" if problem.slices else no_native_scan(problem)
    if reason is None and case.on_cpu and case.no_kernel is None:
        reason = better_fused(problem) or faster_fused(problem, problem.layout.length)
    reason = reason or held_sizes(case, "native")
    return reason or Choice("native", f"mx.{problem.facts.native}", way(case, "native"))


def _row_kernel(case: Case) -> Answer:
    if isinstance(case.kernels, str):
        return case.kernels
    return held_sizes(case, "kernel") or Choice("kernel", "one fused loop", case.kernels)


def _row_blelloch(case: Case) -> Answer:
    if case.problem.acts is not None:
        return "an act starts from a state, and places no identity"
    if not case.problem.operator.has_identity:
        return "no identity"
    return _portable(case, "blelloch", "the identity is placed, never combined")


def _row_portable(case: Case) -> Answer:
    if case.problem.acts is not None and case.problem.acts.ordered:
        return _portable(case, "sequential", "a loop of Python: one array operation for each of a step's")
    if _products_cost_more(case.problem):
        return _portable(case, "sequential", "states one after another: products of elements cost more")
    if case.problem.whole:
        return _portable(case, "brent_kung", "whole slices, as JAX cuts them")
    if case.problem.layout.items <= HILLIS_STEELE_ITEMS:
        return _portable(case, "hillis_steele", f"up to {HILLIS_STEELE_ITEMS:,} elements: fewest array operations")
    return _portable(case, "brent_kung", f"past {HILLIS_STEELE_ITEMS:,} elements: O(n) work")


def _products_cost_more(problem: Problem) -> bool:
    """Whether states are so much smaller than elements that a tree of products is slower than a loop."""
    if problem.acts is None:
        return False
    layout = problem.layout
    lanes, states = sum(map(prod, layout.event)), sum(map(prod, problem.acts.layout.event))
    numbers = sum(prod(batch) * prod(event) for batch, event in zip(layout.batch, layout.event, strict=True))
    return lanes >= LARGER * states and numbers >= PRODUCTS


def _portable(case: Case, strategy: str, text: str) -> Answer:
    return held_sizes(case, strategy) or Choice(strategy, text, way(case, strategy))


_ROWS: dict[int, Callable[[Case], Answer]] = {
    2: _row_trivial,
    3: _row_parts,
    4: _row_native,
    5: _row_kernel,
    6: _row_blelloch,
    7: _row_portable,
}


def _no_plan_for_every_size(problem: Problem, reasons: list[Reason]) -> errors.StrategyError:
    why = "; ".join(f"{reason.title}: {reason.text}" for reason in reasons if reason.row in (4, 5))
    return errors.StrategyError(
        f"[{problem.options.call}] {problem.operator.name} has no plan that fits every size, as "
        f"mx.compile(..., shapeless=True) asks ({why}). Compile without shapeless=True: each shape is traced anew then."
    )
