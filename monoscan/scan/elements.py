"""Checks what the caller gave: the tree, its leaves, their shapes, the axis, ``init``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.layout import Layout, Shape
from monoscan.lowering.problem import accumulators
from monoscan.monoids.base import Semigroup


def check_leaves(where: str, operator: Semigroup, elems: tree.Tree, leaves: list[Any], structure: tree.Structure) -> None:
    """The elements form the operator's tree, and each leaf is an array."""
    if not leaves:
        raise errors.TreeError(f"{where} expects at least one array; got the empty tree {tree.describe(elems)}.")
    template = operator.template
    if template is not None and tree.flatten_like(template, structure) is None:
        got = f"a single array of shape {tuple(elems.shape)}" if isinstance(elems, mx.array) else tree.describe(elems)
        kind = "a single array" if tree.flatten(template)[1] is tree.LEAF else f"a tree {tree.describe(template)}"
        raise errors.TreeError(f"{where} expects {kind}; got {got}. {operator.name}.embed builds elements from raw input.")
    for name, leaf in zip(names(operator, structure), leaves, strict=True):
        if not isinstance(leaf, mx.array):
            raise errors.TreeError(f"{where} expects arrays; leaf {name} is {type(leaf).__name__} {leaf!r:.40}. {_remedy(leaf, leaves)}")


def _remedy(leaf: Any, leaves: list[Any]) -> str:
    other = next((x for x in leaves if isinstance(x, mx.array)), None)
    if isinstance(leaf, (bool, int, float)) and other is not None:
        return f"Spread a scalar along the axis: mx.broadcast_to(mx.array({leaf!r}), {tuple(other.shape)})."
    return "Convert it with mx.array(...)."


def names(operator: Semigroup, structure: tree.Structure) -> list[str]:
    """What messages call each leaf: the template's name, else the path."""
    named = None if operator.template is None else tree.flatten_like(operator.template, structure)
    return named or [path or "x" for path in tree.paths(structure)]


def lay_out(
    where: str, operator: Semigroup, structure: tree.Structure, shapes: Sequence[Shape], axis: int, init: Sequence[Shape] | None
) -> Layout:
    """The geometry of the elements.

    Raises:
        ScanError: The axis is out of range or names an event axis, or lengths or batch
            shapes do not fit.
    """
    called = names(operator, structure)
    events = operator.events(structure)
    for name, shape, event in zip(called, shapes, events, strict=True):
        if len(shape) <= event:
            raise errors.ScanError(
                f"{where} leaf {name} has shape {shape}; it needs a scan axis and {event} event axes, {event + 1} axes or "
                f"more. A constant element is spread along the axis by mx.broadcast_to({name}, (n, ...))."
            )
    axis = _axis(where, axis, called, shapes, events)
    _check_lengths(where, called, shapes, axis)
    batch = tuple(_batch(shape, axis, event) for shape, event in zip(shapes, events, strict=True))
    event_shapes = tuple(shape[len(shape) - event :] for shape, event in zip(shapes, events, strict=True))
    starts = None if init is None else _init_batches(where, called, init, event_shapes)
    _check_broadcast(where, called, batch, starts)
    return Layout(shapes[0][axis], axis, batch, starts, event_shapes, ())


def _batch(shape: Shape, axis: int, event: int) -> Shape:
    return shape[:axis] + shape[axis + 1 : len(shape) - event]


def _axis(where: str, axis: int, called: list[str], shapes: Sequence[Shape], events: Sequence[int]) -> int:
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise errors.ScanTypeError(f"{where} axis must be an int; got {axis!r}.")
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
                f"element. The scan axis is one of 0 to {free - 1}."
            )
        raise errors.ScanError(
            f"{where} axis {axis} is out of bounds for leaf {name} with shape {shape}"
            + (f", whose last {event} axes belong to one element" if event else "")
            + f"; it must be in [{-len(shape)}, {free - event - 1 if event else free - 1}]."
        )
    return position


def slice_axis(where: str, structure: tree.Structure, shapes: Sequence[Shape], axis: int) -> int:
    """The scan axis of whole slices, from the front, once it and the lengths are checked."""
    called = [path or "x" for path in tree.paths(structure)]
    position = _axis(where, axis, called, shapes, [0] * len(shapes))
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


def _init_batches(where: str, called: list[str], init: Sequence[Shape], events: Sequence[Shape]) -> tuple[Shape, ...]:
    batches = []
    for name, shape, event in zip(called, init, events, strict=True):
        cut = len(shape) - len(event)
        if cut < 0 or shape[cut:] != event:
            raise errors.ScanError(
                f"{where} init is an element without the scan axis; its leaf {name} must end in the event shape {event}, "
                f"got shape {shape}."
            )
        batches.append(shape[:cut])
    return tuple(batches)


def _check_broadcast(where: str, called: list[str], batch: Sequence[Shape], init: Sequence[Shape] | None) -> None:
    for what, shapes in (("leaves", batch), ("init and elements", [*batch, *(init or ())])):
        try:
            mx.broadcast_shapes(*shapes) if len(shapes) > 1 else None
        except ValueError as error:
            labels = [*called, *(f"init {name}" for name in called)]
            given = ", ".join(f"{name} {shape}" for name, shape in zip(labels, shapes, strict=False))
            raise errors.ScanError(
                f"{where} batch shapes of {what} must broadcast (the scan axis and event axes removed); got {given}."
            ) from error


def init_leaves(where: str, operator: Semigroup, structure: tree.Structure, init: tree.Tree, stored: tuple[str, ...]) -> list[mx.array]:
    """The leaves of ``init``; Python scalars become arrays of the accumulation dtype.

    Raises:
        TreeError: It is not an element's tree.
        ScanTypeError: A leaf has neither the result's nor the accumulation dtype.
    """
    leaves = tree.flatten_like(init, structure)
    if leaves is None:
        raise errors.TreeError(f"{where} init must be an element, {tree.show(structure)}; got {tree.describe(init)}.")
    wanted = accumulators(operator, stored)
    allowed = [{exact, rounded} for exact, rounded in zip(wanted, operator.promote(stored), strict=True)]
    arrays = [mx.array(x, dtypes.by_name(n)) if isinstance(x, (bool, int, float, complex)) else x for x, n in zip(leaves, wanted, strict=True)]
    for name, x, names_allowed in zip(names(operator, structure), arrays, allowed, strict=True):
        if not isinstance(x, mx.array):
            raise errors.TreeError(f"{where} init leaf {name} must be an array; got {type(x).__name__} {x!r:.40}.")
        if dtypes.name_of(x.dtype) not in names_allowed:
            raise errors.ScanTypeError(
                f"{where} init leaf {name} is {dtypes.name_of(x.dtype)}; expected {' or '.join(sorted(names_allowed))}. "
                "Cast it with .astype."
            )
    return arrays
