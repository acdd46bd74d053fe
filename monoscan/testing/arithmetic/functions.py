"""Error bounds through functions that are not arithmetic: exponentials, logarithms, angles."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np

from monoscan.lowering.program.ir import Instr, Op
from monoscan.testing.arithmetic.bounded import (
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
from monoscan.testing.arithmetic.machine import MACHINE, Array


def _span(instr: Instr, x: Array, error: Array, low: float, high: float) -> Array:
    """How far a monotone function moves when its argument moves by ``error``, inside [low, high]."""
    instr = attrs.evolve(instr, dtype="float64")
    ends = [np.clip(x + side * error, low, high) for side in (-1, 0, 1)]
    below, middle, above = (MACHINE[instr.op](instr, end) for end in ends)
    moved = np.maximum(gap(below, middle), gap(above, middle))
    own = slip(instr, np.maximum(np.abs(below), np.abs(above)), bounded(np.abs(x) + error))
    return zero_unless(error > 0, moved + 2 * own + 2.0**-50 * np.abs(middle))


def monotone(low: float = -math.inf, high: float = math.inf, even: bool = False) -> Callable[..., Bounded]:
    """A function monotone on [low, high], or even and monotone on one side of 0."""

    def operation(instr: Instr, x: Bounded) -> Bounded:
        value = MACHINE[instr.op](instr, x.value)
        argument = np.abs(wide(x.value)) if even else wide(x.value)
        return settle(value, _span(instr, argument, x.error, low, high) + slip(instr, value, x), x)

    return operation


def exponential(instr: Instr, x: Bounded) -> Bounded:
    """Exp and sigmoid: a step of e in the argument multiplies them by exp(e) at the most."""
    value = MACHINE[instr.op](instr, x.value)
    own = slip(instr, value, x)
    return settle(value, np.expm1(x.error) * (np.abs(wide(value)) + own) + own, x)


def lipschitz(most: float, reach: float) -> Callable[..., Bounded]:
    """A function that moves ``most`` times as fast as its argument, and by ``reach`` at the most."""

    def operation(instr: Instr, x: Bounded) -> Bounded:
        value = MACHINE[instr.op](instr, x.value)
        return settle(value, np.minimum(most * x.error, reach) + slip(instr, value, x), x)

    return operation


def tan(instr: Instr, x: Bounded) -> Bounded:
    """The tangent: without a bound where a pole is near."""
    value = MACHINE[Op.TAN](instr, x.value)
    angle = wide(x.value)
    same_branch = (np.cos(angle - x.error) * np.cos(angle + x.error) > 0) & (x.error < 1)
    moved = np.where(same_branch, _span(instr, angle, x.error, -math.inf, math.inf), math.inf)
    return settle(value, moved + slip(instr, value), x)


def power(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    """Powers of a positive base: monotone in both, so the corners bound them."""
    if not is_float(instr):
        return fragile(instr, x, y)
    value = MACHINE[Op.POW](instr, x.value, y.value)
    base, exponent = wide(x.value), wide(y.value)
    corners = [(base + i * x.error) ** (exponent + j * y.error) for i in (-1, 1) for j in (-1, 1)]
    moved = np.max(np.stack(np.broadcast_arrays(*(gap(corner, base**exponent) for corner in corners))), axis=0)
    moved = np.where(base > x.error, moved, math.inf)
    inexact = (x.error > 0) | (y.error > 0)
    return settle(value, zero_unless(inexact, moved) + slip(instr, value), x, y)


def logaddexp(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    """log(exp(x) + exp(y)), which moves no faster than the faster of its arguments."""
    value = MACHINE[Op.LOGADDEXP](instr, x.value, y.value)
    # the terms of the sum max + log1p(exp(...)) may cancel: each rounds on its own
    largest = np.maximum(np.where(np.isinf(x.value), 0.0, size(x)), np.where(np.isinf(y.value), 0.0, size(y)))
    own = 2 * ULPS[instr.op] * UNIT_ROUNDOFF["float32"] * (largest + 1)
    return settle(value, np.maximum(x.error, y.error) + zero_unless(np.isfinite(value), own), x, y)


def arctan2(instr: Instr, y: Bounded, x: Bounded) -> Bounded:
    """The angle of a point: open where the errors reach the cut or the origin."""
    value = MACHINE[Op.ARCTAN2](instr, y.value, x.value)
    blur = x.error + y.error
    radius = np.sqrt(wide(x.value) ** 2 + wide(y.value) ** 2)
    turned = np.where(blur < radius, math.pi / 2 * blur / radius, math.pi)
    cut = (size(y) <= y.error) & (y.error > 0) & (wide(x.value) < x.error)
    moved = np.where(cut, 2 * math.pi, zero_unless(blur > 0, turned))
    return settle(value, moved + slip(instr, value), x, y)
