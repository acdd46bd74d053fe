"""Laws as data: a name, a statement, and two sides to compare, in any arithmetic.

Nothing here knows of a test framework, of how elements are drawn, or of what equal means.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Protocol

import attrs

Element = Any


class Algebra(Protocol):
    """What a law may use: an operator in some arithmetic."""

    def combine(self, left: Element, right: Element) -> Element:
        """The product of two elements."""

    def identity(self) -> Element:
        """The operator's identity."""

    def inverse(self, element: Element) -> Element:
        """The inverse of an element."""

    def native(self, *elements: Element) -> Element:
        """The last result of MLX's own scan of some elements."""


Sides = Callable[..., tuple[Element, Element]]


@attrs.frozen
class Law:
    """An equation that holds for all elements.

    Args:
        name: What ids and reports call it.
        statement: The equation, as a reader of a failure wants to see it.
        arity: How many elements it is about.
        sides: From an algebra and that many elements to the two sides.
        machine: Whether it is about the machine's arithmetic alone.
    """

    name: str
    statement: str
    arity: int
    sides: Sides
    machine: bool = False


def _fold(m: Algebra, *elements: Element) -> Element:
    return reduce(m.combine, elements)


def _dual(m: Algebra, a: Element, b: Element, c: Element) -> tuple[Element, Element]:
    def swapped(left: Element, right: Element) -> Element:
        return m.combine(right, left)

    return reduce(swapped, [c, b, a]), _fold(m, a, b, c)


ASSOCIATIVITY = Law(
    "associativity",
    "combine(combine(a, b), c) == combine(a, combine(b, c))",
    3,
    lambda m, a, b, c: (m.combine(m.combine(a, b), c), m.combine(a, m.combine(b, c))),
)
DUAL = Law("dual", "fold(Dual(m), [c, b, a]) == fold(m, [a, b, c])", 3, _dual)
REDUCE = Law(
    "fold-equals-reduce",
    "combine(combine(a, b), combine(c, d)) == combine(combine(combine(a, b), c), d)",
    4,
    lambda m, a, b, c, d: (m.combine(m.combine(a, b), m.combine(c, d)), _fold(m, a, b, c, d)),
)
LEFT_IDENTITY = Law("left-identity", "combine(identity, a) == a", 1, lambda m, a: (m.combine(m.identity(), a), a))
RIGHT_IDENTITY = Law("right-identity", "combine(a, identity) == a", 1, lambda m, a: (m.combine(a, m.identity()), a))
EMPTY_FOLD = Law(
    "empty-fold",
    "combine(identity, identity) == identity",
    0,
    lambda m: (m.combine(m.identity(), m.identity()), m.identity()),
)
COMMUTATIVITY = Law(
    "commutativity", "combine(a, b) == combine(b, a)", 2, lambda m, a, b: (m.combine(a, b), m.combine(b, a))
)
IDEMPOTENCE = Law("idempotence", "combine(a, a) == a", 1, lambda m, a: (m.combine(a, a), a))
LEFT_INVERSE = Law(
    "left-inverse", "combine(inverse(a), a) == identity", 1, lambda m, a: (m.combine(m.inverse(a), a), m.identity())
)
RIGHT_INVERSE = Law(
    "right-inverse", "combine(a, inverse(a)) == identity", 1, lambda m, a: (m.combine(a, m.inverse(a)), m.identity())
)
NATIVE = Law(
    "native",
    "the scan of MLX that facts name == fold(m, [a, b, c])",
    3,
    lambda m, a, b, c: (m.native(a, b, c), _fold(m, a, b, c)),
    machine=True,
)
