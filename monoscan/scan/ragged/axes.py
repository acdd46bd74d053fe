"""What all calls on sequences share: options, and how lengths, masks, offsets and starts lie beside elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from monoscan import errors
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.options import Options
from monoscan.lowering.program.ir import Shape
from monoscan.monoids.shapes import insert_axes
from monoscan.scan.passes import without_sequences
from monoscan.scan.ragged.given import Aligned, Given, align, batch_of

Leaves = list[mx.array]
Raw = tuple[Any, Any, Any]
"""Lengths, mask and offsets, as a call is given them."""


def refuse(where: str, asked: Options) -> None:
    """Says what there is not for sequences with bounds.

    Raises:
        StrategyError: A plan for every size is asked for, or MLX's own scan.
    """
    if asked.strategy == "native":
        raise errors.StrategyError(
            f"{where} strategy='native' cannot run it: MLX's scans know no lengths, mask or offsets. Use strategy=\"auto\"; "
            "explain() says what it chooses and why."
        )
    if shapeless.tracing():
        raise errors.StrategyError(
            f"{where} with lengths, mask or offsets has no plan that fits every size, as mx.compile(..., shapeless=True) asks. "
            "Compile without shapeless=True: each shape is traced anew then."
        )


def with_axis(start: Sequence[mx.array], events: Sequence[int], axis: int) -> Leaves:
    """Leaves of what sequences start from; one without batch axes is that of all of them."""
    return [
        x if x.ndim > event else x.reshape((1,) * (axis + 1) + x.shape) for x, event in zip(start, events, strict=True)
    ]


def first_shapes(
    where: str, names: Sequence[str], start: Sequence[mx.array], events: Sequence[int], axis: int, sequences: int
) -> tuple[Shape, ...]:
    """The shapes of the leaves of what sequences start from, without the axis of sequences.

    Raises:
        ScanError: One has no such axis.
    """
    pairs = list(zip(start, events, strict=True))
    given = tuple(tuple(x.shape[: x.ndim - event]) for x, event in pairs)
    batches = without_sequences(where, names, given, axis, sequences)
    return tuple(batch + tuple(x.shape[x.ndim - event :]) for batch, (x, event) in zip(batches, pairs, strict=True))


def align_given(where: str, found: Given, layout: Layout) -> Aligned:
    """Lengths, mask and offsets, aligned with elements of this geometry."""
    batch = tuple(mx.broadcast_shapes(*layout.batch, ()))
    return align(where, found, layout.axis, layout.length, batch, layout.rank)


def bounds_batch(aligned: Aligned, layout: Layout) -> Shape:
    """The batch axes on which it depends which positions are valid."""
    return batch_of([x.shape for x in (aligned.lengths, aligned.mask) if x is not None], layout.axis)


def with_sequences(x: mx.array, event: int, axis: int, rank: int, packed: bool) -> mx.array:
    """A leaf of what sequences start from with all axes: their number, or 1, in the place of the scan axis."""
    free = x.ndim - event
    if not packed:
        return mx.expand_dims(insert_axes(x, 0, rank - free), axis)
    front = mx.moveaxis(x, axis, 0)
    return mx.moveaxis(insert_axes(front, 1, rank + 1 - free), 0, axis)


def wide(condition: mx.array, event: int) -> mx.array:
    """A condition with event axes."""
    return insert_axes(condition, condition.ndim, event)
