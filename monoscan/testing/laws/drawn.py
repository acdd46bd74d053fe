"""What laws are checked on: an operator, and examples of its elements."""

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
from monoscan.monoids.base import Element, Semigroup
from monoscan.scan.question import not_an_operator
from monoscan.testing.arithmetic.levels import carriers
from monoscan.testing.arithmetic.machine_levels import MACHINE
from monoscan.testing.arithmetic.subject import Subject, subject_of
from monoscan.testing.laws.actions import action_laws
from monoscan.testing.laws.law import NATIVE, Law
from monoscan.testing.laws.report import EMBEDDED, GIVEN
from monoscan.testing.laws.semidirect import semidirect_laws
from monoscan.testing.laws.sets import claimed_laws
from monoscan.testing.search.counterexamples import Examples, Model, Words, draw, simplest
from monoscan.testing.search.elements import Elements, Kind, embedded, words
from monoscan.testing.search.values import expect_drawn

DTYPES = ("float32", "int32")
SIZE = 2
EXAMPLES = 100


@attrs.frozen
class Case:
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


@attrs.frozen
class Draws:
    """Which examples are drawn, as `check_laws` is asked.

    Args:
        elements: Draws elements; ``None`` for those that ``embed`` makes.
        dtypes: What raw numbers are drawn in.
        examples: How many.
        seed: Decides which.
        size: The length of event axes.
        target: The operator as the reproduce line names it.
    """

    elements: Elements | None
    dtypes: Sequence[str]
    examples: int
    seed: int
    size: int
    target: str | None = None

    def cases(
        self, operator: Any, progress: Callable[[str], None] = lambda what: None
    ) -> tuple[list[Case], dict[str, errors.ScanError]]:
        """The operator with examples of each dtype; and why others are left out.

        Raises:
            ScanError: It takes none of the dtypes, or is none; or nothing can be drawn so.
        """
        self._expect(operator)
        found: list[Case] = []
        refused: dict[str, errors.ScanError] = {}
        for dtype in self.dtypes if self.elements is None else ("given",):
            progress(f"drawing {self.examples} examples of {dtype}")
            try:
                found.append(self._case(operator, dtype))
            except errors.ScanError as error:
                refused[dtype] = error
        if not found:
            raise next(iter(refused.values()))
        return found, refused

    def _expect(self, operator: Any) -> None:
        """Refuses what is no operator, no strategy, no dtypes, or no number of examples."""
        if not isinstance(operator, Semigroup):
            raise errors.ScanTypeError(not_an_operator("laws", operator))
        if self.elements is not None and not isinstance(self.elements, SearchStrategy):
            raise errors.ScanTypeError(
                f"[laws] elements must be a Hypothesis strategy that draws one element at a time, without a scan axis; got "
                f"{tree.describe(self.elements)}. hypothesis.strategies.sampled_from makes one of a list of elements."
            )
        if not isinstance(self.dtypes, (tuple, list)) or not self.dtypes:
            raise errors.ScanTypeError(
                f"[laws] dtypes must be some names, as ('float32', 'int32'); got {self.dtypes!r:.60}."
            )
        for dtype in self.dtypes:
            expect_drawn(dtype)
        for what, number in (("examples", self.examples), ("size", self.size)):
            if type(number) is not int or number < 1:
                raise errors.ScanError(f"[laws] {what} must be a positive number; got {number!r:.60}.")
        if type(self.seed) is not int:
            raise errors.ScanTypeError(f"[laws] seed must be an int; got {self.seed!r:.60}.")

    def _case(self, operator: Semigroup, dtype: str) -> Case:
        letters = embedded(operator, Kind(dtype, self.size)) if self.elements is None else self.elements
        example = simplest(letters)
        letters = letters.map(partial(_like, operator, tree.flatten(example)[1]))
        name = dtype if self.elements is None else _main_dtype(example)
        subject = subject_of(operator, name, example)
        _ = subject.traced  # raises here where combine cannot take this dtype, or where the identity is none of it
        if operator.has_identity:
            _ = subject.neutral
        drawn = draw(_words(subject, letters), self.seed, self.examples)
        if self.elements is not None:
            return Case(subject, drawn, GIVEN, None)
        return Case(subject, drawn, EMBEDDED, self._command(operator, dtype))

    def _command(self, operator: Semigroup, dtype: str) -> str | None:
        """The command that draws the same examples."""
        target = self.target or named.text(operator)
        if target is None:
            return None
        options = [("--dtype", dtype, DTYPES[0]), ("--size", self.size, SIZE), ("--examples", self.examples, EXAMPLES)]
        given = [f"{name} {value}" for name, value, default in options if value != default]
        return " ".join(["monoscan laws", shlex.quote(target), f"--seed {self.seed}", *given])


def _main_dtype(example: Element) -> str:
    """The dtype that messages name elements by: flags say least."""
    names = [dtype_names.name_of(leaf.dtype) for leaf in tree.flatten(example)[0]]
    return min(names, key=lambda name: (name == "bool", name not in dtype_names.FLOATS))


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
