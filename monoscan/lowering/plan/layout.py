"""Where everything lies: how leaves of different rank share a scan axis and broadcast.

Leaf ``i`` has the shape ``batch[:axis] + (n,) + batch[axis:] + event``. Strategies and
kernels work on *aligned* leaves: all batch shapes padded on the left to one rank, the scan
axis put back at ``axis``, so that leaves differ only in sizes of 1. No array operation here
holds a size: all of it has a place in a shapeless compile.
"""

from __future__ import annotations

from functools import cached_property
from math import prod

import attrs
import mlx.core as mx

from monoscan.lowering.program.ir import Shape
from monoscan.monoids.shapes import insert_axes, remove_axes


@attrs.frozen
class Layout:
    """The geometry of one scan.

    Args:
        length: The length of the scan axis.
        axis: Its position, counted from the front.
        batch: The batch shape of each leaf of the elements, scan axis removed.
        init: The batch shape of each leaf of ``init``, or ``None`` without one.
        event: The event shape of each leaf.
        depends: For each result leaf, the leaves that it depends on; itself among them.
        joint: Whether the batch axes of the leaves are the same, up to sizes of 1. Those of
            whole slices need not be.
        bounds: The batch axes on which it depends which positions are valid; all results have them.
    """

    length: int
    axis: int
    batch: tuple[Shape, ...]
    init: tuple[Shape, ...] | None
    event: tuple[Shape, ...]
    depends: tuple[tuple[int, ...], ...]
    joint: bool = True
    bounds: Shape = ()

    @cached_property
    def rank(self) -> int:
        """The number of batch axes once aligned."""
        return max(len(shape) for shape in self.batch + (self.init or ()))

    @cached_property
    def result_batches(self) -> tuple[Shape, ...]:
        """The batch shape of each result leaf: that of all leaves which it depends on."""
        return tuple(self._result_batch(leaf) for leaf in range(len(self.batch)))

    def _result_batch(self, leaf: int) -> Shape:
        shapes = [self.batch[j] for j in self.depends[leaf]] + ([self.bounds] if self.bounds else [])
        if self.init is not None:
            shapes += [self.init[j] for j in self.depends[leaf]]
        return tuple(mx.broadcast_shapes(*shapes)) if len(shapes) > 1 else shapes[0]

    def result_shape(self, leaf: int) -> Shape:
        """The shape of a result leaf, as the caller sees it."""
        return self.with_length(self.result_batches[leaf], self.length) + self.event[leaf]

    def carry_shape(self, leaf: int) -> Shape:
        """The shape of a carry leaf, as the caller sees it."""
        return self.result_batches[leaf] + self.event[leaf]

    def aligned_shape(self, leaf: int, length: int) -> Shape:
        """The shape of a result leaf once aligned, with this length."""
        return self.aligned_batch(self.result_batches[leaf], length) + self.event[leaf]

    def aligned_batch(self, batch: Shape, length: int) -> Shape:
        """A batch shape once aligned, with this length."""
        return self.with_length((1,) * (self.rank - len(batch)) + batch, length)

    def with_length(self, batch: Shape, length: int) -> Shape:
        """A batch shape with the scan axis put back."""
        return (*batch[: self.axis], length, *batch[self.axis :])

    @property
    def items(self) -> int:
        """How many elements there are: the length times the batch."""
        shapes = self.batch + (self.init or ())
        return self.length * (prod(mx.broadcast_shapes(*shapes)) if self.joint else max(map(prod, shapes)))

    @cached_property
    def empty(self) -> bool:
        """Whether no result holds anything, whatever the length."""
        shapes = zip(self.result_batches, self.event, strict=True)
        return all(0 in batch or 0 in event for batch, event in shapes)

    @property
    def trivial(self) -> bool:
        """Whether at most one combine is all there is to do. Leaves with and without items take the general way."""
        return self.length == 0 or self.empty or (self.length == 1 and self.items > 0)

    def align(self, x: mx.array, leaf: int) -> mx.array:
        """A leaf of the elements, padded to the common rank."""
        return self._padded(x, self.rank - len(self.batch[leaf]))

    def _padded(self, x: mx.array, missing: int) -> mx.array:
        if not missing:
            return x
        front = mx.moveaxis(x, self.axis, 0)
        return mx.moveaxis(insert_axes(front, 1, missing), 0, self.axis)

    def align_init(self, x: mx.array, leaf: int, sequences: bool = False) -> mx.array:
        """A leaf of ``init``, padded to the common rank, with a scan axis of length 1 unless it has one of sequences."""
        assert self.init is not None
        missing = self.rank - len(self.init[leaf])
        if not sequences:
            return mx.expand_dims(insert_axes(x, 0, missing), self.axis)
        return self._padded(x, missing)

    def restore(self, y: mx.array, leaf: int) -> mx.array:
        """A result leaf, from aligned to the shape that the caller sees."""
        missing = y.ndim - 1 - len(self.result_batches[leaf]) - len(self.event[leaf])
        if not missing:
            return y
        front = mx.moveaxis(y, self.axis, 0)
        return mx.moveaxis(remove_axes(front, 1, missing), 0, self.axis)

    def restore_carry(self, y: mx.array, leaf: int, sequences: bool = False) -> mx.array:
        """A carry leaf, from aligned, with an axis of sequences or none, to the shape that the caller sees."""
        if sequences:
            return self.restore(y, leaf)
        missing = y.ndim - len(self.result_batches[leaf]) - len(self.event[leaf])
        return remove_axes(y, 0, missing)
