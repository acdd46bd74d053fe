"""Complex numbers under construction: pairs of real lanes, with Python's arithmetic and comparisons.

What the constant 0 as an imaginary part makes idle is left out.

Source: Smith, *Complex division* (CACM 1962).
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from monoscan.lowering.program.array_builder import ArrayBuilder
from monoscan.lowering.program.builder import Builder, Ids
from monoscan.lowering.program.ir import Op


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
        swap = below(absolute(other.re), absolute(other.im))
        great, small = swap.where(other.im, other.re), swap.where(other.re, other.im)
        ratio = small / great
        size = great + small * ratio
        x, y = swap.where(self.im, self.re), swap.where(self.re, self.im)
        rest = y - x * ratio
        return Pair((x + y * ratio) / size, swap.where(-rest, rest) / size)


def absolute(x: Lanes) -> Lanes:
    """Sizes."""
    return x.apply(Op.ABS)


def below(x: Lanes, y: Lanes | float) -> Lanes:
    """``x < y``."""
    return x.apply(Op.LT, y, dtype="bool")


def equal(x: Lanes, y: Lanes | float) -> Lanes:
    """``x == y``."""
    return x.apply(Op.EQ, y, dtype="bool")


def both(x: Lanes, y: Lanes) -> Lanes:
    """``x & y``, of truth values."""
    return x.apply(Op.AND, y)


def either(x: Lanes, y: Lanes) -> Lanes:
    """``x | y``, of truth values."""
    return x.apply(Op.OR, y)


def chosen(condition: Lanes, x: Pair, y: Pair) -> Pair:
    """``where(condition, x, y)``."""
    return Pair(condition.where(x.re, y.re), condition.where(x.im, y.im))


def same(x: Pair, y: Pair) -> Lanes:
    """``x == y``."""
    return both(equal(x.re, y.re), equal(x.im, y.im))


def nonzero(x: Pair) -> Lanes:
    """Whether a number is not 0."""
    return same(x, x.const(0)).apply(Op.NOT)
