"""The functions of an aggregator one by one, for a kernel that goes along a row in vectors of its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.lowering.plan.along import RowPrograms
from monoscan.lowering.plan.identity import Like, identity_constants
from monoscan.lowering.plan.problem import usual
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.reads.captures import capture
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator, element
from monoscan.scan.fused_step import FusedStep
from monoscan.tree import Tree


def row_programs(step: FusedStep) -> RowPrograms | None:
    """What an aggregator does with a row; ``None`` where a function is not traced.

    Args:
        step: Its step.
    """
    over, types, operator = step.over, step.over.types, step.over.aggregator.operator
    elements, states = _elements(step), tuple(Leaf(held.dtype, held.shape) for held in types.states)
    number = len(elements)

    def prepare(aggregator: Aggregator, inputs: Sequence[mx.array], _: Sequence[mx.array]) -> Tree:
        return copies.spread(aggregator.operator, element(aggregator, inputs, over.where), 0)

    def combine(aggregator: Aggregator, _: Sequence[mx.array], xs: Sequence[mx.array]) -> Tree:
        left, right = (tree.unflatten(types.structure, side) for side in (xs[:number], xs[number:]))
        return copies.combined(aggregator.operator, left, right, 0, over.where)

    def act(aggregator: Aggregator, _: Sequence[mx.array], xs: Sequence[mx.array]) -> Tree:
        state, x = tree.unflatten(types.form, xs[: len(states)]), tree.unflatten(types.structure, xs[len(states) :])
        return copies.moved(aggregator.operator, state, x, 0, over.where)

    def begin(aggregator: Aggregator, _: Sequence[mx.array], xs: Sequence[mx.array]) -> Tree:
        return copies.begun(aggregator.operator, tree.unflatten(types.structure, xs), 0, over.where)

    def present(aggregator: Aggregator, inputs: Sequence[mx.array], xs: Sequence[mx.array]) -> Tree:
        return aggregator.present(tree.unflatten(types.form, xs), *inputs)

    traced = [
        _traced(step, "prepare", prepare, (), step.timed),
        _traced(step, "combine", combine, elements, elements),
        _traced(step, "act", act, states, elements),
        _traced(step, "present", present, states, step.timed),
    ]
    first = None if over.leaves else _traced(step, "begin", begin, (), elements)
    programs = [program for program in traced if program is not None]
    if len(programs) < len(traced) or (first is None and not over.leaves):
        return None
    known, events = capture(operator, over.where), operator.events(types.structure)
    one = (Leaf(x.dtype, x.shape[len(x.shape) - event :]) for x, event in zip(elements, events, strict=True))
    like = Like(over.where, types.structure, tuple(one))
    ordinary = usual(lambda: identity_constants(known, like) if operator.has_identity else None, number)
    return RowPrograms(programs[0], programs[1], programs[2], first, programs[3], ordinary)


def _elements(step: FusedStep) -> tuple[Leaf, ...]:
    """The leaves of an element, each with all copies."""
    types = step.over.types
    zeros = tree.unflatten(
        types.structure, [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in types.elements]
    )
    leaves = tree.flatten(copies.spread(step.over.aggregator.operator, zeros, 0))[0]
    return tuple(Leaf(dtypes.name_of(x.dtype), tuple(x.shape)) for x in leaves)


def _traced(
    step: FusedStep, part: str, function: Callable[..., Tree], left: tuple[Leaf, ...], right: tuple[Leaf, ...]
) -> Program | None:
    """The program of a function of the aggregator, of its inputs if they stand on the right, and of other arrays."""
    reads_inputs, fixed = part in ("prepare", "present"), len(step.fixed)
    behind = len(left) + len(right)

    def run(*arrays: mx.array) -> Sequence[mx.array]:
        if reads_inputs:
            aggregator, inputs = step.rebuilt(arrays[len(left) :])
            return tree.flatten(function(aggregator, inputs, arrays[: len(left)]))[0]
        aggregator = step.over.captures.rebuild(arrays[behind + fixed :])
        return tree.flatten(function(aggregator, (), arrays[:behind]))[0]

    return step.traced(part, run, left, right).program
