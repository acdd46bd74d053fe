"""Aggregators ready for use, named as in Algebird and pandas: each goes where `scan` and `fold` take an operator."""

from __future__ import annotations

from typing import Any as Anything
from typing import ClassVar, final

import attrs
import mlx.core as mx

from monoscan import errors
from monoscan import tree as trees
from monoscan.monoids import arithmetic, linear, logic, logspace, order, statistics
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.attention import SoftmaxAverage
from monoscan.monoids.combinators.product import Tuple

__all__ = [
    "EMA",
    "All",
    "Any",
    "ArgMax",
    "ArgMin",
    "Attention",
    "Count",
    "First",
    "Kurtosis",
    "Last",
    "LogSumExp",
    "Max",
    "Mean",
    "Min",
    "MinMax",
    "Moments",
    "Product",
    "SelectiveScan",
    "Skewness",
    "Std",
    "Sum",
    "Variance",
]


@attrs.frozen
class _Answer(Aggregator):
    """From ``embed`` to ``project``."""

    def prepare(self, *inputs: Anything) -> Anything:
        return self.operator.embed(*inputs)

    def present(self, state: Anything, *inputs: Anything) -> Anything:
        return self.operator.project(state)


@final
class Sum(_Answer):
    """The sum so far."""

    operator = arithmetic.Sum()


@final
class Product(_Answer):
    """The product so far."""

    operator = arithmetic.Product()


@final
class Max(_Answer):
    """The greatest so far."""

    operator = order.Max()


@final
class Min(_Answer):
    """The least so far."""

    operator = order.Min()


@final
class MinMax(_Answer):
    """The least and the greatest so far."""

    operator = order.MinMax()


@final
class First(_Answer):
    """The first value."""

    operator = order.First()


@final
class Last(_Answer):
    """The last value so far."""

    operator = order.Last()


@final
class All(_Answer):
    """Whether all were true so far."""

    operator = logic.All()


@final
class Any(_Answer):
    """Whether any was true so far."""

    operator = logic.Any()


@final
class LogSumExp(_Answer):
    """The logarithm of the sum of exponentials so far."""

    operator = logspace.LogSumExp()


@final
class Mean(_Answer):
    """The mean so far, of a value, or of a value and its weight."""

    operator = statistics.Mean()


@attrs.frozen
class _Where(_Answer):
    """The same of a value and its index."""

    def prepare(self, x: mx.array, index: mx.array) -> Anything:
        return self.operator.embed(x, index)


@final
class ArgMax(_Where):
    """Where the greatest so far stands: of a value and its index, as `position`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.aggregators.ArgMax(), (mx.array([2.0, 1.0, 3.0]), ms.position))
        array([0, 0, 2], dtype=int32)
    """

    operator = order.ArgMax()


@final
class ArgMin(_Where):
    """Where the least so far stands: of a value and its index, as `position`."""

    operator = order.ArgMin()


@final
class Count(Aggregator):
    """How many there are; of truth values, how many are true."""

    operator = arithmetic.Sum()

    def prepare(self, x: mx.array) -> mx.array:
        return x.astype(mx.int32) if x.dtype == mx.bool_ else mx.ones_like(x, dtype=mx.int32)

    def present(self, state: mx.array, x: mx.array) -> mx.array:
        return state


def _freedom(aggregator: Aggregator, field: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 0:
        raise errors.ScanError(f"[{type(aggregator).__name__}] ddof must be 0 or more; got {value!r:.40}.")


@attrs.frozen
class _Spread(Aggregator):
    """What follows from sums of squared deviations."""

    operator: ClassVar[statistics.Moments] = statistics.Moments(2)
    ddof: int = attrs.field(default=0, validator=_freedom)

    def prepare(self, *inputs: mx.array) -> Anything:
        return self.operator.embed(*inputs)

    def _variance(self, state: tuple[mx.array, ...]) -> mx.array:
        n, _, m2 = state
        freedom = n - self.ddof
        return mx.where(freedom > 0, m2 / mx.where(freedom > 0, freedom, 1).astype(m2.dtype), mx.nan)


@final
@attrs.frozen
class Variance(_Spread):
    """The variance so far, of a value, or of a value and its weight.

    Args:
        ddof (int, optional): What is taken off the number of values. Default: ``0``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.aggregators.Variance(), mx.array([1.0, 3.0, 8.0]))
        array([0, 1, 8.66667], dtype=float32)
    """

    def present(self, state: Anything, *inputs: mx.array) -> mx.array:
        return self._variance(state)


@final
@attrs.frozen
class Std(_Spread):
    """The standard deviation so far, of a value, or of a value and its weight.

    Args:
        ddof (int, optional): What is taken off the number of values. Default: ``0``.
    """

    def present(self, state: Anything, *inputs: mx.array) -> mx.array:
        return mx.sqrt(self._variance(state))


@final
class Skewness(_Answer):
    """The skewness so far."""

    operator = statistics.Moments(3)

    def present(self, state: Anything, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)[2]


@final
class Kurtosis(_Answer):
    """The excess kurtosis so far."""

    operator = statistics.Moments(4)

    def present(self, state: Anything, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)[3]


@final
@attrs.frozen
class Moments(_Answer):
    """Mean, variance, skewness and excess kurtosis so far, up to an order.

    Args:
        order (int, optional): The highest moment: 2, 3 or 4. Default: ``4``.
    """

    order: int = 4

    @property
    def operator(self) -> statistics.Moments:
        """The operator of that order."""
        return statistics.Moments(self.order)


def _share(aggregator: Aggregator, field: attrs.Attribute[Anything], value: Anything) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not isinstance(value, mx.array) and not (number and 0 < value <= 1):
        raise errors.ScanError(f"[EMA] alpha must be in (0, 1], or an array; got {trees.shown(value)}.")


@final
@attrs.frozen
class EMA(Aggregator):
    """The exponential moving average, in which the weights of the values add up to 1, as in pandas.

    Args:
        alpha (float or array): The weight of a value against those before it, in (0, 1].

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.aggregators.EMA(0.5), mx.array([3.0, 6.0, 6.0]))
        array([3, 5, 5.57143], dtype=float32)
    """

    operator: ClassVar[Tuple] = Tuple(linear.Affine(), linear.Affine())
    alpha: float | mx.array = attrs.field(validator=_share)

    def prepare(self, x: mx.array) -> Anything:
        gate = mx.ones_like(x) * (1 - self.alpha)
        return (gate, x), (gate, mx.ones_like(x))

    def present(self, state: tuple[mx.array, mx.array], x: mx.array) -> mx.array:
        total, weight = state
        return total / weight


@final
@attrs.frozen
class Attention(Aggregator):
    """Softmax attention of one query over the keys so far: inputs ``(fixed(query), keys, values)``, 0 where all are masked.

    Args:
        scale (float, optional): What products of query and key are multiplied by. Default: ``None``, the reciprocal
            root of their size.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> query, keys, values = mx.array([0.0, 0.0]), mx.ones((3, 2)), mx.array([[1.0], [2.0], [6.0]])
        >>> ms.fold(ms.aggregators.Attention(), (ms.fixed(query), keys, values))
        array([3], dtype=float32)
    """

    operator: ClassVar[SoftmaxAverage] = SoftmaxAverage()
    event: ClassVar[int] = 1
    scale: float | None = None

    def prepare(self, query: mx.array, key: mx.array, value: mx.array) -> Anything:
        scale = key.size**-0.5 if self.scale is None else self.scale
        return self.operator.embed((query * key).sum() * scale, value)

    def present(self, state: Anything, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)


@final
class SelectiveScan(Aggregator):
    """Mamba's selective state space: inputs ``(delta, fixed(A), B, C, x)``, of which A, B and C hold an item for each state.

    With ``h`` of as many numbers as A has, ``h_t = exp(delta A) h_{t-1} + delta x B`` and ``y_t = sum(h_t C)``.

    Source: Gu and Dao, *Mamba: linear-time sequence modeling with selective state spaces* (2023).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> delta = x = mx.ones((1, 3, 4))  # batch, time, channels
        >>> A, B = mx.zeros((4, 2)), mx.ones((1, 3, 2))
        >>> y = ms.scan(
        ...     ms.aggregators.SelectiveScan(), (delta, ms.fixed(A), B[:, :, None], B[:, :, None], x), axis=1
        ... )
        >>> y[0, :, 0]
        array([2, 4, 6], dtype=float32)
    """

    operator = linear.Affine()
    event = (0, 1, 1, 1, 0)

    def prepare(self, delta: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array) -> Anything:
        return mx.exp(delta * A), delta * x * B

    def present(self, h: mx.array, delta: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array) -> mx.array:
        return (h * C).sum()


def __dir__() -> list[str]:
    return __all__
