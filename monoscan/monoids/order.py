"""Order and position: extremes, where they are, first and last."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.base import Monoid, Semigroup
from monoscan.monoids.facts import Facts
from monoscan.monoids.shapes import positions

Pair = tuple[mx.array, mx.array]
_UNORDERED = "complex numbers have no order"


@final
@attrs.frozen
class Max(Monoid):
    """The greatest value.

    Elements are arrays ``x``; ``combine`` is ``max(l, r)``. Identity -inf, the smallest
    integer, or False. NaN wins; infinities are ordinary values.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.2.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Max(), mx.array([1, 3, 2]))
        array([1, 3, 3], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.maximum(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return domain.lowest(like)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED, _UNORDERED)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact", native="cummax")


@final
@attrs.frozen
class Min(Monoid):
    """The least value.

    Elements are arrays ``x``; ``combine`` is ``min(l, r)``. Identity inf, the largest
    integer, or True. NaN wins; infinities are ordinary values.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.2.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Min(), mx.array([2, 3, 1]))
        array([2, 2, 1], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.minimum(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return domain.highest(like)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED, _UNORDERED)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact", native="cummin")


@final
@attrs.frozen
class MinMax(Monoid):
    """The least and the greatest value: bounding boxes.

    Elements are pairs ``(low, high)``; ``combine`` is ``(min(low_l, low_r), max(high_l,
    high_r))``. Identity (inf, -inf), or the extremes of the integers. NaN wins; infinities
    are ordinary values.

    Source: the product of `Min` and `Max`, as in NumPy's ``ptp``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> span = ms.MinMax()
        >>> ms.fold(span, span.embed(mx.array([2, 3, 1])))
        (array(1, dtype=int32), array(3, dtype=int32))
    """

    template = ("low", "high")

    def embed(self, x: mx.array) -> Pair:
        """Each value is both.

        Raises:
            TreeError: ``x`` is no array.
        """
        x = domain.given("MinMax.embed", "x", x)
        return x, x

    def combine(self, left: Pair, right: Pair) -> Pair:
        return mx.minimum(left[0], right[0]), mx.maximum(left[1], right[1])

    def identity(self, like: Pair) -> Pair:
        return domain.highest(like[0]), domain.lowest(like[1])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED, _UNORDERED)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact")


@final
@attrs.frozen
class First(Semigroup):
    """The first value: a left-zero band.

    Elements are arrays ``x`` of any dtype; ``combine`` is ``l``. No identity: `Maybe`
    adds one. NaN and infinities are ordinary values.

    Source: the First semigroup of Haskell's *Data.Semigroup*.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Segmented(ms.First()), (mx.array([True, False, True]), mx.array([1, 2, 3])))[1]
        array([1, 1, 3], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(False, True, False, "exact")


@final
@attrs.frozen
class Last(Semigroup):
    """The last value: a right-zero band; ``Maybe(Last())`` fills gaps forward.

    Elements are arrays ``x`` of any dtype; ``combine`` is ``r``. No identity: `Maybe`
    adds one. NaN and infinities are ordinary values.

    Source: the Last semigroup of Haskell's *Data.Semigroup*.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Maybe(ms.Last()), (mx.array([True, False, True]), mx.array([1, 2, 3])))[1]
        array([1, 1, 3], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return right

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(False, True, False, "exact")


@attrs.frozen
class _ArgExtreme(Monoid):
    """What `ArgMax` and `ArgMin` share: NaN first, then the value, then the lowest index."""

    template = ("value", "index")

    @abstractmethod
    def better(self, x: mx.array, y: mx.array) -> mx.array:
        """Whether ``x`` beats ``y``."""

    def embed(self, x: mx.array, index: mx.array | None = None, *, axis: int = 0) -> Pair:
        """Pairs ``(x, index)``; the index defaults to the position along ``axis``.

        Positions are counted from 0 in each call: a chunk of a longer sequence needs its own
        ``index``, as ``mx.arange(start, stop)``.

        Raises:
            TreeError: An input is no array.
            ScanError: There is no such axis.
        """
        x = domain.given(f"{self.name}.embed", "x", x)
        if index is not None:
            index = domain.given(f"{self.name}.embed", "index", index)
        else:
            if not -x.ndim <= axis < x.ndim:
                raise errors.ScanError(
                    f"[{self.name}.embed] x has shape {tuple(x.shape)} and no axis {axis} to count along; give axis= or index=."
                )
            index = positions(x, axis)
        return x, index

    def project(self, element: Pair) -> mx.array:
        """The index."""
        return domain.element(self, element)[1]

    def combine(self, left: Pair, right: Pair) -> Pair:
        (x, i), (y, j) = left, right
        x_nan, y_nan = mx.isnan(x), mx.isnan(y)
        same = mx.logical_or(x == y, mx.logical_and(x_nan, y_nan))
        wins = mx.where(x_nan == y_nan, self.better(x, y), x_nan)
        keep = mx.where(same, i <= j, wins)
        return mx.where(keep, x, y), mx.where(keep, i, j)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED, _UNORDERED, range(1))
        domain.require(self, dtypes, names.INTEGERS, "an index is a whole number", range(1, 2))

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact")


@final
@attrs.frozen
class ArgMax(_ArgExtreme):
    """Where the greatest value is: NaN wins, then the value, then the lowest index.

    Elements are pairs ``(value, index)``; ``combine`` keeps the better pair whole.
    Identity (-inf or the smallest integer, the largest index that the dtype has). The
    first NaN wins, as in NumPy; infinities are ordinary values.

    Source: CUB's ``ArgMax``, with NaN ordered so that it stays associative.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> argmax = ms.ArgMax()
        >>> argmax.project(ms.scan(argmax, argmax.embed(mx.array([2.0, 5.0, 5.0, 7.0]))))
        array([0, 1, 1, 3], dtype=int32)
    """

    def better(self, x: mx.array, y: mx.array) -> mx.array:
        return x > y

    def identity(self, like: Pair) -> Pair:
        return domain.lowest(like[0]), domain.highest(like[1])


@final
@attrs.frozen
class ArgMin(_ArgExtreme):
    """Where the least value is: NaN wins, then the value, then the lowest index.

    Elements are pairs ``(value, index)``; ``combine`` keeps the better pair whole.
    Identity (inf or the largest integer, the largest index that the dtype has). The
    first NaN wins, as in NumPy; infinities are ordinary values.

    Source: CUB's ``ArgMin``, with NaN ordered so that it stays associative.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> argmin = ms.ArgMin()
        >>> argmin.project(ms.scan(argmin, argmin.embed(mx.array([7.0, 5.0, 5.0, 2.0]))))
        array([0, 1, 1, 3], dtype=int32)
    """

    def better(self, x: mx.array, y: mx.array) -> mx.array:
        return x < y

    def identity(self, like: Pair) -> Pair:
        return domain.highest(like[0]), domain.highest(like[1])
