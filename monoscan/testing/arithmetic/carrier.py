"""An operator in one arithmetic: what every level of checking has."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import attrs
import mlx.core as mx

from monoscan.lowering.program.interpret import Arithmetic, evaluate
from monoscan.lowering.program.ir import Program
from monoscan.testing.arithmetic.exact import OffDomain
from monoscan.testing.arithmetic.subject import Lanes, Subject

Word = tuple[Lanes, ...]
"""Embedded elements that are combined, from left to right; none stands for the identity."""


@attrs.frozen
class Difference:
    """How far two elements differ: the leaves where it is too far, and the worst lane; 1 is the limit."""

    leaves: tuple[str, ...]
    ratio: float


@attrs.frozen(eq=False)
class Carrier(ABC):
    """An operator in one arithmetic."""

    subject: Subject

    level: ClassVar[str]
    table: ClassVar[Arithmetic[Any]]

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.subject.operator.name

    def show(self, element: Lanes) -> str:
        """An element in one line."""
        return self.subject.show(self.machine(element))

    @abstractmethod
    def lift(self, value: Any, dtype: str) -> Any:
        """The lane of a machine value."""

    @abstractmethod
    def distance(self, left: Any, right: Any, dtype: str, scale: Any) -> float:
        """How far two lanes differ, where more than 1 is too far.

        Raises:
            OffDomain: One of them has no value.
        """

    def scale(self, *elements: Lanes) -> Any:
        """What distances are relative to."""
        return None

    def element(self, word: Word) -> Lanes:
        """The element that a word of embedded elements spells."""
        if not word:
            return self.identity()
        return reduce(self.combine, [self._lifted(letter) for letter in word])

    def identity(self) -> Lanes:
        """The operator's identity."""
        return self._lifted(self.subject.neutral)

    def combine(self, left: Lanes, right: Lanes) -> Lanes:
        """The product of two elements."""
        return self._run(self.subject.program, [*left, *right, *self.captured()])

    def inverse(self, element: Lanes) -> Lanes:
        """The inverse of an element.

        Raises:
            OffDomain: The operator has no inverse that traces.
        """
        if self.subject.inverse is None:
            raise OffDomain("no inverse")
        return self._run(self.subject.inverse, element)

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        """How far two elements differ, on the scale of these and others.

        Raises:
            OffDomain: A lane has no value.
        """
        scale = self.scale(left, right, *others)
        far = [
            self.distance(x, y, dtype, scale) for x, y, dtype in zip(left, right, self.subject.lane_dtypes, strict=True)
        ]
        worst = max(far, default=0.0)
        names = dict.fromkeys(name for name, value in zip(self.subject.lane_names, far, strict=True) if value > 1)
        return Difference(tuple(names), worst)

    def machine(self, element: Lanes) -> Lanes:
        """The lanes as numbers to print."""
        return element

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """What everything runs inside of."""
        return mx.stream(mx.cpu)

    def _lifted(self, letter: Lanes) -> Lanes:
        return tuple(self.lift(value, dtype) for value, dtype in zip(letter, self.subject.lane_dtypes, strict=True))

    def captured(self) -> Lanes:
        """The lanes of the arrays that the operator captures."""
        return tuple(self.lift(value, dtype) for value, dtype in self.subject.captured)

    def _run(self, program: Program, lanes: Sequence[Any]) -> Lanes:
        return tuple(evaluate(program, lanes, self.table))
