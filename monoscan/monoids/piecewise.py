"""Sums and maxima together: the best run of consecutive values, waiting times."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid

Pair = tuple[mx.array, mx.array]
Runs = tuple[mx.array, mx.array, mx.array, mx.array]
_WHY = "its identity holds -inf, to which integers have no counterpart that adds up"


@final
@attrs.frozen
class MaxSubarray(Monoid):
    """The greatest sum of consecutive values (not empty).

    Elements are ``(total, prefix, suffix, best)``, the best sums that start at the left
    end, end at the right end, or lie anywhere; ``combine`` is ``(t_l + t_r,
    max(p_l, t_l + p_r), max(s_r, s_l + t_r), max(b_l, b_r, s_l + p_r))``. Identity
    (0, -inf, -inf, -inf). -inf is an ordinary value; NaN gives NaN from there on; inf
    is off the domain.

    Source: Bentley, *Programming Pearls* (1984), Kadane's problem as a fold.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> best = ms.MaxSubarray()
        >>> best.project(ms.scan(best, best.embed(mx.array([1.0, -2.0, 3.0, 4.0, -9.0]))))
        array([1, 1, 3, 7, 7], dtype=float32)
    """

    template = ("total", "prefix", "suffix", "best")

    def embed(self, x: mx.array) -> Runs:
        """Each value is a run of its own; halves become float32.

        Raises:
            TreeError: ``x`` is no array.
        """
        (x,) = domain.floats("MaxSubarray.embed", x=x)
        return x, x, x, x

    def project(self, element: Runs) -> mx.array:
        """The best sum."""
        return domain.element(self, element)[3]

    def combine(self, left: Runs, right: Runs) -> Runs:
        (t_l, p_l, s_l, b_l), (t_r, p_r, s_r, b_r) = left, right
        across = mx.maximum(mx.maximum(b_l, b_r), s_l + p_r)
        return t_l + t_r, mx.maximum(p_l, t_l + p_r), mx.maximum(s_r, s_l + t_r), across

    def identity(self, like: Runs) -> Runs:
        return mx.zeros_like(like[0]), domain.lowest(like[1]), domain.lowest(like[2]), domain.lowest(like[3])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)


@final
@attrs.frozen
class MaxPlusAffine(Monoid):
    r"""Composition of maps ``w -> max(w + a, b)``: the recurrence of waiting times.

    Elements are pairs ``(a, b)``; ``combine`` applies the left map first: ``(a_l + a_r,
    max(b_l + a_r, b_r))``. Identity (0, -inf). -inf is an ordinary value; NaN gives NaN
    from there on; inf is off the domain.

    Source: Lindley, *The theory of queues with a single server* (1952).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> slack = mx.array([0.0, 2.0, -1.0, -3.0])  # service time before, less the time to the next arrival
        >>> ms.scan(ms.MaxPlusAffine(), (slack, mx.zeros((4,))))[1]
        array([0, 2, 1, 0], dtype=float32)
    """

    template = ("a", "b")

    def combine(self, left: Pair, right: Pair) -> Pair:
        (a_l, b_l), (a_r, b_r) = left, right
        return a_l + a_r, mx.maximum(b_l + a_r, b_r)

    def identity(self, like: Pair) -> Pair:
        return mx.zeros_like(like[0]), domain.lowest(like[1])

    @property
    def right(self) -> Action:
        """On numbers: ``max(w + a, b)``, begun by ``b``."""
        return Action(
            lambda w, element: mx.maximum(w + element[0], element[1]), lambda element: element[1], template="w"
        )

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)
