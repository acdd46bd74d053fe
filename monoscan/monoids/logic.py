"""Truth: all, any, parity."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain
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
        return Facts(True, True, False, "exact", native="cummin")


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
        return Facts(True, True, False, "exact", native="cummax")


@final
@attrs.frozen
class Xor(Monoid):
    """Parity: bit by bit for integers.

    Elements are arrays ``x`` of bool or integers; ``combine`` is ``l xor r``. Identity
    False, or 0; every element is its own inverse.

    Source: the group of integers modulo 2.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Xor(), mx.array([1, 3, 2]))
        array([1, 2, 0], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.bitwise_xor(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)

    def inverse(self, element: mx.array) -> mx.array:
        """Itself."""
        return element

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.INTEGERS | {"bool"}, "it works on bits")

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, True, "exact")
