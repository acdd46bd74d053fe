"""Arithmetic at 60 digits, for programs with exponentials, logarithms and their kin.

Computed with guard digits, so that 60 survive a cancellation of 40 of them.
"""

from __future__ import annotations

import decimal
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from monoscan import dtypes
from monoscan.lowering.program.interpret import Arithmetic
from monoscan.lowering.program.ir import Instr, Op
from monoscan.testing.arithmetic.exact import UNDEFINED, OffDomain, guarded, is_infinite, table

DIGITS = 60
TOLERANCE = Decimal("1e-50")
"""How far two sides may differ, relative to the largest lane that took part."""

_GUARD = 40
_LARGEST_ANGLE = 10**6
_LARGEST_ERF = Decimal("0.9999")
_CONTEXT = decimal.Context(
    prec=DIGITS + _GUARD,
    Emin=decimal.MIN_EMIN,
    Emax=decimal.MAX_EMAX,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_ONE, _TWO = Decimal(1), Decimal(2)


@contextmanager
def precision(more: int = 0) -> Iterator[None]:
    """Runs a block at 60 digits, the guard digits, and ``more``."""
    with decimal.localcontext(_CONTEXT) as context:
        context.prec += more
        yield


def to_decimal(value: float) -> Any:
    """The decimal of a float, exactly; NaN is undefined."""
    return UNDEFINED if math.isnan(value) else Decimal(value)


def _exp(x: Decimal) -> Decimal:
    return x.exp()


def _expm1(x: Decimal) -> Decimal:
    if is_infinite(x) or x > 1:
        return x.exp() - 1
    if x and x.adjusted() < -DIGITS - _GUARD:
        return x
    with precision(max(0, -x.adjusted())):
        return x.exp() - 1


def _log(x: Decimal) -> Decimal:
    if x < 0:
        raise OffDomain("log of a negative number")
    return x.ln()


def _log1p(x: Decimal) -> Decimal:
    if not x or is_infinite(x):
        return _log(1 + x) if x else x
    if x.adjusted() < -DIGITS - _GUARD:
        return x
    with precision(max(0, -x.adjusted())):
        return _log(1 + x)


def _logaddexp(x: Decimal, y: Decimal) -> Decimal:
    low, high = min(x, y), max(x, y)
    return high if is_infinite(low) or is_infinite(high) else high + _log1p((low - high).exp())


def _sqrt(x: Decimal) -> Decimal:
    if x < 0:
        raise OffDomain("sqrt of a negative number")
    return x.sqrt()


def _rsqrt(x: Decimal) -> Decimal:
    return 1 / _sqrt(x)


def _sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp()) if x > 0 else x.exp() / (1 + x.exp())


def _tanh(x: Decimal) -> Decimal:
    if is_infinite(x):
        return _ONE.copy_sign(x)
    grown = _expm1(-2 * abs(x))
    return (-grown / (grown + 2)).copy_sign(x)


def _sinh(x: Decimal) -> Decimal:
    if is_infinite(x):
        return x
    grown = _expm1(abs(x))
    return ((grown + grown / (grown + 1)) / 2).copy_sign(x)


def _cosh(x: Decimal) -> Decimal:
    return (x.exp() + (-x).exp()) / 2


def _series(term: Decimal, ratio: Callable[[int], Decimal]) -> Decimal:
    total, k = Decimal(0), 0
    while term and (not total or term.adjusted() >= total.adjusted() - DIGITS - 2 * _GUARD):
        total += term
        term, k = term * ratio(k), k + 1
    return +total


def _arctan(x: Decimal) -> Decimal:
    if is_infinite(x) or abs(x) > 1:
        inner = Decimal(0) if is_infinite(x) else _arctan(1 / x)
        return (pi() / 2).copy_sign(x) - inner
    halvings = 0
    while abs(x) > Decimal("0.05"):
        x, halvings = x / (1 + (1 + x * x).sqrt()), halvings + 1
    square = -x * x
    return _series(x, lambda k: square * (2 * k + 1) / (2 * k + 3)) * Decimal(2) ** halvings


def pi() -> Decimal:
    """The ratio of a circle's circumference to its diameter, by Machin's formula."""
    return 16 * _arctan(_ONE / 5) - 4 * _arctan(_ONE / 239)


def _angle(x: Decimal) -> Decimal:
    if abs(x) > _LARGEST_ANGLE:
        raise OffDomain("the sine of a number that large")
    turn = 2 * pi()
    return x - turn * (x / turn).to_integral_value()


def _sin(x: Decimal) -> Decimal:
    x = _angle(x)
    square = -x * x
    return _series(x, lambda k: square / ((2 * k + 2) * (2 * k + 3)))


def _cos(x: Decimal) -> Decimal:
    x = _angle(x)
    square = -x * x
    return _series(_ONE, lambda k: square / ((2 * k + 1) * (2 * k + 2)))


def _arcsin(x: Decimal) -> Decimal:
    if abs(x) > 1:
        raise OffDomain("arcsin outside [-1, 1]")
    return (pi() / 2).copy_sign(x) if abs(x) == 1 else _arctan(x / (1 - x * x).sqrt())


def _arctan2(y: Decimal, x: Decimal) -> Decimal:
    if is_infinite(x) or is_infinite(y) or (x == 0 and y == 0):
        raise OffDomain("arctan2 at the origin or at infinity")
    if x == 0:
        return (pi() / 2).copy_sign(y)
    return _arctan(y / x) + (0 if x > 0 else pi() if y >= 0 else -pi())


def _erf(x: Decimal) -> Decimal:
    if abs(x) > 16:
        return _ONE.copy_sign(x)
    square = x * x
    with precision(2 * int(square)):
        total = _series(x, lambda k: -square * (2 * k + 1) / ((k + 1) * (2 * k + 3)))
        return 2 * total / pi().sqrt()


def _erfinv(x: Decimal) -> Decimal:
    if abs(x) == 1:
        return Decimal("inf").copy_sign(x)
    if abs(x) > _LARGEST_ERF:
        raise OffDomain("erfinv outside [-1, 1], or too close to its ends")
    root = Decimal(statistics.NormalDist().inv_cdf((float(x) + 1) / 2)) / _TWO.sqrt()
    for _ in range(4):  # Newton doubles the 12 digits that a float gives at the worst
        root -= (_erf(root) - x) * (root * root).exp() * pi().sqrt() / 2
    return root


def _pow(x: Decimal, y: Decimal) -> Decimal:
    if is_infinite(x) or is_infinite(y) or (x == 0 and y <= 0) or (x < 0 and y != y.to_integral_value()):
        raise OffDomain("power outside its domain")
    return x**y


def _lift(function: Callable[..., Decimal]) -> Callable[..., Any]:
    def operation(instr: Instr, *args: Any) -> Any:
        try:
            return function(*args)
        except (decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow) as error:
            raise OffDomain(str(error)) from error

    return guarded(operation)


def _pow_of(instr: Instr, x: Any, y: Any) -> Any:
    return _EXACT[Op.POW](instr, x, y) if instr.dtype not in dtypes.FLOATS else _lift(_pow)(instr, x, y)


_EXACT = table(to_decimal)
_FUNCTIONS: dict[Op, Callable[..., Decimal]] = {
    Op.SQRT: _sqrt,
    Op.RSQRT: _rsqrt,
    Op.EXP: _exp,
    Op.EXPM1: _expm1,
    Op.LOG: _log,
    Op.LOG2: lambda x: _log(x) / _TWO.ln(),
    Op.LOG10: lambda x: _log(x) / Decimal(10).ln(),
    Op.LOG1P: _log1p,
    Op.LOGADDEXP: _logaddexp,
    Op.SIGMOID: _sigmoid,
    Op.ERF: _erf,
    Op.ERFINV: _erfinv,
    Op.SIN: _sin,
    Op.COS: _cos,
    Op.TAN: lambda x: _sin(x) / _cos(x),
    Op.ARCSIN: _arcsin,
    Op.ARCCOS: lambda x: pi() / 2 - _arcsin(x),
    Op.ARCTAN: _arctan,
    Op.ARCTAN2: _arctan2,
    Op.SINH: _sinh,
    Op.COSH: _cosh,
    Op.TANH: _tanh,
}

DECIMAL: Arithmetic[Any] = {**_EXACT, Op.POW: _pow_of, **{op: _lift(f) for op, f in _FUNCTIONS.items()}}
"""The arithmetic of 60 digits; run it inside `precision`."""
