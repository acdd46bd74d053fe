"""A machine value with a bound on its error, and how one rounding adds to it."""

from __future__ import annotations

import math

import attrs
import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.ir import Instr, Op
from monoscan.testing.arithmetic.machine import MACHINE, Array

UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST_SUBNORMAL = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}

ULPS: dict[Op, float] = {
    Op.SQRT: 0.5, Op.RSQRT: 2, Op.EXP: 4, Op.EXPM1: 2, Op.LOG: 1, Op.LOG2: 1, Op.LOG10: 2, Op.LOG1P: 3, Op.POW: 3,
    Op.LOGADDEXP: 4, Op.SIGMOID: 4, Op.ERF: 4, Op.ERFINV: 32, Op.SIN: 2, Op.COS: 2, Op.TAN: 2, Op.ARCSIN: 2,
    Op.ARCCOS: 2, Op.ARCTAN: 2, Op.ARCTAN2: 2, Op.SINH: 3, Op.COSH: 3, Op.TANH: 4,
}  # fmt: skip
"""How far each function of MLX may be from the exact one, in units in the last place."""

SINGLE = frozenset({Op.EXP, Op.SIGMOID, Op.ERF, Op.ERFINV, Op.SIN, Op.COS, Op.LOGADDEXP})
"""What MLX computes to float32's precision, whatever the dtype."""

GROWING = frozenset({Op.EXP, Op.SIGMOID})
"""Where MLX rounds x / log(2), so that the units in the last place grow by one with each unit of |x|."""

ABSOLUTE = frozenset({Op.ERF, Op.SIN, Op.COS, Op.TAN, Op.LOGADDEXP})
"""What is accurate relative to 1, and not to a result near 0."""

_SLACK = 1 + 2.0**-40  # the bounds are themselves computed in rounded float64


@attrs.frozen(eq=False)
class Bounded:
    """A value, and a float64 bound on its distance from the exact one (a bool: 0 certain, 1 open)."""

    value: Array
    error: Array


def bounded(value: Array) -> Bounded:
    """A value that is exact."""
    return Bounded(value, np.zeros(value.shape, np.float64))


def wide(x: Array) -> Array:
    """The same numbers in float64."""
    return x.astype(np.float64)


def size(x: Bounded) -> Array:
    """The absolute value, in float64."""
    return np.abs(wide(x.value))


def zero_unless(condition: Array, error: Array | float) -> Array:
    """An error that is there under a condition only."""
    return np.where(condition, error, 0.0)


def gap(x: Array, y: Array) -> Array:
    """|x - y|, with 0 between equal infinities and infinity where it has no value."""
    gap = np.abs(wide(x) - wide(y))
    return np.where(x == y, 0.0, np.where(np.isnan(gap), math.inf, gap))


def settle(value: Array, error: Array, *args: Bounded) -> Bounded:
    """Bounds an infinite result by whether an infinity went in or the operation overflowed."""
    error = np.where(np.isnan(error), math.inf, error * _SLACK)
    if value.dtype not in (np.float32, np.float64):
        return Bounded(value, error)
    infinite_in = np.array(False)
    finite_error = np.array(True)
    for arg in args:
        infinite_in = infinite_in | (np.isinf(arg.value) & (arg.error == 0))
        finite_error = finite_error & np.isfinite(arg.error)
    at_infinity = zero_unless(~(infinite_in & finite_error), math.inf)
    return Bounded(value, np.where(np.isinf(value), at_infinity, error))


def rounding(instr: Instr, value: Array, exact: Array, error: Array) -> Array:
    """What one correctly rounded operation may add to an error that its arguments have brought.

    Nothing where it was exact, unless a kernel may flush the result to zero: float32 below the smallest normal number.
    """
    unit, least = UNIT_ROUNDOFF[instr.dtype], SMALLEST_SUBNORMAL[instr.dtype]
    own = zero_unless(~exact, unit * np.abs(wide(value)) + least)
    if instr.dtype != "float32":
        return own
    normal = SMALLEST_NORMAL["float32"]
    return own + zero_unless((np.abs(wide(value)) < normal + error) & ~((value == 0) & (error == 0)), normal)


def is_float(instr: Instr) -> bool:
    """Whether the result is a real float."""
    return instr.dtype in dtypes.FLOATS


def slip(instr: Instr, value: Array, *args: Bounded) -> Array:
    """The function's own error: its units in the last place, and what it flushes to 0."""
    ulps = np.array(2 * ULPS.get(instr.op, 0.0))
    if instr.op in GROWING:
        ulps = ulps + 2 * size(args[0])
    unit = UNIT_ROUNDOFF["float32" if instr.op in SINGLE else instr.dtype]
    relative_to = np.abs(wide(value)) + (1.0 if instr.op in ABSOLUTE else 0.0)
    least = SMALLEST_NORMAL[instr.dtype] if instr.op in ULPS else 0.0
    return zero_unless(np.isfinite(value) & np.isfinite(ulps), ulps * unit * relative_to + least)


def fragile(instr: Instr, *args: Bounded) -> Bounded:
    """An operation that says nothing where its arguments are not exact."""
    value = MACHINE[instr.op](instr, *(arg.value for arg in args))
    inexact = np.any([np.broadcast_arrays(arg.error, value)[0] > 0 for arg in args], axis=0)
    error = zero_unless(inexact, math.inf)
    if is_float(instr):
        error = error + rounding(instr, value, inexact, error) + UNIT_ROUNDOFF[instr.dtype] * size(args[-1])
    return settle(value, error, *args)
