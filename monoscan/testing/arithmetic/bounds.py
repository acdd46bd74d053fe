"""Running error bounds: every lane is a machine value and how far it may be from the exact one.

The value is computed as the machine does, in the lane's own dtype; the bound is Wilkinson's,
carried in float64: what the arguments' errors become, plus the rounding of the operation.
An operation that was exact adds nothing; a float32 result that a kernel may flush to zero
adds the smallest normal number. A choice that the errors leave open (a comparison of two close
values) makes the bound cover both outcomes. An overflow makes it infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from monoscan.lowering.program.interpret import Arithmetic
from monoscan.lowering.program.ir import COMPARISONS, Instr, Op
from monoscan.testing.arithmetic import functions
from monoscan.testing.arithmetic.bounded import (
    Bounded,
    bounded,
    fragile,
    gap,
    is_float,
    rounding,
    settle,
    size,
    wide,
    zero_unless,
)
from monoscan.testing.arithmetic.machine import MACHINE, Array


def _sum(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    value = MACHINE[instr.op](instr, x.value, y.value)
    error = x.error + y.error
    if is_float(instr):
        error = error + rounding(instr, value, _sum_is_exact(instr.op, x.value, y.value, value), error)
    return settle(value, error, x, y)


def _sum_is_exact(op: Op, x: Array, y: Array, total: Array) -> Array:
    """Knuth's two-sum: the rounding error is itself a float, and here it is 0."""
    y = -y if op is Op.SUB else y
    again = total - x
    exact: Array = ((x - (total - again)) + (y - again)) == 0
    return exact


def _mul(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    value = x.value * y.value
    error = x.error * _finite_size(y) + y.error * _finite_size(x) + x.error * y.error
    if not is_float(instr):
        return settle(value, error, x, y)
    trivial = (x.value == 0) | (y.value == 0) | (np.abs(x.value) == 1) | (np.abs(y.value) == 1)
    exact = wide(x.value) * wide(y.value) == wide(value) if instr.dtype == "float32" else trivial
    crosses = (np.isinf(x.value) & (y.error >= size(y))) | (np.isinf(y.value) & (x.error >= size(x)))
    result = settle(value, error + rounding(instr, value, exact | trivial, error), x, y)
    return Bounded(value, np.where(crosses, math.inf, result.error))


def _finite_size(x: Bounded) -> Array:
    return np.where(np.isinf(x.value), 0.0, size(x))


def _div(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    value = x.value / y.value
    spare = size(y) - y.error
    error = np.where(spare > 0, (x.error + np.abs(wide(value)) * y.error) / spare, math.inf)
    exact = (x.value == 0) | (np.abs(y.value) == 1)
    if instr.dtype == "float32":
        exact = exact | (wide(value) * wide(y.value) == wide(x.value))
    error = np.where(np.isinf(y.value) & (y.error == 0), 0.0, error)
    return settle(value, error + rounding(instr, value, exact & (y.value != 0), error), x, y)


def _neg_abs(instr: Instr, x: Bounded) -> Bounded:
    return Bounded(MACHINE[instr.op](instr, x.value), x.error)


def _min_max(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    return Bounded(MACHINE[instr.op](instr, x.value, y.value), np.maximum(x.error, y.error))


def _sign(instr: Instr, x: Bounded) -> Bounded:
    return Bounded(MACHINE[Op.SIGN](instr, x.value), zero_unless((x.error > 0) & (x.error >= size(x)), 2.0))


def _comparison(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    value = MACHINE[instr.op](instr, x.value, y.value)
    blur = x.error + y.error
    unclear = (blur > 0) & ~(gap(x.value, y.value) > blur) & ~(np.isnan(x.value) | np.isnan(y.value))
    return Bounded(value, zero_unless(unclear, 1.0))


def _not(instr: Instr, x: Bounded) -> Bounded:
    return Bounded(MACHINE[Op.NOT](instr, x.value), x.error)


def _logic(decisive: bool) -> Callable[..., Bounded]:
    def operation(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
        if instr.dtype != "bool":
            return fragile(instr, x, y)
        value = MACHINE[instr.op](instr, x.value, y.value)
        decided = np.array(False)
        for arg in (x, y):
            decided = decided | ((arg.error == 0) & (arg.value == decisive))
        return Bounded(value, zero_unless(~decided, np.maximum(x.error, y.error)))

    return operation


def _xor(instr: Instr, x: Bounded, y: Bounded) -> Bounded:
    if instr.dtype != "bool":
        return fragile(instr, x, y)
    return Bounded(MACHINE[Op.XOR](instr, x.value, y.value), np.maximum(x.error, y.error))


def _select(instr: Instr, condition: Bounded, x: Bounded, y: Bounded) -> Bounded:
    value = np.where(condition.value, x.value, y.value)
    taken = np.where(condition.value, x.error, y.error)
    other = np.where(condition.value, y.error, x.error)
    covering = np.maximum(taken, gap(x.value, y.value) + other)
    return Bounded(value, np.where(condition.error > 0, covering, taken))


def _lookup(instr: Instr, index: Bounded, *table: Bounded) -> Bounded:
    value = MACHINE[Op.LOOKUP](instr, index.value, *(lane.value for lane in table))
    taken = MACHINE[Op.LOOKUP](instr, index.value, *(lane.error for lane in table))
    covering = taken
    for lane in table:
        covering = np.maximum(covering, gap(lane.value, value) + lane.error)
    return Bounded(value, np.where(index.error > 0, covering, taken))


def _cast(instr: Instr, x: Bounded) -> Bounded:
    value = MACHINE[Op.CAST](instr, x.value)
    if instr.dtype == "bool":
        return Bounded(value, zero_unless((x.error > 0) & (x.error >= size(x)), 1.0))
    if is_float(instr):
        return settle(value, x.error + rounding(instr, value, wide(value) == wide(x.value), x.error), x)
    return Bounded(value, zero_unless(x.error > 0, x.error + 1))


_MONOTONE = (
    Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG10, Op.LOG1P, Op.ERFINV, Op.ARCTAN, Op.SINH, Op.TANH, Op.FLOOR, Op.CEIL, Op.ROUND,
)  # fmt: skip

BOUNDED: Arithmetic[Any] = {
    Op.CONST: lambda instr: bounded(MACHINE[Op.CONST](instr)),
    Op.CAST: _cast,
    Op.STOP: lambda instr, x: x,
    Op.SELECT: _select,
    Op.LOOKUP: _lookup,
    Op.ADD: _sum,
    Op.SUB: _sum,
    Op.MUL: _mul,
    Op.DIV: _div,
    Op.POW: functions.power,
    Op.NEG: _neg_abs,
    Op.ABS: _neg_abs,
    Op.SIGN: _sign,
    Op.MIN: _min_max,
    Op.MAX: _min_max,
    Op.SQRT: functions.monotone(low=0.0),
    Op.RSQRT: functions.monotone(low=0.0),
    Op.ARCSIN: functions.monotone(-1.0, 1.0),
    Op.ARCCOS: functions.monotone(-1.0, 1.0),
    Op.COSH: functions.monotone(even=True),
    Op.EXP: functions.exponential,
    Op.SIGMOID: functions.exponential,
    Op.ERF: functions.lipschitz(1.13, 2.0),
    Op.SIN: functions.lipschitz(1.0, 2.0),
    Op.COS: functions.lipschitz(1.0, 2.0),
    Op.TAN: functions.tan,
    Op.LOGADDEXP: functions.logaddexp,
    Op.ARCTAN2: functions.arctan2,
    Op.NOT: _not,
    Op.AND: _logic(decisive=False),
    Op.OR: _logic(decisive=True),
    Op.XOR: _xor,
    **dict.fromkeys(COMPARISONS, _comparison),
    **dict.fromkeys((Op.FLOORDIV, Op.REM, Op.SHL, Op.SHR), fragile),
    **dict.fromkeys(_MONOTONE, functions.monotone()),
}
"""The arithmetic of running error bounds, on arrays of any shapes that broadcast."""
