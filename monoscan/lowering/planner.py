"""The choice of a strategy: one table, first match wins."""

from __future__ import annotations

from collections.abc import Callable

from monoscan import errors
from monoscan.lowering.plan import cost, mappable
from monoscan.lowering.plan.plan import Combination, Plan, Reason
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.interpret import own_answers
from monoscan.lowering.strategies.brent_kung import BASE
from monoscan.lowering.targets import graph, native
from monoscan.lowering.targets.cpu import target as cpu
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
    if problem.options.strategy != "auto":
        return _forced(problem)
    taken: tuple[int, str, tuple[Plan, ...]] | None = None
    reasons = [Reason(1, TITLES[1], "strategy is auto")]
    for row, rule in _ROWS.items():
        answer = rule(problem) if taken is None or row != 3 else "a row before it was taken"
        if isinstance(answer, str):
            reasons.append(Reason(row, TITLES[row], answer))
        elif taken is None:
            strategy, text, parts = answer
            taken = row, strategy, parts
            reasons.append(Reason(row, TITLES[row], text))
        else:
            reasons.append(Reason(row, TITLES[row], f"would do, but row {taken[0]} comes first"))
    if taken is None:
        raise _no_plan_for_every_size(problem, reasons)
    row, strategy, parts = taken
    if row > 5:
        _announce_if_not_built(problem)
    return make(problem, strategy, row, tuple(reasons), parts)


Answer = str | tuple[str, str, tuple[Plan, ...]]


def _row_trivial(problem: Problem) -> Answer:
    if problem.options.shapeless:
        return "a shapeless compile knows no length"
    if not problem.layout.trivial:
        return f"length {problem.layout.length:,}"
    return "trivial", f"length {problem.layout.length}, {problem.layout.items} elements", ()


def _row_parts(problem: Problem) -> Answer:
    if not problem.parts:
        return "not a Tuple or Struct"
    parts = tuple(plan(part) for part in problem.parts)
    fusing = len({native.in_order(part.problem) for part in parts}) == 1  # one loop folds all in the same order
    if fusing and all(part.strategy == "kernel" for part in parts) and kernel_unsupported(problem) is None:
        return "kernel", "each part would be a kernel: one loop for all", ()
    return "parts", "each part by its own row", parts


def _row_native(problem: Problem) -> Answer:
    reason = "a function of whole slices" if problem.slices else native.unsupported(problem)
    if reason is None and kernel_unsupported(problem) is None:
        reason = native.better_fused(problem)
    reason = reason or held_sizes(problem, "native")
    return reason or ("native", f"mx.{problem.facts.native}", ())


def _row_kernel(problem: Problem) -> Answer:
    return kernel_unsupported(problem) or held_sizes(problem, "kernel") or ("kernel", "one fused loop", ())


def _row_blelloch(problem: Problem) -> Answer:
    if not problem.operator.has_identity:
        return "no identity"
    held = held_sizes(problem, "blelloch")
    return held or ("blelloch", "the identity is placed, never combined", ())


def _row_portable(problem: Problem) -> Answer:
    held = held_sizes(problem, "hillis_steele")
    if held:
        return held
    if problem.whole:
        return "brent_kung", "whole slices, as JAX cuts them", ()
    if problem.layout.items <= HILLIS_STEELE_ITEMS:
        return "hillis_steele", f"up to {HILLIS_STEELE_ITEMS:,} elements: fewest array operations", ()
    return "brent_kung", f"past {HILLIS_STEELE_ITEMS:,} elements: O(n) work", ()


_ROWS: dict[int, Callable[[Problem], Answer]] = {
    2: _row_trivial,
    3: _row_parts,
    4: _row_native,
    5: _row_kernel,
    6: _row_blelloch,
    7: _row_portable,
}


def kernel_unsupported(problem: Problem) -> str | None:
    """Why no kernel runs this scan, or ``None`` if one does."""
    if problem.options.device != "cpu":
        return f"no kernel target for device {problem.options.device}"
    return cpu.unsupported(problem)


def held_sizes(problem: Problem, strategy: str) -> str | None:
    """Why a strategy does not fit every size where it has to; ``None`` where it does or need not."""
    if not problem.options.shapeless:
        return None
    before = problem.before
    if before is not None and (before.program is None or any(problem.layout.event)):
        return "what an exclusive scan shows at heads is made of slices, which hold the sizes of a trace"
    if strategy == "native":
        return native.held_sizes(problem)
    if strategy == "kernel" or (strategy == "sequential" and kernel_unsupported(problem) is None):
        return None
    return "array operations hold the sizes of a trace"


def _no_plan_for_every_size(problem: Problem, reasons: list[Reason]) -> errors.StrategyError:
    why = "; ".join(f"{reason.title}: {reason.text}" for reason in reasons if reason.row in (4, 5))
    return errors.StrategyError(
        f"[{problem.options.call}] {problem.operator.name} has no plan that fits every size, as "
        f"mx.compile(..., shapeless=True) asks ({why}). Compile without shapeless=True: each shape is traced anew then."
    )


def _announce_if_not_built(problem: Problem) -> None:
    if problem.options.device == "cpu" and problem.layout.items:
        cpu.announce_if_not_built(problem)


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


def _forced(problem: Problem) -> Plan:
    strategy = problem.options.strategy
    if problem.parts:
        parts = tuple(_forced(part) for part in problem.parts)
        return make(problem, "parts", 1, (Reason(1, TITLES[1], f"each part by {strategy}"),), parts)
    missing = _missing_fact(problem, strategy)
    if missing:
        raise errors.StrategyError(
            f"[{problem.options.call}] strategy={strategy!r} cannot run {problem.operator.name}: {missing}. "
            'Use strategy="auto"; explain() says what it chooses and why.'
        )
    if strategy == "sequential":  # which would be a loop
        _announce_if_not_built(problem)
    trivial = problem.layout.trivial and not problem.options.shapeless
    return make(problem, "trivial" if trivial else strategy, 1, (Reason(1, TITLES[1], f"strategy={strategy!r}"),))


def _missing_fact(problem: Problem, strategy: str) -> str | None:
    missing = None
    if strategy == "native":
        missing = "a function of whole slices has no native scan" if problem.slices else native.unsupported(problem)
    elif strategy == "kernel":
        missing = kernel_unsupported(problem)
    elif strategy == "blelloch" and not problem.operator.has_identity:
        missing = "it has no identity; brent_kung does the same work without one"
    held = held_sizes(problem, strategy)
    return missing or (held and f"{held}, and mx.compile(..., shapeless=True) has other sizes")


def make(problem: Problem, strategy: str, row: int, reasons: tuple[Reason, ...], parts: tuple[Plan, ...] = ()) -> Plan:
    """The plan of a strategy, with its counts."""
    if parts:
        work, depth, moved = sum(p.work for p in parts), max(p.depth for p in parts), sum(p.bytes for p in parts)
    else:
        counted = (
            "reduce" if not problem.options.results and strategy not in ("native", "kernel", "sequential") else strategy
        )
        each, depth = cost.work_and_depth(counted, problem.layout.length, 1 if problem.whole else BASE)
        work, moved = each * cost.rows(problem), cost.moved_bytes(problem, strategy, each)
    combination = _combination(problem, strategy)
    starts = strategy == "trivial" and problem.layout.init is not None and not problem.slices
    if problem.program is None and (combination == "vmap" or starts):
        mappable.check(problem, strategy)
    scan = graph.aligned_scan(problem, strategy) if combination in ("native", "lanes", "vmap", "slices") else None
    return Plan(
        problem.operator.name, strategy, row, problem.options.device, combination, reasons, work, depth, moved,
        problem.kept(), parts, scan, _sized(problem, strategy, parts),
    )  # fmt: skip


def _sized(problem: Problem, strategy: str, parts: tuple[Plan, ...]) -> bool:
    """Whether a plan may hold sizes: not if it has been made without them, nor where MLX's scan is all there is."""
    if problem.options.shapeless:
        return False
    if parts:
        return any(part.sized for part in parts)
    return strategy != "native" or native.held_sizes(problem) is not None


def _combination(problem: Problem, strategy: str) -> Combination:
    if strategy == "native":
        return "native"
    if strategy == "kernel" or (strategy == "sequential" and kernel_unsupported(problem) is None):
        return "kernel"
    if strategy in ("trivial", "parts"):
        return "none"
    program, items = problem.program, problem.layout.items
    if program is None:
        return "slices" if problem.slices else "vmap"
    direct = all(not event for event in problem.layout.event) or own_answers(program) or mappable.has_bits(program)
    if direct or not items or items >= ELEMENTS_PER_OPERATION * len(program.code):
        return "lanes"
    return "slices" if problem.slices else "vmap"
