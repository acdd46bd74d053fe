"""`check_laws` and `law_cases`: whether an operator is what it says it is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import attrs
from hypothesis.strategies import SearchStrategy

from monoscan import dtypes as dtype_names
from monoscan import errors, tree
from monoscan.monoids import named
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Element, Semigroup
from monoscan.scan.question import not_an_operator
from monoscan.testing.arithmetic.levels import carriers
from monoscan.testing.arithmetic.machine_levels import MACHINE
from monoscan.testing.arithmetic.subject import Subject, subject_of
from monoscan.testing.laws.actions import action_laws
from monoscan.testing.laws.aggregators import check_steps, prepared
from monoscan.testing.laws.law import NATIVE, Law
from monoscan.testing.laws.report import EMBEDDED, GIVEN, LawError, Report, Row, describe, verdict
from monoscan.testing.laws.semidirect import semidirect_laws
from monoscan.testing.laws.sets import claimed_laws, undeclared
from monoscan.testing.search.counterexamples import Examples, Model, Words, draw, examine, simplest
from monoscan.testing.search.elements import Elements, Kind, embedded, words
from monoscan.testing.search.values import expect_drawn

DTYPES = ("float32", "int32")
SIZE = 2
EXAMPLES = 100
_ENOUGH = 15


def _silent(what: str) -> None:
    """Says nothing."""


@attrs.frozen
class _Case:
    """An operator with the examples that it is checked on.

    Args:
        subject: The operator.
        examples: The examples.
        origin: Where elements come from, as messages say it.
        reproduce: The command that draws the same examples, if there is one.
    """

    subject: Subject
    examples: Examples
    origin: str
    reproduce: str | None

    @cached_property
    def claims(self) -> tuple[tuple[Model, Law], ...]:
        """All laws that the operator claims, each with what it is checked in."""
        subject, claims = self.subject, list[tuple[Model, Law]]()
        laws = claimed_laws(subject.operator, subject.facts) + ((NATIVE,) if subject.runs_native else ())
        for carrier in carriers(subject):
            claims += [(carrier, law) for law in laws if not law.machine or carrier.level in MACHINE]
            claims += semidirect_laws(carrier)
        return (*claims, *action_laws(subject))


def check_laws(
    monoid: Semigroup | Aggregator,
    elements: Elements | None = None,
    dtypes: Sequence[str] = DTYPES,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    size: int = SIZE,
    target: str | None = None,
    progress: Callable[[str], None] = _silent,
) -> Report:
    """Checks every law that an operator claims, by what it is and by its facts.

    Each law is checked in exact arithmetic (or at 60 digits, where ``combine`` takes
    exponentials or logarithms), and then in the machine's: to the last bit where the facts
    say that associativity is exact, else within the running error bounds of both sides.

    Args:
        monoid (Semigroup or Aggregator): The operator; an aggregator's is checked on the elements that it prepares,
            and its scan against its steps.
        elements (SearchStrategy, optional): Draws embedded elements, as trees of arrays
            without a scan axis; of an aggregator tuples of the inputs of one position.
            Default: from ``embed``, ``template`` and ``event``.
        dtypes (sequence(str), optional): What raw numbers are drawn in; those that the
            operator refuses are left out, with a hint. Default: ``("float32", "int32")``.
        examples (int, optional): How many a law and level. Default: ``100``.
        seed (int, optional): Decides which. Default: ``0``.
        size (int, optional): The length of event axes. Default: ``2``.
        target (str, optional): The operator as the reproduce line names it.
        progress (callable, optional): Is told what is checked next. Default: nothing.

    Returns:
        Report: What was checked; it prints as a table.

    Raises:
        LawError: A law does not hold; the message has the smallest counterexample.
        ScanError: The operator takes none of the dtypes, or is none.

    Example:
        >>> import monoscan as ms
        >>> from monoscan.testing import check_laws
        >>> report = check_laws(ms.Affine())
    """
    if isinstance(monoid, Aggregator):
        if elements is None:
            raise errors.ScanError(
                f"[laws] {monoid.name} is an aggregator: give elements=, a strategy that draws its inputs."
            )
        made = partial(check_laws, examples=examples, seed=seed, size=size, progress=progress)
        of_operator = made(monoid.operator, prepared(monoid, elements))
        return attrs.evolve(
            of_operator, name=monoid.name, rows=(*of_operator.rows, check_steps(monoid, elements, seed))
        )
    _expect(monoid, elements, dtypes, examples, size, seed)
    rows: list[Row] = []
    hints: list[str] = []
    refused: list[errors.ScanError] = []
    for dtype in dtypes if elements is None else ("given",):
        progress(f"drawing {examples} examples of {dtype}")
        try:
            case = _case(monoid, elements, dtype, size, seed, examples, target)
        except errors.ScanError as error:
            refused.append(error)
            hints.append(f"{dtype} is left out: {error}")
            continue
        facts = [] if rows else _facts_to_declare(case)
        rows += _check(case, case.claims, progress)
        hints += facts
    if not rows and refused:
        raise refused[0]
    return Report(monoid.name, tuple(rows), tuple(hints))


@attrs.frozen
class LawCase:
    """One law of an operator on one dtype; calling it checks it."""

    law: Law
    case: _Case

    def __call__(self) -> None:
        """Checks the law; a test is skipped where no example could be checked.

        Raises:
            LawError: It does not hold.
        """
        import pytest

        rows = _check(self.case, [claim for claim in self.case.claims if claim[1] is self.law], _silent)
        if not any(row.examples for row in rows):
            pytest.skip(f"{self}: {'; '.join(dict.fromkeys(row.verdict for row in rows))}")

    def __str__(self) -> str:
        return f"{self.case.subject.operator.name}-{self.case.subject.dtype}-{self.law.name}"


def law_cases(
    monoid: Semigroup,
    elements: Elements | None = None,
    dtypes: Sequence[str] = DTYPES,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    size: int = SIZE,
) -> list[Any]:
    """The laws of an operator as parameters for pytest, with ids as ``Affine-float32-associativity``.

    Args:
        monoid (Semigroup): The operator.
        elements (SearchStrategy, optional): As for `check_laws`. Default: ``None``.
        dtypes (sequence(str), optional): As for `check_laws`.
        examples (int, optional): As for `check_laws`. Default: ``100``.
        seed (int, optional): As for `check_laws`. Default: ``0``.
        size (int, optional): As for `check_laws`. Default: ``2``.

    Returns:
        list: One ``pytest.param`` for each law and dtype.

    Raises:
        ScanError: The operator takes none of the dtypes.

    Example:
        >>> import monoscan as ms, pytest
        >>> from monoscan.testing import law_cases
        >>> @pytest.mark.parametrize("law", law_cases(ms.Affine()))
        ... def test_laws(law):
        ...     law()
    """
    import pytest

    _expect(monoid, elements, dtypes, examples, size, seed)
    found: list[LawCase] = []
    refused: list[errors.ScanError] = []
    for dtype in dtypes if elements is None else ("given",):
        try:
            case = _case(monoid, elements, dtype, size, seed, examples)
        except errors.ScanError as error:
            refused.append(error)
        else:
            found += [LawCase(law, case) for law in dict.fromkeys(law for _, law in case.claims)]
    if not found and refused:
        raise refused[0]
    return [pytest.param(case, id=str(case)) for case in found]


def _expect(monoid: Any, elements: Any, dtypes: Any, examples: Any, size: Any, seed: Any) -> None:
    """Refuses what is no operator, no strategy, no dtypes, or no number of examples."""
    if not isinstance(monoid, Semigroup):
        raise errors.ScanTypeError(not_an_operator("laws", monoid))
    if elements is not None and not isinstance(elements, SearchStrategy):
        raise errors.ScanTypeError(
            f"[laws] elements must be a Hypothesis strategy that draws one element at a time, without a scan axis; got "
            f"{tree.describe(elements)}. hypothesis.strategies.sampled_from makes one of a list of elements."
        )
    if not isinstance(dtypes, (tuple, list)) or not dtypes:
        raise errors.ScanTypeError(f"[laws] dtypes must be some names, as ('float32', 'int32'); got {dtypes!r:.60}.")
    for dtype in dtypes:
        expect_drawn(dtype)
    for what, number in (("examples", examples), ("size", size)):
        if type(number) is not int or number < 1:
            raise errors.ScanError(f"[laws] {what} must be a positive number; got {number!r:.60}.")
    if type(seed) is not int:
        raise errors.ScanTypeError(f"[laws] seed must be an int; got {seed!r:.60}.")


def _case(
    monoid: Semigroup,
    elements: Elements | None,
    dtype: str,
    size: int,
    seed: int,
    examples: int,
    target: str | None = None,
) -> _Case:
    letters = embedded(monoid, Kind(dtype, size)) if elements is None else elements
    example = simplest(letters)
    letters = letters.map(partial(_like, monoid, tree.flatten(example)[1]))
    name = dtype if elements is None else _main_dtype(example)
    subject = subject_of(monoid, name, example)
    _ = subject.traced  # raises here where combine cannot take this dtype, or where the identity is none of it
    if monoid.has_identity:
        _ = subject.neutral
    drawn = draw(_words(subject, letters), seed, examples)
    if elements is not None:
        return _Case(subject, drawn, GIVEN, None)
    return _Case(subject, drawn, EMBEDDED, _command(target or named.text(monoid), dtype, size, seed, examples))


def _main_dtype(example: Element) -> str:
    """The dtype that messages name elements by: flags say least."""
    names = [dtype_names.name_of(leaf.dtype) for leaf in tree.flatten(example)[0]]
    return min(names, key=lambda name: (name == "bool", name not in dtype_names.FLOATS))


def _command(target: str | None, dtype: str, size: int, seed: int, examples: int) -> str | None:
    """The command that draws the same examples."""
    if target is None:
        return None
    options = [("--dtype", dtype, DTYPES[0]), ("--size", size, SIZE), ("--examples", examples, EXAMPLES)]
    given = [f"{name} {value}" for name, value, default in options if value != default]
    return " ".join(["monoscan laws", shlex.quote(target), f"--seed {seed}", *given])


def _like(monoid: Semigroup, structure: tree.Structure, element: Element) -> Element:
    """The element, if it has the tree of the others (a dict's keys have an order)."""
    if tree.flatten(element)[1] != structure:
        raise errors.TreeError(
            f"[laws] elements of {monoid.name} must form one tree; got {tree.describe(element)} as well."
        )
    return element


def _words(subject: Subject, letters: Elements) -> Words:
    """Fewer letters where an element has many lanes: exact numbers grow with each product."""
    lanes = len(subject.lane_names)
    return words(letters, 0 if subject.has_identity else 1, 3 if lanes <= 5 else 2 if lanes <= 9 else 1)


def _check(case: _Case, claims: Sequence[tuple[Model, Law]], progress: Callable[[str], None]) -> list[Row]:
    rows = []
    for model, law in claims:
        progress(f"{law.name} of {case.subject.dtype}, {model.level}")
        rows.append(_check_law(case, model, law))
    return rows


def _check_law(case: _Case, model: Model, law: Law) -> Row:
    outcome = examine(model, law, case.examples)
    if outcome.failure is not None:
        raise LawError(describe(outcome.failure, case.subject.dtype, case.origin, case.reproduce))
    return Row(law.name, case.subject.dtype, model.level, outcome.checked, outcome.skipped, verdict(outcome))


def _facts_to_declare(case: _Case) -> list[str]:
    """True facts that are not declared, as far as examples can tell that are not all alike."""
    model, found = carriers(case.subject)[0], []
    different = len({example[0] for example in case.examples.drawn})
    for fact, law in undeclared(case.subject.facts).items():
        outcome = examine(model, law, case.examples, shrink=False)
        if outcome.failure is None and min(outcome.checked, different) >= _ENOUGH:
            found.append(
                f"{law.statement} held on every example of {case.subject.dtype}; declare {fact}=True if it is true."
            )
    return found
