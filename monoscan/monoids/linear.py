"""Affine maps of a scalar: the linear recurrence of state-space models."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan.monoids.base import Monoid

Pair = tuple[mx.array, mx.array]


@final
@attrs.frozen
class Affine(Monoid):
    r"""Composition of affine maps ``h -> a * h + b``: the recurrence :math:`h_t = a_t h_{t-1} + b_t`.

    Elements are pairs ``(a, b)`` of scalars; ``combine`` applies the left map first:
    ``(a_r a_l, a_r b_l + b_r)``. Identity (1, 0). On finite values only: 0 * inf is NaN.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.4; Martin and
    Cundy, *Parallelizing Linear Recurrent Neural Nets* (ICLR 2018).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> a, b = mx.full((3,), 0.5), mx.ones((3,))
        >>> decay, h = ms.scan(ms.Affine(), (a, b))
        >>> h
        array([1, 1.5, 1.75], dtype=float32)
    """

    template = ("a", "b")

    def combine(self, left: Pair, right: Pair) -> Pair:
        (a_l, b_l), (a_r, b_r) = left, right
        return a_r * a_l, a_r * b_l + b_r

    def identity(self, like: Pair) -> Pair:
        a, b = like
        return mx.ones_like(a), mx.zeros_like(b)
