"""The table of derivatives: for each operation of the IR one rule an argument.

Ties of min and max go to the right operand, as in MLX.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from monoscan.lowering.builder import Builder
from monoscan.lowering.ir import Op


@attrs.frozen
class Term:
    """A value under construction, with Python's arithmetic."""

    builder: Builder
    number: int

    @property
    def dtype(self) -> str:
        return self.builder.dtypes[self.number]

    def const(self, value: float | complex) -> Term:
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

    def where(self, if_true: Term, if_false: Term) -> Term:
        """This condition's choice."""
        return Term(
            self.builder, self.builder.emit(Op.SELECT, (self.number, if_true.number, if_false.number), if_true.dtype)
        )

    def cast(self, dtype: str) -> Term:
        """This term in another dtype."""
        return self.apply(Op.CAST, dtype=dtype)


Rule = Callable[..., "Term | None"]
"""``rule(g, out, *args)``: the cotangent of one argument, or ``None`` where it is zero."""


def _mul(g: Term, out: Term, x: Term, y: Term) -> Term:
    return g * y


def _greater(g: Term, out: Term, x: Term, y: Term, op: Op, left: bool) -> Term:
    wins = x.apply(op, y, dtype="bool")
    return wins.where(g, g.const(0)) if left else wins.where(g.const(0), g)


def _pow_base(g: Term, out: Term, x: Term, y: Term) -> Term:
    """0 where the exponent is, even at a base of 0."""
    zero = y.apply(Op.EQ, 0.0, dtype="bool")
    return g * y * x.apply(Op.POW, zero.where(y.const(1), y - 1.0))


def _pow_exponent(g: Term, out: Term, x: Term, y: Term) -> Term:
    """0 where a real base is not positive: there the logarithm does not exist."""
    if x.dtype == "complex64":
        return g * out * x.apply(Op.LOG)
    positive = x.apply(Op.GT, 0.0, dtype="bool")
    return positive.where(g * out * positive.where(x, x.const(1)).apply(Op.LOG), g.const(0))


def _share(g: Term, out: Term, x: Term, y: Term) -> Term:
    """The weight of x in log(e^x + e^y); a half where they tie, as -inf and -inf do."""
    tie = x.apply(Op.EQ, y, dtype="bool")
    return g * tie.where(x.const(0), x - y).apply(Op.SIGMOID)


def _abs(g: Term, out: Term, x: Term) -> Term:
    return g * x.apply(Op.SIGN) if x.dtype != "complex64" else g.cast("complex64") * phase(x, out)


def phase(x: Term, size: Term) -> Term:
    """The unit x / |x|, and 0 at 0."""
    zero = size.apply(Op.EQ, 0.0, dtype="bool")
    return x / zero.where(size.const(1), size).cast("complex64")


def _arctan2(g: Term, out: Term, y: Term, x: Term) -> Term:
    return g * x / (x * x + y * y)


def _erf(g: Term, out: Term, x: Term) -> Term:
    return g * (2 / math.sqrt(math.pi)) * (-(x * x)).apply(Op.EXP)


def _erfinv(g: Term, out: Term, x: Term) -> Term:
    return g * (math.sqrt(math.pi) / 2) * (out * out).apply(Op.EXP)


def _arc(g: Term, out: Term, x: Term) -> Term:
    return g * (x.const(1) - x * x).apply(Op.RSQRT)


RULES: dict[Op, tuple[Rule, ...]] = {
    Op.ADD: (lambda g, out, x, y: g, lambda g, out, x, y: g),
    Op.SUB: (lambda g, out, x, y: g, lambda g, out, x, y: -g),
    Op.MUL: (_mul, lambda g, out, x, y: g * x),
    Op.DIV: (lambda g, out, x, y: g / y, lambda g, out, x, y: -(g * out / y)),
    Op.REM: (lambda g, out, x, y: g, lambda g, out, x, y: -(g * x.apply(Op.FLOORDIV, y))),
    Op.POW: (_pow_base, _pow_exponent),
    Op.NEG: (lambda g, out, x: -g,),
    Op.ABS: (_abs,),
    Op.MIN: tuple(lambda g, out, x, y, left=left: _greater(g, out, x, y, Op.LT, left) for left in (True, False)),
    Op.MAX: tuple(lambda g, out, x, y, left=left: _greater(g, out, x, y, Op.GT, left) for left in (True, False)),
    Op.SQRT: (lambda g, out, x: g * 0.5 / out,),
    Op.RSQRT: (lambda g, out, x: g * -0.5 * out / x,),
    Op.EXP: (lambda g, out, x: g * out,),
    Op.EXPM1: (lambda g, out, x: g * (out + 1.0),),
    Op.LOG: (lambda g, out, x: g / x,),
    Op.LOG2: (lambda g, out, x: g / (x * math.log(2)),),
    Op.LOG10: (lambda g, out, x: g / (x * math.log(10)),),
    Op.LOG1P: (lambda g, out, x: g / (x + 1.0),),
    Op.LOGADDEXP: (_share, lambda g, out, x, y: _share(g, out, y, x)),
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
    Op.CONJ: (lambda g, out, x: g.apply(Op.CONJ),),
    Op.REAL: (lambda g, out, x: g.cast("complex64"),),
    Op.IMAG: (lambda g, out, x: g.cast("complex64") * 1j,),
}
"""The derivative of each operation by each argument. What is missing is piecewise constant."""

OWN_CONJUGATE = frozenset({Op.ABS, Op.CONJ, Op.REAL, Op.IMAG})
"""Operations on the parts of a complex number: their rules conjugate by themselves."""
