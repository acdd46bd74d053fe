"""The portable target: a scan as a graph of MLX array operations, on any device.

Data goes straight through: align, cast, flip, split; the strategy; join, flip, round, restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.lowering.captures import Captures
from monoscan.lowering.ir import Program
from monoscan.lowering.problem import Options, Problem
from monoscan.lowering.strategies.blelloch import blelloch
from monoscan.lowering.strategies.brent_kung import brent_kung
from monoscan.lowering.strategies.combine import by_lanes, by_slices, by_vmap, join_lanes, leaves_of, split_lanes
from monoscan.lowering.strategies.hillis_steele import hillis_steele
from monoscan.lowering.strategies.reduce import tree_reduce
from monoscan.lowering.strategies.sequential import sequential
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, flip, join

if TYPE_CHECKING:
    from monoscan.lowering.plan import Plan

INCLUSIVE: dict[str, Callable[[Combine, Leaves, int], Leaves]] = {
    "hillis_steele": hillis_steele,
    "brent_kung": brent_kung,
    "sequential": sequential,
}


def run(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Leaves, Leaves]:
    """The result leaves and the carry leaves of a scan, as the caller sees them.

    Args:
        plan: The plan; its strategy is a portable one.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        init: The leaves of ``init``, or ``None``.
    """
    problem = plan.problem
    xs = prepare(problem, leaves)
    first = prepare_init(problem, init) if init is not None else _identity(plan, captures)
    if plan.combine == "lanes":
        assert problem.program is not None
        constants = [lane for array in captures.operands for lane in array.reshape(-1)]
        ys, carry = scan_lanes(problem, plan.strategy, problem.program, xs, first, constants, init is not None)
    else:
        combine = _combine(plan, captures)
        ys, carry = run_strategy(problem.options, plan.strategy, combine, xs, first, init is not None, problem.layout.axis)
    return finish(problem, ys), [problem.layout.restore_carry(c, i) for i, c in enumerate(carry)]


def scan_lanes(
    problem: Problem, strategy: str, program: Program, xs: Leaves, first: Leaves | None, constants: Leaves, seeded: bool
) -> tuple[Leaves, Leaves]:
    """The strategy on one array a lane."""
    events, axis = [leaf.shape for leaf in program.outputs], problem.layout.axis
    start = None if first is None else split_lanes(first, events)
    combine = by_lanes(program, constants)
    ys, carry = run_strategy(problem.options, strategy, combine, split_lanes(xs, events), start, seeded, axis)
    return (join_lanes(ys, events) if ys else ys), join_lanes(carry, events)


def run_strategy(
    options: Options, strategy: str, combine: Combine, xs: Leaves, first: Leaves | None, seeded: bool, axis: int
) -> tuple[Leaves, Leaves]:
    """Results and carry of a portable strategy.

    Args:
        options: The options; ``reverse`` is the caller's business.
        strategy: The strategy's name.
        combine: Combines arrays of elements.
        xs: Aligned leaves in fold order, in the accumulation dtype.
        first: ``init`` if seeded, else the identity where it is needed.
        seeded: Whether ``first`` is an operand.
        axis: The scan axis.
    """
    n = xs[0].shape[axis]
    if strategy == "blelloch" and options.results:
        assert first is not None
        return blelloch(combine, xs, axis, first, seeded, options.inclusive)
    if seeded:
        assert first is not None
        xs = join(axis, combine(first, cut(xs, axis, 0, 1)), cut(xs, axis, 1, n))
    if not options.results:
        reduce = sequential if strategy == "sequential" else tree_reduce
        return [], _last(reduce(combine, xs, axis), axis)
    ys = INCLUSIVE[strategy](combine, xs, axis)
    if options.inclusive:
        return ys, _last(ys, axis)
    assert first is not None
    return join(axis, first, cut(ys, axis, 0, n - 1)), _last(ys, axis)


def _last(ys: Leaves, axis: int) -> Leaves:
    n = ys[0].shape[axis]
    return cut(ys, axis, n - 1, n)


def _combine(plan: Plan, captures: Captures) -> Combine:
    problem = plan.problem
    if plan.combine == "slices":
        return by_slices(captures.root, problem.structure)
    return by_vmap(captures.rebuild, problem.structure, captures.operands, problem.layout.event)


def _identity(plan: Plan, captures: Captures) -> Leaves | None:
    """The identity with a scan axis of length 1, where the strategy or the options place it."""
    needed = plan.strategy == "blelloch" or not plan.problem.options.inclusive
    return identity(plan.problem, captures) if needed and plan.problem.options.results else None


def identity(problem: Problem, captures: Captures) -> Leaves:
    """The identity as aligned leaves with a scan axis of length 1."""
    like = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in problem.element]
    leaves = leaves_of(captures.root.identity(tree.unflatten(problem.structure, like)), problem.structure)
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
