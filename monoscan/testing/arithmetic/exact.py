"""Exact arithmetic for programs: extended rationals, wrapping integers, bool.

Floats become `Fraction`, or ``float`` for the two infinities. What has no value on the
extended reals (inf - inf, 0 * inf, anything / 0) becomes `UNDEFINED` and spreads like NaN;
it matters only where a result reads it, so a guarded division is no error. There is one
zero, and no NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from monoscan import dtypes
from monoscan.lowering.program.interpret import Arithmetic
from monoscan.lowering.program.ir import TRANSCENDENTAL, Instr, Op, Program


class OffDomain(ArithmeticError):
    """A value that the operator is not defined on; laws skip the example."""


class TooLong(ArithmeticError):
    """A number with more digits than are computed with; laws leave the example out, and say so."""


class NotRational(ArithmeticError):
    """The operation leaves the rationals; `monoscan.testing.arithmetic.high_precision` can do it."""


class _Undefined:
    """The value of what has no value."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED: Any = _Undefined()

MAX_BITS = 8192
"""The most bits of a numerator or a denominator: four times what the library's own operators need of float32."""

_IRRATIONAL = (TRANSCENDENTAL | {Op.SQRT, Op.RSQRT}) - {Op.POW}


def is_rational(program: Program) -> bool:
    """Whether every operation maps rationals to rationals."""
    return all(
        instr.op not in _IRRATIONAL and (instr.op is not Op.POW or _whole_exponent(program, instr))
        for instr in program.code
    )


def _whole_exponent(program: Program, instr: Instr) -> bool:
    if instr.dtype not in dtypes.FLOATS:
        return True
    place = instr.args[1] - program.num_lanes
    exponent = program.code[place] if place >= 0 else None
    return exponent is not None and exponent.op is Op.CONST and float(exponent.param).is_integer()


def rational(value: float) -> Any:
    """The extended rational of a float."""
    if math.isnan(value):
        return UNDEFINED
    return value if math.isinf(value) else Fraction(value)


def bits(dtype: str) -> int:
    """The width of an integer dtype."""
    return int(dtype.lstrip("uint"))


def wrap(value: int, dtype: str) -> int | bool:
    """An integer brought into the range of its dtype, modulo 2 ** width."""
    if dtype == "bool":
        return bool(value)
    width = bits(dtype)
    value &= (1 << width) - 1
    return value - (1 << width) if dtype in dtypes.SIGNED and value >> (width - 1) else value


def is_infinite(value: Any) -> bool:
    """Whether a number of any kind is +inf or -inf."""
    kind = type(value)
    return (kind is float and math.isinf(value)) or (kind is Decimal and value.is_infinite())


def lift(value: Any, dtype: str, number: Callable[[float], Any] = rational) -> Any:
    """The exact value of a machine value."""
    if dtype in dtypes.FLOATS:
        return number(float(value))
    return bool(value) if dtype == "bool" else wrap(int(value), dtype)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an operation spread `UNDEFINED`, return it where it raises `OffDomain`, and keep numbers short."""

    def operation(instr: Instr, *args: Any) -> Any:
        if any(arg is UNDEFINED for arg in args):
            return UNDEFINED
        try:
            return _short(function(instr, *args))
        except OffDomain:
            return UNDEFINED

    return operation


def _short(value: Any) -> Any:
    if type(value) is Fraction and _length(value) > MAX_BITS:
        raise TooLong(f"a number of more than {MAX_BITS} bits")
    return value


def _length(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _is_float(instr: Instr) -> bool:
    return instr.dtype in dtypes.FLOATS


def _add(instr: Instr, x: Any, y: Any) -> Any:
    if not _is_float(instr):
        return wrap(x + y, instr.dtype)
    if is_infinite(x):
        if is_infinite(y) and x != y:
            raise OffDomain("inf - inf")
        return x
    return y if is_infinite(y) else x + y


def _sub(instr: Instr, x: Any, y: Any) -> Any:
    return _add(instr, x, -y)


def _mul(instr: Instr, x: Any, y: Any) -> Any:
    if not _is_float(instr):
        return wrap(x * y, instr.dtype)
    if is_infinite(y):
        x, y = y, x
    if not is_infinite(x):
        return x * y
    if y == 0:
        raise OffDomain("0 * inf")
    return x if y > 0 else -x


def _div(instr: Instr, x: Any, y: Any) -> Any:
    if y == 0 or (is_infinite(x) and is_infinite(y)):
        raise OffDomain("x / 0 or inf / inf")
    if is_infinite(x):
        return x if y > 0 else -x
    return x * 0 if is_infinite(y) else x / y


def _floordiv(instr: Instr, x: Any, y: Any) -> Any:
    if y == 0 or is_infinite(x) or is_infinite(y):
        raise OffDomain("floor of x / 0, or of inf")
    return x * 0 + math.floor(x / y) if _is_float(instr) else wrap(x // y, instr.dtype)


def _rem(instr: Instr, x: Any, y: Any) -> Any:
    if y == 0 or is_infinite(x) or is_infinite(y):
        raise OffDomain("remainder by 0 or of inf")
    return x - y * math.floor(x / y) if _is_float(instr) else wrap(x % y, instr.dtype)


def _pow(instr: Instr, x: Any, y: Any) -> Any:
    if is_infinite(x) or is_infinite(y) or (x == 0 and y < 0) or (y < 0 and not _is_float(instr)):
        raise OffDomain("power of inf, or of 0 to a negative exponent")
    if not _is_float(instr):
        return wrap(pow(x, y, 1 << 64), instr.dtype)
    if y != int(y):
        raise NotRational("power")
    if type(x) is Fraction and (_length(x) - 1) * abs(y) > MAX_BITS:  # before it takes minutes to compute
        raise TooLong(f"a power of more than {MAX_BITS} bits")
    return x ** int(y)


def _sign(instr: Instr, x: Any) -> Any:
    return (x > 0) - (x < 0) + (0 if is_infinite(x) else x * 0)


def _sqrt(instr: Instr, x: Any) -> Any:
    if x < 0:
        raise OffDomain("sqrt of a negative number")
    if is_infinite(x):
        return x
    root = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
    if root * root != x:
        raise NotRational("sqrt")
    return root


def _rsqrt(instr: Instr, x: Any) -> Any:
    return _div(instr, Fraction(1), _sqrt(instr, x))


def _rounded(function: Callable[[Any], int]) -> Callable[..., Any]:
    return lambda instr, x: x if is_infinite(x) else x * 0 + function(x)


def _not(instr: Instr, x: Any) -> Any:
    return not x if instr.dtype == "bool" else wrap(~x, instr.dtype)


def _logic(function: Callable[[int, int], int]) -> Callable[..., Any]:
    return lambda instr, x, y: (
        function(bool(x), bool(y)) if instr.dtype == "bool" else wrap(function(x, y), instr.dtype)
    )


def _shift(function: Callable[[int, int], int]) -> Callable[..., Any]:
    def operation(instr: Instr, x: int, y: int) -> int | bool:
        if not 0 <= y < bits(instr.dtype):
            raise OffDomain("shift by the width or more")
        return wrap(function(x, y), instr.dtype)

    return operation


def _select(instr: Instr, condition: Any, x: Any, y: Any) -> Any:
    return UNDEFINED if condition is UNDEFINED else x if condition else y


def _lookup(instr: Instr, index: Any, *table: Any) -> Any:
    return table[index] if index is not UNDEFINED and 0 <= index < len(table) else UNDEFINED


def _irrational(instr: Instr, *args: Any) -> Any:
    raise NotRational(instr.op.value)


def _cast(number: Callable[[float], Any]) -> Callable[..., Any]:
    def operation(instr: Instr, x: Any) -> Any:
        if _is_float(instr):
            return number(x) if isinstance(x, int) else x
        if instr.dtype == "bool":
            return x != 0
        if is_infinite(x) or (not isinstance(x, int) and wrap(int(x), instr.dtype) != int(x)):
            raise OffDomain("float out of the integer's range")
        return wrap(int(x), instr.dtype)

    return operation


def _comparison(function: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    return guarded(lambda instr, x, y: function(x, y))


def table(number: Callable[[float], Any]) -> Arithmetic[Any]:
    """Exact arithmetic over one kind of number, made from a float or an int by ``number``."""
    partial: dict[Op, Callable[..., Any]] = {
        Op.CONST: lambda instr: lift(instr.param, instr.dtype, number),
        Op.CAST: _cast(number),
        Op.STOP: lambda instr, x: x,
        Op.ADD: _add,
        Op.SUB: _sub,
        Op.MUL: _mul,
        Op.DIV: _div,
        Op.FLOORDIV: _floordiv,
        Op.REM: _rem,
        Op.POW: _pow,
        Op.NEG: lambda instr, x: -x if _is_float(instr) else wrap(-x, instr.dtype),
        Op.ABS: lambda instr, x: abs(x) if _is_float(instr) else wrap(abs(x), instr.dtype),
        Op.SIGN: _sign,
        Op.MIN: lambda instr, x, y: min(x, y),
        Op.MAX: lambda instr, x, y: max(x, y),
        Op.SQRT: _sqrt,
        Op.RSQRT: _rsqrt,
        Op.FLOOR: _rounded(math.floor),
        Op.CEIL: _rounded(math.ceil),
        Op.ROUND: _rounded(round),
        Op.NOT: _not,
        Op.AND: _logic(operator.and_),
        Op.OR: _logic(operator.or_),
        Op.XOR: _logic(operator.xor),
        Op.SHL: _shift(operator.lshift),
        Op.SHR: _shift(operator.rshift),
    }
    comparisons = {op: _comparison(getattr(operator, op.value)) for op in (Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE)}
    total: dict[Op, Callable[..., Any]] = {Op.SELECT: _select, Op.LOOKUP: _lookup, **comparisons}
    irrational = {op: _irrational for op in Op if op not in partial and op not in total}
    return {**irrational, **{op: guarded(function) for op, function in partial.items()}, **total}


EXACT: Arithmetic[Any] = table(rational)
"""The arithmetic of extended rationals, wrapping integers and bool."""
