"""What a check of laws claims: native facts are checked, nothing untested is called lawful, and reproduce lines reproduce."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import strategies as st
from laws_support import MeanOfMeans, Subtraction

import monoscan as ms
from monoscan import monoids, tree
from monoscan.cli.main import main
from monoscan.monoids import named
from monoscan.testing import LawError, check_homomorphism, check_laws, law_cases
from monoscan.testing.arithmetic import exact
from monoscan.testing.arithmetic.bounded import Bounded, bounded
from monoscan.testing.arithmetic.machine_levels import BoundedCarrier
from monoscan.testing.arithmetic.subject import subject_of
from monoscan.testing.laws.labels import labels
from monoscan.testing.search import counterexamples as search

Array = mx.array

# ----------------------------------------------------------------------------------------- native


@attrs.frozen
class Liar(ms.Monoid):
    """Says that a scan of MLX computes it."""

    function: Callable[[Array, Array], Array]
    native: str
    start: float = 0

    def combine(self, left: Array, right: Array) -> Array:
        return self.function(left, right)

    def identity(self, like: Array) -> Array:
        return mx.full(like.shape, self.start, like.dtype)

    def facts(self, dtypes: tuple[str, ...]) -> ms.Facts:
        return ms.Facts(commutative=True, native=self.native)


def circle(left: Array, right: Array) -> Array:
    return left + right + left * right


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("function", "native"), [(circle, "cumsum"), (mx.add, "cumprod"), (mx.add, "cummax")])
def test_a_declared_scan_that_computes_something_else_is_caught(function: Any, native: str, dtype: str) -> None:
    liar = Liar(function, native)
    assert ms.explain(liar, mx.zeros((8,))).strategy == "native", "the planner would believe it"
    with pytest.raises(
        LawError, match=r"native fails(.|\n)*facts\(\) names a scan of MLX that computes something else"
    ):
        check_laws(liar, dtypes=(dtype,))


@pytest.mark.long
@pytest.mark.parametrize(
    "operator", [ms.Sum(), ms.Product(), ms.Max(), ms.Min(), ms.LogSumExp(), Liar(mx.add, "cumsum")]
)
def test_an_honest_scan_holds_within_its_bounds(operator: ms.Semigroup) -> None:
    (row,) = (row for row in check_laws(operator, dtypes=("float32",)).rows if row.law == "native")
    assert row.verdict == "holds"
    assert row.examples > 50


def test_operators_that_mlx_does_not_run_have_no_such_law() -> None:
    assert "native" not in {row.law for row in check_laws(ms.Affine(), examples=8).rows}
    assert "native" not in {row.law for row in check_laws(ms.Maybe(ms.Sum()), examples=8).rows}


def test_a_scan_that_mlx_does_not_have_is_no_fact() -> None:
    with pytest.raises(ms.ScanError, match=r"\[Facts\] native is None or one of MLX's scans, cumsum, .*; got 'cumfoo'"):
        ms.Facts(native="cumfoo")


# --------------------------------------------------------------------------------------- integers


TABLE = mx.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
INTEGERS: list[tuple[ms.Semigroup, str]] = [
    (ms.monoid(mx.bitwise_xor, identity=0), "int32"),
    (ms.monoid(mx.bitwise_and, identity=255), "uint8"),
    (ms.monoid(lambda l, r: mx.left_shift(l, 1) & r & 0), "int64"),
    (ms.monoid(lambda l, r: TABLE[l % 3, r % 3]), "int32"),
    (ms.monoid(lambda l, r: (l[0] | r[0], mx.where((l[0] & 1) == 1, l[1], l[1] ^ r[1]) * 0)), "uint16"),
    (ms.monoid(mx.logical_or, identity=False), "bool"),
]


@pytest.mark.parametrize(("operator", "dtype"), INTEGERS)
def test_operators_on_bits_shifts_and_tables_are_checked(operator: ms.Semigroup, dtype: str) -> None:
    report = check_laws(operator, dtypes=(dtype,), examples=20)
    assert {row.verdict for row in report.rows} == {"holds"}


def test_an_operator_on_bits_that_is_not_lawful_is_caught() -> None:
    with pytest.raises(LawError, match="associativity fails in exact arithmetic"):
        check_laws(ms.monoid(lambda l, r: mx.left_shift(l, 1) ^ r), dtypes=("int32",))


def test_floats_are_left_out_where_an_operator_takes_none() -> None:
    report = check_laws(ms.monoid(mx.bitwise_xor, identity=0), examples=8)
    assert {row.dtype for row in report.rows} == {"int32"}
    assert "float32 is left out" in str(report)
    assert "no tuple of up to 8 arrays of float32 works" in str(report)


def test_law_cases_without_a_dtype_are_an_error_and_no_empty_list() -> None:
    with pytest.raises(ms.ScanTypeError, match="takes floats only"):
        law_cases(ms.LogSumExp(), dtypes=("int32",))


# ---------------------------------------------------------------------------------------- runaway


def newton(left: Array, right: Array) -> Array:
    """A square root by Newton's method: each step triples the digits."""
    square, y = left * left + right * right, mx.maximum(mx.abs(left) + mx.abs(right), 1e-6)
    for _ in range(4):
        y = 0.5 * (y + square / y)
    return y


@pytest.mark.parametrize("combine", [newton, lambda l, r: l**30 + r**30])
def test_numbers_that_grow_without_a_limit_end(combine: Any) -> None:
    with pytest.raises(LawError, match="fails in exact arithmetic"):
        check_laws(ms.monoid(combine), dtypes=("float32",))


@pytest.mark.parametrize(
    ("base", "exponent"), [(3, 10**9), (exact.Fraction(1, 3), 10**9), (exact.Fraction(7, 3), -(10**9)), (2**40, 1000)]
)
def test_a_power_that_is_too_long_is_not_computed(base: Any, exponent: int) -> None:
    raised = exact.EXACT[exact.Op.POW]
    with pytest.raises(exact.TooLong):
        raised(exact.Instr(exact.Op.POW, (0, 1), "float32"), exact.Fraction(base), exact.Fraction(exponent))


def test_a_power_of_one_is_short() -> None:
    instr = exact.Instr(exact.Op.POW, (0, 1), "float32")
    assert exact.EXACT[exact.Op.POW](instr, exact.Fraction(-1), exact.Fraction(10**9)) == 1


def test_what_grew_too_long_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_BITS", 4000)
    large = st.sampled_from([2.0**-1000, 3 * 2.0**1000, 1.0]).map(lambda x: mx.array(x, mx.float64))
    row = next(
        row for row in check_laws(ms.Product(), large).rows if row.level == "exact" and row.law == "associativity"
    )
    left = re.fullmatch(r"holds; (\d+) left out, numbers of more than 4000 bits", row.verdict)
    assert left is not None
    assert row.examples + row.skipped + int(left[1]) == 100


def test_a_law_of_which_nothing_was_checked_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_BITS", 1)
    numbers = st.integers(5, 9).map(lambda k: mx.array(float(k)))
    rows = [row for row in check_laws(ms.monoid(mx.add), numbers, examples=8).rows if row.level == "exact"]
    (row,) = (row for row in rows if row.law == "associativity")
    assert row.examples == 0
    assert row.verdict.startswith("not tested: 8 left out, numbers of more than")


def test_a_law_without_a_checked_example_is_a_skipped_test() -> None:
    law = law_cases(ms.monoid(mx.add), st.just(mx.array(float("nan"))), examples=8)[0].values[0]
    with pytest.raises(pytest.skip.Exception, match="every example was off the domain"):
        law()


def test_a_homomorphism_of_which_nothing_was_checked_is_an_error() -> None:
    infinite = st.just(mx.array(float("inf")))
    with pytest.raises(ms.ScanError, match="vacuous: every example was off the domain"):
        check_homomorphism(ms.Sum(), ms.Sum(), lambda x: x - x, infinite)


def test_time_is_bounded_and_what_is_left_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_SECONDS", -1.0)
    exactly = [row for row in check_laws(ms.Affine(), dtypes=("float32",), examples=12).rows if row.level == "exact"]
    assert {row.verdict for row in exactly if row.law == "associativity"} == {"holds; 11 left after 10 s"}
    with pytest.raises(LawError, match="associativity fails"):
        check_laws(Subtraction(), dtypes=("float32",))


def test_an_infinite_bound_is_no_evidence() -> None:
    """Unless another lane of the example has a finite one, or the sides are equal."""
    pair = subject_of(ms.Affine(), "float32", (mx.array(1.0), mx.array(1.0)))

    def worst(error: float, *differences: float) -> float:
        ones = tuple(bounded(np.ones(1, np.float32)) for _ in differences)
        errors = (error, *[0.5] * (len(differences) - 1))
        moved = tuple(Bounded(np.float32([1 + d]), np.array([e])) for d, e in zip(differences, errors, strict=True))
        return float(np.max(np.stack(BoundedCarrier(pair).ratios(ones, moved))))

    assert math.isnan(worst(math.inf, 0.25))
    assert worst(math.inf, 0.0) == 0
    assert worst(math.inf, 0.25, 0.25) == 0.5
    assert worst(math.inf, 0.25, 1.0) == 2
    assert worst(0.5, 0.25) == 0.5


# -------------------------------------------------------------------------------------- reproduce


EVERY: list[ms.Semigroup] = [
    *(getattr(monoids, name)() for name in (
        "Sum", "Product", "Max", "Min", "First", "Last", "MinMax", "ArgMax", "ArgMin", "All", "Any", "Xor", "Mean", "LogSumExp",
        "OnlineSoftmax", "MaxSubarray", "MaxPlusAffine", "Affine", "MatMul", "MatrixAffine", "Quaternion", "Rigid3", "Bracket", "ScaledMatMul",
        "KalmanFilter", "KalmanSmoother",
    )),
    ms.Moments(2), ms.Moments(3), ms.FiniteMap(4), *(ms.SemiringMatMul(each) for each in (
        ms.MaxPlus(), ms.MinPlus(), ms.Log(), ms.Boolean(),
    )),
    ms.Dual(ms.Affine()), ms.Maybe(ms.Last()), ms.Segmented(ms.Maybe(ms.Moments(3))), ms.Tuple(ms.Min(), ms.Affine()),
    ms.Struct(mean=ms.Mean(), peak=ms.Max()), ms.Semidirect(ms.Product(), ms.Sum()),
    ms.Semidirect(ms.Product(), ms.Sum(), event=(0, 0)), ms.Dual(ms.Semidirect(ms.Tuple(ms.Sum()), ms.FiniteMap(2))),
    ms.Segmented(MeanOfMeans()), Subtraction(),
]  # fmt: skip


def test_every_operator_of_the_catalogue_is_here() -> None:
    assert set(named.catalogue()) - {type(each).__name__ for each in EVERY} == {"Via"}, "which is made of functions"


@pytest.mark.parametrize("operator", EVERY, ids=lambda each: each.name)
def test_the_text_of_an_operator_makes_it_again(operator: ms.Semigroup) -> None:
    text = named.text(operator)
    assert text is not None
    assert named.operator(text) == operator


def test_what_is_made_of_functions_has_no_text_unless_a_module_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    half = ms.monoid(circle, name="half")
    assert named.text(half) is None
    assert named.text(ms.Via(ms.Sum(), mx.negative, mx.negative)) is None
    assert named.text(ms.Segmented(half)) is None
    monkeypatch.setattr(sys.modules[__name__], "half", half, raising=False)
    monkeypatch.setattr(circle, "__module__", __name__)
    assert named.text(half) == f"{__name__}:half"
    assert named.operator(str(named.text(ms.Segmented(half)))) == ms.Segmented(half)


@attrs.frozen
class Scaled(ms.Semigroup):
    """With an argument, and not lawful."""

    rate: float = 0.5

    def combine(self, left: Array, right: Array) -> Array:
        return left * self.rate + right


@pytest.mark.long
@pytest.mark.parametrize(
    ("operator", "options"),
    [
        (ms.Segmented(MeanOfMeans()), {"seed": 3}), (ms.Tuple(ms.Sum(), Subtraction()), {}), (Scaled(), {"examples": 20}),
        (ms.Dual(Subtraction()), {"dtypes": ("int8",)}), (ms.Struct(a=ms.Max(), b=MeanOfMeans()), {"dtypes": ("float64",)}),
    ],
)  # fmt: skip
def test_the_reproduce_line_finds_the_counterexample_again(
    operator: ms.Semigroup, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LawError) as caught:
        check_laws(operator, **options)
    message = str(caught.value)
    command, line = shlex.split(message.split("Reproduce: ")[1])[1:], message
    assert main(command) == 1
    assert capsys.readouterr().out.strip() == line


def test_elements_that_were_given_are_said_to_be_and_have_no_command() -> None:
    pairs = st.tuples(st.just(mx.array(True)), st.integers(0, 3).map(lambda k: mx.array(float(k))))
    with pytest.raises(LawError) as caught:
        check_laws(ms.Segmented(Subtraction()), pairs.map(lambda pair: (mx.logical_not(pair[0]), pair[1])))
    assert "Elements are those that were given." in str(caught.value)
    assert "embed" not in str(caught.value)
    assert "Reproduce" not in str(caught.value)
    assert str(caught.value).startswith("[laws] Segmented(Subtraction) (float32): ")


# ------------------------------------------------------------------------------------------ names


class Pair(NamedTuple):
    gate: Any
    token: Any


PLUS = ms.monoid(lambda l, r: l)


@pytest.mark.parametrize(
    ("operator", "element", "names"),
    [
        (PLUS, 1, ["x"]),
        (PLUS, (1, (2, 3)), ["x0", "x10", "x11"]),
        (PLUS, Pair(1, 2), ["gate", "token"]),
        (PLUS, {"n": 1, "pair": Pair(1, (2, 3))}, ["n", "pair.gate", "pair.token0", "pair.token1"]),
        (ms.Segmented(PLUS), (True, (1, 2)), ["flag", "x0", "x1"]),
        (ms.Maybe(ms.Segmented(PLUS)), (True, (True, Pair(1, 2))), ["valid", "flag", "gate", "token"]),
        (ms.Segmented(ms.Affine()), (True, (1, 2)), ["flag", "a", "b"]),
        (ms.Tuple(ms.Mean(), PLUS), ((1, 2), (1, 2)), ["0.n", "0.mean", "1.x0", "1.x1"]),
        (ms.Struct(m=ms.Mean(), f=PLUS), {"m": (1, 2), "f": 3}, ["m.n", "m.mean", "f.x"]),
    ],
)  # fmt: skip
def test_leaves_have_names(operator: ms.Semigroup, element: Any, names: list[str]) -> None:
    assert labels(operator, tree.flatten(element)[1]) == names
