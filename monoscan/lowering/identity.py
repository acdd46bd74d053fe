"""The identity as constants: traced like everything else, so that no array is needed to know it."""

from __future__ import annotations

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.ir import Op
from monoscan.lowering.problem import Problem
from monoscan.lowering.trace import trace_function
from monoscan.monoids.base import Semigroup

Scalars = tuple[float | int | bool, ...]


def identity_constants(problem: Problem) -> tuple[Scalars, ...] | None:
    """For each leaf the identity's lanes; ``None`` if they are not constants."""

    def identity(*like: mx.array) -> list[mx.array]:
        element = problem.operator.identity(tree.unflatten(problem.structure, like))  # type: ignore[attr-defined]
        return tree.flatten_like(element, problem.structure) or []

    program = trace_function(f"{problem.operator.name}.identity", identity, problem.element).program
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
    like = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in problem.element]
    element = operator.identity(tree.unflatten(problem.structure, like))  # type: ignore[attr-defined]
    leaves = tree.flatten_like(element, problem.structure)
    if leaves is None:
        raise errors.TreeError(
            f"[{problem.options.call}] {operator.name}.identity must return an element, {tree.show(problem.structure)}; "
            f"it returned {tree.describe(element)}."
        )
    return leaves


def needs_identity(problem: Problem, strategy: str = "kernel") -> bool:
    """Whether the identity stands in the results, or in the tree that the strategy walks."""
    options = problem.options
    placed = not options.inclusive or strategy == "blelloch"
    return options.results and placed and problem.layout.init is None
