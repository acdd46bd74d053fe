"""Scans that cannot do without an identity, of operators that have none."""

from __future__ import annotations

from monoscan import errors
from monoscan.lowering.plan.problem import Problem
from monoscan.monoids.custom import CustomSemigroup


def check_identity(problem: Problem) -> None:
    """Refuses a scan that starts with an identity, or yields one, where there is none.

    Raises:
        IdentityError: An exclusive scan, or an empty one, has neither identity nor ``init``.
    """
    options, layout = problem.options, problem.layout
    if problem.acts is not None or problem.operator.has_identity or (layout.empty and layout.length):
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
