"""Leaves of an act's elements that are the same at every step, spread along the axis: in memory they hold one step."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.options import Options
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


def spread(asked: Options, captures: Captures, elems: Tree, axis: Any) -> tuple[Options, Tree, Any]:
    """Elements whose leaves all have the axis, counted from the front, and the options that say which are fixed.

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
        return asked, elems, axis
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
    for i in fixed:
        x = _aligned(question, i, arrays[i], events[i], rank, at)
        arrays[i] = _along(first, events[longest], at, x, events[i])
    return asked if shapeless.tracing() else _with_fixed(asked, fixed), tree.unflatten(structure, arrays), at


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
    return mx.where(insert_axes(zeros, -1, own) == 0, x, x)
