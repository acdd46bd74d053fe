"""The average of values by softmax weights, which is attention of one query."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain
from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts

Averaged = tuple[mx.array, mx.array, mx.array]


@final
@attrs.frozen
class SoftmaxAverage(Monoid):
    """Values weighted by exponentials of their scores.

    Elements are ``(max, total, values)`` and stand for ``total * exp(max)`` of weight and ``values * exp(max)`` of
    values. Identity (-inf, 0, 0); a score of -inf embeds to it.

    Source: Milakov and Gimelshein, *Online normalizer calculation for softmax* (2018).
    """

    event = (0, 0, 1)
    template = ("max", "total", "values")

    def embed(self, score: mx.array, value: mx.array) -> Averaged:
        """``(score, 1, value)``, and the identity where the score is -inf; halves become float32."""
        score, value = domain.floats("SoftmaxAverage.embed", score=score, value=value)
        seen = score != -mx.inf
        return score, seen.astype(score.dtype), mx.where(seen[..., None], value, 0)

    def project(self, element: Averaged) -> mx.array:
        """The average; 0 of nothing."""
        _, total, values = domain.element(self, element)
        return values / mx.where(total == 0, 1, total)[..., None]

    def combine(self, left: Averaged, right: Averaged) -> Averaged:
        (x, s, u), (y, t, v) = left, right
        more, high = x > y, mx.maximum(x, y)
        low, same = mx.where(more, y, x), (x == y) & (mx.abs(x) == mx.inf)  # gradients of a tie: y is high, x is low
        scale = mx.exp(mx.where(same, 0, low) - mx.where(same, 0, high))  # inf - inf is never computed
        of_left, of_right = mx.where(more, 1, scale), mx.where(more, scale, 1)
        return high, s * of_left + t * of_right, u * of_left[..., None] + v * of_right[..., None]

    def identity(self, like: Averaged) -> Averaged:
        return domain.lowest(like[0]), mx.zeros_like(like[1]), mx.zeros_like(like[2])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, "weights are exponentials")

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, False, False, "rounding")
