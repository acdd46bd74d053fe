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
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes, tree
from monoscan.lowering.program.interpret import Arithmetic
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.targets.pairs import from_pairs
from monoscan.testing.arithmetic import exact
from monoscan.testing.arithmetic import high_precision as highprecision
from monoscan.testing.arithmetic.carrier import Carrier, Difference
from monoscan.testing.arithmetic.exact import UNDEFINED, OffDomain
from monoscan.testing.arithmetic.machine_levels import BitwiseCarrier, BoundedCarrier
from monoscan.testing.arithmetic.subject import Lanes, Subject, lanes_of
from monoscan.testing.search.values import array_of


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
    def context(self) -> Iterator[None]:
        with highprecision.precision(), mx.stream(mx.cpu):
            yield


def _is_finite(lane: Any) -> bool:
    return lane is not UNDEFINED and not exact.is_infinite(lane)


@attrs.frozen(eq=False)
class UnboundedCarrier(Carrier):
    """MLX in float64, for what cannot be traced; a lane is a whole leaf here."""

    level: ClassVar[str] = "unbounded"
    table: ClassVar[Arithmetic[Any]] = {}

    def lift(self, value: Any, dtype: str) -> mx.array:
        return array_of(value, "float64" if dtype in dtypes.FLOATS else dtype)

    def _lifted(self, letter: Lanes) -> Lanes:
        rest = iter(super()._lifted(letter))
        subject = self.subject
        arrays = [mx.stack([next(rest) for _ in range(leaf.lanes)]).reshape(leaf.shape) for leaf in subject.held]
        return tuple(_joined(x, leaf) for x, leaf in zip(arrays, subject.leaves, strict=True))

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
        raise AssertionError("difference() does not measure lane by lane here")

    def machine(self, element: Lanes) -> Lanes:
        return lanes_of(element)


def _joined(x: mx.array, leaf: Leaf) -> mx.array:
    """A leaf of its lanes, complex numbers of their parts."""
    return from_pairs(x.astype(mx.float32), leaf.dtype) if leaf.dtype in dtypes.COMPLEX else x


def _numpy(array: mx.array) -> Any:
    return np.array(array.tolist())


def carriers(subject: Subject) -> tuple[Carrier, ...]:
    """The levels that a subject is checked at, the exact one first."""
    exactly = subject.facts.associativity == "exact"
    return tuple(level(subject) for level in levels([subject.traced.program], exactly))


def levels(programs: Sequence[Program | None], exactly: bool) -> tuple[type[Carrier], ...]:
    """The levels that laws about some programs are checked at, the exact one first.

    Args:
        programs: The programs; ``None`` for one that could not be traced.
        exactly: Whether the machine's arithmetic is to be exact.
    """
    traced = [program for program in programs if program is not None]
    if len(traced) < len(programs):
        return (UnboundedCarrier,)
    model = ExactCarrier if all(map(exact.is_rational, traced)) else DecimalCarrier
    return model, BitwiseCarrier if exactly else BoundedCarrier
