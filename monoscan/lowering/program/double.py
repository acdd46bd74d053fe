"""Functions of float64 on MLX arrays, of MLX's own that compute in float64: its exp, sin and cos go through float32.

Their error is a few units in the last place; the exponential of what is below -708 is zero.
"""

from __future__ import annotations

import mlx.core as mx


def exp(x: mx.array) -> mx.array:
    """By the hyperbolic functions of the size, which do not cancel."""
    size = mx.abs(x)
    grown = mx.cosh(size) + mx.sinh(size)
    return mx.where(x < 0, 1 / grown, grown)


def sigmoid(x: mx.array) -> mx.array:
    """1 / (1 + exp(-x)), without overflow."""
    shrunk = exp(-mx.abs(x))
    return mx.where(x < 0, shrunk, 1) / (1 + shrunk)


def logaddexp(x: mx.array, y: mx.array) -> mx.array:
    """log(exp(x) + exp(y)), from the greater; infinities stay."""
    high, low = mx.maximum(x, y), mx.minimum(x, y)
    total = high + mx.log1p(exp(low - high))
    return mx.where(mx.logical_or(low == -mx.inf, high == mx.inf), high, total)


def sin(x: mx.array) -> mx.array:
    """By the tangent of half the angle."""
    half = mx.tan(x / 2)
    return 2 * half / (1 + half * half)


def cos(x: mx.array) -> mx.array:
    """By the tangent of half the angle."""
    square = mx.square(mx.tan(x / 2))
    return (1 - square) / (1 + square)
