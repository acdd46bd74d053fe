"""What an exclusive scan shows where a segment starts: `Semigroup.before`, traced and run like a ``combine``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import attrs
import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.lowering.plan.aligned import capture_lanes
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.strategies.combine import by_vmap
from monoscan.lowering.trace.combine import Traced, trace_combine
from monoscan.lowering.trace.reads.captures import Captures, Key
from monoscan.monoids.base import Element, Semigroup
from monoscan.tree import Structure

if TYPE_CHECKING:
    from monoscan.lowering.plan.problem import Problem


@final
@attrs.frozen
class Before(Semigroup):
    """An operator's ``before`` in the place of its ``combine``."""

    operator: Semigroup

    def combine(self, total: Element, element: Element) -> Element:
        return self.operator.before(total, element)

    @property
    def name(self) -> str:
        return f"{self.operator.name}.before"


def before(captures: Captures) -> Captures:
    """The same captured arrays, with ``before`` as what is combined."""
    return attrs.evolve(captures, root=Before(captures.root), key=Key((Before, captures.key), captures.key.names))


def trace_before(captures: Captures, structure: Structure, leaves: tuple[Leaf, ...], call: str) -> Traced:
    """The program of ``before``, or why there is none.

    Raises:
        IdentityError: A segment starts with the identity, and there is none.
    """
    own = before(captures)
    try:
        return trace_combine(own.root, structure, leaves, own, call)
    except errors.IdentityError as error:
        raise errors.IdentityError(str(error).replace("[before]", f"[{call}]", 1)) from error


def run(
    problem: Problem, leaves: Sequence[mx.array], captures: Captures, totals: Sequence[mx.array | None]
) -> list[mx.array | None]:
    """The results of an exclusive scan, where segments have been left out of account.

    Args:
        problem: What was asked.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        totals: What comes before each element, as the caller sees it.
    """
    layout = attrs.evolve(problem.layout, batch=problem.layout.result_batches)
    names = [dtypes.by_name(name) for name in problem.accumulators]
    left = [layout.align(_wanted(y), i).astype(name) for i, (y, name) in enumerate(zip(totals, names, strict=True))]
    right = [problem.layout.align(x, i).astype(name) for i, (x, name) in enumerate(zip(leaves, names, strict=True))]
    pairs = zip(_combined(problem, left, right, captures), problem.results, strict=True)
    return [layout.restore(y.astype(dtypes.by_name(name)), i) for i, (y, name) in enumerate(pairs)]


def _wanted(total: mx.array | None) -> mx.array:
    assert total is not None, "an exclusive scan yields every leaf"
    return total


def _combined(problem: Problem, left: list[mx.array], right: list[mx.array], captures: Captures) -> list[mx.array]:
    program = None if problem.before is None else problem.before.program
    if program is None or any(problem.layout.event):
        if not problem.layout.items:
            return left
        return by_vmap(before(captures).rebuild, problem.structure, captures.operands, problem.layout.event)(
            left, right
        )
    lanes = evaluate(program, [*left, *right, *capture_lanes(captures.operands, 0)], ARRAYS)
    return [mx.broadcast_arrays(y, x)[0] for x, y in zip(left, lanes, strict=True)]
