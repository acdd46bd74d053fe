"""Sum and product."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts, associativity


@final
@attrs.frozen
class Sum(Monoid):
    """Addition. Identity 0; bool elements are counted in int32; integers wrap.

    +0.0 is the identity up to the sign of zero: ``0.0 + -0.0`` is ``+0.0``. NaN and
    inf - inf give NaN from there on.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Sum(), mx.array([1, 2, 3]), inclusive=False)
        array([0, 1, 3], dtype=int32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)

    def inverse(self, element: mx.array) -> mx.array:
        """The negative."""
        return -element

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple("int32" if name == "bool" else name for name in dtypes)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, True, associativity(dtypes), native="cumsum")


@final
@attrs.frozen
class Product(Monoid):
    """Multiplication. Identity 1; integers wrap; 0 * inf is NaN from there on.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Product(), mx.array([1.0, 2.0, 3.0]))
        array([1, 2, 6], dtype=float32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left * right

    def identity(self, like: mx.array) -> mx.array:
        return mx.ones_like(like)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, associativity(dtypes), native="cumprod")
