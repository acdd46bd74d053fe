"""Levels of checking: one operator in one arithmetic, and when two of its elements are equal.

- *exact arithmetic*: extended rationals, wrapping integers, bool; equal means ``==``.
- *60 digits*: programs with exponentials and logarithms; equal to 50 digits.
- *rounding*: the machine's own arithmetic; equal within the sum of both running bounds.
- *bitwise*: the machine's own arithmetic of operators that claim to be exact; NaN equals NaN.
- *unbounded*: what cannot be traced, by MLX in float64; equal to 6 digits.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, ClassVar

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes, tree
from monoscan.lowering.interpret import ARRAYS, Arithmetic, evaluate
from monoscan.lowering.ir import Program
from monoscan.testing import exact, highprecision
from monoscan.testing.bounded import Bounded, bounded, wide
from monoscan.testing.bounds import BOUNDED
from monoscan.testing.exact import UNDEFINED, OffDomain
from monoscan.testing.machine import numpy_dtype
from monoscan.testing.subject import Lanes, Subject
from monoscan.testing.values import array_of

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
        return self._run(self.subject.program, [*left, *right, *self._captured()])

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

    def _captured(self) -> Lanes:
        return tuple(self.lift(value, dtype) for value, dtype in self.subject.captured)

    def _run(self, program: Program, lanes: Sequence[Any]) -> Lanes:
        return tuple(evaluate(program, lanes, self.table))


@attrs.frozen(eq=False)
class ExactCarrier(Carrier):
    """Extended rationals and wrapping integers."""

    level: ClassVar[str] = "exact"
    table: ClassVar[Arithmetic[Any]] = exact.EXACT

    def lift(self, value: Any, dtype: str) -> Any:
        return exact.lift(value, dtype)

    def distance(self, left: Any, right: Any, dtype: str, scale: Any) -> float:
        if left is UNDEFINED or right is UNDEFINED:
            raise OffDomain("undefined")
        return 0.0 if left == right else math.inf


@attrs.frozen(eq=False)
class DecimalCarrier(ExactCarrier):
    """Sixty digits."""

    level: ClassVar[str] = "60 digits"
    table: ClassVar[Arithmetic[Any]] = highprecision.DECIMAL

    def lift(self, value: Any, dtype: str) -> Any:
        return exact.lift(value, dtype, highprecision.to_decimal)

    def scale(self, *elements: Lanes) -> Any:
        return max((abs(lane) for lanes in elements for lane in lanes if _is_finite(lane)), default=0)

    def distance(self, left: Any, right: Any, dtype: str, scale: Any) -> float:
        if dtype not in dtypes.FLOATS or not (_is_finite(left) and _is_finite(right)):
            return super().distance(left, right, dtype, scale)
        return 0.0 if abs(left - right) <= highprecision.TOLERANCE * scale else math.inf

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:  # type: ignore[override]
        with highprecision.precision(), mx.stream(mx.cpu):
            yield


def _is_finite(lane: Any) -> bool:
    return lane is not UNDEFINED and not exact.is_infinite(lane)


@attrs.frozen(eq=False)
class MachineCarrier(Carrier):
    """The machine's own arithmetic; a lane may be an array of many examples."""

    @abstractmethod
    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        """How far each lane differs, as NumPy arrays; NaN where a lane has no value."""

    @abstractmethod
    def choose(self, condition: list[bool], yes: Lanes, no: Lanes) -> Lanes:
        """The one element or the other, example by example."""

    def batch(self, words: Sequence[Word]) -> Lanes:
        """The elements that many words spell, as one element of arrays."""
        lengths = [len(word) for word in words]
        filler = self.subject.neutral if self.subject.has_identity else words[0][0]
        total = self._stacked([word[0] if word else filler for word in words])
        for k in range(1, max(map(len, words))):
            grown = self.combine(total, self._stacked([word[k] if len(word) > k else filler for word in words]))
            total = self.choose([length > k for length in lengths], grown, total)
        return total

    def _stacked(self, letters: list[Lanes]) -> Lanes:
        return tuple(
            self.lift([letter[i] for letter in letters], dtype) for i, dtype in enumerate(self.subject.lane_dtypes)
        )

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        ratios = [float(ratio) for ratio in self.ratios(left, right)]
        if any(ratio != ratio for ratio in ratios):
            raise OffDomain("NaN")
        names = dict.fromkeys(n for n, ratio in zip(self.subject.lane_names, ratios, strict=True) if ratio > 1)
        return Difference(tuple(names), max(ratios, default=0.0))

    def distance(self, left: Any, right: Any, dtype: str, scale: Any) -> float:
        raise NotImplementedError


@attrs.frozen(eq=False)
class BoundedCarrier(MachineCarrier):
    """The machine's arithmetic, with running error bounds."""

    level: ClassVar[str] = "rounding"
    table: ClassVar[Arithmetic[Any]] = BOUNDED

    def lift(self, value: Any, dtype: str) -> Bounded:
        return bounded(np.array(value, numpy_dtype(dtype)))

    def choose(self, condition: list[bool], yes: Lanes, no: Lanes) -> Lanes:
        return tuple(
            Bounded(np.where(condition, x.value, y.value), np.where(condition, x.error, y.error))
            for x, y in zip(yes, no, strict=True)
        )

    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        return [_ratio(x, y) for x, y in zip(left, right, strict=True)]

    def machine(self, element: Lanes) -> Lanes:
        return tuple(lane.value.item() for lane in element)

    def context(self) -> contextlib.AbstractContextManager[Any]:
        return np.errstate(all="ignore")


def _ratio(left: Bounded, right: Bounded) -> Any:
    x, y = left.value, right.value
    bound = left.error + right.error
    ratio = np.where(np.isinf(bound), 0.0, np.where(bound > 0, np.abs(wide(x) - wide(y)) / bound, np.inf))
    return np.where((x != x) | (y != y), np.nan, np.where(x == y, 0.0, ratio))


@attrs.frozen(eq=False)
class BitwiseCarrier(MachineCarrier):
    """The machine's arithmetic, to the last bit but for the sign of zero and the kind of NaN."""

    level: ClassVar[str] = "bitwise"
    table: ClassVar[Arithmetic[Any]] = ARRAYS

    def lift(self, value: Any, dtype: str) -> mx.array:
        return array_of(value, dtype)

    def choose(self, condition: list[bool], yes: Lanes, no: Lanes) -> Lanes:
        chosen = mx.array(condition)
        return tuple(mx.where(chosen, x, y) for x, y in zip(yes, no, strict=True))

    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        mx.eval([*left, *right])
        pairs = [(np.array(x), np.array(y)) for x, y in zip(left, right, strict=True)]
        return [np.where((x == y) | ((x != x) & (y != y)), 0.0, np.inf) for x, y in pairs]

    def machine(self, element: Lanes) -> Lanes:
        return tuple(lane.item() for lane in element)


@attrs.frozen(eq=False)
class UnboundedCarrier(Carrier):
    """MLX in float64, for what cannot be traced; a lane is a whole leaf here."""

    level: ClassVar[str] = "unbounded"
    table: ClassVar[Arithmetic[Any]] = {}

    def lift(self, value: Any, dtype: str) -> mx.array:
        return array_of(value, "float64" if dtype in dtypes.FLOATS else dtype)

    def _lifted(self, letter: Lanes) -> Lanes:
        rest = iter(super()._lifted(letter))
        return tuple(
            mx.stack([next(rest) for _ in range(leaf.lanes)]).reshape(leaf.shape) for leaf in self.subject.leaves
        )

    def combine(self, left: Lanes, right: Lanes) -> Lanes:
        structure = self.subject.structure
        result = self.subject.operator.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
        return tuple(tree.flatten(result)[0])

    def inverse(self, element: Lanes) -> Lanes:
        raise OffDomain("no inverse that traces")

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        pairs = zip(self.subject.names, left, right, strict=True)
        wrong = [name for name, x, y in pairs if not np.allclose(_numpy(x), _numpy(y), 1e-6, 1e-6, equal_nan=True)]
        return Difference(tuple(wrong), math.inf if wrong else 0.0)

    def distance(self, left: Any, right: Any, dtype: str, scale: Any) -> float:
        raise NotImplementedError

    def machine(self, element: Lanes) -> Lanes:
        return tuple(value for leaf in element for value in leaf.reshape(-1).tolist())


def _numpy(array: mx.array) -> Any:
    return np.array(array.tolist())


MACHINE = frozenset({BoundedCarrier.level, BitwiseCarrier.level})
"""The levels whose lanes may be arrays of many examples."""


def carriers(subject: Subject) -> tuple[Carrier, ...]:
    """The levels that a subject is checked at, the exact one first."""
    if subject.traced.program is None:
        return (UnboundedCarrier(subject),)
    model = ExactCarrier if exact.is_rational(subject.program) else DecimalCarrier
    facts = subject.operator.facts(tuple(leaf.dtype for leaf in subject.leaves))
    machine = BitwiseCarrier if facts.associativity == "exact" else BoundedCarrier
    return model(subject), machine(subject)
