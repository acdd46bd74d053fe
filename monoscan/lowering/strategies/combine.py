"""``combine`` on whole arrays of elements, in three ways; never a Python loop over elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import mlx.core as mx

from monoscan import errors, mapped, tree
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.program.ir import Program, Shape
from monoscan.lowering.strategies.slices import Combine, Leaves
from monoscan.lowering.trace.roles import Role
from monoscan.monoids.base import Semigroup


def by_lanes(program: Program, constants: Sequence[mx.array]) -> Combine:
    """The traced program, run on arrays that hold one lane of all elements each.

    Args:
        program: The program.
        constants: The lanes of the captured arrays.
    """

    def combine(left: Leaves, right: Leaves) -> Leaves:
        results = evaluate(program, [*left, *right, *constants], ARRAYS)
        return [_as_wide(y, a, b) for y, a, b in zip(results, left, right, strict=True)]

    return combine


def by_arrays(program: ArrayProgram, captured: Sequence[mx.array]) -> Combine:
    """An array program, run on leaves of all elements.

    Args:
        program: The program.
        captured: The captured arrays, with the batch axes of the elements.
    """

    def combine(left: Leaves, right: Leaves) -> Leaves:
        results = evaluate_arrays(program, [*left, *right, *captured])
        return [_as_wide(y, a, b) for y, a, b in zip(results, left, right, strict=True)]

    return combine


def _as_wide(y: mx.array, left: mx.array, right: mx.array) -> mx.array:
    """A lane of the result, one for each element even where it depends on none."""
    return y if y.shape == right.shape else mx.broadcast_to(y, mx.broadcast_shapes(left.shape, right.shape))


def by_slices(operator: Semigroup, structure: tree.Structure) -> Combine:
    """The function itself on whole slices, as JAX's ``associative_scan`` calls it."""
    role = Role(f"[associative_scan] {operator.name}", "combine", "slices of another length")

    def combine(left: Leaves, right: Leaves) -> Leaves:
        with role:
            result = operator.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
        return _same_shapes(operator, leaves_of(result, structure), left, right)

    return combine


def _same_shapes(operator: Semigroup, result: Leaves, left: Leaves, right: Leaves) -> Leaves:
    """What a function of slices returned, if it is slices again; nothing else has checked that."""
    for i, (y, a, b) in enumerate(zip(result, left, right, strict=True)):
        expected = tuple(mx.broadcast_shapes(a.shape, b.shape))
        if not isinstance(y, mx.array) or tuple(y.shape) != expected or y.dtype != a.dtype:
            raise errors.ScanError(
                f"[associative_scan] {operator.name} must return slices like those it gets; leaf {i} should be "
                f"{tree.describe(mx.zeros(expected, a.dtype))} and is {tree.describe(y)}."
            )
    return result


def by_vmap(
    rebuild: Callable[[Sequence[mx.array]], Semigroup],
    structure: tree.Structure,
    captured: Sequence[mx.array],
    events: Sequence[Shape],
    shared: int = 0,
    own_rules: bool = False,
) -> Combine:
    """The function under ``mx.vmap`` over the scan axis and each batch axis.

    Args:
        rebuild: The operator with given arrays in place of the captured ones.
        structure: The tree of an element.
        captured: The captured arrays.
        events: The event shape of each leaf.
        shared: How many batch axes the captured arrays have, of full size or 1.
        own_rules: Whether the function holds one with derivatives of its own.
    """
    run = mapped.ruled if own_rules else mapped.run
    one = one_element(rebuild, structure, len(events))

    def combine(left: Leaves, right: Leaves) -> Leaves:
        rank = left[0].ndim - len(events[0])
        held = [c.reshape((1,) * (rank - shared) + c.shape) for c in captured]
        results = run(one, [*left, *right, *held], rank)
        shapes = [tuple(mx.broadcast_shapes(a.shape, b.shape)) for a, b in zip(left, right, strict=True)]
        return [trim(y, shape) for y, shape in zip(results, shapes, strict=True)]

    return combine


def one_element(
    rebuild: Callable[[Sequence[mx.array]], Semigroup], structure: tree.Structure, number: int
) -> Callable[..., Leaves]:
    """``combine`` of one element as a function of arrays: the leaves left and right, then what is captured."""

    def one(*arrays: mx.array) -> Leaves:
        left, right = tree.unflatten(structure, arrays[:number]), tree.unflatten(structure, arrays[number : 2 * number])
        return leaves_of(rebuild(arrays[2 * number :]).combine(left, right), structure)

    return one


def trim(y: mx.array, shape: Shape) -> mx.array:
    """Undoes the broadcast of a result that does not depend on an axis: its rows are all the same."""
    if tuple(y.shape) == shape:
        return y
    return y[tuple(slice(0, size) for size in shape)]


def leaves_of(result: tree.Tree, structure: tree.Structure) -> Leaves:
    """The leaves of what ``combine`` returned, whose tree tracing has checked."""
    leaves = tree.flatten_like(result, structure)
    assert leaves is not None
    return leaves


def on_leaves(combine: Combine, events: Sequence[Shape]) -> Combine:
    """A ``combine`` of leaves as one of lanes."""

    def combine_lanes(left: Leaves, right: Leaves) -> Leaves:
        return split_lanes(combine(join_lanes(left, events), join_lanes(right, events)), events)

    return combine_lanes


def on_lanes(combine: Combine, events: Sequence[Shape]) -> Combine:
    """A ``combine`` of lanes as one of leaves."""

    def combine_leaves(left: Leaves, right: Leaves) -> Leaves:
        return join_lanes(combine(split_lanes(left, events), split_lanes(right, events)), events)

    return combine_leaves


def split_lanes(xs: Leaves, events: Sequence[Shape]) -> Leaves:
    """Leaves with event axes as one array a lane."""
    lanes: Leaves = []
    for x, event in zip(xs, events, strict=True):
        flat = x.reshape(*x.shape[: x.ndim - len(event)], prod(event)) if event else x
        lanes += [flat[..., i] for i in range(prod(event))] if event else [x]
    return lanes


def join_lanes(lanes: Leaves, events: Sequence[Shape]) -> Leaves:
    """The leaves again."""
    leaves, start = [], 0
    for event in events:
        own = lanes[start : start + prod(event)]
        start += prod(event)
        leaves.append(mx.stack(own, axis=-1).reshape(*own[0].shape, *event) if event else own[0])
    return leaves
