"""`Sum`, `Max`, `First` and their kin: what an operator of the same name computes; and `Count`."""

from __future__ import annotations

from typing import Any as Anything
from typing import final

import attrs
import mlx.core as mx

from monoscan.monoids import arithmetic, logic, logspace, order
from monoscan.monoids.aggregators.ready import Answer, Ready


@final
class Sum(Answer):
    """The sum so far."""

    operator = arithmetic.Sum()


@final
class Product(Answer):
    """The product so far."""

    operator = arithmetic.Product()


@final
class Max(Answer):
    """The greatest so far."""

    operator = order.Max()


@final
class Min(Answer):
    """The least so far."""

    operator = order.Min()


@final
class MinMax(Answer):
    """The least and the greatest so far."""

    operator = order.MinMax()


@final
class First(Answer):
    """The first value."""

    operator = order.First()


@final
class Last(Answer):
    """The last value so far."""

    operator = order.Last()


@final
class All(Answer):
    """Whether all were true so far."""

    operator = logic.All()


@final
class Any(Answer):
    """Whether any was true so far."""

    operator = logic.Any()


@final
class LogSumExp(Answer):
    """The logarithm of the sum of exponentials so far."""

    operator = logspace.LogSumExp()


@attrs.frozen(repr=False)
class _Where(Answer):
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
class Count(Ready):
    """How many there are; of truth values, how many are true."""

    operator = arithmetic.Sum()

    def prepare(self, x: mx.array) -> mx.array:
        return x.astype(mx.int32) if x.dtype == mx.bool_ else mx.ones_like(x, dtype=mx.int32)

    def present(self, state: mx.array, x: mx.array) -> mx.array:
        return state
