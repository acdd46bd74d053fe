"""The table of derivatives: every rule in both modes against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from gradient_oracle import TABLE, central, evaluate

import monoscan as ms
from monoscan.lowering.program import derivative_rules
from monoscan.lowering.program.derivative import forward, jacobian, linear_over_complex, reverse
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program

Array = npt.NDArray[Any]
REAL, COMPLEX = Leaf("float64"), Leaf("complex64")
POINTS = 9

UNARY: dict[Op, tuple[float, float]] = {
    Op.NEG: (-2, 2), Op.ABS: (-2, 2), Op.SQRT: (0.1, 3), Op.RSQRT: (0.1, 3), Op.EXP: (-2, 2), Op.EXPM1: (-2, 2),
    Op.LOG: (0.1, 3), Op.LOG2: (0.1, 3), Op.LOG10: (0.1, 3), Op.LOG1P: (-0.8, 3), Op.SIGMOID: (-3, 3), Op.ERF: (-2, 2),
    Op.ERFINV: (-0.8, 0.8), Op.SIN: (-3, 3), Op.COS: (-3, 3), Op.TAN: (-1.2, 1.2), Op.ARCSIN: (-0.9, 0.9),
    Op.ARCCOS: (-0.9, 0.9), Op.ARCTAN: (-3, 3), Op.SINH: (-2, 2), Op.COSH: (-2, 2), Op.TANH: (-2, 2),
}  # fmt: skip
"""Where each function is smooth."""

BINARY: dict[Op, tuple[float, float]] = {
    Op.ADD: (-2, 2), Op.SUB: (-2, 2), Op.MUL: (-2, 2), Op.DIV: (0.3, 2), Op.REM: (0.3, 2), Op.POW: (0.2, 2), Op.MIN: (-2, 2),
    Op.MAX: (-2, 2), Op.LOGADDEXP: (-3, 3), Op.ARCTAN2: (-2, 2),
}  # fmt: skip

CONSTANT = (Op.SIGN, Op.FLOOR, Op.CEIL, Op.ROUND)

HOLOMORPHIC = (
    Op.NEG, Op.SQRT, Op.RSQRT, Op.EXP, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG10, Op.LOG1P, Op.SIN, Op.COS, Op.TAN, Op.ARCSIN,
    Op.ARCCOS, Op.ARCTAN, Op.SINH, Op.COSH, Op.TANH,
)  # fmt: skip


def program(code: list[Instr], leaf: Leaf = REAL, result: int | None = None) -> Program:
    """A ``combine`` of single arrays: value 0 is the left operand, value 1 the right one."""
    return Program((leaf, leaf), (leaf,), tuple(code), (1 + len(code) if result is None else result,), 1)


def points(op: Op, count: int = 1, dtype: str = "float64") -> list[Array]:
    """Random numbers where the operation is smooth."""
    rng = np.random.default_rng(list(Op).index(op))
    low, high = (UNARY | BINARY).get(op, (-2.0, 2.0))
    drawn = [rng.uniform(low, high, POINTS) for _ in range(count)]
    return drawn if dtype == "float64" else [x + 1j * rng.uniform(-0.7, 0.7, POINTS) for x in drawn]


def slopes(run: Callable[..., Array], args: list[Array], cotangent: Array) -> list[Array]:
    """The gradient of the real part of ``conj(cotangent) * run(*args)`` by differences."""
    found = central(
        lambda given: np.real(np.conj(cotangent) * run(*given)).reshape(given[0].shape[0], -1).sum(1), args, 1e-6
    )
    return [x for x in found if x is not None]


def backwards(source: Program, args: list[Array], cotangent: Array) -> list[Array]:
    """The cotangents of both operands by the program of cotangents."""
    return [np.broadcast_to(x, cotangent.shape) for x in evaluate(reverse(source), [*args, cotangent])]


def forwards(source: Program, args: list[Array], tangents: list[Array]) -> Array:
    """The tangent of the result by the program of tangents."""
    return np.broadcast_to(evaluate(forward(source), [*args, *tangents])[-1], args[0].shape)


def check_rule(source: Program, run: Callable[..., Array], args: list[Array], rtol: float = 1e-7) -> None:
    """Both modes against differences: reverse for random cotangents, forward because it is the transpose."""
    rng = np.random.default_rng(5)

    def draw() -> Array:
        x = rng.normal(size=args[0].shape)
        return x + 1j * rng.normal(size=x.shape) if args[0].dtype.kind == "c" else x

    g, tangents = draw(), [draw() for _ in args]
    want = slopes(run, args, g)
    for got, expected in zip(backwards(source, args, g), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
    paired = sum(np.real(np.conj(w) * t) for w, t in zip(want, tangents, strict=True))
    np.testing.assert_allclose(
        np.real(np.conj(g) * forwards(source, args, tangents)), paired, rtol=rtol, atol=10 * rtol
    )


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
    assert set(derivative_rules.RULES) == {*UNARY, *BINARY, Op.CONJ, Op.REAL, Op.IMAG, Op.SELECT}


@pytest.mark.parametrize("op", HOLOMORPHIC, ids=lambda op: op.value)
def test_a_function_of_a_complex_number(op: Op) -> None:
    source = program([Instr(op, (0,), "complex64")], COMPLEX)
    check_rule(source, lambda x, _: TABLE[op](x), points(op, 2, "complex64"), 1e-6)


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.POW], ids=lambda op: op.value)
def test_a_function_of_two_complex_numbers(op: Op) -> None:
    check_rule(program([Instr(op, (0, 1), "complex64")], COMPLEX), TABLE[op], points(op, 2, "complex64"), 1e-6)


def test_the_conjugate_of_a_complex_number() -> None:
    check_rule(
        program([Instr(Op.CONJ, (0,), "complex64")], COMPLEX), lambda x, _: np.conj(x), points(Op.CONJ, 2, "complex64")
    )


@pytest.mark.parametrize("op", [Op.ABS, Op.REAL, Op.IMAG], ids=lambda op: op.value)
def test_the_parts_of_a_complex_number(op: Op) -> None:
    code = [Instr(op, (0,), "float32"), Instr(Op.CAST, (2,), "complex64"), Instr(Op.MUL, (3, 1), "complex64")]
    check_rule(program(code, COMPLEX), lambda x, y: TABLE[op](x) * y, points(op, 2, "complex64"))


def test_the_modulus_of_zero_has_derivative_zero() -> None:
    code = [Instr(Op.ABS, (0,), "complex64")]
    zero, one = np.zeros(1, np.complex128), np.ones(1, np.complex128)
    assert backwards(program(code, COMPLEX), [zero, one], one)[0] == 0
    assert forwards(program(code, COMPLEX), [zero, one], [one, one]) == 0


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda x, y: x * y, 2), (lambda x, y: x / y, 2), (lambda x, _: mx.exp(x), 2), (lambda x, _: mx.conj(x) * x, 2),
        (lambda x, y: mx.abs(x).astype(mx.complex64) * y, 2), (lambda x, y: mx.real(x) * y, 2), (lambda x, y: mx.imag(x) * y, 2),
        (lambda x, _: mx.sin(x) * x, 2), (lambda x, y: mx.tanh(x) - y, 2), (lambda x, y: x * mx.conj(y), 2),
    ],
)  # fmt: skip
def test_complex_cotangents_follow_the_convention_of_mlx(function: Callable[..., mx.array], args: int) -> None:
    rng = np.random.default_rng(2)
    x, y, g = (mx.array((rng.normal(size=4) + 1j * rng.normal(size=4)).astype(np.complex64)) for _ in range(3))
    source = ms.explain(ms.monoid(function), x).problem.program
    assert source is not None
    got = evaluate(reverse(source), [np.array(v).astype(np.complex128) for v in (x, y, g)])
    _, want = mx.vjp(function, [x, y], [g])
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, np.array(theirs), rtol=1e-4, atol=1e-5)


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


# ---------------------------------------------------------------------------------- whole programs


OPERATORS: list[tuple[ms.Semigroup, tuple[tuple[int, ...], ...]]] = [
    (ms.Product(), ((),)), (ms.LogSumExp(), ((),)), (ms.Affine(), ((), ())), (ms.MatMul(), ((3, 3),)),
    (ms.MatrixAffine(), ((2, 2), (2,))), (ms.OnlineSoftmax(), ((), ())), (ms.Quaternion(), ((4,),)), (ms.Rigid3(), ((4,), (3,))),
    (ms.KalmanFilter(), ((2, 2), (2,), (2, 2), (2,), (2, 2))), (ms.Moments(4), ((), (), (), (), ())), (ms.MaxSubarray(), ((),) * 4),
    (ms.SemiringMatMul(ms.Log()), ((2, 2),)), (ms.Mean(), ((), ())),
]  # fmt: skip


def traced(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> tuple[Program, list[Array]]:
    """The program of an operator, and random operands lane by lane."""
    rng = np.random.default_rng(3)
    leaves = [mx.array(rng.uniform(0.2, 1, (2, *event)), mx.float64) for event in events]
    with mx.stream(mx.cpu):
        found = ms.explain(operator, leaves[0] if len(leaves) == 1 else tuple(leaves)).problem.program
    assert found is not None
    return found, [rng.uniform(0.2, 1, POINTS) for _ in range(found.num_lanes)]


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_the_cotangents_of_a_combine(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> None:
    source, lanes = traced(operator, events)
    weights = np.random.default_rng(4).normal(size=(len(source.results), POINTS))

    def run(*given: Array) -> Array:
        return sum((w * y for w, y in zip(weights, evaluate(source, given), strict=True)), np.zeros(()))

    want = slopes(run, lanes, np.ones(POINTS))
    got = evaluate(reverse(source), [*lanes, *weights])
    for ours, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(np.broadcast_to(ours, (POINTS,)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_tangents_are_the_transpose_of_cotangents(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> None:
    source, lanes = traced(operator, events)
    rng = np.random.default_rng(6)
    weights, tangents = rng.normal(size=(len(source.results), POINTS)), rng.normal(size=(len(lanes), POINTS))
    back = evaluate(reverse(source), [*lanes, *weights])
    ahead = evaluate(forward(source), [*lanes, *tangents])[len(source.results) :]
    left = sum(w * y for w, y in zip(weights, ahead, strict=True))
    right = sum(t * x for t, x in zip(tangents, back, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_the_jacobian_of_a_combine_is_its_cotangents_of_unit_vectors(
    operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]
) -> None:
    source, lanes = traced(operator, events)
    live = tuple(range(source.arity))
    pairs, entries = jacobian(source, live)
    known = dict(zip(pairs, evaluate(entries, lanes), strict=True))
    number = len(source.results)
    for j in range(number):
        unit = [np.full(POINTS, float(i == j)) for i in range(number)]
        for i, want in enumerate(evaluate(reverse(source), [*lanes, *unit])[:number]):
            np.testing.assert_allclose(
                np.broadcast_to(known.get((i, j), 0.0), (POINTS,)), np.broadcast_to(want, (POINTS,))
            )


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_second_derivatives_by_tangents_of_cotangents(
    operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]
) -> None:
    source, lanes = traced(operator, events)
    rng = np.random.default_rng(7)
    weights, tangents = rng.normal(size=(len(source.results), POINTS)), rng.normal(size=(len(lanes), POINTS))
    zeros = np.zeros((len(source.results), POINTS))
    back = reverse(source)
    got = evaluate(forward(back), [*lanes, *weights, *tangents, *zeros])[len(back.results) :]
    step = 1e-6
    ahead, behind = (
        evaluate(back, [*(x + s * t for x, t in zip(lanes, tangents, strict=True)), *weights]) for s in (step, -step)
    )
    for ours, a, b in zip(got, ahead, behind, strict=True):
        want = np.broadcast_to((a - b) / (2 * step), (POINTS,))
        np.testing.assert_allclose(np.broadcast_to(ours, (POINTS,)), want, rtol=1e-5, atol=1e-5)


def test_only_the_leaves_asked_for_have_cotangents() -> None:
    source, lanes = traced(ms.Affine(), ((), ()))
    found = reverse(source, live=(1,))
    (a, b), (c, d), g = lanes[:2], lanes[2:], np.ones(POINTS)
    left_b, right_a, right_b = evaluate(found, [a, b, c, d, g])
    np.testing.assert_array_equal(left_b, c)
    np.testing.assert_array_equal(right_a, b)
    np.testing.assert_array_equal(right_b, g)


def test_programs_that_take_complex_numbers_apart_are_known() -> None:
    x = mx.zeros((3,), mx.complex64)

    def holomorphic(combine: Callable[..., mx.array]) -> bool:
        source = ms.explain(ms.monoid(combine), x).problem.program
        assert source is not None
        return linear_over_complex(source, (0,))

    with mx.stream(mx.cpu):
        assert holomorphic(lambda l, r: l * mx.conj(r))
        assert holomorphic(lambda l, r: mx.exp(l) * mx.abs(r).astype(mx.complex64))
        assert not holomorphic(lambda l, r: mx.conj(l) * r)
        assert not holomorphic(lambda l, r: l / mx.abs(l).astype(mx.complex64) * r)


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
