"""`check_laws` and `law_cases`: whether an operator is what it says it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs

from monoscan import errors
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.testing.arithmetic.levels import carriers
from monoscan.testing.laws.aggregators import check_steps, prepared
from monoscan.testing.laws.drawn import DTYPES, EXAMPLES, SIZE, Case, Draws
from monoscan.testing.laws.law import Law
from monoscan.testing.laws.report import LawError, Report, Row, describe, verdict
from monoscan.testing.laws.sets import undeclared
from monoscan.testing.search.counterexamples import Model, examine
from monoscan.testing.search.elements import Elements

_ENOUGH = 15


def _silent(what: str) -> None:
    """Says nothing."""


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
    cases, refused = Draws(elements, dtypes, examples, seed, size, target).cases(monoid, progress)
    rows = [row for case in cases for row in _check(case, case.claims, progress)]
    hints = [f"{dtype} is left out: {error}" for dtype, error in refused.items()]
    return Report(monoid.name, tuple(rows), (*hints, *_facts_to_declare(cases[0])))


@attrs.frozen
class LawCase:
    """One law of an operator on one dtype; calling it checks it."""

    law: Law
    case: Case

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

    cases, _ = Draws(elements, dtypes, examples, seed, size).cases(monoid)
    found = [LawCase(law, case) for case in cases for law in dict.fromkeys(law for _, law in case.claims)]
    return [pytest.param(case, id=str(case)) for case in found]


def _check(case: Case, claims: Sequence[tuple[Model, Law]], progress: Callable[[str], None]) -> list[Row]:
    rows = []
    for model, law in claims:
        progress(f"{law.name} of {case.subject.dtype}, {model.level}")
        rows.append(_check_law(case, model, law))
    return rows


def _check_law(case: Case, model: Model, law: Law) -> Row:
    outcome = examine(model, law, case.examples)
    if outcome.failure is not None:
        raise LawError(describe(outcome.failure, case.subject.dtype, case.origin, case.reproduce))
    return Row(law.name, case.subject.dtype, model.level, outcome.checked, outcome.skipped, verdict(outcome))


def _facts_to_declare(case: Case) -> list[str]:
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
