"""The identity as constants: traced like everything else, so that no array is needed to know it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.ir import Op
from monoscan.lowering.trace.combine import trace_function
from monoscan.lowering.trace.roles import Role
from monoscan.monoids.base import Semigroup

if TYPE_CHECKING:
    from monoscan.lowering.plan.problem import Problem

Scalars = tuple[float | int | bool, ...]


def identity_constants(problem: Problem) -> tuple[Scalars, ...] | None:
    """For each leaf the identity's lanes; ``None`` if they are not constants, as where captured arrays take part."""
    if not problem.operator.has_identity:
        return None
    number = len(problem.element)

    def identity(*arrays: mx.array) -> list[mx.array]:
        return _checked(problem, problem.captures.rebuild(arrays[number:]), arrays[:number])

    inputs = problem.element + problem.captures.leaves
    program = trace_function(f"{problem.operator.name}.identity", identity, inputs).program
    if program is None:
        return None
    constants = []
    for lanes in program.output_lanes:
        values = [program.code[v - program.num_lanes] if v >= program.num_lanes else None for v in lanes]
        if any(instr is None or instr.op is not Op.CONST for instr in values):
            return None
        constants.append(tuple(instr.param for instr in values if instr is not None))
    return tuple(constants)


def neutral(problem: Problem, operator: Semigroup) -> list[mx.array]:
    """The identity as one element, for an operator with its captured arrays."""
    return _checked(problem, operator, one_element(problem))


def one_element(problem: Problem) -> list[mx.array]:
    """Zeros with the shapes and dtypes of an element."""
    return [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in problem.element]


def _checked(problem: Problem, operator: Semigroup, like: Sequence[mx.array]) -> list[mx.array]:
    given = tree.unflatten(problem.structure, list(like))
    role = Role(f"[{problem.options.call}] {problem.operator.name}", "identity", f"one element, {tree.describe(given)}")
    with role:
        element = operator.identity(given)  # type: ignore[attr-defined]
    where = f"{role.where}: identity must return an element"
    leaves = tree.flatten_like(element, problem.structure)
    if leaves is None:
        raise errors.TreeError(f"{where}, {tree.show(problem.structure)}; it returned {tree.describe(element)}.")
    for path, e, x in zip(tree.paths(problem.structure), leaves, like, strict=True):
        if not isinstance(e, mx.array) or e.dtype != x.dtype or e.shape != x.shape:
            raise errors.ScanTypeError(
                f"{where}, with the shapes and dtypes of `like`; leaf {path or 'x'} should be {tree.describe(x)} and is "
                f"{tree.describe(e)}."
            )
    return leaves


def needs_identity(problem: Problem, strategy: str = "kernel") -> bool:
    """Whether the identity stands in the results, or in the tree that the strategy walks."""
    options = problem.options
    placed = not options.inclusive or strategy == "blelloch"
    return options.results and placed and problem.layout.init is None
