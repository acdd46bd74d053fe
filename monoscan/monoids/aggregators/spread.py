"""`Mean`, `Variance` and what else follows from moments."""

from __future__ import annotations

from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan import errors
from monoscan.monoids import domain, statistics
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.aggregators.ready import Answer, Ready


@final
class Mean(Answer):
    """The mean so far, of a value, or of a value and its weight."""

    operator = statistics.Mean()


def _freedom(aggregator: Aggregator, field: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 0:
        raise errors.ScanError(f"[{type(aggregator).__name__}] ddof must be 0 or more; got {value!r:.40}.")


@attrs.frozen(repr=False)
class _Spread(Ready):
    """What follows from sums of squared deviations."""

    operator: ClassVar[statistics.Moments] = statistics.Moments(2)
    ddof: int = attrs.field(default=0, converter=domain.whole, validator=_freedom)

    def prepare(self, *inputs: mx.array) -> Any:
        return self.operator.embed(*inputs)

    def _variance(self, state: tuple[mx.array, ...]) -> mx.array:
        n, _, m2 = state
        freedom = n - self.ddof
        return mx.where(freedom > 0, m2 / mx.where(freedom > 0, freedom, 1).astype(m2.dtype), mx.nan)


@final
@attrs.frozen(repr=False)
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

    def present(self, state: Any, *inputs: mx.array) -> mx.array:
        return self._variance(state)


@final
@attrs.frozen(repr=False)
class Std(_Spread):
    """The standard deviation so far, of a value, or of a value and its weight.

    Args:
        ddof (int, optional): What is taken off the number of values. Default: ``0``.
    """

    def present(self, state: Any, *inputs: mx.array) -> mx.array:
        return mx.sqrt(self._variance(state))


@final
class Skewness(Answer):
    """The skewness so far."""

    operator = statistics.Moments(3)

    def present(self, state: Any, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)[2]


@final
class Kurtosis(Answer):
    """The excess kurtosis so far."""

    operator = statistics.Moments(4)

    def present(self, state: Any, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)[3]


def _known_order(aggregator: Aggregator, field: attrs.Attribute[int], value: int) -> None:
    statistics.Moments(value)  # which refuses others


@final
@attrs.frozen(repr=False)
class Moments(Answer):
    """Mean, variance, skewness and excess kurtosis so far, up to an order.

    Args:
        order (int, optional): The highest moment: 2, 3 or 4. Default: ``4``.
    """

    order: int = attrs.field(default=4, converter=domain.whole, validator=_known_order)

    @property
    def operator(self) -> statistics.Moments:
        """The operator of that order."""
        return statistics.Moments(self.order)
