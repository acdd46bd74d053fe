"""The law of a homomorphism: that one operator is the image of another.

It is the way to test an operator against a model of it: log-add-exp against the sum of the
exponentials, a finite map against running the automaton.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.interpret import evaluate
from monoscan.lowering.program.ir import Program
from monoscan.lowering.trace.combine import trace_function
from monoscan.monoids.base import Element, Semigroup
from monoscan.testing.arithmetic.carrier import Carrier, Difference, Word
from monoscan.testing.arithmetic.exact import is_rational
from monoscan.testing.arithmetic.levels import DecimalCarrier, ExactCarrier
from monoscan.testing.arithmetic.machine_levels import BoundedCarrier
from monoscan.testing.arithmetic.subject import Lanes, Subject, subject_of
from monoscan.testing.laws.law import Law
from monoscan.testing.laws.report import EMBEDDED, GIVEN, LawError, describe, verdict
from monoscan.testing.search.counterexamples import draw, examine, simplest
from monoscan.testing.search.elements import Elements, Kind, embedded, words

HOMOMORPHISM = Law(
    "homomorphism",
    "map(combine(a, b)) == combine(map(a), map(b))",
    2,
    lambda m, a, b: (m.map(m.source.combine(a, b)), m.target.combine(m.map(a), m.map(b))),
)


@attrs.frozen(eq=False)
class Morphism:
    """Two operators and a map between them, in one arithmetic."""

    source: Carrier
    target: Carrier
    program: Program

    @property
    def level(self) -> str:
        """What reports call the arithmetic."""
        return self.source.level

    @property
    def name(self) -> str:
        """Both operators' names."""
        return f"{self.source.name} -> {self.target.name}"

    def map(self, element: Lanes) -> Lanes:
        """The image of an element."""
        return tuple(evaluate(self.program, element, self.source.table))

    def element(self, word: Word) -> Lanes:
        """The element of the source that a word spells."""
        return self.source.element(word)

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        """How far two images differ."""
        return self.target.difference(left, right, *map(self.map, others))

    def batch(self, words: Sequence[Word]) -> Lanes:
        """The elements of the source that many words spell, in one."""
        return self.source.batch(words)  # type: ignore[attr-defined, no-any-return]  # machine levels only

    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        """How far each lane of two images differs."""
        return self.target.ratios(left, right)  # type: ignore[attr-defined, no-any-return]

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """What everything runs inside of."""
        return self.source.context()

    def show(self, element: Lanes) -> str:
        """An element of either operator in one line."""
        of_source = len(element) == len(self.source.subject.lane_names)
        return (self.source if of_source else self.target).show(element)


def check_homomorphism(
    source: Semigroup,
    target: Semigroup,
    mapping: Callable[[Element], Element],
    elements: Elements | None = None,
    *,
    dtype: str = "float32",
    examples: int = 100,
    seed: int = 0,
) -> None:
    """Checks that a map takes products to products: ``map(a . b) == map(a) * map(b)``.

    Args:
        source (Semigroup): The operator whose elements are mapped.
        target (Semigroup): The operator of the images.
        mapping (callable): From an element to its image, in MLX operations.
        elements (SearchStrategy, optional): As for `check_laws`. Default: ``None``.
        dtype (str, optional): What raw numbers are drawn in. Default: ``"float32"``.
        examples (int, optional): How many a level. Default: ``100``.
        seed (int, optional): Decides which. Default: ``0``.

    Raises:
        LawError: It does not; the message has the smallest counterexample.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> from monoscan.testing import check_homomorphism
        >>> check_homomorphism(ms.LogSumExp(), ms.Sum(), mx.exp)
    """
    letters = embedded(source, Kind(dtype)) if elements is None else elements
    drawn = draw(words(letters), seed, examples)
    for model in _morphisms(source, target, mapping, simplest(letters), dtype):
        outcome = examine(model, HOMOMORPHISM, drawn)
        if outcome.failure is not None:
            origin = EMBEDDED if elements is None else GIVEN
            raise LawError(describe(outcome.failure, dtype, origin, None))
        if not outcome.checked:
            raise errors.ScanError(
                f"[laws] {model.name}, {model.level}: {verdict(outcome)}. Pass elements= that it maps."
            )


def _morphisms(
    source: Semigroup, target: Semigroup, mapping: Callable[[Element], Element], example: Element, dtype: str
) -> list[Morphism]:
    subject = subject_of(source, dtype, example)
    image = mapping(_accumulated(subject, example))
    other = subject_of(target, dtype, image)

    def flat(*arrays: mx.array) -> list[mx.array]:
        return tree.flatten(mapping(tree.unflatten(subject.structure, arrays)))[0]

    traced = trace_function(f"the map from {source.name} to {target.name}", flat, subject.leaves)
    if traced.program is None:
        raise errors.TraceError(
            f"[laws] the map from {source.name} to {target.name} is not traceable: {traced.reason}."
        )
    rational = all(is_rational(program) for program in (subject.program, other.program, traced.program))
    kinds = (ExactCarrier if rational else DecimalCarrier, BoundedCarrier)
    return [Morphism(kind(subject), kind(other), traced.program) for kind in kinds]


def _accumulated(subject: Subject, element: Element) -> Element:
    leaves = tree.flatten(element)[0]
    wide = [x.astype(dtypes.by_name(leaf.dtype)) for x, leaf in zip(leaves, subject.leaves, strict=True)]
    return tree.unflatten(subject.structure, wide)
