"""The levels in the machine's own arithmetic, where a lane may be an array of many examples."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import attrs
import mlx.core as mx
import numpy as np

from monoscan.lowering.program.interpret import ARRAYS, Arithmetic
from monoscan.testing.arithmetic.bounded import Bounded, bounded, wide
from monoscan.testing.arithmetic.bounds import BOUNDED
from monoscan.testing.arithmetic.carrier import Carrier, Difference, Word
from monoscan.testing.arithmetic.exact import OffDomain
from monoscan.testing.arithmetic.machine import numpy_dtype
from monoscan.testing.arithmetic.subject import Lanes
from monoscan.testing.search.values import array_of


@attrs.frozen(eq=False)
class MachineCarrier(Carrier):
    """The machine's own arithmetic; a lane may be an array of many examples."""

    @abstractmethod
    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        """How far each lane differs, as NumPy arrays; NaN where a lane has no value."""

    @abstractmethod
    def choose(self, condition: list[bool], yes: Lanes, no: Lanes) -> Lanes:
        """The one element or the other, example by example."""

    @abstractmethod
    def native(self, *elements: Lanes) -> Lanes:
        """The last result of the scan of MLX that facts name; its error may be that of the fold."""

    def _scanned(self, stacked: mx.array) -> mx.array:
        name = self.subject.facts.native
        with mx.stream(mx.cpu):
            last: mx.array = getattr(mx, str(name))(stacked, axis=0)[-1]
            return last

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
        raise AssertionError("difference() does not measure lane by lane here")


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
        ratios = [_ratio(x, y) for x, y in zip(left, right, strict=True)]
        says = np.any(np.stack(np.broadcast_arrays(*(_says(x, y) for x, y in zip(left, right, strict=True)))), axis=0)
        return [np.where(says, ratio, np.nan) for ratio in ratios]

    def native(self, *elements: Lanes) -> Lanes:
        values = np.stack(np.broadcast_arrays(*(element[0].value for element in elements)))
        found = np.array(self._scanned(array_of(values, self.subject.lane_dtypes[0])))
        return (Bounded(found, reduce(self.combine, elements)[0].error),)

    def machine(self, element: Lanes) -> Lanes:
        return tuple(lane.value.item() for lane in element)

    def context(self) -> contextlib.AbstractContextManager[Any]:
        return np.errstate(all="ignore")


def _says(left: Bounded, right: Bounded) -> Any:
    """Where a lane says anything: an infinite bound allows everything."""
    return np.isfinite(left.error + right.error) | (left.value == right.value)


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

    def native(self, *elements: Lanes) -> Lanes:
        return (self._scanned(mx.stack(list(mx.broadcast_arrays(*(element[0] for element in elements))))),)

    def machine(self, element: Lanes) -> Lanes:
        return tuple(lane.item() for lane in element)


MACHINE = frozenset({BoundedCarrier.level, BitwiseCarrier.level})
"""The levels whose lanes may be arrays of many examples."""
