"""`EMA`, `Attention` and `SelectiveScan`: sums whose weights depend on what comes after."""

from __future__ import annotations

from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan import dtypes, errors
from monoscan import tree as trees
from monoscan.monoids import linear
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.aggregators.ready import Ready
from monoscan.monoids.attention import SoftmaxAverage
from monoscan.monoids.combinators.product import Tuple


def _share(aggregator: Aggregator, field: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not isinstance(value, mx.array) and not (number and 0 < value <= 1):
        raise errors.ScanError(f"[EMA] alpha must be in (0, 1], or an array; got {trees.shown(value)}.")


def _itself(value: float | mx.array) -> Any:
    """What is compared: an array is equal to itself alone."""
    return id(value) if isinstance(value, mx.array) else value


@final
@attrs.frozen(repr=False)
class EMA(Ready):
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
    alpha: float | mx.array = attrs.field(converter=dtypes.number, validator=_share, eq=_itself)

    def prepare(self, x: mx.array) -> Any:
        gate = mx.ones_like(x) * (1 - self.alpha)
        return (gate, x), (gate, mx.ones_like(x))

    def present(self, state: tuple[mx.array, mx.array], x: mx.array) -> mx.array:
        total, weight = state
        return total / weight


def _factor(aggregator: Aggregator, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise errors.ScanTypeError(f"[Attention] scale must be a number, or None; got {trees.shown(value)}.")


@final
@attrs.frozen(repr=False)
class Attention(Ready):
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
    scale: float | None = attrs.field(default=None, converter=dtypes.number, validator=_factor)

    def prepare(self, query: mx.array, key: mx.array, value: mx.array) -> Any:
        scale = key.size**-0.5 if self.scale is None else self.scale
        return self.operator.embed((query * key).sum() * scale, value)

    def present(self, state: Any, *inputs: mx.array) -> mx.array:
        return self.operator.project(state)


@final
class SelectiveScan(Ready):
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

    def prepare(self, delta: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array) -> Any:
        return mx.exp(delta * A), delta * x * B

    def present(self, h: mx.array, delta: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array) -> mx.array:
        return (h * C).sum()
