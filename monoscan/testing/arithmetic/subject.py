"""An operator on elements of one type, with everything that the levels of checking share."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.combine import Traced, trace_combine, trace_function
from monoscan.lowering.trace.complex_builder import held
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Element, Semigroup, inverse_of
from monoscan.monoids.facts import Facts
from monoscan.testing.laws.labels import labels

_LONG = 24

Lanes = tuple[Any, ...]
"""An element as the values of its lanes, in one arithmetic."""


@attrs.frozen(eq=False)
class Subject:
    """An operator, the type of its elements, and its traced programs.

    Args:
        operator: The operator.
        dtype: What the elements were drawn in, for messages.
        structure: The tree of an element.
        leaves: The dtype of accumulation and the event shape of each leaf.
        captures: The operator with the arrays that it captures.
    """

    operator: Semigroup
    dtype: str
    structure: tree.Structure
    leaves: tuple[Leaf, ...]
    captures: Captures

    @cached_property
    def traced(self) -> Traced:
        """The program of ``combine``, or why there is none."""
        return trace_combine(self.operator, self.structure, self.leaves, self.captures, "laws")

    @property
    def program(self) -> Program:
        """The program of ``combine``.

        Raises:
            TraceError: It is not traceable.
        """
        if self.traced.program is None:
            raise errors.TraceError(f"[laws] {self.operator.name} is not traceable: {self.traced.reason}.")
        return self.traced.program

    @cached_property
    def inverse(self) -> Program | None:
        """The program of the inverse, if the operator has one that traces."""

        def function(*arrays: mx.array) -> list[mx.array]:
            return tree.flatten(inverse_of(self.operator, tree.unflatten(self.structure, arrays)))[0]

        return trace_function(f"{self.operator.name}.inverse", function, self.leaves).program

    @cached_property
    def facts(self) -> Facts:
        """What the operator says of itself on such elements."""
        return self.operator.facts(tuple(leaf.dtype for leaf in self.leaves))

    @cached_property
    def runs_native(self) -> bool:
        """Whether a declared scan of MLX may run in its place."""
        scalar = len(self.held) == 1 and not self.held[0].shape
        return self.facts.native is not None and scalar and self.traced.program is not None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What messages call the leaves."""
        return tuple(self._labels())

    def _labels(self) -> list[str]:
        return labels(self.operator, self.structure)

    @property
    def title(self) -> str:
        """What an element is shown as."""
        return self.operator.name

    @cached_property
    def held(self) -> tuple[Leaf, ...]:
        """The leaves as programs hold them: complex numbers as their parts."""
        return tuple(map(held, self.leaves))

    @cached_property
    def lane_names(self) -> tuple[str, ...]:
        """The leaf that each lane belongs to."""
        return tuple(name for name, leaf in zip(self.names, self.held, strict=True) for _ in range(leaf.lanes))

    @cached_property
    def lane_dtypes(self) -> tuple[str, ...]:
        """The dtype of each lane."""
        return tuple(leaf.dtype for leaf in self.held for _ in range(leaf.lanes))

    @property
    def has_identity(self) -> bool:
        """Whether the operator has an identity."""
        return self.operator.has_identity

    @cached_property
    def neutral(self) -> Lanes:
        """The identity, as machine values."""
        like = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in self.leaves]
        identity = self.operator.identity(tree.unflatten(self.structure, like))  # type: ignore[attr-defined]
        return lanes_of(identity)

    @cached_property
    def captured(self) -> tuple[tuple[Any, str], ...]:
        """The captured values, lane by lane, each with its dtype."""
        return tuple((v, dtypes.lane(dtypes.name_of(a.dtype))) for a in self.captures.arrays for v in _flat(a))

    def show(self, lanes: Lanes) -> str:
        """An element in one line, with its leaves by name."""
        rest = iter(lanes)
        parts = []
        for name, leaf in zip(self.names, self.leaves, strict=True):
            values = [self._shown(leaf, rest) for _ in range(leaf.lanes)]
            parts.append(f"{name}={_nested(values, leaf.shape)}")
        return f"{self.title}({', '.join(parts)})"

    def _shown(self, leaf: Leaf, lanes: Iterator[Any]) -> str:
        value = _number(next(lanes))
        return f"{value} + {_number(next(lanes))}i" if leaf.dtype in dtypes.COMPLEX else value


def subject_of(operator: Semigroup, dtype: str, example: Element) -> Subject:
    """The subject whose elements have the tree, the shapes and the dtypes of an example.

    Raises:
        ScanError: The operator does not take such elements.
    """
    leaves, structure = tree.flatten(example)
    given = tuple(dtypes.name_of(leaf.dtype) for leaf in leaves)
    operator.check(given)
    summed = tuple(dtypes.accumulation(name) for name in operator.promote(given))
    types = tuple(Leaf(name, tuple(leaf.shape)) for name, leaf in zip(summed, leaves, strict=True))
    return Subject(operator, dtype, structure, types, capture(operator))


def lanes_of(element: Element) -> Lanes:
    """The machine values of an element's lanes."""
    return tuple(value for leaf in tree.flatten(element)[0] for value in _flat(leaf))


def _flat(array: mx.array) -> list[Any]:
    flat: list[Any] = array.reshape(-1, stream=mx.cpu).tolist()  # type: ignore[assignment]
    return [part for z in flat for part in (z.real, z.imag)] if array.dtype == mx.complex64 else flat


def _number(value: Any) -> str:
    if isinstance(value, Fraction) and value.denominator != 1:
        short = f"{Decimal(value.numerator) / Decimal(value.denominator):.9g}"
        return short if Fraction(short) == value or len(str(value)) > _LONG else str(value)
    if isinstance(value, (int, Fraction)):
        text = str(value)
        return text if len(text) < _LONG else f"{Decimal(text):.9g}"
    return f"{value:.9g}" if isinstance(value, (float, Decimal)) else str(value)


def _nested(values: list[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return values[0]
    step = len(values) // shape[0] if shape[0] else 0
    rows = [_nested(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]
    return f"[{', '.join(rows)}]"
