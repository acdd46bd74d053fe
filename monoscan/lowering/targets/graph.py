"""The portable target: a scan as a graph of MLX array operations, on any device."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient import ruled
from monoscan.lowering.gradient.transforms import transformable
from monoscan.lowering.plan import on_arrays
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.identity import neutral
from monoscan.lowering.plan.plan import Portable
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.interpret_arrays import own_derivatives
from monoscan.lowering.strategies.combine import by_arrays, by_slices, by_vmap, on_lanes, on_leaves
from monoscan.lowering.strategies.hillis_steele import BASE
from monoscan.lowering.strategies.run import run_strategy
from monoscan.lowering.strategies.slices import Combine, Leaves, flip
from monoscan.lowering.targets.pairs import from_pairs, of_pairs, pairs
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.monoids.shapes import insert_axes


def run(
    problem: Problem, way: Portable, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Leaves, Leaves]:
    """The result leaves and the carry leaves of a scan, as the caller sees them.

    Args:
        problem: What was asked.
        way: The strategy, and how ``combine`` runs on its arrays.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        init: The leaves of ``init``, or ``None``.
    """
    scan, layout = way.scan, problem.layout
    if scan is None:
        return _untraced(problem, way.strategy, leaves, captures, init)
    arrays = aligned_arrays(problem, leaves, captures, init)

    def forward(inputs: Sequence[mx.array], axis: int, rank: int) -> Leaves:
        # under mx.vmap there are axes of which a function of slices knows nothing
        by_program = way.combine == "lanes" or (problem.slices and rank > layout.rank + 1)
        combine = None if by_program else _mapped(problem, captures, scan, inputs, rank)
        return on_arrays.run(scan, inputs, axis, rank, combine)

    outputs = transformable(scan, forward, arrays, layout.axis, layout.rank + 1)
    results = [restored(problem, y, i) for i, y in enumerate(outputs[: len(leaves)])] if problem.options.results else []
    return results, [restored_carry(problem, c, i) for i, c in enumerate(outputs[len(results) :])]


def aligned_arrays(
    problem: Problem,
    leaves: Sequence[mx.array],
    captures: Captures,
    init: Sequence[mx.array] | None,
    real: Collection[int] = (),
) -> list[mx.array]:
    """Elements, captured arrays and ``init``, aligned, complex ones as pairs; these leaves as real parts alone."""
    layout = problem.joint
    aligned = [layout.align(x, i) for i, x in enumerate(leaves)]
    elements = [x.astype(mx.float32) if i in real else pairs(promoted(problem, x, i)) for i, x in enumerate(aligned)]
    return [*elements, *aligned_behind(problem, captures, init)]


def aligned_behind(problem: Problem, captures: Captures, init: Sequence[mx.array] | None) -> list[mx.array]:
    """What stands behind the elements: captured arrays and ``init``."""
    layout, names = problem.joint, problem.carried
    behind = [pairs(insert_axes(c, 0, layout.rank + 1)) for c in captures.operands]
    for i, x in enumerate(init or ()):
        first = layout.align_init(x, i, _has_sequences(problem, x, i)).astype(dtypes.by_name(names[i]))
        behind.append(pairs(first))
    return behind


def _has_sequences(problem: Problem, x: mx.array, leaf: int) -> bool:
    """Whether there is one of each sequence; of outputs of a loop, which no step reads, there is none."""
    if problem.sequences is None or problem.joint.init is None:
        return False
    leaves = problem.element if problem.acts is None else problem.acts.leaves
    return x.ndim > len(problem.joint.init[leaf]) + len(leaves[leaf].shape)


def restored(problem: Problem, y: mx.array, leaf: int) -> mx.array:
    """A result of an aligned scan, as the caller sees it."""
    return problem.outcome.restore(from_pairs(y, problem.rounded[leaf]), leaf)


def restored_carry(problem: Problem, y: mx.array, leaf: int) -> mx.array:
    """A carry of an aligned scan, as the caller sees it."""
    return problem.outcome.restore_carry(from_pairs(y, problem.carried[leaf]), leaf, problem.sequences is not None)


def promoted(problem: Problem, x: mx.array, leaf: int) -> mx.array:
    """A leaf in the dtype of its result."""
    return x if problem.stored[leaf] == problem.results[leaf] else x.astype(dtypes.by_name(problem.results[leaf]))


def _mapped(problem: Problem, captures: Captures, scan: AlignedScan, arrays: Sequence[mx.array], rank: int) -> Combine:
    """``combine`` on lanes by the function itself; captured arrays are those of the graph."""
    _, captured, _ = scan.unpack(arrays)
    if problem.slices:
        rebuilt = captures.rebuild([c.reshape(c.shape[rank:]) for c in captured])
        return on_leaves(by_slices(rebuilt, problem.structure), scan.events)
    return on_leaves(by_vmap(captures.rebuild, problem.structure, captured, problem.layout.event, rank), scan.events)


def whole_combine(problem: Problem, captures: Captures) -> Combine:
    """``combine`` on leaves of elements, outside of the rules for whole scans: MLX differentiates what runs it."""
    if problem.program is not None:
        lanes = ruled.combine(problem.program, on_arrays.capture_lanes([pairs(c) for c in captures.operands], 0))
        return of_pairs(on_lanes(lanes, [leaf.shape for leaf in problem.program.outputs]), problem.accumulators)
    if problem.arrays is not None and own_derivatives(problem.arrays):
        return of_pairs(_on_arrays(problem.arrays, [pairs(c) for c in captures.operands]), problem.accumulators)
    if problem.slices:
        return by_slices(captures.root, problem.structure)
    rules = problem.traced.own_rules
    return by_vmap(captures.rebuild, problem.structure, captures.operands, problem.layout.event, own_rules=rules)


def _on_arrays(program: ArrayProgram, captured: Sequence[mx.array]) -> Combine:
    def combine(left: Leaves, right: Leaves) -> Leaves:
        rank = left[0].ndim - len(program.outputs[0].shape)
        return by_arrays(program, [c.reshape((1,) * rank + c.shape) for c in captured])(left, right)

    return combine


def _untraced(
    problem: Problem, strategy: str, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Leaves, Leaves]:
    """A function that the IR cannot express, or an identity that is not constant: MLX differentiates through the graph."""
    options = problem.options
    xs = prepare(problem, leaves)
    first = prepare_init(problem, init) if init is not None else None
    if first is None and problem.needs_identity(strategy):
        first = identity(problem, captures)
    combine = whole_combine(problem, captures)
    ys, carry = run_strategy(
        strategy, combine, xs, first, problem.layout.axis,
        seeded=init is not None, inclusive=options.inclusive, results=options.results, base=1 if problem.whole else BASE,
    )  # fmt: skip
    return finish(problem, ys), [
        problem.layout.restore_carry(c.squeeze(problem.layout.axis), i) for i, c in enumerate(carry)
    ]


def identity(problem: Problem, captures: Captures) -> Leaves:
    """The identity as aligned leaves with a scan axis of length 1."""
    leaves = neutral(captures.root, problem.like)
    return [mx.broadcast_to(e, problem.layout.aligned_shape(i, 1)) for i, e in enumerate(leaves)]


def prepare(problem: Problem, leaves: Sequence[mx.array]) -> Leaves:
    """The leaves aligned, in the accumulation dtype and in fold order, with the shape of the state."""
    layout = problem.layout
    xs = []
    for i, (x, name) in enumerate(zip(leaves, problem.accumulators, strict=True)):
        aligned = layout.align(x, i).astype(dtypes.by_name(name))
        shape = layout.aligned_shape(i, layout.length)
        xs.append(aligned if tuple(aligned.shape) == shape else mx.broadcast_to(aligned, shape))
    return flip(xs, layout.axis) if problem.options.reverse else xs


def prepare_init(problem: Problem, init: Sequence[mx.array]) -> Leaves:
    """``init`` aligned with a scan axis of length 1, in the accumulation dtype and the shape of the state."""
    layout = problem.layout
    pairs = enumerate(zip(init, problem.accumulators, strict=True))
    aligned = [layout.align_init(x, i).astype(dtypes.by_name(name)) for i, (x, name) in pairs]
    return [mx.broadcast_to(x, layout.aligned_shape(i, 1)) for i, x in enumerate(aligned)]


def finish(problem: Problem, ys: Leaves) -> Leaves:
    """Results in array order, rounded once, in the shapes that the caller sees."""
    if problem.options.reverse:
        ys = flip(ys, problem.layout.axis)
    typed = [y.astype(dtypes.by_name(name)) for y, name in zip(ys, problem.results, strict=False)]
    return [problem.layout.restore(y, i) for i, y in enumerate(typed)]
