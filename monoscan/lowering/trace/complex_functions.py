"""Functions of complex numbers, as operations on their parts.

What the constant 0 as an imaginary part makes idle is left out. Finite values are meant: C's rules
for signed zeros hold at branch cuts, and none is kept for infinities and NaN.

Source: Smith, *Complex division* (CACM 1962); Kahan, *Branch Cuts for Complex Elementary
Functions* (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from monoscan.lowering.program.array_builder import ArrayBuilder
from monoscan.lowering.program.builder import Builder, Ids
from monoscan.lowering.program.ir import Op

LARGEST_POWER = 16
"""Constant exponents up to here are products, which are exact where logarithms are not."""


@attrs.frozen(eq=False)
class Lanes:
    """An array of real values under construction, with Python's arithmetic."""

    builder: Builder | ArrayBuilder
    ids: Ids

    @property
    def dtype(self) -> str:
        return self.builder.dtype_of(int(self.ids.flat[0]))

    @property
    def known(self) -> Any:
        """The constant that all of them are, else ``None``."""
        first = int(self.ids.flat[0])
        return self.builder.value_of(first) if (self.ids == first).all() else None

    def const(self, value: float) -> Lanes:
        """A constant of this dtype."""
        return Lanes(self.builder, np.array(self.builder.const(value, self.dtype)))

    def apply(self, op: Op, *others: Lanes | float, dtype: str | None = None) -> Lanes:
        """An operation on these values and others."""
        operands = [other if isinstance(other, Lanes) else self.const(other) for other in others]
        arrays = [self.ids, *(operand.ids for operand in operands)]
        return Lanes(self.builder, self.builder.elementwise(op, arrays, dtype or self.dtype))

    def where(self, if_true: Lanes, if_false: Lanes) -> Lanes:
        """The choice of these conditions."""
        return self.apply(Op.SELECT, if_true, if_false, dtype=if_true.dtype)

    def __add__(self, other: Lanes | float) -> Lanes:
        return self.apply(Op.ADD, other)

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self.apply(Op.SUB, other)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self.apply(Op.MUL, other)

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self.apply(Op.DIV, other)

    def __neg__(self) -> Lanes:
        return self.apply(Op.NEG)


@attrs.frozen(eq=False)
class Pair:
    """An array of complex numbers under construction."""

    re: Lanes
    im: Lanes

    @property
    def real(self) -> bool:
        """Whether they are known to be real."""
        return bool(self.im.known == 0)

    def const(self, value: complex) -> Pair:
        """A constant beside these numbers."""
        return Pair(self.re.const(value.real), self.re.const(value.imag))

    def each(self, op: Op) -> Pair:
        """An operation on both parts."""
        return Pair(self.re.apply(op), self.im.apply(op))

    def scaled(self, factor: Lanes | float) -> Pair:
        """A real multiple."""
        return Pair(self.re * factor, self.im if self.real else self.im * factor)

    def conjugate(self) -> Pair:
        return Pair(self.re, self.im if self.real else -self.im)

    def turned(self) -> Pair:
        """I times these numbers."""
        return Pair(-self.im, self.re)

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.re + other.re, other.im if self.real else self.im if other.real else self.im + other.im)

    def __neg__(self) -> Pair:
        return Pair(-self.re, self.im if self.real else -self.im)

    def __sub__(self, other: Pair) -> Pair:
        return Pair(self.re - other.re, self.im if other.real else -other.im if self.real else self.im - other.im)

    def __mul__(self, other: Pair) -> Pair:
        if self.real or other.real:
            return other.scaled(self.re) if self.real else self.scaled(other.re)
        return Pair(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def __truediv__(self, other: Pair) -> Pair:
        """By the ratio of the divisor's parts, so that no square over- or underflows."""
        if other.real:
            return Pair(self.re / other.re, self.im if self.real else self.im / other.re)
        swap = _below(_abs(other.re), _abs(other.im))
        great, small = swap.where(other.im, other.re), swap.where(other.re, other.im)
        ratio = small / great
        size = great + small * ratio
        x, y = swap.where(self.im, self.re), swap.where(self.re, self.im)
        rest = y - x * ratio
        return Pair((x + y * ratio) / size, swap.where(-rest, rest) / size)


def _abs(x: Lanes) -> Lanes:
    return x.apply(Op.ABS)


def _below(x: Lanes, y: Lanes | float) -> Lanes:
    return x.apply(Op.LT, y, dtype="bool")


def _is(x: Lanes, y: Lanes | float) -> Lanes:
    return x.apply(Op.EQ, y, dtype="bool")


def _both(x: Lanes, y: Lanes) -> Lanes:
    return x.apply(Op.AND, y)


def _either(x: Lanes, y: Lanes) -> Lanes:
    return x.apply(Op.OR, y)


def _where(condition: Lanes, x: Pair, y: Pair) -> Pair:
    return Pair(condition.where(x.re, y.re), condition.where(x.im, y.im))


def _same(x: Pair, y: Pair) -> Lanes:
    return _both(_is(x.re, y.re), _is(x.im, y.im))


def nonzero(x: Pair) -> Lanes:
    """Whether a number is not 0."""
    return _same(x, x.const(0)).apply(Op.NOT)


def _scales(x: Pair) -> tuple[Lanes, Lanes, Lanes]:
    """The greater part's size, the smaller one's, and their ratio, 0 at 0."""
    a, b = _abs(x.re), _abs(x.im)
    swap = _below(a, b)
    great, small = swap.where(b, a), swap.where(a, b)
    return great, small, small / _is(great, 0.0).where(great.const(1), great)


def _size(x: Pair) -> Lanes:
    """|x|."""
    if x.real:
        return _abs(x.re)
    great, _, ratio = _scales(x)
    return great * (ratio * ratio + 1.0).apply(Op.SQRT)


def _sign(x: Pair) -> Pair:
    size = _size(x)
    return x.scaled(size.const(1) / _is(size, 0.0).where(size.const(1), size))


def _exp(x: Pair) -> Pair:
    return Pair(x.im.apply(Op.COS), x.im.apply(Op.SIN)).scaled(x.re.apply(Op.EXP))


def _log(x: Pair) -> Pair:
    """Where the size is near 1 it has no logarithm to add to that of what is left."""
    great, small, ratio = _scales(x)
    near = _both(_below(great.const(0.5), great), _below(great, 1.25))
    rest = near.where((great - 1.0) * (great + 1.0) + small * small, ratio * ratio)
    whole = near.where(great.const(0), great.apply(Op.LOG))
    return Pair(whole + rest.apply(Op.LOG1P) * 0.5, x.im.apply(Op.ARCTAN2, x.re))


def _log1p(x: Pair) -> Pair:
    """Near 0 the real part is that of 1 + (2 + a) a + b^2."""
    a, b = x.re, x.im
    whole = _log(x + x.const(1))
    small = _both(_below(_abs(a), 0.5), _below(_abs(b), 0.5))
    near = (a * (a + 2.0) + b * b).apply(Op.LOG1P) * 0.5
    return Pair(small.where(near, whole.re), whole.im)


def _logaddexp(x: Pair, y: Pair) -> Pair:
    less = _below(x.re, y.re)
    top, low = _where(less, y, x), _where(less, x, y)
    return top + _log1p(_exp(low - top))


def _sqrt(x: Pair) -> Pair:
    """With the sign of a zero on the negative axis: 1 / -0 is -inf."""
    root = (_abs(x.re) * 0.5 + _size(x) * 0.5).apply(Op.SQRT)
    other = _abs(x.im) * 0.5 / _is(root, 0.0).where(root.const(1), root)
    left = _below(x.re, 0.0)
    great, small = left.where(other, root), left.where(root, other)
    lower = _either(_below(x.im, 0.0), _both(_is(x.im, 0.0), _below(x.im.const(1) / x.im, 0.0)))
    return Pair(great, lower.where(-small, small))


def _power(x: Pair, y: Pair) -> Pair:
    if y.real and y.re.known is not None and y.re.known == round(y.re.known) and abs(y.re.known) <= LARGEST_POWER:
        return _whole_power(x, int(y.re.known))
    at_zero = _where(_same(y, y.const(0)), x.const(1), x.const(0))
    return _where(_same(x, x.const(0)), at_zero, _exp(y * _log(x)))


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
    size = _abs(x)
    grown = (size + size * size / ((size * size + 1.0).apply(Op.SQRT) + 1.0)).apply(Op.LOG1P)
    return _below(x, 0.0).where(-grown, grown)


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
    Op.EQ: _same,
    Op.EXP: _exp,
    Op.LOG: _log,
    Op.LOG10: lambda x: _log(x).scaled(1 / math.log(10)),
    Op.LOG1P: _log1p,
    Op.LOG2: lambda x: _log(x).scaled(1 / math.log(2)),
    Op.LOGADDEXP: _logaddexp,
    Op.LOOKUP: _lookup,
    Op.MUL: Pair.__mul__,
    Op.NE: lambda x, y: _same(x, y).apply(Op.NOT),
    Op.NEG: Pair.__neg__,
    Op.POW: _power,
    Op.ROUND: lambda x: x.each(Op.ROUND),
    Op.RSQRT: lambda x: x.const(1) / _sqrt(x),
    Op.SELECT: _where,
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
