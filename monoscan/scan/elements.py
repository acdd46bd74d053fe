"""Checks how the elements lie: the axis, their shapes, and ``init``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.problem import accumulators
from monoscan.lowering.program.ir import Shape
from monoscan.scan.question import Question


def axis_number(question: Question, axis: Any) -> int:
    """The axis as an int.

    Raises:
        ScanTypeError: It is no whole number.
    """
    if isinstance(axis, (mx.array, np.ndarray)):
        raise errors.ScanTypeError(
            f"{question.where} axis must be an int; got an array of shape {tuple(axis.shape)}. Elements of several leaves "
            "are one argument, a tree as (a, b)."
        )
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise errors.ScanTypeError(f"{question.where} axis must be an int; got {axis!r:.60}.")
    return int(axis)


def event_shapes(question: Question, shapes: Sequence[Shape], axis: int) -> tuple[int, tuple[Shape, ...]]:
    """The scan axis from the front, and the event shape of each leaf.

    Raises:
        ScanError: The axis is out of range or names an event axis, or lengths differ.
    """
    operator, where, called = question.operator, question.where, question.names
    events = operator.events(question.structure)
    if any(type(event) is not int or event < 0 for event in events):
        raise errors.ScanError(
            f"{where} event must be how many trailing axes belong to an element: 0 or more, or a tuple with one for each "
            f"leaf; got {operator.event!r}."
        )
    for name, shape, event in zip(called, shapes, events, strict=True):
        if len(shape) <= event:
            others = list(zip(shapes, events, strict=True))
            one_for_all = isinstance(operator.event, int) and bool(event) and len(events) > 1
            each = " `event` may be a tuple with a number for each leaf." if one_for_all else ""
            raise errors.ScanError(_no_axis(question, name, shape, event, others, axis) + each)
    position = _axis(question, axis, shapes, events)
    _check_lengths(where, called, shapes, position)
    return position, tuple(shape[len(shape) - event :] for shape, event in zip(shapes, events, strict=True))


def lay_out(
    question: Question,
    shapes: Sequence[Shape],
    axis: int,
    events: tuple[Shape, ...],
    starts: Sequence[Shape] | None,
    depends: tuple[tuple[int, ...], ...],
) -> Layout:
    """The geometry of the elements.

    Args:
        question: Who asks.
        shapes: The shape of each leaf.
        axis: The scan axis, from the front.
        events: The event shape of each leaf.
        starts: The shape of each leaf of ``init``, if there is one.
        depends: For each result leaf, the leaves that it depends on.

    Raises:
        ScanError: Batch shapes do not fit.
    """
    batch = tuple(_batch(shape, axis, len(event)) for shape, event in zip(shapes, events, strict=True))
    init = None if starts is None else _init_batches(question, starts, events)
    _check_broadcast(question, batch, init)
    if init is not None and question.state_alone:
        _check_state(question.where, axis, tuple(mx.broadcast_shapes(*batch)), init[1])
    return Layout(shapes[0][axis], axis, batch, init, events, depends)


def _no_axis(
    question: Question, name: str, shape: Shape, event: int, others: Sequence[tuple[Shape, int]], axis: int
) -> str:
    lacks = f"{question.where} leaf {name} has shape {shape} and no {question.verb} axis"
    behind = f" in front of its {event} event axes" if event else ""
    leaf = name if name.isidentifier() else "leaf"
    if all(len(other) <= own for other, own in others):
        return f"{lacks}{behind}: that is one element, and a {question.verb} takes a sequence. mx.stack makes one of several elements, {leaf}[None] of one."
    lengths = [other[axis] for other, own in others if len(other) - own > max(axis, 0)]
    wanted = ", ".join(map(str, (lengths[0] if lengths else "n", *shape))) + ("" if shape else ",")
    return (
        f"{lacks}{behind}. An element that is the same at each step is spread "
        f"along the axis: mx.broadcast_to({leaf}, ({wanted}))."
    )


def _batch(shape: Shape, axis: int, event: int) -> Shape:
    return shape[:axis] + shape[axis + 1 : len(shape) - event]


def _axis(question: Question, axis: int, shapes: Sequence[Shape], events: Sequence[int]) -> int:
    where, called = question.where, question.names
    ranks = [len(shape) for shape in shapes]
    if axis < 0 and len(set(ranks)) > 1:
        given = ", ".join(f"{name} {shape}" for name, shape in zip(called, shapes, strict=True))
        raise errors.ScanError(
            f"{where} axis {axis} counts from the end, which needs leaves of equal rank; got {given}. "
            "Name the axis from the front."
        )
    position = axis + ranks[0] if axis < 0 else axis
    for name, shape, event in zip(called, shapes, events, strict=True):
        free = len(shape) - event
        if 0 <= position < free:
            continue
        if free <= position < len(shape):
            raise errors.ScanError(
                f"{where} axis {axis} is an event axis of leaf {name} with shape {shape}: its last {event} belong to one "
                f"element. The {question.verb} axis is {'0' if free == 1 else f'one of 0 to {free - 1}'}."
            )
        raise errors.ScanError(
            f"{where} axis {axis} is out of bounds for leaf {name} with shape {shape}"
            + (f", whose last {event} axes belong to one element" if event else "")
            + f"; it must be {'0' if event and free == 1 else f'in [{0 if event else -len(shape)}, {free - 1}]'}."
        )
    return position


def slice_axis(question: Question, shapes: Sequence[Shape], axis: int) -> int:
    """The scan axis of whole slices, from the front, once it and the lengths are checked."""
    where, called = question.where, question.names
    for name, shape in zip(called, shapes, strict=True):
        if not shape:
            raise errors.ScanError(_no_axis(question, name, shape, 0, [(each, 0) for each in shapes], axis))
    position = _axis(question, axis, shapes, [0] * len(shapes))
    _check_lengths(where, called, shapes, position)
    return position


def _check_lengths(where: str, called: list[str], shapes: Sequence[Shape], axis: int) -> None:
    lengths = [shape[axis] for shape in shapes]
    for name, shape, length in zip(called, shapes, lengths, strict=True):
        if length != lengths[0]:
            raise errors.ScanError(
                f"{where} leaves must have one length along axis {axis}; {called[0]} has {lengths[0]} (shape {shapes[0]}), "
                f"{name} has {length} (shape {shape})."
                + (" Spread the shorter one with mx.broadcast_to." if 1 in lengths else "")
            )


def _init_batches(question: Question, init: Sequence[Shape], events: Sequence[Shape]) -> tuple[Shape, ...]:
    batches = []
    for name, shape, event in zip(question.names, init, events, strict=True):
        cut = len(shape) - len(event)
        if cut < 0 or shape[cut:] != event:
            raise errors.ScanError(
                f"{question.where} init is an element without the scan axis; its leaf {name} must end in the event shape {event}, "
                f"got shape {shape}."
            )
        batches.append(shape[:cut])
    return tuple(batches)


def _check_state(where: str, axis: int, batch: Shape, state: Shape) -> None:
    """A state has no more axes than the inputs: one that still has the time axis would be taken for many."""
    if len(state) > len(batch):
        raise errors.ScanError(
            f"{where} h0 has shape {state}; expected {batch}, the shape of a and b without axis {axis}, or what broadcasts "
            "with it. To start several states, give a or b their axis too, with mx.broadcast_to."
        )


def _check_broadcast(question: Question, batch: Sequence[Shape], init: Sequence[Shape] | None) -> None:
    starts = [] if init is None else list(zip(question.starts, init, strict=True))
    leaves = list(zip(question.names, batch, strict=True))
    start = "h0" if question.state_alone else "init"
    hint = _matrices(batch) if question.state_alone else ""
    for what, named in (("leaves", leaves), (start, leaves + starts[question.state_alone :])):
        try:
            mx.broadcast_shapes(*(shape for _, shape in named), ())
        except ValueError as error:
            given = ", ".join(f"{name} {shape}" for name, shape in named)
            raise errors.ScanError(
                f"{question.where} batch shapes of {what}{'' if what == 'leaves' else ' and elements'} must broadcast (the "
                f"{question.verb} axis and event axes removed); got {given}.{hint}"
            ) from error


def _matrices(batch: Sequence[Shape]) -> str:
    """What to do about gates that are matrices."""
    gates, inputs = batch
    square = len(gates) == len(inputs) + 1 and gates[-1:] == gates[-2:-1]
    return " Where a holds matrices and b vectors, it is ms.act(ms.MatrixAffine(), (a, b), h0)." if square else ""


def init_leaves(question: Question, init: tree.Tree, stored: tuple[str, ...]) -> list[mx.array]:
    """The leaves of ``init``; Python scalars become arrays of the accumulation dtype.

    Raises:
        TreeError: It is not an element's tree.
        ScanTypeError: A leaf has neither the result's nor the accumulation dtype.
    """
    where, operator, structure = question.where, question.operator, question.structure
    leaves = tree.flatten_like(init, structure)
    if leaves is None and question.state_alone:
        raise errors.TreeError(f"{where} h0 must be an array; got {tree.describe(init[1])}.")
    if leaves is None:
        raise errors.TreeError(f"{where} init must be an element, {tree.show(structure)}; got {tree.describe(init)}.")
    rows = zip(leaves, accumulators(operator, stored), operator.promote(stored), strict=True)
    return [_init_leaf(question, i, x, exact, rounded) for i, (x, exact, rounded) in enumerate(rows)]


def _init_leaf(question: Question, leaf: int, x: Any, exact: str, rounded: str) -> mx.array:
    if type(x) is mx.array and dtypes.name_of(x.dtype) in (exact, rounded):
        return x
    number = dtypes.number(x)
    if isinstance(number, (bool, int, float, complex)) and dtypes.holds(exact, number):
        return dtypes.constant(number, exact)
    label = f"{question.where} {question.starts[leaf]}"
    x = dtypes.number(to_mlx(label, x))
    if isinstance(x, (bool, int, float, complex)):
        raise errors.ScanTypeError(f"{label} is {x!r:.40}, which {exact} does not hold. Cast the elements first.")
    if not isinstance(x, mx.array):
        got = f"{type(x).__name__} {x!r:.40}"
        raise errors.TreeError(f"{label} must be an array; got {got}. Convert it with mx.array(...).")
    if dtypes.name_of(x.dtype) not in (exact, rounded):
        expected = exact if exact == rounded else f"{rounded} or {exact}"
        raise errors.ScanTypeError(f"{label} is {dtypes.name_of(x.dtype)}; expected {expected}. Cast it with .astype.")
    return x
