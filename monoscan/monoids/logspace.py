"""Sums of exponentials, kept as logarithms."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain
from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts

Scaled = tuple[mx.array, mx.array]
_WHY = "its identity is -inf"


@final
@attrs.frozen
class LogSumExp(Monoid):
    """The logarithm of a sum of exponentials.

    Elements are float arrays ``x``; ``combine`` is ``log(exp(l) + exp(r))``, without
    overflow. Identity -inf. NaN gives NaN from there on; infinities are ordinary values.

    Source: the log semiring; JAX's ``lax.cumlogsumexp`` and MLX's ``mx.logcumsumexp``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> mx.exp(ms.fold(ms.LogSumExp(), mx.log(mx.array([1.0, 2.0, 3.0]))))
        array(6, dtype=float32)
    """

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.logaddexp(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return domain.lowest(like)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding", native="logcumsumexp")


@final
@attrs.frozen
class OnlineSoftmax(Monoid):
    """The running normaliser of a softmax, in one pass.

    Elements are pairs ``(max, total)`` that stand for ``total * exp(max)``; ``combine``
    takes the greater maximum and scales the other total by ``exp(-|max_l - max_r|)``.
    Identity (-inf, 0). -inf embeds to the identity; NaN gives NaN from there on; inf is
    off the domain.

    Source: Milakov and Gimelshein, *Online normalizer calculation for softmax* (2018).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> softmax, x = ms.OnlineSoftmax(), mx.array([1000.0, 1000.0])
        >>> high, total = ms.fold(softmax, softmax.embed(x))
        >>> mx.exp(x - high) / total
        array([0.5, 0.5], dtype=float32)
    """

    template = ("max", "total")

    def embed(self, x: mx.array) -> Scaled:
        """Pairs ``(x, 1)``, and the identity where ``x`` is -inf; halves become float32.

        Raises:
            TreeError: ``x`` is no array.
        """
        (x,) = domain.floats("OnlineSoftmax.embed", x=x)
        return x, mx.where(x == -mx.inf, 0, 1).astype(x.dtype)

    def project(self, element: Scaled) -> mx.array:
        """The logarithm of the normaliser; ``exp(x - max) / total`` are more accurate probabilities."""
        high, total = domain.element(self, element)
        return high + mx.log(total)

    def combine(self, left: Scaled, right: Scaled) -> Scaled:
        (x, s), (y, t) = left, right
        low, high = mx.where(x > y, y, x), mx.maximum(x, y)  # gradients of a tie: y is high, x is low
        same = (x == y) & (
            mx.abs(x) == mx.inf
        )  # inf - inf is never computed: its NaN would reach gradients through where
        scale = mx.exp(mx.where(same, 0, low) - mx.where(same, 0, high))
        return high, mx.where(x > y, s + t * scale, s * scale + t)

    def identity(self, like: Scaled) -> Scaled:
        return domain.lowest(like[0]), mx.zeros_like(like[1])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")
