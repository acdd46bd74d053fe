"""The choice of a strategy: one table, first match wins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Literal

import attrs

from monoscan import errors
from monoscan.lowering.plan import cost, mappable
from monoscan.lowering.plan.aligned import aligned_scan
from monoscan.lowering.plan.fused import Fused, fused
from monoscan.lowering.plan.native_scan import better_fused, in_order, native_scan_holds, no_native_scan
from monoscan.lowering.plan.plan import Arrays, EachPart, Kernels, Native, Plan, Reason, Restart, Trivial, Way
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.interpret import own_answers
from monoscan.lowering.strategies.hillis_steele import BASE
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu.registers import vector_bytes
from monoscan.monoids.custom import CustomSemigroup

TITLES = {1: "forced", 2: "trivial", 3: "parts", 4: "native", 5: "kernel", 6: "blelloch", 7: "portable"}

HILLIS_STEELE_ITEMS = 1 << 12
"""Up to this many elements in all, Hillis-Steele's fewer array operations win (measured)."""

ELEMENTS_PER_OPERATION = 8
"""So many elements make one array operation for each of a program's cheaper than ``mx.vmap`` (measured)."""


def plan(problem: Problem) -> Plan:
    """Plans a scan; the first row that matches wins.

    | # | condition | plan |
    |---|---|---|
    | 1 | ``strategy`` is forced | that, or an error that names the missing fact |
    | 2 | length 0 or 1, or an empty batch | at most one combine |
    | 3 | a ``Tuple`` or ``Struct`` | one fused kernel if each part would be a kernel, else each part by its own row |
    | 4 | a primitive with a native MLX scan, commutative, dtype right | that scan; row 5, if it can, for floats that are folded or summed or multiplied after an ``init`` |
    | 5 | ``combine`` traces to a scalar program and the device has a kernel for it | ``kernel`` |
    | 6 | a true identity | Blelloch, with the identity placed |
    | 7 | otherwise | Hillis-Steele; past `HILLIS_STEELE_ITEMS` elements, and on whole slices, Brent-Kung |

    A kernel that cannot be built is found out when it first runs; the failure is remembered, and row 5
    answers with it from then on.

    In a shapeless compile a plan is to fit every size: there rows 2, 6 and 7 do nothing, and row 4
    takes scans without ``init`` and carry.

    Raises:
        StrategyError: A forced strategy cannot run this scan, or none fits every size.
        IdentityError: An exclusive scan, or an empty one, has neither identity nor ``init``.
    """
    _check_identity(problem)
    case = Case(problem)
    if problem.options.strategy != "auto":
        return _forced(case)
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


@attrs.define(eq=False)
class Case:
    """A scan to plan, with its kernels: made once, whatever asks for them."""

    problem: Problem

    @cached_property
    def fused(self) -> tuple[Fused, ...] | str:
        """The kernels that can be written for this scan, or why there are none."""
        if self.problem.options.device != "cpu":
            return f"no kernel target for device {self.problem.options.device}"
        return fused(self.problem, vector_bytes())

    @cached_property
    def kernels(self) -> tuple[Fused, ...] | str:
        """Those that this machine can build, as far as is known; or why it has none."""
        return self.fused if isinstance(self.fused, str) else cpu.not_built(self.fused) or self.fused

    @property
    def no_kernel(self) -> str | None:
        """Why no kernel runs this scan, or ``None`` if one does."""
        return self.kernels if isinstance(self.kernels, str) else None

    def announce_if_not_built(self) -> None:
        """Says once that a scan which could have a kernel has none, and why."""
        if self.no_kernel is not None and not isinstance(self.fused, str) and self.problem.layout.items:
            cpu.announce(self.no_kernel)


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


Answer = str | Choice
"""A choice, or why a row does not match."""


def _row_trivial(case: Case) -> Answer:
    layout = case.problem.layout
    if case.problem.options.shapeless:
        return "a shapeless compile knows no length"
    if not layout.trivial:
        return f"length {layout.length:,}"
    return Choice("trivial", f"length {layout.length}, {layout.items} elements", Trivial())


def _row_parts(case: Case) -> Answer:
    if not case.problem.parts:
        return "not a Tuple or Struct"
    parts = tuple(plan(part) for part in case.problem.parts)
    fusing = len({in_order(part.problem) for part in parts}) == 1  # one loop folds all in the same order
    if fusing and all(part.kernels for part in parts) and not isinstance(case.kernels, str):
        return Choice("kernel", "each part would be a kernel: one loop for all", Kernels(case.kernels))
    return Choice("parts", "each part by its own row", EachPart(parts))


def _row_native(case: Case) -> Answer:
    problem = case.problem
    reason = "a function of whole slices" if problem.slices else no_native_scan(problem)
    if reason is None and case.no_kernel is None:
        reason = better_fused(problem)
    reason = reason or held_sizes(case, "native")
    return reason or Choice("native", f"mx.{problem.facts.native}", way(case, "native"))


def _row_kernel(case: Case) -> Answer:
    if isinstance(case.kernels, str):
        return case.kernels
    return held_sizes(case, "kernel") or Choice("kernel", "one fused loop", Kernels(case.kernels))


def _row_blelloch(case: Case) -> Answer:
    if not case.problem.operator.has_identity:
        return "no identity"
    return _portable(case, "blelloch", "the identity is placed, never combined")


def _row_portable(case: Case) -> Answer:
    if case.problem.whole:
        return _portable(case, "brent_kung", "whole slices, as JAX cuts them")
    if case.problem.layout.items <= HILLIS_STEELE_ITEMS:
        return _portable(case, "hillis_steele", f"up to {HILLIS_STEELE_ITEMS:,} elements: fewest array operations")
    return _portable(case, "brent_kung", f"past {HILLIS_STEELE_ITEMS:,} elements: O(n) work")


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


def held_sizes(case: Case, strategy: str) -> str | None:
    """Why a strategy does not fit every size where it has to; ``None`` where it does or need not."""
    problem = case.problem
    if not problem.options.shapeless:
        return None
    before = problem.before
    if before is not None and (before.program is None or any(problem.layout.event)):
        return "what an exclusive scan shows at heads is made of slices, which hold the sizes of a trace"
    if strategy == "native":
        return native_scan_holds(problem)
    if strategy == "kernel" or (strategy == "sequential" and case.no_kernel is None):
        return None
    return "array operations hold the sizes of a trace"


def _no_plan_for_every_size(problem: Problem, reasons: list[Reason]) -> errors.StrategyError:
    why = "; ".join(f"{reason.title}: {reason.text}" for reason in reasons if reason.row in (4, 5))
    return errors.StrategyError(
        f"[{problem.options.call}] {problem.operator.name} has no plan that fits every size, as "
        f"mx.compile(..., shapeless=True) asks ({why}). Compile without shapeless=True: each shape is traced anew then."
    )


def _check_identity(problem: Problem) -> None:
    options, layout = problem.options, problem.layout
    if problem.operator.has_identity or (layout.empty and layout.length):
        return
    where = f"[{options.call}] {problem.operator.name}"
    if layout.init is not None:
        return
    if not options.inclusive:
        raise errors.IdentityError(
            f"{where} has no identity, and an exclusive scan starts with one. Give init=, or {_with_identity(problem)} "
            "(Maybe(operator) adjoins one)."
        )
    if layout.length == 0 and (options.return_carry or not options.results):
        raise errors.IdentityError(
            f"{where} has no identity, and the fold of an empty axis is the identity. Give init=, or "
            f"{_with_identity(problem)} (Maybe(operator) adjoins one)."
        )


def _with_identity(problem: Problem) -> str:
    if isinstance(problem.operator, CustomSemigroup):
        return "monoid(..., identity=...)"
    if callable(getattr(type(problem.operator), "identity", None)):
        return "make its class, which writes an identity, one of Monoid instead of Semigroup"
    return "an operator with an identity"


def _forced(case: Case) -> Plan:
    problem, strategy = case.problem, case.problem.options.strategy
    if problem.parts:
        parts = EachPart(tuple(_forced(Case(part)) for part in problem.parts))
        return make(case, Choice("parts", f"each part by {strategy}", parts), 1)
    missing = _missing_fact(case, strategy)
    if missing:
        raise errors.StrategyError(
            f"[{problem.options.call}] strategy={strategy!r} cannot run {problem.operator.name}: {missing}. "
            'Use strategy="auto"; explain() says what it chooses and why.'
        )
    if strategy == "sequential":  # which would be a loop
        case.announce_if_not_built()
    if problem.layout.trivial and not problem.options.shapeless:
        return make(case, Choice("trivial", f"strategy={strategy!r}", Trivial()), 1)
    return make(case, Choice(strategy, f"strategy={strategy!r}", way(case, strategy)), 1)


def _missing_fact(case: Case, strategy: str) -> str | None:
    problem, missing = case.problem, None
    if strategy == "native":
        missing = "a function of whole slices has no native scan" if problem.slices else no_native_scan(problem)
    elif strategy == "kernel":
        missing = case.no_kernel
    elif strategy == "blelloch" and not problem.operator.has_identity:
        missing = "it has no identity; brent_kung does the same work without one"
    held = held_sizes(case, strategy)
    return missing or (held and f"{held}, and mx.compile(..., shapeless=True) has other sizes")


def way(case: Case, strategy: str) -> Way:
    """What runs for a strategy of one scan that is not trivial."""
    problem = case.problem
    if strategy == "native":
        scan = aligned_scan(problem, strategy)
        assert scan is not None, "native scans have a program"
        return Native(scan)
    if strategy in ("kernel", "sequential") and not isinstance(case.kernels, str):
        return Kernels(case.kernels)
    return Arrays(strategy, _combination(problem), aligned_scan(problem, strategy))


def _combination(problem: Problem) -> Literal["lanes", "vmap", "slices"]:
    program, items = problem.program, problem.layout.items
    if program is not None:
        direct = not any(problem.layout.event) or own_answers(program) or mappable.has_bits(program)
        if direct or not items or items >= ELEMENTS_PER_OPERATION * len(program.code):
            return "lanes"
    return "slices" if problem.slices else "vmap"


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
        moved = sum(kernel.bytes for kernel in chosen.fused) if isinstance(chosen, Kernels) else 0
        moved = moved or cost.moved_bytes(problem, choice.strategy, each)
    starts = choice.strategy == "trivial" and problem.layout.init is not None and not problem.slices
    if problem.program is None and (chosen.combine == "vmap" or starts):
        mappable.check(problem, choice.strategy)
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
