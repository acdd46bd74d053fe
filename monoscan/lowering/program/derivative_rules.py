"""The tables of derivatives: for each operation of the IR one rule an argument, and which arguments have a share at all.

Ties of min and max go to the right operand, as in MLX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from monoscan.lowering.program.builder import Builder
from monoscan.lowering.program.ir import Op


@attrs.frozen
class Term:
    """A value under construction, with Python's arithmetic."""

    builder: Builder
    number: int

    @property
    def dtype(self) -> str:
        return self.builder.dtypes[self.number]

    def const(self, value: float) -> Term:
        """A constant of this term's dtype."""
        return Term(self.builder, self.builder.const(value, self.dtype))

    def apply(self, op: Op, *others: Term | float, dtype: str | None = None) -> Term:
        """An operation on this term and others."""
        terms = [other if isinstance(other, Term) else self.const(other) for other in others]
        numbers = (self.number, *(term.number for term in terms))
        return Term(self.builder, self.builder.emit(op, numbers, dtype or self.dtype))

    def __add__(self, other: Term | float) -> Term:
        return self.apply(Op.ADD, other)

    def __sub__(self, other: Term | float) -> Term:
        return self.apply(Op.SUB, other)

    def __mul__(self, other: Term | float) -> Term:
        return self.apply(Op.MUL, other)

    def __truediv__(self, other: Term | float) -> Term:
        return self.apply(Op.DIV, other)

    def __neg__(self) -> Term:
        return self.apply(Op.NEG)

    @property
    def known(self) -> Any:
        """The value of a constant, else ``None``."""
        return self.builder.value_of(self.number)

    def where(self, if_true: Term, if_false: Term) -> Term:
        """This condition's choice."""
        return Term(
            self.builder, self.builder.emit(Op.SELECT, (self.number, if_true.number, if_false.number), if_true.dtype)
        )

    def cast(self, dtype: str) -> Term:
        """This term in another dtype."""
        return self.apply(Op.CAST, dtype=dtype)


_FAR = 1000.0
"""A distance at which the smaller of two terms has a weight of 0, in float64 too: beyond it, and at infinity, weights are constant."""

Rule = Callable[..., "Term | None"]
"""``rule(g, out, *args)``: the cotangent of one argument, or ``None`` where it is zero."""


def _mul(g: Term, out: Term, x: Term, y: Term) -> Term:
    return g * y


def _passed(g: Term, out: Term, *args: Term) -> Term:
    return g


def _pow_base(g: Term, out: Term, x: Term, y: Term) -> Term:
    return g * y * x.apply(Op.POW, y - 1.0)


def _pow_exponent(g: Term, out: Term, x: Term, y: Term) -> Term:
    return g * out * x.apply(Op.LOG)


def _weight(x: Term, y: Term) -> Term:
    """The weight of x in log(e^x + e^y); a half where both are the same infinity. Finite ties have derivatives too."""
    apart = x - y
    endless = x.apply(Op.EQ, y, dtype="bool").apply(Op.AND, apart.apply(Op.NE, 0, dtype="bool"), dtype="bool")
    return endless.where(x.const(0), apart).apply(Op.MAX, -_FAR).apply(Op.MIN, _FAR).apply(Op.SIGMOID)


def _abs(g: Term, out: Term, x: Term) -> Term:
    return g * x.apply(Op.SIGN)


def _arctan2(g: Term, out: Term, y: Term, x: Term) -> Term:
    return g * x / (x * x + y * y)


def _erf(g: Term, out: Term, x: Term) -> Term:
    return g * (2 / math.sqrt(math.pi)) * (-(x * x)).apply(Op.EXP)


def _erfinv(g: Term, out: Term, x: Term) -> Term:
    return g * (math.sqrt(math.pi) / 2) * (out * out).apply(Op.EXP)


def _arc(g: Term, out: Term, x: Term) -> Term:
    return g * (x.const(1) - x * x).apply(Op.RSQRT)


RULES: dict[Op, tuple[Rule, ...]] = {
    Op.ADD: (_passed, _passed),
    Op.SUB: (_passed, lambda g, out, x, y: -g),
    Op.MUL: (_mul, lambda g, out, x, y: g * x),
    Op.DIV: (lambda g, out, x, y: g / y, lambda g, out, x, y: -(g * out / y)),
    Op.REM: (_passed, lambda g, out, x, y: -(g * x.apply(Op.FLOORDIV, y))),
    Op.POW: (_pow_base, _pow_exponent),
    Op.NEG: (lambda g, out, x: -g,),
    Op.ABS: (_abs,),
    Op.MIN: (_passed, _passed),
    Op.MAX: (_passed, _passed),
    Op.SELECT: (lambda g, out, *args: None, _passed, _passed),
    Op.SQRT: (lambda g, out, x: g * 0.5 / out,),
    Op.RSQRT: (lambda g, out, x: g * -0.5 * out / x,),
    Op.EXP: (lambda g, out, x: g * out,),
    Op.EXPM1: (lambda g, out, x: g * (out + 1.0),),
    Op.LOG: (lambda g, out, x: g / x,),
    Op.LOG2: (lambda g, out, x: g / (x * math.log(2)),),
    Op.LOG10: (lambda g, out, x: g / (x * math.log(10)),),
    Op.LOG1P: (lambda g, out, x: g / (x + 1.0),),
    Op.LOGADDEXP: (lambda g, out, x, y: g * _weight(x, y), lambda g, out, x, y: g * _weight(y, x)),
    Op.SIGMOID: (lambda g, out, x: g * (out * (out.const(1) - out)),),
    Op.ERF: (_erf,),
    Op.ERFINV: (_erfinv,),
    Op.SIN: (lambda g, out, x: g * x.apply(Op.COS),),
    Op.COS: (lambda g, out, x: -(g * x.apply(Op.SIN)),),
    Op.TAN: (lambda g, out, x: g * (out * out + 1.0),),
    Op.ARCSIN: (_arc,),
    Op.ARCCOS: (lambda g, out, x: -_arc(g, out, x),),
    Op.ARCTAN: (lambda g, out, x: g / (x * x + 1.0),),
    Op.ARCTAN2: (_arctan2, lambda g, out, y, x: -_arctan2(g, out, x, y)),
    Op.SINH: (lambda g, out, x: g * x.apply(Op.COSH),),
    Op.COSH: (lambda g, out, x: g * x.apply(Op.SINH),),
    Op.TANH: (lambda g, out, x: g * (out.const(1) - out * out),),
}
"""The derivative of each operation by each argument. What is missing is piecewise constant, or in `derivative` itself."""

PASSING = frozenset({Op.ADD, Op.SUB, Op.NEG, Op.MIN, Op.MAX, Op.CAST, Op.SELECT, Op.LOOKUP})
"""Operations whose rules multiply by nothing that may be infinite: there zero stays zero."""

Route = Callable[..., "Term | None"]
"""``route(*args)``: where an argument has a share in the result, or ``None`` for everywhere."""


def _is(op: Op, x: Term, y: Term | float) -> Term:
    return x.apply(op, y, dtype="bool")


def _positive(x: Term, y: Term) -> Term:
    return _is(Op.GT, x, 0.0)


ROUTES: dict[Op, tuple[Route, ...]] = {
    Op.SELECT: (lambda c, x, y: None, lambda c, x, y: c, lambda c, x, y: c.apply(Op.NOT)),
    Op.MIN: (lambda x, y: _is(Op.LT, x, y), lambda x, y: _is(Op.LT, x, y).apply(Op.NOT)),
    Op.MAX: (lambda x, y: _is(Op.GT, x, y), lambda x, y: _is(Op.GT, x, y).apply(Op.NOT)),
    Op.POW: (lambda x, y: None, _positive),
}
"""Where each argument has a share in the result, and a derivative: an exponent has none where its base has no logarithm.
Elsewhere the derivative by it is an exact zero, and so is all that lies behind it."""

FACTORS: dict[Op, tuple[Route, ...]] = {
    Op.MUL: (lambda x, y: _is(Op.NE, y, 0.0), lambda x, y: _is(Op.NE, x, 0.0)),
    Op.ABS: (lambda x: _is(Op.NE, x, 0.0),),
    Op.LOGADDEXP: (lambda x, y: _is(Op.NE, _weight(x, y), 0.0), lambda x, y: _is(Op.NE, _weight(y, x), 0.0)),
    Op.POW: (lambda x, y: _is(Op.NE, y, 0.0), lambda x, y: None),
}
"""Where the factor that an operation multiplies a derivative by is other than zero: at zero an argument has no share
either, as the base in x**0 and -inf in a sum of exponentials."""

CHOICES = frozenset({*ROUTES, *FACTORS, Op.LOOKUP}) - {Op.MUL, Op.POW}
"""Operations behind which a derivative may be zero though its argument has one."""
