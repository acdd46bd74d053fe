"""Error bounds through functions that are not arithmetic: exponentials, logarithms, angles."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import mlx.core as mx

from monoscan.lowering.interpret import ARRAYS
from monoscan.lowering.ir import Instr
from monoscan.testing.bounded import (
    ULPS,
    UNIT_ROUNDOFF,
    Bounded,
    bounded,
    fragile,
    gap,
    is_float,
    settle,
    size,
    slip,
    wide,
    zero_unless,
)


def _span(instr: Instr, x: mx.array, error: mx.array, low: float, high: float) -> mx.array:
    """How far a monotone function moves when its argument moves by ``error``, inside [low, high]."""
    instr = attrs.evolve(instr, dtype="float64")
    ends = [mx.clip(x + side * error, low, high) for side in (-1, 0, 1)]
    below, middle, above = (ARRAYS[instr.op](instr, end) for end in ends)
    moved = mx.maximum(gap(below, middle), gap(above, middle))
    own = slip(instr, mx.maximum(mx.abs(below), mx.abs(above)), bounded(mx.abs(x) + error))
    return zero_unless(error > 0, moved + 2 * own + 2.0**-50 * mx.abs(middle))


def monotone(low: float = -math.inf, high: float = math.inf, even: bool = False) -> Callable[..., Bounded]:
    """A function monotone on [low, high], or even and monotone on one side of 0."""

    def operation(instr: Instr, x: Bounded) -> Bounded:
        value = ARRAYS[instr.op](instr, x.value)
        argument = mx.abs(wide(x.value)) if even else wide(x.value)
        return settle(value, _span(instr, argument, x.error, low, high) + slip(instr, value, x), x)

    return operation


def exponential(instr: Instr, x: Bounded) -> Bounded:
    """Exp and sigmoid: a step of e in the argument multiplies them by exp(e) at the most."""
    value = ARRAYS[instr.op](instr, x.value)
    own = slip(instr, value, x)
    return settle(value, mx.expm1(x.error) * (mx.abs(wide(value)) + own) + own, x)


def lipschitz(most: float, reach: float) -> Callable[..., Bounded]:
    """A function that moves ``most`` times as fast as its argument, and by ``reach`` at the most."""

    def operation(instr: Instr, x: Bounded) -> Bounded:
        value = ARRAYS[instr.op](instr, x.value)
        return settle(value, mx.minimum(most * x.error, reach) + slip(instr, value, x), x)

    return operation


def tan(instr: Instr, x: Bounded) -> Bounded:
    """The tangent: without a bound where a pole is near."""
    value = mx.tan(x.value)
    angle = wide(x.value)
    same_branch = (mx.cos(angle - x.error) * mx.cos(angle + x.error) > 0) & (x.error < 1)
    moved = mx.where(same_branch, _span(instr, angle, x.error, -math.inf, math.inf), math.inf)
    return settle(value, moved + slip(instr, value), x)


def power(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    """Powers of a positive base: monotone in both, so the corners bound them."""
    if not is_float(instr):
        return fragile(instr, x, y)
    value = x.value**y.value
    base, exponent = wide(x.value), wide(y.value)
    corners = [(base + i * x.error) ** (exponent + j * y.error) for i in (-1, 1) for j in (-1, 1)]
    moved = mx.max(mx.stack(mx.broadcast_arrays(*(gap(corner, base**exponent) for corner in corners))), axis=0)
    moved = mx.where(base > x.error, moved, math.inf)
    inexact = (x.error > 0) | (y.error > 0)
    return settle(value, zero_unless(inexact, moved) + slip(instr, value), x, y)


def logaddexp(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    """log(exp(x) + exp(y)), which moves no faster than the faster of its arguments."""
    value = mx.logaddexp(x.value, y.value)
    # the terms of the sum max + log1p(exp(...)) may cancel: each rounds on its own
    largest = mx.maximum(mx.where(mx.isinf(x.value), 0.0, size(x)), mx.where(mx.isinf(y.value), 0.0, size(y)))
    own = 2 * ULPS[instr.op] * UNIT_ROUNDOFF["float32"] * (largest + 1)
    return settle(value, mx.maximum(x.error, y.error) + zero_unless(mx.isfinite(value), own), x, y)


def arctan2(instr: Instr, y: Bounded, x: Bounded) -> Bounded:
    """The angle of a point: open where the errors reach the cut or the origin."""
    value = mx.arctan2(y.value, x.value)
    blur = x.error + y.error
    radius = mx.sqrt(wide(x.value) ** 2 + wide(y.value) ** 2)
    turned = mx.where(blur < radius, math.pi / 2 * blur / radius, math.pi)
    cut = (size(y) <= y.error) & (y.error > 0) & (wide(x.value) < x.error)
    moved = mx.where(cut, 2 * math.pi, zero_unless(blur > 0, turned))
    return settle(value, moved + slip(instr, value), x, y)
