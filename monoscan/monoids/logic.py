"""Truth: all and any."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts


@final
@attrs.frozen
class All(Monoid):
    """Whether all are true so far.

    Elements are arrays ``x``, taken as bool; ``combine`` is ``l and r``. Identity True.
    Every value but zero is true, NaN and infinities too.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.2.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.All(), mx.array([True, False, True]))
        array([True, False, False], dtype=bool)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.logical_and(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return mx.full(like.shape, True, mx.bool_)

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return ("bool",) * len(dtypes)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact")


@final
@attrs.frozen
class Any(Monoid):
    """Whether any is true so far.

    Elements are arrays ``x``, taken as bool; ``combine`` is ``l or r``. Identity False.
    Every value but zero is true, NaN and infinities too.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.2.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Any(), mx.array([False, True, False]))
        array([False, True, True], dtype=bool)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.logical_or(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return mx.full(like.shape, False, mx.bool_)

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return ("bool",) * len(dtypes)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact")
