"""`ewm_mean` and `ewm_var`: exponentially weighted moments, as of pandas, gaps and uneven times included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.arguments import flag, real, whole
from monoscan.held import floats
from monoscan.scan.api_states import loop
from monoscan.signal.values import along


def ewm_mean(
    x: mx.array,
    com: float | None = None,
    span: float | None = None,
    halflife: float | None = None,
    alpha: float | None = None,
    *,
    min_periods: int = 0,
    adjust: bool = True,
    ignore_na: bool = False,
    times: mx.array | None = None,
    axis: int = 0,
) -> mx.array:
    """The exponentially weighted mean at each position, as of ``pandas.DataFrame.ewm(...).mean()``.

    A value that is ``k`` steps old weighs ``(1 - alpha) ** k``, or with ``times`` half as much for each half-life that has
    passed. NaN is a gap: the mean before it stands there too.

    Source: pandas, *Exponentially weighted window*; the means are moved by differences (Welford; West 1979).

    Args:
        x (array): The values.
        com (float, optional): The centre of mass: ``alpha = 1 / (1 + com)``.
        span (float, optional): The span: ``alpha = 2 / (span + 1)``.
        halflife (float, optional): The half-life, in steps, or in the unit of ``times``.
        alpha (float, optional): The weight of the newest value, in (0, 1]. Exactly one of the four is given.
        min_periods (int, optional): How many values there must be, else NaN. Default: ``0``, which is one.
        adjust (bool, optional): Whether weights are divided by their sum; else the first value weighs as if it had been
            there for ever. Default: ``True``.
        ignore_na (bool, optional): Whether gaps count no step. Default: ``False``.
        times (array, optional): When each value was taken, of shape ``(T,)``, rising; with ``halflife`` alone.
            Default: ``None``, one step apart.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The means, with the shape of ``x``.

    Raises:
        ScanError: None or several of the four are given, or out of their range; ``times`` does not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.ewm_mean(mx.array([3.0, 6.0, mx.nan, 6.0]), alpha=0.5)
        array([3, 5, 5, 5.72727], dtype=float32)
    """
    given = _Given("ewm_mean", x, axis, times, _factor("ewm_mean", com, span, halflife, alpha, times))
    least = max(whole("ewm_mean", "min_periods", min_periods), 1)
    adjust, ignore_na = flag("ewm_mean", "adjust", adjust), flag("ewm_mean", "ignore_na", ignore_na)
    new, left = 1.0 if adjust else 1 - given.factor, given.left

    def step(state: Any, pair: Any) -> tuple[Any, mx.array]:
        (mean, weight, count), (value, kept) = state, pair
        seen = value == value
        weight = mx.where(seen | (not ignore_na), weight * left(kept), weight)
        share = new / (weight + new)
        moved = mx.where(count > 0, mean + share * (value - mean), value)
        mean = mx.where(seen, moved, mean)
        after = mx.where(count > 0, weight + new, 1.0) if adjust else mx.ones_like(weight)
        weight = mx.where(seen, after, mx.where(count > 0, weight, 1.0))
        count = mx.where(seen, count + 1, count)
        return (mean, weight, count), mx.where(count >= least, mean, mx.nan)

    return given.over(step, 0.0, 1.0)


def ewm_var(
    x: mx.array,
    com: float | None = None,
    span: float | None = None,
    halflife: float | None = None,
    alpha: float | None = None,
    *,
    min_periods: int = 0,
    adjust: bool = True,
    ignore_na: bool = False,
    bias: bool = False,
    times: mx.array | None = None,
    axis: int = 0,
) -> mx.array:
    """The exponentially weighted variance at each position, as of ``pandas.DataFrame.ewm(...).var()``.

    Source: pandas, *Exponentially weighted window*; West, *Updating mean and variance estimates* (1979).

    Args:
        x (array): The values.
        com (float, optional): As in `ewm_mean`.
        span (float, optional): As in `ewm_mean`.
        halflife (float, optional): As in `ewm_mean`.
        alpha (float, optional): As in `ewm_mean`.
        min_periods (int, optional): As in `ewm_mean`. Default: ``0``.
        adjust (bool, optional): As in `ewm_mean`. Default: ``True``.
        ignore_na (bool, optional): As in `ewm_mean`. Default: ``False``.
        bias (bool, optional): Whether to leave out the correction of the bias. Default: ``False``.
        times (array, optional): As in `ewm_mean`. Default: ``None``.
        axis (int, optional): The axis of time. Default: ``0``.

    Returns:
        array: The variances, with the shape of ``x``; NaN where there is one value and no ``bias``.

    Raises:
        ScanError: As in `ewm_mean`.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.ewm_var(mx.array([3.0, 6.0, 6.0, 9.0]), alpha=0.5)
        array([nan, 4.5, 1.92857, 5.52857], dtype=float32)
    """
    given = _Given("ewm_var", x, axis, times, _factor("ewm_var", com, span, halflife, alpha, times))
    least = max(whole("ewm_var", "min_periods", min_periods), 1)
    adjust, ignore_na = flag("ewm_var", "adjust", adjust), flag("ewm_var", "ignore_na", ignore_na)
    bias = flag("ewm_var", "bias", bias)
    new, left = 1.0 if adjust else 1 - given.factor, given.left

    def step(state: Any, pair: Any) -> tuple[Any, mx.array]:
        (mean, var, weight, total, squares, count), (value, kept) = state, pair
        seen = value == value
        older = mx.where((seen | (not ignore_na)) & (count > 0), left(kept), 1.0)
        weight, total, squares = weight * older, total * older, squares * older * older
        first = seen & (count == 0)
        share = new / (weight + new)
        change = value - mean
        moved = mean + share * change
        spread = (1 - share) * (var + share * change * change)
        mean = mx.where(first, value, mx.where(seen, moved, mean))
        var = mx.where(seen & (count > 0), spread, var)
        whole = weight + new
        scale = 1.0 if adjust else 1 / whole
        known = seen & (count > 0)
        total = mx.where(known, (total + new) * scale, total)
        squares = mx.where(known, (squares + new * new) * scale * scale, squares)
        weight = mx.where(known, whole if adjust else mx.ones_like(weight), weight)
        count = mx.where(seen, count + 1, count)
        rest = total * total - squares
        answer = var if bias else mx.where(rest > 0, var * (total * total / mx.where(rest > 0, rest, 1.0)), mx.nan)
        return (mean, var, weight, total, squares, count), mx.where(count >= least, answer, mx.nan)

    return given.over(step, 0.0, 0.0, 1.0, 1.0, 1.0)


class _Given:
    """Values, and how much of an old weight is left at each; with times its logarithm."""

    def __init__(self, call: str, x: Any, axis: int, times: Any, factor: float) -> None:
        self.x, self.axis = along(call, x, axis)
        self.factor, self.timed = factor, times is not None
        self.kept = self._kept(call, times)

    def _kept(self, call: str, times: Any) -> mx.array:
        shape = [1] * self.x.ndim
        shape[self.axis] = steps = self.x.shape[self.axis]
        if times is None:
            return mx.broadcast_to(mx.array(self.factor, self.x.dtype), shape)
        when = floats(f"[{call}] times", times, kinds=dtypes.FLOATS | dtypes.INTEGERS)
        if when.shape != (steps,):
            raise errors.ScanError(
                f"[{call}] times must have the shape {(steps,)}, one for each step of x along axis {self.axis}; got {when.shape}."
            )
        passed = mx.concatenate([mx.zeros((1,), when.dtype), when[1:] - when[:-1]])[:steps]
        rate = math.log(self.factor) if self.factor else -1e30  # not infinite: no time passes before the first value
        return (passed.astype(self.x.dtype) * rate).reshape(shape)

    @property
    def left(self) -> Callable[[mx.array], mx.array]:
        """How much of an old weight is left: exponentials are taken in the loop, exact in float64 too.

        A step reads this function, and not the values themselves, which would all be captured.
        """
        return mx.exp if self.timed else _as_it_is

    def over(self, step: Callable[[Any, Any], tuple[Any, mx.array]], *start: float) -> mx.array:
        """One loop over time; a count of values seen goes with the state."""
        state = (*(mx.array(value, self.x.dtype) for value in start), mx.array(0))
        found: mx.array = loop(step, (self.x, self.kept), state, self.axis)
        return found


def _as_it_is(kept: mx.array) -> mx.array:
    return kept


def _factor(
    call: str, com: float | None, span: float | None, halflife: float | None, alpha: float | None, times: Any
) -> float:
    """How much of an old weight is left after a step; with times after a unit of them."""
    given = {
        name: v for name, v in (("com", com), ("span", span), ("halflife", halflife), ("alpha", alpha)) if v is not None
    }
    if len(given) != 1 or (times is not None and halflife is None):
        needed = "with times, halflife" if times is not None else "one of com, span, halflife and alpha"
        raise errors.ScanError(f"[{call}] needs {needed}, and no other; got {', '.join(given) or 'none'}.")
    ((name, each),) = given.items()
    value = real(call, name, each)
    low, high = {"com": (0, math.inf), "span": (1, math.inf), "halflife": (0, math.inf), "alpha": (0, 1)}[name]
    if not low <= value <= high or (value == low and name in ("halflife", "alpha")) or math.isinf(value):
        bounds = {"com": "0 or more", "span": "1 or more", "halflife": "more than 0", "alpha": "in (0, 1]"}[name]
        raise errors.ScanError(f"[{call}] {name} is {bounds}; got {value:g}.")
    if name == "alpha":
        return 1 - value
    return (
        0.5 ** (1 / value)
        if name == "halflife"
        else value / (1 + value)
        if name == "com"
        else (value - 1) / (value + 1)
    )
