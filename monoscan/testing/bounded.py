"""A machine value with a bound on its error, and how one rounding adds to it."""

from __future__ import annotations

import math

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.interpret import ARRAYS
from monoscan.lowering.ir import Instr, Op

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

    value: mx.array
    error: mx.array


def bounded(value: mx.array) -> Bounded:
    """A value that is exact."""
    return Bounded(value, mx.zeros(value.shape, mx.float64))


def wide(x: mx.array) -> mx.array:
    """The same numbers in float64."""
    return x.astype(mx.float64)


def size(x: Bounded) -> mx.array:
    """The absolute value, in float64."""
    return mx.abs(wide(x.value))


def zero_unless(condition: mx.array, error: mx.array | float) -> mx.array:
    """An error that is there under a condition only."""
    return mx.where(condition, error, mx.array(0.0, mx.float64))


def gap(x: mx.array, y: mx.array) -> mx.array:
    """|x - y|, with 0 between equal infinities and infinity where it has no value."""
    gap = mx.abs(wide(x) - wide(y))
    return mx.where(x == y, mx.array(0.0, mx.float64), mx.where(mx.isnan(gap), math.inf, gap))


def settle(value: mx.array, error: mx.array, *args: Bounded) -> Bounded:
    """Bounds an infinite result by whether an infinity went in or the operation overflowed."""
    error = mx.where(mx.isnan(error), math.inf, error * _SLACK)
    if value.dtype not in (mx.float32, mx.float64):
        return Bounded(value, error)
    infinite_in = mx.array(False)
    finite_error = mx.array(True)
    for arg in args:
        infinite_in = infinite_in | (mx.isinf(arg.value) & (arg.error == 0))
        finite_error = finite_error & mx.isfinite(arg.error)
    at_infinity = zero_unless(~(infinite_in & finite_error), math.inf)
    return Bounded(value, mx.where(mx.isinf(value), at_infinity, error))


def rounding(instr: Instr, value: mx.array, exact: mx.array) -> mx.array:
    """What one correctly rounded operation may add: nothing where it was exact."""
    unit, least = UNIT_ROUNDOFF[instr.dtype], SMALLEST_SUBNORMAL[instr.dtype]
    return zero_unless(~exact, unit * mx.abs(wide(value)) + least)


def is_float(instr: Instr) -> bool:
    """Whether the result is a real float."""
    return instr.dtype in dtypes.FLOATS


def slip(instr: Instr, value: mx.array, *args: Bounded) -> mx.array:
    """The function's own error: its units in the last place, and what it flushes to 0."""
    ulps = mx.array(2 * ULPS.get(instr.op, 0.0), mx.float64)
    if instr.op in GROWING:
        ulps = ulps + 2 * size(args[0])
    unit = UNIT_ROUNDOFF["float32" if instr.op in SINGLE else instr.dtype]
    relative_to = mx.abs(wide(value)) + (1.0 if instr.op in ABSOLUTE else 0.0)
    least = SMALLEST_NORMAL[instr.dtype] if instr.op in ULPS else 0.0
    return zero_unless(mx.isfinite(value) & mx.isfinite(ulps), ulps * unit * relative_to + least)


def fragile(instr: Instr, *args: Bounded) -> Bounded:
    """An operation that says nothing where its arguments are not exact."""
    value = ARRAYS[instr.op](instr, *(arg.value for arg in args))
    inexact = sum((arg.error for arg in args), mx.array(0.0, mx.float64)) > 0
    error = zero_unless(inexact, math.inf)
    if is_float(instr):
        error = error + rounding(instr, value, inexact) + UNIT_ROUNDOFF[instr.dtype] * size(args[-1])
    return settle(value, error, *args)
