"""What a call is given as ``lengths``, ``mask`` and ``offsets``: checked, cast, and aligned with the elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.strategies.places import Places
from monoscan.monoids import domain
from monoscan.monoids.shapes import insert_axes


@attrs.frozen(eq=False)
class Given:
    """The arrays that a call is given; ``None`` in place of each that it is not.

    Args:
        lengths: Integers, how many positions of each row or sequence there are.
        mask: Truth values, which positions count.
        offsets: Integers, where sequences begin and end.
    """

    lengths: mx.array | None
    mask: mx.array | None
    offsets: mx.array | None

    @property
    def typed(self) -> tuple[Shape | None, ...]:
        """The shapes, for keys."""
        return tuple(None if x is None else x.shape for x in (self.lengths, self.mask, self.offsets))

    @property
    def sequences(self) -> int | None:
        """How many sequences the offsets cut, if there are any."""
        return None if self.offsets is None else self.offsets.shape[0] - 1


@attrs.frozen(eq=False)
class Aligned:
    """The same with as many axes as the elements, of full size or 1, all of int32 or bool.

    Args:
        lengths: With the number of sequences or 1 in the place of the scan axis.
        mask: With the length of the scan axis or 1.
        offsets: One axis, as given.
    """

    lengths: mx.array | None
    mask: mx.array | None
    offsets: mx.array | None

    @property
    def bounds(self) -> Bounds | None:
        """What plans know of lengths and offsets, where there are any."""
        if self.lengths is None and self.offsets is None:
            return None
        sequences = None if self.offsets is None else self.offsets.shape[0] - 1
        return Bounds(sequences, None if self.lengths is None else self.lengths.shape)

    @property
    def arrays(self) -> list[mx.array]:
        """Those that `bounds` tells of, in its order."""
        return [x for x in (self.lengths, self.offsets) if x is not None]

    def places(self, length: int, axis: int, rank: int, reverse: bool) -> Places:
        """The positions of a scan of these."""
        return Places(self.lengths, self.mask, self.offsets, length, axis, rank, reverse)


def given(where: str, lengths: Any, mask: Any, offsets: Any) -> Given:
    """The arrays of a call, whatever holds them.

    Args:
        where: What messages begin with.
        lengths: Integers.
        mask: Truth values.
        offsets: Integers.

    Raises:
        ScanTypeError: One is no array, or has a dtype of another kind.
        ScanError: Offsets have another number of axes than 1, or decrease.
    """
    return Given(
        None if lengths is None else _whole(where, "lengths", lengths),
        None if mask is None else _truth(where, mask),
        None if offsets is None else _offsets(where, offsets),
    )


def lengths_of(where: str, lengths: Any, batch: Shape) -> mx.array | None:
    """Lengths of a batch, looked at before the scans of a recipe get them, whose names the caller does not know.

    Args:
        where: What messages begin with.
        lengths: Integers, or ``None``.
        batch: The batch axes.

    Raises:
        ScanTypeError: They are no integers.
        ScanError: Their shape does not fit.
    """
    if lengths is None:
        return None
    found = _whole(where, "lengths", lengths)
    _left(where, "lengths", found, batch, "the batch")
    return found


def with_samples(where: str, shape: Shape, samples: Any) -> Shape:
    """The shape of so many samples, or of one without an axis for it.

    Raises:
        ScanError: It is no number of samples.
    """
    number = domain.whole(samples)
    if number is not None and (type(number) is not int or not 0 <= number < 1 << 31):
        raise errors.ScanError(f"{where} samples is a whole number of 0 or more, or None for one; got {samples!r:.40}.")
    return shape if number is None else (number, *shape)


def of_samples(where: str, lengths: Any, samples: int | None) -> mx.array | None:
    """Lengths of a batch as those of samples of it, whose axis comes before it: lengths align from the left."""
    return lengths if lengths is None or samples is None else _whole(where, "lengths", lengths)[None]


def _array(where: str, name: str, x: Any) -> mx.array:
    if isinstance(x, (list, tuple, bool, int, np.generic)):
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as error:
            raise errors.ScanTypeError(f"{where} {name} cannot be read as an array: {error}") from error
        x = x if x.size else x.astype(np.bool_ if name == "mask" else np.int32)
    found: mx.array = to_mlx(f"{where} {name}", x)
    if not isinstance(found, mx.array):
        raise errors.ScanTypeError(f"{where} {name} must be an array; got {tree.shown(x)}.")
    return found


def _whole(where: str, name: str, x: Any) -> mx.array:
    """Integers, in their own dtype."""
    found = _array(where, name, x)
    if not mx.issubdtype(found.dtype, mx.integer):
        raise errors.ScanTypeError(
            f"{where} {name} must be integers; got {dtypes.name_of(found.dtype)}. Cast with .astype(mx.int32)."
        )
    return found


def _truth(where: str, x: Any) -> mx.array:
    found = _array(where, "mask", x)
    if found.dtype != mx.bool_:
        raise errors.ScanTypeError(
            f"{where} mask must be bool, True where a position counts; got {dtypes.name_of(found.dtype)}. Make it by a "
            "comparison, or with .astype(mx.bool_)."
        )
    return found


def _offsets(where: str, x: Any) -> mx.array:
    known = not isinstance(x, mx.array)
    found = _whole(where, "offsets", x)
    if found.ndim != 1 or not found.shape[0]:
        raise errors.ScanError(
            f"{where} offsets must be one list of N + 1 integers for N sequences, [0, ..., T]; got shape {tuple(found.shape)}."
        )
    if known:
        _check_known(where, np.array(found))
    return found


def _check_known(where: str, values: np.ndarray[Any, Any]) -> None:
    """Values that the caller holds in memory are looked at; those of MLX may not be computed yet."""
    if values[0] < 0 or (values[1:] < values[:-1]).any():
        at = 0 if values[0] < 0 else int(np.argmax(values[1:] < values[:-1])) + 1
        raise errors.ScanError(
            f"{where} offsets must not decrease, nor start below 0; offsets[{at}] is {values[at]}"
            + (f", after {values[at - 1]}." if at else ".")
        )


def check_reach(where: str, offsets: Any, length: int) -> None:
    """Refuses offsets that the caller holds in memory and that pass the end.

    Raises:
        ScanError: They do.
    """
    if offsets is None or isinstance(offsets, mx.array):
        return
    last = int(np.max(np.asarray(offsets)))
    if last > length:
        raise errors.ScanError(f"{where} offsets pass the end: the last is {last}, and the scan axis has {length}.")


def align(where: str, found: Given, axis: int, length: int, batch: Shape, rank: int) -> Aligned:
    """The arrays aligned with elements.

    Args:
        where: What messages begin with.
        found: The arrays.
        axis: The scan axis.
        length: Its length.
        batch: The batch axes of the elements together.
        rank: How many batch axes there are with those of ``init`` or a state.

    Raises:
        ScanError: A shape does not fit.
    """
    size, lengths, mask = found.sequences, found.lengths, found.mask
    if lengths is not None:
        number = () if size is None else (size,)
        told = "the batch" if size is None else "the batch with the sequences in the place of the scan axis"
        lengths = _left(where, "lengths", lengths, (*batch[:axis], *number, *batch[axis:]), told)
        lengths = _padded(
            _narrow(lengths if number else mx.expand_dims(lengths, axis), length), axis, rank - len(batch)
        )
    if mask is not None:
        told = "the batch with the scan axis"
        mask = _padded(
            _left(where, "mask", mask, (*batch[:axis], length, *batch[axis:]), told), axis, rank - len(batch)
        )
    return Aligned(lengths, mask, None if found.offsets is None else _narrow(found.offsets, length))


def _padded(x: mx.array, axis: int, number: int) -> mx.array:
    """More batch axes of size 1 in front, the scan axis where it is."""
    return mx.moveaxis(insert_axes(mx.moveaxis(x, axis, 0), 1, number), 0, axis) if number else x


def _narrow(x: mx.array, length: int) -> mx.array:
    """As int32: what is wider is clipped first, by which nothing changes."""
    name = dtypes.name_of(x.dtype)
    if name in ("int64", "uint64", "uint32"):
        x = mx.minimum(x, mx.array(length, x.dtype))
        x = x if name != "int64" else mx.maximum(x, mx.array(-1, x.dtype))
    return x.astype(mx.int32)


def _left(where: str, name: str, x: mx.array, lead: Shape, told: str) -> mx.array:
    """An array aligned from the left: axes that it has not are of size 1."""
    own = tuple(x.shape)
    pairs = list(zip(own, lead, strict=False))
    if len(own) > len(lead) or any(size not in (1, full) for size, full in pairs):
        raise errors.ScanError(
            f"{where} {name} of shape {own} must align from the left with {lead}, {told} (event axes removed): each size equal or "
            "1, missing axes on the right count as 1."
        )
    return insert_axes(x, len(own), len(lead) - len(own))


def batch_of(shapes: Sequence[Shape], axis: int) -> Shape:
    """The batch axes on which what is valid depends, without sizes of 1 in front where elements need none."""
    batches = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    batch = tuple(mx.broadcast_shapes(*batches, ()))
    while len(batch) > axis and batch[0] == 1:
        batch = batch[1:]
    return batch
