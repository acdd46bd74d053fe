"""Running mean, variance, skewness and kurtosis, without cancellation."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts

Averages = tuple[mx.array, ...]
_NAMES = ("n", "mean", "m2", "m3", "m4")
_WHY = "it holds averages"


def _counted(call: str, x: mx.array, weight: mx.array | None) -> tuple[mx.array, mx.array]:
    """How much each value counts, and the value as a float that is not a half."""
    (values,) = domain.numbers(call, x=x)
    return _counts(call, values, weight), values


def _counts(call: str, x: mx.array, weight: mx.array | None) -> mx.array:
    return mx.ones_like(x, dtype=mx.int32) if weight is None else domain.counting(domain.real(call, "weight", weight))


@attrs.frozen
class _Sides:
    """Two sides by weight: the lighter one, whose share is a half at most, moves the mean of the heavier one.

    Args:
        heavier: Whether the left side weighs as much as the right one, or more.
        weight: That of the heavier side.
        share: That of the lighter side in both.
        empty: Whether the lighter side is empty; nothing of it, NaN neither, may be seen then.
    """

    heavier: mx.array
    weight: mx.array
    share: mx.array
    empty: mx.array

    def mean(self, left: mx.array, right: mx.array) -> mx.array:
        """The mean of both: each product is in range, so it is finite where the two means are."""
        near, far = mx.where(self.heavier, left, right), mx.where(self.heavier, right, left)
        return mx.where(self.empty, near, near + (far * self.share - near * self.share))

    def shares(self) -> tuple[mx.array, mx.array]:
        """The shares of the left and of the right side."""
        rest = 1 - self.share
        return mx.where(self.heavier, rest, self.share), mx.where(self.heavier, self.share, rest)

    def beside(self, value: mx.array) -> mx.array:
        """What is added to the sums of both sides, unless one is empty."""
        return mx.where(self.empty, 0, value)


def _sides(left: mx.array, right: mx.array, dtype: mx.Dtype) -> _Sides:
    n_l, n_r = left.astype(dtype), right.astype(dtype)
    heavier, total = mx.abs(n_l) >= mx.abs(n_r), n_l + n_r
    lighter = mx.where(heavier, n_r, n_l)
    share = lighter / mx.where(total == 0, 1, total)
    return _Sides(heavier, mx.where(heavier, n_l, n_r), share, lighter == 0)


@final
@attrs.frozen
class Mean(Monoid):
    """The running mean.

    Elements are pairs ``(n, mean)``; ``combine`` is ``(n_l + n_r, mean_l + (mean_r -
    mean_l) * n_r / (n_l + n_r))``. Identity (0, 0). An element of weight 0 changes
    nothing; NaN gives NaN from there on, and an infinity itself or NaN.

    Source: Chan, Golub and LeVeque, *Algorithms for computing the sample variance* (1983);
    Algebird's AveragedValue.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> mean = ms.Mean()
        >>> mean.project(ms.scan(mean, mean.embed(mx.array([1.0, 3.0, 8.0]))))
        array([1, 2, 4], dtype=float32)
    """

    template = _NAMES[:2]

    def embed(self, x: mx.array, weight: mx.array | None = None) -> Averages:
        """Pairs ``(1, x)``, or ``(weight, x)``; integers and halves become float32, narrow counts int32.

        Raises:
            TreeError: An input is no array.
            ScanTypeError: The weight is complex.
        """
        x = domain.given("Mean.embed", "x", x)
        if names.name_of(x.dtype) in names.COMPLEX:
            return _counts("Mean.embed", x, weight), x
        return _counted("Mean.embed", x, weight)

    def project(self, element: Averages) -> mx.array:
        """The mean; NaN of nothing."""
        n, mean = domain.element(self, element)
        return mx.where(n == 0, mx.nan, mean)

    def combine(self, left: Averages, right: Averages) -> Averages:
        kind = names.by_name(names.lane(names.name_of(left[1].dtype)))
        return left[0] + right[0], _sides(left[0], right[0], kind).mean(left[1], right[1])

    def identity(self, like: Averages) -> Averages:
        return mx.zeros_like(like[0]), mx.zeros_like(like[1])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED - {"bool"}, "a count is a number", range(1))
        domain.require(self, dtypes, names.FLOATS | names.COMPLEX, _WHY, range(1, 2))

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")


def _known_order(moments: Moments, field: attrs.Attribute[int], order: int) -> None:
    if type(order) is not int or order not in (2, 3, 4):
        raise errors.ScanError(f"[Moments] order must be 2, 3 or 4; got {order!r}. Mean() is the one of order 1.")


@final
@attrs.frozen
class Moments(Monoid):
    """The running mean, variance, skewness and excess kurtosis.

    Elements are ``(n, mean, m2)``, with ``m3`` and ``m4`` at higher orders: sums of powers
    of deviations from the mean. With the shares p = n_l / n and q = n_r / n and d = mean_r -
    mean_l, ``combine`` is ``(n, mean_l + d q, m2_l + m2_r + d^2 n_l q, ...)``. Identity:
    zeros. An element of weight 0 changes nothing; NaN and infinities give NaN once they
    meet another value.

    Source: Chan, Golub and LeVeque (1983); Pebay, *Formulas for robust, one-pass parallel
    computation of covariances and arbitrary-order statistical moments*, SAND2008-6212.

    Args:
        order (int, optional): The highest moment: 2, 3 or 4. Default: ``2``.

    Raises:
        ScanError: The order is another.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> moments = ms.Moments(2)
        >>> mean, variance = moments.project(ms.scan(moments, moments.embed(mx.array([1.0, 3.0, 8.0]))))
        >>> variance
        array([0, 1, 8.66667], dtype=float32)
    """

    order: int = attrs.field(default=2, converter=domain.whole, validator=_known_order)

    @property
    def name(self) -> str:
        return f"Moments({self.order})"

    @property
    def template(self) -> tuple[str, ...]:
        return _NAMES[: self.order + 1]

    def embed(self, x: mx.array, weight: mx.array | None = None) -> Averages:
        """Elements of one value each, counted once or ``weight`` times; integers and halves become float32.

        Raises:
            TreeError: An input is no array.
            ScanTypeError: An input is complex.
        """
        n, mean = _counted(f"{self.name}.embed", x, weight)
        return n, mean, *(mx.zeros_like(mean),) * (self.order - 1)

    def project(self, element: Averages) -> Averages:
        """Mean, population variance, skewness and excess kurtosis, up to the order; NaN of nothing."""
        count, mean, m2, *higher = (domain.accumulating(leaf) for leaf in domain.element(self, element))
        n = count.astype(mean.dtype)
        variance = m2 / n
        standard = (mx.rsqrt(variance) ** k * m / n for k, m in enumerate(higher, 3))
        shifted = (value - 3 if k == 4 else value for k, value in enumerate(standard, 3))
        return mx.where(n == 0, mx.nan, mean), variance, *shifted

    def combine(self, left: Averages, right: Averages) -> Averages:
        sides = _sides(left[0], right[0], left[1].dtype)
        d = right[1] - left[1]
        square = d * (d * (sides.weight * sides.share))  # in this order nothing overflows before the moment does
        merged = [left[0] + right[0], sides.mean(left[1], right[1]), left[2] + right[2] + sides.beside(square)]
        if self.order > 2:
            p, q = sides.shares()
            cross = 3 * d * (p * right[2] - q * left[2])
            merged.append(left[3] + right[3] + sides.beside(d * (square * (p - q)) + cross))
        if self.order > 3:
            cross = 6 * (d * (d * (p * p * right[2] + q * q * left[2]))) + 4 * d * (p * right[3] - q * left[3])
            merged.append(left[4] + right[4] + sides.beside(d * (d * (square * (p * p - p * q + q * q))) + cross))
        return tuple(merged)

    def identity(self, like: Averages) -> Averages:
        return tuple(mx.zeros_like(leaf) for leaf in like)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED - {"bool"}, "a count is a number", range(1))
        domain.require(self, dtypes, names.FLOATS, _WHY, range(1, len(dtypes)))

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")
