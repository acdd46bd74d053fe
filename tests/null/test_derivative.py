"""The table of derivatives: every rule in both modes against central differences in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from derivative_oracle import (
    BINARY,
    CONSTANT,
    REAL,
    UNARY,
    backwards,
    check_rule,
    forwards,
    points,
    program,
    traced,
)
from gradient_oracle import TABLE, evaluate

import monoscan as ms
from monoscan.lowering.program import derivative_rules
from monoscan.lowering.program.derivative import forward, jacobian, reverse
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program

# ---------------------------------------------------------------------------------------- each rule


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.value)
def test_a_function_of_one_number(op: Op) -> None:
    check_rule(program([Instr(op, (0,), "float64")]), lambda x, _: TABLE[op](x), points(op, 2))


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.value)
def test_a_function_of_two_numbers(op: Op) -> None:
    check_rule(program([Instr(op, (0, 1), "float64")]), TABLE[op], points(op, 2))


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.value)
def test_a_number_combined_with_itself_gets_both_parts(op: Op) -> None:
    twice = program([Instr(op, (0, 0), "float64")])
    if op not in (Op.MIN, Op.MAX, Op.REM):  # kinks
        check_rule(twice, lambda x, _: TABLE[op](x, x), points(op, 2))


@pytest.mark.parametrize("op", CONSTANT, ids=lambda op: op.value)
def test_steps_have_derivative_zero(op: Op) -> None:
    check_rule(program([Instr(op, (0,), "float64")]), lambda x, _: np.zeros_like(x), points(op, 2))


def test_every_operation_has_a_rule_or_is_piecewise_constant() -> None:
    constant = {
        Op.CONST, Op.CAST, Op.STOP, Op.LOOKUP, Op.FLOORDIV, Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE, Op.NOT, Op.AND, Op.OR,
        Op.XOR, Op.SHL, Op.SHR, *CONSTANT,
    }  # fmt: skip
    assert set(derivative_rules.RULES) | constant == set(Op)
    assert set(derivative_rules.RULES) == {*UNARY, *BINARY, Op.SELECT}


# ------------------------------------------------------------------------------------------- kinks


@pytest.mark.parametrize("op", [Op.MIN, Op.MAX], ids=lambda op: op.value)
def test_a_tie_of_min_or_max_goes_to_the_right_operand(op: Op) -> None:
    one = np.ones(1)
    left, right = backwards(program([Instr(op, (0, 1), "float64")]), [one, one], one)
    assert (left, right) == (0, 1)
    assert forwards(program([Instr(op, (0, 1), "float64")]), [one, one], [2 * one, 3 * one]) == 3
    function = mx.minimum if op is Op.MIN else mx.maximum
    _, theirs = mx.vjp(function, [mx.array(1.0), mx.array(1.0)], [mx.array(1.0)])
    assert [x.item() for x in theirs] == [0, 1]


def test_the_modulus_has_derivative_zero_at_zero() -> None:
    assert backwards(program([Instr(Op.ABS, (0,), "float64")]), [np.zeros(1)] * 2, np.ones(1))[0] == 0


@pytest.mark.parametrize("x", [-np.inf, np.inf, 0.0, 700.0])
def test_equal_terms_share_a_log_sum_even_infinite_ones(x: float) -> None:
    source = program([Instr(Op.LOGADDEXP, (0, 1), "float64")])
    at = np.full(1, x)
    assert [v.item() for v in backwards(source, [at, at], np.ones(1))] == [0.5, 0.5]
    assert forwards(source, [at, at], [np.ones(1), np.full(1, 3.0)]) == 2


def test_an_infinite_term_of_a_log_sum_takes_nothing_or_all() -> None:
    source = program([Instr(Op.LOGADDEXP, (0, 1), "float64")])
    low, zero, one = np.full(1, -np.inf), np.zeros(1), np.ones(1)
    assert [v.item() for v in backwards(source, [low, zero], one)] == [0, 1]
    assert [v.item() for v in backwards(source, [zero, low], one)] == [1, 0]


def test_powers_at_zero() -> None:
    source = program([Instr(Op.POW, (0, 1), "float64")])
    zero, one = np.zeros(1), np.ones(1)
    for exponent, slope in ((0.0, 0.0), (1.0, 1.0), (2.0, 0.0)):
        left, right = backwards(source, [zero, np.full(1, exponent)], one)
        assert (left.item(), right.item()) == (slope, 0)
    left, right = backwards(source, [np.full(1, -2.0), np.full(1, 3.0)], one)
    assert (left.item(), right.item()) == (12, 0)


# -------------------------------------------------------------------------------------- selections


def guarded(op: Op, bound: float = 0.0) -> Program:
    """``where(left > bound, op(left), right)``, with the function off its domain where it is not taken."""
    code = [
        Instr(Op.CONST, (), "float64", bound), Instr(Op.GT, (0, 2), "bool"), Instr(op, (0,), "float64"),
        Instr(Op.SELECT, (3, 4, 1), "float64"),
    ]  # fmt: skip
    return program(code)


@pytest.mark.parametrize(
    "op", [Op.SQRT, Op.RSQRT, Op.LOG, Op.ARCSIN, Op.ERFINV, Op.LOG1P, Op.EXP], ids=lambda op: op.value
)
@pytest.mark.parametrize("off", [0.0, -1.0, -2.0, -np.inf, np.nan])
def test_a_branch_that_is_not_taken_leaks_nothing(op: Op, off: float) -> None:
    source, at, one = guarded(op), [np.full(1, off), np.ones(1)], np.ones(1)
    assert [x.item() for x in backwards(source, at, one)] == [0, 1]
    assert forwards(source, at, [np.full(1, 5.0), np.full(1, 7.0)]) == 7


@pytest.mark.parametrize("op", [Op.SQRT, Op.RSQRT, Op.LOG], ids=lambda op: op.value)
def test_a_branch_that_is_not_taken_leaks_nothing_into_second_derivatives(op: Op) -> None:
    at = [np.full(1, 0.0), np.ones(1), np.ones(1)]
    results = evaluate(forward(reverse(guarded(op))), [*at, np.ones(1), np.zeros(1), np.zeros(1)])
    assert np.isfinite(np.array([np.broadcast_to(x, (1,)) for x in results[2:]])).all()


def test_a_function_of_a_selection_leaks_nothing_either() -> None:
    code = [
        Instr(Op.CONST, (), "float64", 0.0), Instr(Op.GT, (0, 2), "bool"), Instr(Op.SQRT, (0,), "float64"),
        Instr(Op.MUL, (4, 1), "float64"), Instr(Op.SELECT, (3, 5, 1), "float64"), Instr(Op.SELECT, (3, 6, 2), "float64"),
        Instr(Op.MUL, (7, 1), "float64"),
    ]  # fmt: skip
    assert [x.item() for x in backwards(program(code), [np.zeros(1), np.ones(1)], np.ones(1))] == [0, 0]


def test_a_value_used_inside_and_outside_a_branch_gets_both_parts() -> None:
    code = [
        Instr(Op.MUL, (0, 1), "float64"), Instr(Op.GT, (0, 1), "bool"), Instr(Op.EXP, (2,), "float64"),
        Instr(Op.SELECT, (3, 4, 2), "float64"), Instr(Op.ADD, (5, 2), "float64"),
    ]  # fmt: skip
    check_rule(program(code), lambda x, y: np.where(x > y, np.exp(x * y), x * y) + x * y, points(Op.MUL, 2))


def test_a_lookup_hands_its_cotangent_to_the_chosen_lane() -> None:
    leaves = (Leaf("int32"), Leaf("float64", (3,)))
    code = [Instr(Op.LOOKUP, (0, 5, 6, 7), "float64")]
    source = Program(leaves + leaves, leaves, tuple(code), (4, 8, 8, 8), 2)
    index = np.array([0, 1, 2])
    lanes = [index, *np.zeros((3, 3)), index, *np.ones((3, 3))]
    results = evaluate(reverse(source), [*lanes, np.ones(3), np.zeros(3), np.zeros(3)])
    np.testing.assert_array_equal([np.broadcast_to(x, (3,)) for x in results], [*np.zeros((3, 3)), *np.eye(3)])
    tangents = evaluate(forward(source), [*lanes, *np.zeros((3, 3)), *(k * np.ones(3) for k in (5.0, 6.0, 7.0))])
    np.testing.assert_array_equal(tangents[-1], [5, 6, 7])


LOSERS: dict[Op, list[Instr]] = {
    Op.MAX: [Instr(Op.CONST, (), "float64", 0.5), Instr(Op.MAX, (2, 3), "float64")],
    Op.MIN: [Instr(Op.CONST, (), "float64", -0.5), Instr(Op.MIN, (2, 3), "float64")],
    Op.ABS: [Instr(Op.ABS, (2,), "float64")],
    Op.LOGADDEXP: [Instr(Op.LOG, (2,), "float64"), Instr(Op.LOGADDEXP, (1, 3), "float64")],
    Op.POW: [Instr(Op.CONST, (), "float64", 0.0), Instr(Op.POW, (2, 3), "float64")],
}
"""``op(sqrt(left))`` with a share of zero at 0, where the root has an infinite derivative."""


@pytest.mark.parametrize("op", LOSERS, ids=lambda op: op.value)
def test_an_argument_without_a_share_leaks_nothing(op: Op) -> None:
    source, at, one = program([Instr(Op.SQRT, (0,), "float64"), *LOSERS[op]]), [np.zeros(1), np.ones(1)], np.ones(1)
    right = 1 if op is Op.LOGADDEXP else 0
    assert [x.item() for x in backwards(source, at, one)] == [0, right]
    assert forwards(source, at, [np.full(1, 5.0), np.full(1, 7.0)]) == 7 * right
    tangents = evaluate(forward(reverse(source)), [*at, one, one, np.zeros(1), np.zeros(1)])[2:]
    assert [x.item() for x in tangents] == [0, 0]
    assert [x.item() for x in evaluate(jacobian(source, (0,))[1], at)] == [0]


@pytest.mark.parametrize("op", [Op.MAX, Op.MIN], ids=lambda op: op.value)
def test_a_missing_route_is_found(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(derivative_rules.ROUTES, op)
    with pytest.raises(AssertionError):
        test_an_argument_without_a_share_leaks_nothing(op)


def test_a_program_without_choices_has_no_conditions() -> None:
    found = reverse(traced(ms.MatrixAffine(), ((2, 2), (2,)))[0])
    assert not any(instr.dtype == "bool" for instr in found.code)


# ------------------------------------------------------------------------------------------- types


def test_a_cast_between_floats_carries_the_cotangent_in_the_dtype_of_its_argument() -> None:
    leaf = Leaf("float32")
    code = [Instr(Op.CAST, (0,), "float64"), Instr(Op.EXP, (2,), "float64"), Instr(Op.CAST, (3,), "float32")]
    found = reverse(program(code, leaf))
    assert [found.dtypes[v] for v in found.results] == ["float32", "float32"]
    check_rule(program(code, leaf), lambda x, _: np.exp(x), points(Op.EXP, 2))


def test_a_cast_to_an_integer_has_no_derivative() -> None:
    code = [Instr(Op.CAST, (0,), "int32"), Instr(Op.CAST, (2,), "float64"), Instr(Op.MUL, (3, 1), "float64")]
    left, right = backwards(program(code), [np.full(1, 2.5), np.ones(1)], np.ones(1))
    assert (left.item(), right.item()) == (0, 2)
    assert forwards(program(code), [np.full(1, 2.5), np.ones(1)], [np.ones(1), np.ones(1)]) == 2


def test_integer_leaves_have_neither_cotangents_nor_tangents() -> None:
    leaves = (Leaf("int32"), REAL)
    code = [Instr(Op.ADD, (0, 2), "int32"), Instr(Op.CAST, (2,), "float64"), Instr(Op.MUL, (1, 5), "float64")]
    source = Program(leaves + leaves, leaves, tuple(code), (4, 6), 2)
    assert [leaf.dtype for leaf in reverse(source).outputs] == ["float64", "float64"]
    assert [leaf.dtype for leaf in forward(source).outputs] == ["int32", "float64", "float64"]
    assert [
        x.item() for x in backwards(source, [np.full(1, 3), np.ones(1), np.full(1, 3), np.ones(1)], np.ones(1))
    ] == [3, 0]


# -------------------------------------------------------------------------------- negative control


@pytest.mark.parametrize("op", [Op.MUL, Op.EXP, Op.DIV, Op.LOGADDEXP], ids=lambda op: op.value)
def test_a_wrong_sign_in_the_table_is_found(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = derivative_rules.RULES[op]
    wrong = (*rules[:-1], lambda *args: -rules[-1](*args))
    monkeypatch.setitem(derivative_rules.RULES, op, wrong)
    binary = op in BINARY
    source = program([Instr(op, (0, 1) if binary else (0,), "float64")])
    with pytest.raises(AssertionError):
        check_rule(source, TABLE[op] if binary else lambda x, _: TABLE[op](x), points(op, 2))
