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


def _counted(x: mx.array, weight: mx.array | None) -> tuple[mx.array, mx.array]:
    """How much each value counts, and the value as a float."""
    values = x if names.name_of(x.dtype) in names.FLOATS else x.astype(mx.float32)
    return mx.ones(x.shape, mx.int32) if weight is None else weight, values


def _shares(left: mx.array, right: mx.array, dtype: mx.Dtype) -> tuple[mx.array, mx.array]:
    """The share of each side in the count of both; an empty pair has none."""
    n_l, n_r = left.astype(dtype), right.astype(dtype)
    total = n_l + n_r
    total = mx.where(total == 0, 1, total)
    return n_l / total, n_r / total


def _select(left: Averages, right: Averages, merged: Averages) -> Averages:
    """``merged``, and the other side whole where one side is empty: identities keep every bit."""
    only_right, only_left = left[0] == 0, right[0] == 0
    return tuple(
        mx.where(only_right, r, mx.where(only_left, l, m)) for l, r, m in zip(left, right, merged, strict=True)
    )


@final
@attrs.frozen
class Mean(Monoid):
    """The running mean.

    Elements are pairs ``(n, mean)``; ``combine`` is ``(n_l + n_r, mean_l + (mean_r -
    mean_l) * n_r / (n_l + n_r))``. Identity (0, 0). An element of weight 0 changes
    nothing; NaN and infinities give NaN once they meet another value.

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
        """Pairs ``(1, x)``, or ``(weight, x)``; integers become float32."""
        return _counted(x, weight)

    def project(self, element: Averages) -> mx.array:
        """The mean; NaN of nothing."""
        n, mean = element
        return mx.where(n == 0, mx.nan, mean)

    def combine(self, left: Averages, right: Averages) -> Averages:
        _, share = _shares(left[0], right[0], left[1].dtype)
        return _select(left, right, (left[0] + right[0], left[1] + (right[1] - left[1]) * share))

    def identity(self, like: Averages) -> Averages:
        return mx.zeros_like(like[0]), mx.zeros_like(like[1])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED - {"bool"}, "a count is a number", range(1))
        domain.require(self, dtypes, names.FLOATS, _WHY, range(1, 2))

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")


def _known_order(moments: Moments, field: attrs.Attribute[int], order: int) -> None:
    if order not in (2, 3, 4):
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

    order: int = attrs.field(default=2, validator=_known_order)

    @property
    def name(self) -> str:
        return f"Moments({self.order})"

    @property
    def template(self) -> tuple[str, ...]:
        return _NAMES[: self.order + 1]

    def embed(self, x: mx.array, weight: mx.array | None = None) -> Averages:
        """Elements of one value each, counted once or ``weight`` times; integers become float32."""
        n, mean = _counted(x, weight)
        return n, mean, *(mx.zeros_like(mean),) * (self.order - 1)

    def project(self, element: Averages) -> Averages:
        """Mean, population variance, skewness and excess kurtosis, up to the order; NaN of nothing."""
        count, mean, m2, *higher = element
        n = count.astype(mean.dtype)
        variance = m2 / n
        standard = (mx.rsqrt(variance) ** k * m / n for k, m in enumerate(higher, 3))
        shifted = (value - 3 if k == 4 else value for k, value in enumerate(standard, 3))
        return mx.where(n == 0, mx.nan, mean), variance, *shifted

    def combine(self, left: Averages, right: Averages) -> Averages:
        p, q = _shares(left[0], right[0], left[1].dtype)
        d = right[1] - left[1]
        n_l = left[0].astype(d.dtype)
        merged = [left[0] + right[0], left[1] + d * q, left[2] + right[2] + d * d * n_l * q]
        if self.order > 2:
            cross = 3 * d * (p * right[2] - q * left[2])
            merged.append(left[3] + right[3] + d * d * d * n_l * q * (p - q) + cross)
        if self.order > 3:
            cross = 6 * d * d * (p * p * right[2] + q * q * left[2]) + 4 * d * (p * right[3] - q * left[3])
            merged.append(left[4] + right[4] + d * d * d * d * n_l * q * (p * p - p * q + q * q) + cross)
        return _select(left, right, tuple(merged))

    def identity(self, like: Averages) -> Averages:
        return tuple(mx.zeros_like(leaf) for leaf in like)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, domain.ORDERED - {"bool"}, "a count is a number", range(1))
        domain.require(self, dtypes, names.FLOATS, _WHY, range(1, len(dtypes)))

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")
