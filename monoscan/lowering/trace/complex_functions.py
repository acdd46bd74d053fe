"""Functions of complex numbers, as operations on their parts.

Finite values are meant: C's rules for signed zeros hold at branch cuts, and none is kept for infinities and NaN.

Source: Kahan, *Branch Cuts for Complex Elementary Functions* (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from monoscan.lowering.program.ir import Op
from monoscan.lowering.trace.complex_numbers import Lanes, Pair, absolute, below, both, chosen, either, equal, same

LARGEST_POWER = 16
"""Constant exponents up to here are products, which are exact where logarithms are not."""


def _scales(x: Pair) -> tuple[Lanes, Lanes, Lanes]:
    """The greater part's size, the smaller one's, and their ratio, 0 at 0."""
    a, b = absolute(x.re), absolute(x.im)
    swap = below(a, b)
    great, small = swap.where(b, a), swap.where(a, b)
    return great, small, small / equal(great, 0.0).where(great.const(1), great)


def _size(x: Pair) -> Lanes:
    """|x|."""
    if x.real:
        return absolute(x.re)
    great, _, ratio = _scales(x)
    return great * (ratio * ratio + 1.0).apply(Op.SQRT)


def _sign(x: Pair) -> Pair:
    size = _size(x)
    return x.scaled(size.const(1) / equal(size, 0.0).where(size.const(1), size))


def _exp(x: Pair) -> Pair:
    return Pair(x.im.apply(Op.COS), x.im.apply(Op.SIN)).scaled(x.re.apply(Op.EXP))


def _log(x: Pair) -> Pair:
    """Where the size is near 1 it has no logarithm to add to that of what is left."""
    great, small, ratio = _scales(x)
    near = both(below(great.const(0.5), great), below(great, 1.25))
    rest = near.where((great - 1.0) * (great + 1.0) + small * small, ratio * ratio)
    whole = near.where(great.const(0), great.apply(Op.LOG))
    return Pair(whole + rest.apply(Op.LOG1P) * 0.5, x.im.apply(Op.ARCTAN2, x.re))


def _log1p(x: Pair) -> Pair:
    """Near 0 the real part is that of 1 + (2 + a) a + b^2."""
    a, b = x.re, x.im
    whole = _log(x + x.const(1))
    small = both(below(absolute(a), 0.5), below(absolute(b), 0.5))
    near = (a * (a + 2.0) + b * b).apply(Op.LOG1P) * 0.5
    return Pair(small.where(near, whole.re), whole.im)


def _logaddexp(x: Pair, y: Pair) -> Pair:
    less = below(x.re, y.re)
    top, low = chosen(less, y, x), chosen(less, x, y)
    return top + _log1p(_exp(low - top))


def _sqrt(x: Pair) -> Pair:
    """With the sign of a zero on the negative axis: 1 / -0 is -inf."""
    root = (absolute(x.re) * 0.5 + _size(x) * 0.5).apply(Op.SQRT)
    other = absolute(x.im) * 0.5 / equal(root, 0.0).where(root.const(1), root)
    left = below(x.re, 0.0)
    great, small = left.where(other, root), left.where(root, other)
    lower = either(below(x.im, 0.0), both(equal(x.im, 0.0), below(x.im.const(1) / x.im, 0.0)))
    return Pair(great, lower.where(-small, small))


def _power(x: Pair, y: Pair) -> Pair:
    if y.real and y.re.known is not None and y.re.known == round(y.re.known) and abs(y.re.known) <= LARGEST_POWER:
        return _whole_power(x, int(y.re.known))
    at_zero = chosen(same(y, y.const(0)), x.const(1), x.const(0))
    return chosen(same(x, x.const(0)), at_zero, _exp(y * _log(x)))


def _whole_power(x: Pair, exponent: int) -> Pair:
    if exponent <= 0:
        return x.const(1) if exponent == 0 else x.const(1) / _whole_power(x, -exponent)
    half = x if exponent < 2 else _whole_power(x, exponent // 2)
    return half if exponent == 1 else half * half * x if exponent % 2 else half * half


def _sin(x: Pair) -> Pair:
    cos, sin, cosh, sinh = _circle(x.re, x.im)
    return Pair(sin * cosh, cos * sinh)


def _cos(x: Pair) -> Pair:
    cos, sin, cosh, sinh = _circle(x.re, x.im)
    return Pair(cos * cosh, -(sin * sinh))


def _sinh(x: Pair) -> Pair:
    cos, sin, cosh, sinh = _circle(x.im, x.re)
    return Pair(sinh * cos, cosh * sin)


def _cosh(x: Pair) -> Pair:
    cos, sin, cosh, sinh = _circle(x.im, x.re)
    return Pair(cosh * cos, sinh * sin)


def _tanh(x: Pair) -> Pair:
    """Beyond 40 it is 1 to the last bit, and squares overflow."""
    cos, sin, cosh, sinh = _circle(x.im, x.re.apply(Op.MIN, 40.0).apply(Op.MAX, -40.0))
    size = sinh * sinh + cos * cos
    return Pair(sinh * cosh / size, sin * cos / size)


def _circle(angle: Lanes, hyperbolic: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    return angle.apply(Op.COS), angle.apply(Op.SIN), hyperbolic.apply(Op.COSH), hyperbolic.apply(Op.SINH)


def _roots(x: Pair) -> tuple[Pair, Pair]:
    """Of 1 - x and of 1 + x."""
    one = x.const(1)
    return _sqrt(Pair(one.re - x.re, -x.im)), _sqrt(one + x)


def _arcsin(x: Pair) -> Pair:
    minus, plus = _roots(x)
    return Pair(x.re.apply(Op.ARCTAN2, (minus * plus).re), _arcsinh((minus.conjugate() * plus).im))


def _arccos(x: Pair) -> Pair:
    minus, plus = _roots(x)
    return Pair(minus.re.apply(Op.ARCTAN2, plus.re) * 2.0, _arcsinh((plus.conjugate() * minus).im))


def _arcsinh(x: Lanes) -> Lanes:
    size = absolute(x)
    grown = (size + size * size / ((size * size + 1.0).apply(Op.SQRT) + 1.0)).apply(Op.LOG1P)
    return below(x, 0.0).where(-grown, grown)


def _arctan(x: Pair) -> Pair:
    a, b = x.re, x.im
    real = (a * 2.0).apply(Op.ARCTAN2, (b.const(1) - b) * (b + 1.0) - a * a) * 0.5
    below = (b - 1.0) * (b - 1.0) + a * a
    return Pair(real, (b * 4.0 / below).apply(Op.LOG1P) * 0.25)


def _lookup(index: Lanes, *table: Pair) -> Pair:
    parts = ([pair.re for pair in table], [pair.im for pair in table])
    return Pair(*(index.apply(Op.LOOKUP, *part, dtype="float32") for part in parts))


FUNCTIONS: dict[Op, Callable[..., Pair | Lanes]] = {
    Op.ABS: _size,
    Op.ADD: Pair.__add__,
    Op.ARCCOS: _arccos,
    Op.ARCSIN: _arcsin,
    Op.ARCTAN: _arctan,
    Op.COS: _cos,
    Op.COSH: _cosh,
    Op.DIV: Pair.__truediv__,
    Op.EQ: same,
    Op.EXP: _exp,
    Op.LOG: _log,
    Op.LOG10: lambda x: _log(x).scaled(1 / math.log(10)),
    Op.LOG1P: _log1p,
    Op.LOG2: lambda x: _log(x).scaled(1 / math.log(2)),
    Op.LOGADDEXP: _logaddexp,
    Op.LOOKUP: _lookup,
    Op.MUL: Pair.__mul__,
    Op.NE: lambda x, y: same(x, y).apply(Op.NOT),
    Op.NEG: Pair.__neg__,
    Op.POW: _power,
    Op.ROUND: lambda x: x.each(Op.ROUND),
    Op.RSQRT: lambda x: x.const(1) / _sqrt(x),
    Op.SELECT: chosen,
    Op.SIGN: _sign,
    Op.SIN: _sin,
    Op.SINH: _sinh,
    Op.SQRT: _sqrt,
    Op.STOP: lambda x: x.each(Op.STOP),
    Op.SUB: Pair.__sub__,
    Op.TAN: lambda x: -_tanh(x.turned()).turned(),
    Op.TANH: _tanh,
}
"""What operations are on pairs. Those that order numbers are missing: complex ones have no order."""
