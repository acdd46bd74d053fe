"""Looks for counterexamples to laws: draws examples once, checks them all, then shrinks the first failure.

Drawing costs more than checking, so the levels share their examples, and machine levels
check all of them at once. Hypothesis runs again only to make a counterexample small.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from monoscan.monoids.base import Element
from monoscan.testing.arithmetic.carrier import Difference, Word
from monoscan.testing.arithmetic.exact import OffDomain, TooLong
from monoscan.testing.arithmetic.machine_levels import MACHINE
from monoscan.testing.arithmetic.subject import Lanes, lanes_of
from monoscan.testing.laws.law import Law

ARITY = 4
"""How many words an example has: as many as the law of most elements takes."""

Model = Any
"""What laws are checked in: a carrier, or an action or a homomorphism made of carriers."""

MAX_SECONDS = 10.0
"""How long one law may be checked on one level, and how long a counterexample may be made smaller."""

Words = SearchStrategy[tuple[Element, ...]]
_QUIET = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


@attrs.frozen
class Examples:
    """Drawn examples, and how they were drawn."""

    words: Words
    seed: int
    drawn: tuple[tuple[Word, ...], ...]


@attrs.frozen
class Failure:
    """A law, the elements that break it, and its two sides."""

    law: Law
    model: Model
    elements: tuple[Lanes, ...]
    left: Lanes
    right: Lanes
    difference: Difference


@attrs.frozen
class Outcome:
    """What came of one law.

    Args:
        law: The law.
        checked: How many examples were checked.
        skipped: How many were off the domain, or have no finite bound.
        long: How many were left out, since exact numbers grew too long.
        unseen: How many were left when time was up.
        failure: The counterexample, if any.
    """

    law: Law
    checked: int
    skipped: int
    long: int = 0
    unseen: int = 0
    failure: Failure | None = None


class _Found(Exception):
    """Carries a failure out of Hypothesis."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def draw(words: Words, seed: int, examples: int) -> Examples:
    """Draws examples: the same ones for the same seed.

    Hypothesis draws a quarter of them; the rest recombine what it drew, which costs little
    and makes up for its liking for near-duplicates.
    """
    drawn: list[tuple[Word, ...]] = []

    def example(given_words: tuple[tuple[Element, ...], ...]) -> None:
        drawn.append(_spelled(given_words))

    run = settings(_QUIET, max_examples=max(1, examples // 4), phases=[Phase.generate])
    seeded(seed)(run(given(st.tuples(*[words] * ARITY))(example)))()
    return Examples(words, seed, (*drawn, *_recombined(drawn, seed, examples - len(drawn))))


def _recombined(drawn: list[tuple[Word, ...]], seed: int, number: int) -> list[tuple[Word, ...]]:
    every = [word for example in drawn for word in example]
    letters = list(dict.fromkeys(letter for word in every for letter in word))
    lengths = [len(word) for word in every if word] or [0]
    rng = random.Random(seed)

    def word() -> Word:
        return tuple(rng.choice(letters) for _ in range(rng.choice(lengths)))

    return [tuple(word() for _ in range(ARITY)) for _ in range(number)]


def _spelled(given_words: tuple[tuple[Element, ...], ...]) -> tuple[Word, ...]:
    return tuple(tuple(map(lanes_of, word)) for word in given_words)


def examine(model: Model, law: Law, examples: Examples, *, shrink: bool = True) -> Outcome:
    """Checks a law on examples.

    Args:
        model: What the law is checked in.
        law: The law.
        examples: The examples.
        shrink: Whether to make a counterexample as small as possible.
    """
    drawn = examples.drawn[: 1 if law.arity == 0 else None]
    with model.context():
        worst, long = (_all_at_once(model, law, drawn), 0) if model.level in MACHINE else _one_by_one(model, law, drawn)
        skipped = int(np.isnan(worst).sum()) - long
        broken = np.flatnonzero(worst > 1)
        failure = _failure(model, law, drawn[int(broken[0])]) if broken.size else None
    if failure is not None and shrink and law.arity:
        found = _smaller(model, law, examples)
        failure = found or _shorter(model, law, drawn[int(broken[0])], failure)
    unseen = len(drawn) - len(worst)
    return Outcome(law, len(worst) - skipped - long, skipped, long, unseen, failure)


def draw_once(strategy: SearchStrategy[Any], seed: int) -> Any:
    """One value, not the simplest."""
    return _first(strategy, seed, 3)[-1]


def simplest(strategy: SearchStrategy[Any]) -> Any:
    """The simplest value that a strategy draws."""
    return _first(strategy, 0, 1)[0]  # Hypothesis tries the simplest first


def _first(strategy: SearchStrategy[Any], seed: int, number: int) -> list[Any]:
    drawn: list[Any] = []

    def keep(value: Any) -> None:
        drawn.append(value)

    run = settings(_QUIET, max_examples=number, phases=[Phase.generate])
    seeded(seed)(run(given(strategy)(keep)))()
    return drawn


def _all_at_once(model: Model, law: Law, drawn: Sequence[tuple[Word, ...]]) -> Any:
    """The worst lane of every example, NaN where one has no value; the elements are arrays."""
    elements = [model.batch([example[i] for example in drawn]) for i in range(law.arity)]
    lanes = np.broadcast_arrays(np.zeros(len(drawn)), *model.ratios(*law.sides(model, *elements)))
    return np.max(np.stack(lanes), axis=0)


def _one_by_one(model: Model, law: Law, drawn: Sequence[tuple[Word, ...]]) -> tuple[Any, int]:
    """The worst lane of every example until time is up, NaN where one has no value, and how many grew too long."""
    worst, long, end = [], 0, time.monotonic() + MAX_SECONDS
    for example in drawn:
        worst.append(np.nan)
        try:
            with contextlib.suppress(OffDomain):
                worst[-1] = _sides(model, law, example).difference.ratio
        except TooLong:
            long += 1
        if time.monotonic() > end:
            break
    return np.array(worst), long


def _sides(model: Model, law: Law, example: tuple[Word, ...]) -> Failure:
    elements = tuple(model.element(word) for word in example[: law.arity])
    left, right = law.sides(model, *elements)
    return Failure(law, model, elements, left, right, model.difference(left, right, *elements))


def _failure(model: Model, law: Law, example: tuple[Word, ...]) -> Failure | None:
    with contextlib.suppress(OffDomain, TooLong):
        sides = _sides(model, law, example)
        return sides if sides.difference.leaves else None
    return None


def _smaller(model: Model, law: Law, examples: Examples) -> Failure | None:
    """The smallest failure that Hypothesis finds in time, if it finds one."""
    end = time.monotonic() + MAX_SECONDS

    known: list[Failure] = []

    def attempt(given_words: tuple[tuple[Element, ...], ...]) -> None:
        late = time.monotonic() > end
        if late and known:
            raise _Found(known[-1])  # whatever is tried fails, so that Hypothesis is soon done
        spelled = _spelled(given_words)
        with model.context():
            for k in range(0 if late else ARITY):
                failure = _failure(model, law, spelled[k:] + spelled[:k])
                if failure is not None:
                    known.append(failure)
                    raise _Found(failure)

    run = settings(_QUIET, max_examples=len(examples.drawn), phases=[Phase.generate, Phase.shrink])
    try:
        seeded(examples.seed)(run(given(st.tuples(*[examples.words] * ARITY))(attempt)))()
    except _Found as found:
        return found.failure
    return None


def _shorter(model: Model, law: Law, example: tuple[Word, ...], failure: Failure) -> Failure:
    """The failure with as few letters as still fail, for what Hypothesis does not find again."""
    for i, word in enumerate(example):
        for k in range(len(word)) if len(word) > 1 else ():
            candidate = (*example[:i], word[:k] + word[k + 1 :], *example[i + 1 :])
            with model.context():
                smaller = _failure(model, law, candidate)
            if smaller is not None:
                return _shorter(model, law, candidate, smaller)
    return failure
