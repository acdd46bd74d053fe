"""check_laws and law_cases: what they check, what they say, and that they say the same again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import pytest
from hypothesis import strategies as st
from laws_support import AffineWithoutGate, LyingCommutative

import monoscan as ms
from monoscan.testing import LawError, check_homomorphism, check_laws, check_scan_laws, elements, law_cases, run_laws
from monoscan.testing.laws.sets import COMMUTATIVE, GROUP, IDEMPOTENT, MONOID, SEMIGROUP, lawsets
from monoscan.testing.search.counterexamples import simplest


def levels_of(monoid: ms.Semigroup) -> set[str]:
    return {row.level for row in check_laws(monoid, dtypes=("float32",), examples=8).rows}


def test_facts_choose_the_sets() -> None:
    """Each declared fact adds its laws."""
    assert lawsets(ms.First(), ms.First().facts(("float32",))) == (SEMIGROUP, IDEMPOTENT)
    assert lawsets(ms.Max(), ms.Max().facts(("float32",))) == (SEMIGROUP, MONOID, COMMUTATIVE, IDEMPOTENT)
    assert lawsets(ms.Sum(), ms.Sum().facts(("int32",))) == (SEMIGROUP, MONOID, COMMUTATIVE, GROUP)


def test_sets_inherit_each_law_once() -> None:
    """Diamonds do not repeat a law."""
    names = [law.name for law in GROUP.laws]
    assert len(names) == len(set(names))
    assert names[0] == "associativity"
    assert {"left-identity", "left-inverse"} <= set(names)


def test_levels_follow_the_program() -> None:
    """Rational programs are exact, others at 60 digits; exact facts are bitwise, others bounded."""
    assert levels_of(ms.Affine()) == {"exact", "rounding"}
    assert levels_of(ms.OnlineSoftmax()) == {"60 digits", "rounding"}
    assert levels_of(ms.Max()) == {"exact", "bitwise"}


def test_the_report_prints_as_a_table() -> None:
    """Law, dtype, level, examples, verdict."""
    text = str(check_laws(ms.Sum(), dtypes=("int32",), examples=8))
    assert text.startswith("[laws] Sum\nlaw ")
    assert "associativity" in text
    assert "holds" in text


def test_the_counterexample_is_small_and_complete() -> None:
    """Law, elements by name, both sides, the leaf, the hint and the way to see it again."""
    with pytest.raises(LawError) as caught:
        check_laws(AffineWithoutGate(), dtypes=("float32",), seed=7)
    text = str(caught.value)
    assert text.splitlines()[0] == "[laws] AffineWithoutGate (float32): associativity fails in exact arithmetic."
    assert "law    combine(combine(a, b), c) == combine(a, combine(b, c))" in text
    assert "a     = AffineWithoutGate(a=" in text
    assert "differs in: b" in text
    assert "this is the formula, not rounding" in text
    assert text.endswith("Reproduce: monoscan laws laws_support:AffineWithoutGate --seed 7")
    assert all(len(part) < 4 for part in text.split("a=")[1].split(")")[0].split(", b="))


def test_the_same_seed_finds_the_same_counterexample() -> None:
    """So that the reproduce line reproduces."""
    messages = []
    for _ in range(2):
        with pytest.raises(LawError) as caught:
            check_laws(AffineWithoutGate(), dtypes=("float32",), seed=3)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_declared_fact_that_is_false_is_caught() -> None:
    """Facts are checked, not believed."""
    with pytest.raises(LawError, match="commutativity fails"):
        check_laws(LyingCommutative(), dtypes=("float32",))


def test_a_true_fact_that_is_not_declared_is_a_hint() -> None:
    """The planner could have used it."""
    modest = ms.monoid(lambda left, right: mx.maximum(left, right), identity=-mx.inf, name="modest")
    hints = " ".join(check_laws(modest, dtypes=("float32",), examples=40).hints)
    assert "declare commutative=True" in hints
    assert "declare idempotent=True" in hints


def test_an_honest_operator_gets_no_hint() -> None:
    """Affine maps neither commute nor repeat."""
    assert check_laws(ms.Affine(), dtypes=("float32",), examples=40).hints == ()


def test_a_rounding_claim_that_is_too_strong_is_caught() -> None:
    """Float addition is not exact, whatever facts say."""

    @attrs.frozen
    class Boastful(ms.Monoid):
        template = "x"

        def combine(self, left: mx.array, right: mx.array) -> mx.array:
            return left + right

        def identity(self, like: mx.array) -> mx.array:
            return mx.zeros_like(like)

        def facts(self, dtypes: tuple[str, ...]) -> ms.Facts:
            return ms.Facts(True, associativity="exact")

    with pytest.raises(LawError, match=r"(associativity|fold-equals-reduce) fails bit for bit"):
        check_laws(Boastful(), dtypes=("float32",))


def test_a_function_makes_an_operator_that_can_be_checked() -> None:
    """Its tree comes from the identity, or is found by trying."""

    def decay(left: Any, right: Any) -> Any:
        return right[0] * left[0], right[0] * left[1] + right[1]

    assert check_laws(ms.monoid(decay, identity=(1, 0)), dtypes=("float32",), examples=8).rows
    assert check_laws(ms.monoid(decay), dtypes=("float32",), examples=8).rows


def test_user_elements_are_used() -> None:
    """elements= overrides everything that would be guessed."""
    seen = []

    def element(value: int) -> mx.array:
        seen.append(value)
        return mx.array(float(value))

    check_laws(ms.Sum(), st.integers(100, 105).map(element), examples=8)
    assert set(seen) <= set(range(100, 106))


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("[laws] expects an operator; got the class Sum. Call it: Sum().", (ms.Sum,)),
        ("[laws] expects an operator; got the function 'add'. Make it one with ms.monoid", (mx.add,)),
        ("[laws] elements must be a Hypothesis strategy", (ms.Sum(), mx.ones((4,)))),
        ("sampled_from", (ms.Affine(), (mx.ones((4,)), mx.ones((4,))))),
    ],
)
def test_what_is_no_operator_or_no_strategy_is_refused(words: str, arguments: tuple[Any, ...]) -> None:
    for check in (check_laws, law_cases):
        with pytest.raises(ms.ScanTypeError) as caught:
            check(*arguments)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [({"dtypes": ()}, "dtypes must be some names"), ({"dtypes": "int32"}, "got 'int32'"), ({"dtypes": None}, "got None"),
     ({"dtypes": ("int32", "flaot32")}, "by name; got flaot32"), ({"dtypes": (mx.float32,)}, "by name; got mlx.core"),
     ({"size": 0}, "size must be a positive number; got 0"), ({"size": "two"}, "got 'two'"), ({"seed": "a"}, "seed must be an int; got 'a'"),
     ({"examples": True}, "got True")],
)  # fmt: skip
def test_options_of_laws_that_check_nothing_or_mean_nothing_are_refused(option: dict[str, Any], words: str) -> None:
    for check in (check_laws, law_cases):
        with pytest.raises(ms.ScanError) as caught:
            check(ms.Sum(), **option)
        assert words in str(caught.value)


@pytest.mark.parametrize("examples", [0, -3, 2.5])
def test_examples_are_a_positive_number(examples: Any) -> None:
    for check in (check_laws, law_cases):
        with pytest.raises(ms.ScanError, match="examples must be a positive number"):
            check(ms.Sum(), examples=examples)


def test_elements_of_two_trees_are_refused() -> None:
    """A dict's keys have an order, which Hypothesis's fixed_dictionaries does not keep."""
    both = st.sampled_from([(mx.array(1.0),), [mx.array(1.0)]])
    with pytest.raises(ms.TreeError, match="must form one tree"):
        check_laws(ms.monoid(lambda left, right: left), both)


def test_elements_are_reachable_and_shrink_to_zero() -> None:
    """The simplest element is one embedded zero."""
    assert [leaf.item() for leaf in simplest(elements(ms.Affine()))] == [0.0, 0.0]


def test_dtypes_that_the_operator_refuses_are_left_out() -> None:
    """With the operator's own reason; if none is left, that is the error."""
    report = check_laws(ms.LogSumExp(), dtypes=("float32", "int32"), examples=8)
    assert {row.dtype for row in report.rows} == {"float32"}
    assert any("int32 is left out: [LogSumExp] takes floats only" in hint for hint in report.hints)
    with pytest.raises(ms.ScanError, match="takes floats only"):
        check_laws(ms.LogSumExp(), dtypes=("int32",))


@pytest.mark.parametrize(
    "operator",
    [ms.Sum(), ms.Affine(), ms.MatMul(), ms.Mean(), ms.Segmented(ms.Product()), ms.Dual(ms.MatrixAffine())],
    ids=lambda op: op.name,
)
def test_laws_hold_of_complex_numbers_exactly_and_within_bounds(operator: ms.Monoid) -> None:
    report = check_laws(operator, dtypes=("complex64",), examples=15)
    assert {row.level for row in report.rows} >= {"exact", "rounding"}


def test_a_combine_with_a_conjugate_is_found_not_to_be_associative() -> None:
    with pytest.raises(LawError, match=r"associativity fails in exact arithmetic(.|\n)*i\)"):
        check_laws(ms.monoid(lambda l, r: l * mx.conj(r), name="turned"), dtypes=("complex64",))


def test_a_combine_of_complex_numbers_that_does_not_trace_is_checked_by_mlx() -> None:
    later = ms.monoid(lambda l, r: mx.where(mx.abs(r) > 0, r, l) + 0 * mx.fft.fft(mx.stack([l, r]))[0], name="later")
    report = check_laws(later, dtypes=("complex64",), examples=5)
    assert {row.level for row in report.rows} == {"unbounded"}


@pytest.mark.long
def test_scans_of_complex_numbers_keep_their_laws() -> None:
    check_scan_laws(ms.Affine(), dtype="complex64", strategies=("auto", "blelloch"), lengths=(7,))


def test_an_operator_that_does_not_trace_is_checked_by_mlx() -> None:
    """To six digits, and the report says so."""

    def sort_merge(left: mx.array, right: mx.array) -> mx.array:
        return mx.sort(mx.concatenate([left, right]))[..., -2:]

    report = check_laws(ms.monoid(sort_merge, event=1, commutative=True), dtypes=("float32",), examples=12)
    assert {row.level for row in report.rows} == {"unbounded"}


@pytest.mark.parametrize("law", law_cases(ms.Affine(), dtypes=("float32",), examples=12))
def test_law_cases_parametrise(law: Any) -> None:
    """Each law is a test of its own."""
    law()


def test_law_cases_have_readable_ids() -> None:
    """Operator, dtype, law."""
    ids = [case.id for case in law_cases(ms.Affine(), dtypes=("float32",), examples=4)]
    assert "Affine-float32-associativity" in ids
    assert len(ids) == len(set(ids))


def test_a_homomorphism_is_accepted_and_a_map_that_is_none_is_caught() -> None:
    """log-add-exp is addition of exponentials; the square is no homomorphism of addition."""
    check_homomorphism(ms.LogSumExp(), ms.Sum(), mx.exp, examples=24)
    check_homomorphism(ms.Affine(), ms.Product(), lambda element: element[0], examples=24)
    with pytest.raises(LawError, match="homomorphism fails in exact arithmetic"):
        check_homomorphism(ms.Sum(), ms.Sum(), mx.square)


def test_run_laws_is_zero_for_a_lawful_operator(capsys: pytest.CaptureFixture[str]) -> None:
    """And prints the table."""
    assert run_laws("monoscan:Affine", examples=8) == 0
    assert "associativity" in capsys.readouterr().out


def test_run_laws_is_one_with_the_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    """The reproduce line is the call."""
    assert run_laws("laws_support:Subtraction", seed=5) == 1
    assert "Reproduce: monoscan laws laws_support:Subtraction --seed 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("NoSuchName", "there is no operator NoSuchName"),
        ("no_such_module:Name", "cannot import no_such_module"),
        ("monoscan:NoSuchName", "has no NoSuchName"),
        ("monoscan:LawError", "has no LawError"),
        ("monoscan:Segmented", "must be called with arguments"),
    ],
)
def test_run_laws_says_what_is_wrong_with_a_name(target: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Useful errors, exit 2."""
    assert run_laws(target) == 2
    assert words in capsys.readouterr().err


def test_run_laws_finds_a_module_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user's own file."""
    (tmp_path / "own_operator.py").write_text(
        "import mlx.core as mx, monoscan as ms\nlongest = ms.monoid(mx.maximum, identity=-mx.inf, name='longest')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert run_laws("own_operator:longest", examples=8, dtypes=("float32",)) == 0
    assert "[laws] longest" in capsys.readouterr().out


def test_a_dtype_that_cannot_hold_the_identity_is_left_out_with_a_hint() -> None:
    """-inf is no int32: that is no reason to fail on floats."""
    largest = ms.monoid(mx.maximum, identity=-mx.inf, name="largest", commutative=True, idempotent=True)
    report = check_laws(largest, examples=8)
    assert "int32 is left out: [largest] its identity -inf is no int32" in str(report)
