"""Exact arithmetic and arithmetic at 60 digits: values, domains, and what has no value."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from monoscan.lowering.program.interpret import evaluate
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.testing.arithmetic.exact import EXACT, UNDEFINED, is_rational, lift, rational, wrap
from monoscan.testing.arithmetic.high_precision import DECIMAL, pi, precision, to_decimal

INF = math.inf


def run(op: Op, *args: Any, dtype: str = "float32") -> Any:
    return EXACT[op](Instr(op, tuple(range(len(args))), dtype), *args)


@pytest.mark.parametrize("op", sorted(Op, key=lambda op: op.value), ids=lambda op: op.value)
def test_every_operation_is_in_both_tables(op: Op) -> None:
    """A program of any operations can be interpreted."""
    assert op in EXACT
    assert op in DECIMAL


def test_fractions_do_not_round() -> None:
    """A tenth ten times is what the float says, ten times, and not 1."""
    tenth = rational(0.1)
    total = Fraction(0)
    for _ in range(10):
        total = run(Op.ADD, total, tenth)
    assert total == 10 * tenth != 1


@pytest.mark.parametrize(
    ("op", "args"),
    [
        (Op.ADD, (INF, -INF)),
        (Op.SUB, (INF, INF)),
        (Op.MUL, (Fraction(0), INF)),
        (Op.DIV, (Fraction(1), Fraction(0))),
        (Op.DIV, (Fraction(0), Fraction(0))),
        (Op.DIV, (INF, INF)),
        (Op.REM, (Fraction(1), Fraction(0))),
        (Op.SQRT, (Fraction(-1),)),
        (Op.FLOORDIV, (INF, Fraction(2))),
    ],
)
def test_what_has_no_value_is_undefined(op: Op, args: tuple[Any, ...]) -> None:
    """inf - inf, 0 * inf, x / 0 and their kin have no value on the extended reals."""
    assert run(op, *args) is UNDEFINED


@pytest.mark.parametrize(
    ("op", "args", "expected"),
    [
        (Op.ADD, (INF, Fraction(1)), INF),
        (Op.MUL, (Fraction(-2), INF), -INF),
        (Op.DIV, (Fraction(3), -INF), 0),
        (Op.DIV, (INF, Fraction(-2)), -INF),
        (Op.MAX, (-INF, Fraction(-7)), -7),
        (Op.NEG, (INF,), -INF),
        (Op.SIGN, (Fraction(-1, 3),), -1),
        (Op.SQRT, (Fraction(9, 4),), Fraction(3, 2)),
        (Op.POW, (Fraction(2), Fraction(-3)), Fraction(1, 8)),
        (Op.REM, (Fraction(-7, 2), Fraction(2)), Fraction(1, 2)),
        (Op.FLOOR, (Fraction(-1, 2),), -1),
        (Op.ROUND, (Fraction(5, 2),), 2),
        (Op.ADD, (Fraction(10) ** 400, INF), INF),
    ],
)
def test_what_has_a_value(op: Op, args: tuple[Any, ...], expected: Any) -> None:
    """Infinities are ordinary values where they have one."""
    assert run(op, *args) == expected


@pytest.mark.parametrize(
    ("op", "args", "dtype", "expected"),
    [
        (Op.ADD, (127, 1), "int8", -128),
        (Op.SUB, (0, 1), "uint8", 255),
        (Op.MUL, (2**31 - 1, 2), "int32", -2),
        (Op.NEG, (-128,), "int8", -128),
        (Op.NEG, (1,), "uint16", 65535),
        (Op.FLOORDIV, (-7, 2), "int32", -4),
        (Op.REM, (-7, 2), "int32", 1),
        (Op.SHL, (1, 31), "int32", -(2**31)),
        (Op.POW, (3, 41), "uint64", pow(3, 41, 2**64)),
        (Op.ADD, (True, True), "bool", True),
        (Op.MUL, (True, False), "bool", False),
        (Op.NOT, (False,), "bool", True),
        (Op.AND, (6, 3), "int32", 2),
    ],
)
def test_integers_wrap_and_bool_is_logic(op: Op, args: tuple[Any, ...], dtype: str, expected: Any) -> None:
    """Integers keep their width, as on the machine."""
    assert run(op, *args, dtype=dtype) == expected


def test_wrap_is_onto_the_range() -> None:
    """Every width, at both ends."""
    for width in (8, 16, 32, 64):
        assert wrap(2 ** (width - 1), f"int{width}") == -(2 ** (width - 1))
        assert wrap(-1, f"uint{width}") == 2**width - 1


def test_a_guarded_division_is_no_error() -> None:
    """The branch that is not taken may be undefined; the one that is taken may not."""
    quotient = run(Op.DIV, Fraction(0), Fraction(0))
    assert run(Op.SELECT, True, Fraction(7), quotient) == 7
    assert run(Op.SELECT, False, Fraction(7), quotient) is UNDEFINED
    assert run(Op.LT, quotient, Fraction(1), dtype="bool") is UNDEFINED


def test_casts_out_of_range_are_undefined() -> None:
    """A float that no integer of the dtype equals in whole part has no cast."""
    assert run(Op.CAST, Fraction(300), dtype="uint8") is UNDEFINED
    assert run(Op.CAST, Fraction(-7, 2), dtype="int8") == -3
    assert run(Op.CAST, INF, dtype="int32") is UNDEFINED
    assert run(Op.CAST, Fraction(1, 2), dtype="bool") is True


def test_nan_lifts_to_undefined() -> None:
    """There is no NaN in exact arithmetic."""
    assert lift(math.nan, "float32") is UNDEFINED


def test_programs_that_leave_the_rationals_are_known_beforehand() -> None:
    """exp and sqrt do, a whole power does not."""
    leaf = (Leaf("float32"), Leaf("float32"))
    square = (Instr(Op.CONST, (), "float32", 2.0), Instr(Op.POW, (0, 2), "float32"))
    assert is_rational(Program(leaf, leaf[:1], square, (3,), 1))
    assert not is_rational(Program(leaf, leaf[:1], (Instr(Op.POW, (0, 1), "float32"),), (2,), 1))
    assert not is_rational(Program(leaf, leaf[:1], (Instr(Op.EXP, (0,), "float32"),), (2,), 1))


def test_a_program_by_hand() -> None:
    """Affine over fractions: (a_r a_l, a_r b_l + b_r)."""
    leaf = Leaf("float32")
    code = (
        Instr(Op.MUL, (2, 0), "float32"),
        Instr(Op.MUL, (2, 1), "float32"),
        Instr(Op.ADD, (5, 3), "float32"),
    )
    program = Program((leaf,) * 4, (leaf,) * 2, code, (4, 6), 2)
    assert evaluate(program, [Fraction(1, 3), Fraction(1), Fraction(3), Fraction(1, 7)], EXACT) == [1, Fraction(22, 7)]


def test_sixty_digits_of_pi_and_e() -> None:
    """Known digits, beyond any float."""
    with precision():
        e = DECIMAL[Op.EXP](Instr(Op.EXP, (0,), "float64"), Decimal(1))
        assert str(pi())[:62] == "3.141592653589793238462643383279502884197169399375105820974944"
        assert str(e)[:62] == "2.718281828459045235360287471352662497757247093699959574966967"


@pytest.mark.parametrize(
    ("op", "function"),
    [
        (Op.EXP, math.exp), (Op.EXPM1, math.expm1), (Op.LOG, math.log), (Op.LOG2, math.log2), (Op.LOG10, math.log10),
        (Op.LOG1P, math.log1p), (Op.SQRT, math.sqrt), (Op.SIN, math.sin), (Op.COS, math.cos), (Op.TAN, math.tan),
        (Op.ARCSIN, math.asin), (Op.ARCCOS, math.acos), (Op.ARCTAN, math.atan), (Op.SINH, math.sinh),
        (Op.COSH, math.cosh), (Op.TANH, math.tanh), (Op.ERF, math.erf), (Op.SIGMOID, lambda x: 1 / (1 + math.exp(-x))),
    ],
    ids=lambda value: getattr(value, "value", ""),
)  # fmt: skip
def test_functions_at_sixty_digits_agree_with_libm(op: Op, function: Any) -> None:
    """To a double's own precision, over their domains."""
    with precision():
        for x in (-30.0, -3.3, -0.9, -1e-9, 1e-200, 1e-9, 0.02, 0.4, 0.99, 2.7, 11.0):
            got = DECIMAL[op](Instr(op, (0,), "float64"), to_decimal(x))
            try:
                expected = function(x)
            except ValueError:
                assert got is UNDEFINED
                continue
            assert float(got) == pytest.approx(expected, rel=4e-15)


def test_functions_at_infinity() -> None:
    """Limits where there are any, and no value where not."""
    with precision():

        def at(op: Op, *args: float) -> Any:
            return DECIMAL[op](Instr(op, (0,), "float64"), *map(to_decimal, args))

        assert at(Op.EXP, -INF) == 0
        assert at(Op.LOG, 0.0) == Decimal("-inf")
        assert at(Op.LOGADDEXP, -INF, -INF) == Decimal("-inf")
        assert at(Op.LOGADDEXP, -INF, 3.0) == 3
        assert at(Op.TANH, INF) == 1
        assert at(Op.SIN, INF) is UNDEFINED
        assert at(Op.LOG, -1.0) is UNDEFINED


def test_small_arguments_lose_no_digits() -> None:
    """expm1 and log1p are inverse to each other far below the precision of 1 + x."""
    with precision():
        x = Decimal("1e-90")
        log = DECIMAL[Op.LOG1P](Instr(Op.LOG1P, (0,), "float64"), x)
        assert abs(DECIMAL[Op.EXPM1](Instr(Op.EXPM1, (0,), "float64"), log) / x - 1) < Decimal("1e-95")


def test_erfinv_inverts_erf() -> None:
    """By Newton's method, to 60 digits."""
    with precision():
        y = DECIMAL[Op.ERFINV](Instr(Op.ERFINV, (0,), "float64"), Decimal("0.7"))
        assert abs(DECIMAL[Op.ERF](Instr(Op.ERF, (0,), "float64"), y) - Decimal("0.7")) < Decimal("1e-60")
