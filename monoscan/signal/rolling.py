"""`rolling_*`: statistics of the last so many values, as of pandas, gaps included."""

from __future__ import annotations

from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan.arguments import whole
from monoscan.monoids import arithmetic, order, statistics
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.product import Tuple
from monoscan.scan.api_window import window as fold_windows
from monoscan.signal.values import along


def rolling_sum(x: mx.array, window: int, min_periods: int | None = None, *, axis: int = 0) -> mx.array:
    """The sum of the last ``window`` values at each position, as of ``pandas.DataFrame.rolling(...).sum()``.

    NaN is a gap: it is left out, and not counted. Each window is summed from its own values (see `window`): what has left
    it leaves no rounding error behind, as it does where sums are updated by a difference.

    Source: pandas, *Rolling window*; the windows are those of `window`.

    Args:
        x (array): The values.
        window (int): How many positions a window has, at least 1, with the one where the result stands.
        min_periods (int, optional): How many values there must be in a window, else NaN. Default: ``None``, ``window``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The sums, with the shape of ``x``; integers give float32.

    Raises:
        ScanError: ``window`` or ``min_periods`` is out of range, or ``x`` has no such axis.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_sum(mx.array([1.0, 2.0, mx.nan, 4.0, 8.0]), 2, min_periods=1)
        array([1, 3, 2, 4, 12], dtype=float32)
    """
    return _rolling("rolling_sum", _Sum, x, window, min_periods, axis)


def rolling_mean(x: mx.array, window: int, min_periods: int | None = None, *, axis: int = 0) -> mx.array:
    """The mean of the last ``window`` values at each position, as of ``pandas.DataFrame.rolling(...).mean()``.

    Args:
        x (array): As in `rolling_sum`.
        window (int): As in `rolling_sum`.
        min_periods (int, optional): As in `rolling_sum`. Default: ``None``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The means, with the shape of ``x``.

    Raises:
        ScanError: As in `rolling_sum`.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_mean(mx.array([1.0, 2.0, 6.0, 4.0]), 2)
        array([nan, 1.5, 4, 5], dtype=float32)
    """
    return _rolling("rolling_mean", _Mean, x, window, min_periods, axis)


def rolling_var(x: mx.array, window: int, min_periods: int | None = None, ddof: int = 1, *, axis: int = 0) -> mx.array:
    """The variance of the last ``window`` values at each position, as of ``pandas.DataFrame.rolling(...).var()``.

    Deviations are from the mean of the window itself, so that none of the digits of a small variance beside a large mean,
    or after a large value has left the window, is lost.

    Source: Chan, Golub and LeVeque, *Algorithms for computing the sample variance* (1983), for windows in parts.

    Args:
        x (array): As in `rolling_sum`.
        window (int): As in `rolling_sum`.
        min_periods (int, optional): As in `rolling_sum`. Default: ``None``.
        ddof (int, optional): What is taken off the number of values. Default: ``1``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The variances, with the shape of ``x``; NaN where there are no more than ``ddof`` values.

    Raises:
        ScanError: As in `rolling_sum`, or ``ddof`` is no whole number of 0 or more.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_var(mx.array([1.0, 3.0, 7.0, 7.0]), 2)
        array([nan, 2, 8, 0], dtype=float32)
    """
    return _rolling("rolling_var", _Variance, x, window, min_periods, axis, ddof=whole("rolling_var", "ddof", ddof))


def rolling_std(x: mx.array, window: int, min_periods: int | None = None, ddof: int = 1, *, axis: int = 0) -> mx.array:
    """The standard deviation of the last ``window`` values, as of ``pandas.DataFrame.rolling(...).std()``.

    Args:
        x (array): As in `rolling_sum`.
        window (int): As in `rolling_sum`.
        min_periods (int, optional): As in `rolling_sum`. Default: ``None``.
        ddof (int, optional): As in `rolling_var`. Default: ``1``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The deviations, with the shape of ``x``.

    Raises:
        ScanError: As in `rolling_var`.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_std(mx.array([1.0, 3.0, 7.0, 7.0]), 2, ddof=0)
        array([nan, 1, 2, 0], dtype=float32)
    """
    return _rolling("rolling_std", _Deviation, x, window, min_periods, axis, ddof=whole("rolling_std", "ddof", ddof))


def rolling_min(x: mx.array, window: int, min_periods: int | None = None, *, axis: int = 0) -> mx.array:
    """The least of the last ``window`` values at each position, as of ``pandas.DataFrame.rolling(...).min()``.

    Args:
        x (array): As in `rolling_sum`.
        window (int): As in `rolling_sum`.
        min_periods (int, optional): As in `rolling_sum`. Default: ``None``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The minima, with the shape of ``x``.

    Raises:
        ScanError: As in `rolling_sum`.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_min(mx.array([3.0, 1.0, 4.0, 1.5]), 2, min_periods=1)
        array([3, 1, 1, 1.5], dtype=float32)
    """
    return _rolling("rolling_min", _Min, x, window, min_periods, axis)


def rolling_max(x: mx.array, window: int, min_periods: int | None = None, *, axis: int = 0) -> mx.array:
    """The greatest of the last ``window`` values at each position, as of ``pandas.DataFrame.rolling(...).max()``.

    Args:
        x (array): As in `rolling_sum`.
        window (int): As in `rolling_sum`.
        min_periods (int, optional): As in `rolling_sum`. Default: ``None``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The maxima, with the shape of ``x``.

    Raises:
        ScanError: As in `rolling_sum`.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.rolling_max(mx.array([3.0, 1.0, 4.0, 1.5]), 2, min_periods=1)
        array([3, 3, 4, 4], dtype=float32)
    """
    return _rolling("rolling_max", _Max, x, window, min_periods, axis)


@attrs.frozen
class _Rolling(Aggregator):
    """How many values a window holds, beside the fold of ``part``, in which ``neutral`` stands for a gap.

    Args:
        least: How many values there must be.
    """

    part: ClassVar[Semigroup] = arithmetic.Sum()
    neutral: ClassVar[float] = 0.0
    least: int

    @property
    def operator(self) -> Semigroup:
        return Tuple(arithmetic.Sum(), self.part)

    def prepare(self, x: mx.array) -> Any:
        seen = x == x
        return seen.astype(mx.int32), mx.where(seen, x, mx.array(self.neutral, x.dtype))

    def present(self, state: Any, x: mx.array) -> mx.array:
        count, value = state
        return mx.where(count >= self.least, self.answer(count, value), mx.nan).astype(x.dtype)

    def answer(self, count: mx.array, value: mx.array) -> mx.array:
        """What a window with values enough gives."""
        return value


@final
class _Sum(_Rolling):
    """Sums."""


@final
class _Mean(_Rolling):
    """Means."""

    def answer(self, count: mx.array, value: mx.array) -> mx.array:
        return value / mx.maximum(count, 1).astype(value.dtype)


@final
class _Min(_Rolling):
    """Minima."""

    part, neutral = order.Min(), float("inf")


@final
class _Max(_Rolling):
    """Maxima."""

    part, neutral = order.Max(), float("-inf")


@attrs.frozen
class _Variance(_Rolling):
    """Variances: a gap is a value of weight 0."""

    ddof: int

    @property
    def operator(self) -> Semigroup:
        return statistics.Moments(2)

    def prepare(self, x: mx.array) -> Any:
        seen = x == x
        return statistics.Moments(2).embed(mx.where(seen, x, mx.zeros_like(x)), seen.astype(x.dtype))

    def present(self, state: Any, x: mx.array) -> mx.array:
        n, _, squares = state
        freedom = n - self.ddof
        known = (n >= self.least) & (freedom > 0)
        return self.shown(mx.where(known, squares / mx.where(known, freedom, 1), mx.nan)).astype(x.dtype)

    def shown(self, variance: mx.array) -> mx.array:
        """What is made of a variance."""
        return variance


@final
@attrs.frozen
class _Deviation(_Variance):
    """Standard deviations."""

    def shown(self, variance: mx.array) -> mx.array:
        return mx.sqrt(variance)


def _rolling(
    call: str, kind: type[_Rolling], x: Any, window: Any, min_periods: Any, axis: int, **more: int
) -> mx.array:
    values, axis = along(call, x, axis)
    size = whole(call, "window", window, 1)
    least = size if min_periods is None else whole(call, "min_periods", min_periods, 0, size)
    # of nothing there is a sum, and nothing else
    aggregator = kind(least if kind is _Sum else max(least, 1), **more)
    found: mx.array = fold_windows(aggregator, values, size, axis)
    return found
