"""Where sequences begin and end, and which positions are valid: small arrays of indices and flags, made as lazily as all else."""

from __future__ import annotations

from functools import cached_property

import attrs
import mlx.core as mx

from monoscan.monoids.shapes import along


@attrs.frozen(eq=False)
class Places:
    """The positions of one scan; all arrays have the axes of its elements, of full size or 1.

    Args:
        lengths: Integers, with the number of sequences, or 1, in the place of the scan axis; ``None`` without.
        mask: Truth values; ``None`` without.
        offsets: Integers, one axis alone; ``None`` without.
        length: The length of the scan axis, at least 1.
        axis: The scan axis.
        rank: The number of axes, the scan axis among them.
        reverse: The fold starts at the last position.
    """

    lengths: mx.array | None
    mask: mx.array | None
    offsets: mx.array | None
    length: int
    axis: int
    rank: int
    reverse: bool

    @property
    def packed(self) -> bool:
        """Whether there are several sequences on the axis."""
        return self.offsets is not None

    @cached_property
    def ends(self) -> mx.array:
        """Where sequences begin, and the last one ends: what is given, made to ascend between 0 and the length."""
        assert self.offsets is not None, "asked where sequences are packed"
        return mx.clip(mx.cummax(self.offsets), 0, self.length)

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return self.ends.shape[0] - 1

    @cached_property
    def _cuts(self) -> mx.array:
        """How many offsets stand at each position, and behind the last one."""
        return mx.zeros((self.length + 1,), mx.int32).at[self.ends].add(1)

    @cached_property
    def sequence(self) -> mx.array:
        """The number of the sequence of each position; where it is in none, the number of sequences."""
        before = mx.cumsum(self._cuts)[:-1] - 1
        return mx.where(before < 0, self.sequences, before)

    @cached_property
    def covered(self) -> mx.array:
        """Whether a position is in a sequence."""
        return self._along(self.sequence < self.sequences)

    @cached_property
    def head(self) -> mx.array:
        """Whether a position is the first in fold order of a sequence, or of what is between them."""
        return self._along((self._cuts[1:] if self.reverse else self._cuts[:-1]) > 0)

    @cached_property
    def index(self) -> mx.array:
        """The index of each position in its sequence, from the front; a vector."""
        index = mx.arange(self.length, dtype=mx.int32)
        if not self.packed:
            return index
        return index - mx.take(self.ends, mx.minimum(self.sequence, self.sequences))

    @cached_property
    def valid(self) -> mx.array:
        """Whether a position counts, with a scan axis of full size."""
        flags = [] if self.mask is None else [self.mask]
        if self.packed:
            flags.append(self.covered)
        if self.lengths is not None:
            flags.append(self._along(self.index) < self.each(self.lengths))
        valid = flags[0]
        for flag in flags[1:]:
            valid = mx.logical_and(valid, flag)
        shape = (*valid.shape[: self.axis], self.length, *valid.shape[self.axis + 1 :])
        return valid if valid.shape == shape else mx.broadcast_to(valid, shape)

    def each(self, x: mx.array, nothing: mx.array | None = None) -> mx.array:
        """What belongs to sequences, at each of their positions.

        Args:
            x: An array with the number of sequences, or 1, in the place of the scan axis.
            nothing: What stands in no sequence, of a shape that broadcasts with 1 in that place. Default: anything.
        """
        if not self.packed or (x.shape[self.axis] == 1 and nothing is None):
            return x
        spare = mx.zeros((), x.dtype) if nothing is None else nothing
        rows = [(x, self.sequences), (spare, 1)]
        both = [mx.broadcast_to(row, (*x.shape[: self.axis], size, *x.shape[self.axis + 1 :])) for row, size in rows]
        return mx.take(mx.concatenate(both, axis=self.axis), self.sequence, axis=self.axis)

    def first(self, x: mx.array) -> mx.array:
        """The first position of each sequence in fold order; of an empty one any."""
        return self._at(x, self.ends[1:] - 1 if self.reverse else self.ends[:-1])

    def last(self, x: mx.array) -> mx.array:
        """The last position of each sequence in fold order; of an empty one any."""
        return self._at(x, self.ends[:-1] if self.reverse else self.ends[1:] - 1)

    @cached_property
    def empty(self) -> mx.array:
        """Whether a sequence has no positions, with their number in the place of the scan axis."""
        return self._along(self.ends[1:] == self.ends[:-1])

    def _at(self, x: mx.array, places: mx.array) -> mx.array:
        return mx.take(x, mx.clip(places, 0, self.length - 1), axis=self.axis)

    def _along(self, vector: mx.array) -> mx.array:
        return along(vector, self.axis, self.rank)
