"""Leaves of an act's elements that are the same at every step.

They are spread along the axis, so that all that is checked and planned is as of any elements. A kernel reads their one
step, by which its gradient knows what is to be summed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Kernels, Plan
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.monoids.inputs import Fixed, given
from monoscan.monoids.shapes import insert_axes
from monoscan.scan import elements
from monoscan.scan.leaves import arrays_of
from monoscan.scan.question import Question
from monoscan.tree import Tree


@functools.lru_cache(maxsize=1024)
def _with_fixed(asked: Options, fixed: tuple[int, ...]) -> Options:
    return attrs.evolve(asked, fixed=fixed)


@attrs.frozen(eq=False)
class Spread:
    """Elements whose leaves all have the axis.

    Args:
        asked: The options, which say what leaves are fixed.
        elems: The elements.
        axis: Their axis, counted from the front where a leaf is fixed.
        one: The fixed leaves again, with one step.
    """

    asked: Options
    elems: Tree
    axis: Any
    one: dict[int, mx.array] = attrs.field(factory=dict)

    def one_step(self, plan: Plan, leaves: list[mx.array]) -> list[mx.array]:
        """The leaves of the elements as a plan reads them: kernels of the CPU one step of those that are fixed."""
        if not self.one or not isinstance(plan.way, Kernels):
            return leaves
        return [self.one.get(i, x) for i, x in enumerate(leaves)]


def spread(asked: Options, captures: Captures, elems: Tree, axis: Any) -> Spread:
    """The elements of an act, spread.

    Args:
        asked: The options.
        captures: The operator.
        elems: The elements.
        axis: The axis of those that are not fixed.

    Raises:
        ScanError: No leaf has the axis, or a fixed one has other axes than those of the batch and of an element.
    """
    leaves, structure = tree.flatten(elems)
    fixed = tuple(i for i, leaf in enumerate(leaves) if isinstance(leaf, Fixed))
    if not fixed:
        return Spread(asked, elems, axis)
    question = Question(asked, captures, structure)
    axis = elements.axis_number(question, axis)
    arrays = arrays_of(question, elems, [given(leaf) for leaf in leaves], None)
    timed = [i for i in range(len(leaves)) if i not in fixed]
    if not timed:
        raise errors.ScanError(
            f"{question.where} has fixed leaves alone, and none says how many steps there are; spread one along the axis "
            "with mx.broadcast_to."
        )
    events = question.operator.events(structure)
    longest = max(timed, key=lambda i: arrays[i].ndim - events[i])
    first, rank = arrays[longest], arrays[longest].ndim - events[longest] - 1
    at = axis + first.ndim if axis < 0 else axis
    if not 0 <= at < first.ndim:
        raise errors.ScanError(
            f"{question.where} axis {axis} is out of bounds for leaf {question.names[longest]} with shape {first.shape}."
        )
    one = {i: _aligned(question, i, arrays[i], events[i], rank, at) for i in fixed}
    for i, x in one.items():
        arrays[i] = _along(first, events[longest], at, x, events[i])
    elems = tree.unflatten(structure, arrays)
    return Spread(asked, elems, at) if shapeless.tracing() else Spread(_with_fixed(asked, fixed), elems, at, one)


def _aligned(question: Question, leaf: int, x: mx.array, event: int, rank: int, at: int) -> mx.array:
    """All axes of the batch, and one of size 1 where the scan axis is."""
    missing = rank - (x.ndim - event)
    if not 0 <= missing <= rank:
        raise errors.ScanError(
            f"{question.where} fixed leaf {question.names[leaf]} has shape {x.shape}: of {rank} batch axes at most, and then "
            f"{event} of an element; it has no scan axis."
        )
    return mx.expand_dims(insert_axes(x, 0, missing), at)


def _along(steps: mx.array, event: int, at: int, x: mx.array, own: int) -> mx.array:
    """With as many steps as another array has, whose last axes belong to an element; of `x` itself `own` do."""
    if not shapeless.tracing():
        return mx.broadcast_to(x, (*x.shape[:at], steps.shape[at], *x.shape[at + 1 :]))
    others = [axis for axis in range(steps.ndim - event) if axis != at]  # a size must not enter
    zeros = mx.zeros_like(steps).sum(axis=others, keepdims=True).sum(axis=[-1 - axis for axis in range(event)])
    held, bridge = mx.stop_gradient(x), build.attempt()
    found = mx.where(insert_axes(zeros, -1, own) == 0, held, held)
    return found if bridge is None else bridge.attach([x], [found], _Summed(), axis=at, rank=x.ndim - own)[0]


@attrs.frozen
class _Summed:
    """The derivatives of what is spread in a shapeless trace: MLX's rule for it holds the number of steps."""

    def vjp(
        self, primals: Leaves, cotangents: Leaves, argnums: Sequence[int], outputs: Leaves, *, axis: int, rank: int
    ) -> Leaves:
        """The sum over the steps."""
        return [shapeless.sum_to(cotangents[0], primals[0], rank)]

    def jvp(self, primals: Leaves, tangents: Leaves, argnums: Sequence[int], *, axis: int, rank: int) -> Leaves:
        """There is none: the scan's own is refused too."""
        shapeless.refuse("This derivative")
        return list(tangents)
