"""Operands the other way round."""

from __future__ import annotations

from typing import Any, final

import attrs

from monoscan import tree
from monoscan.monoids import facts
from monoscan.monoids.action import Action
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts


def _operator(given: Any) -> Semigroup:
    return parts.operator("Dual", given)


@final
@attrs.frozen
class Dual(Monoid):
    """The operator with its operands swapped.

    Elements are those of the inner operator; ``combine`` is ``inner(r, l)``. The identity,
    if any, and the behaviour at NaN and infinities are those of the inner operator. With
    ``reverse=True`` it gives suffix products in the order of the array.

    Source: the opposite monoid; Haskell's ``Dual``.

    Args:
        inner (Semigroup): The operator.

    Raises:
        ScanTypeError: ``inner`` is no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.scan(ms.Dual(ms.First()), mx.array([1, 2, 3]))
        array([1, 2, 3], dtype=int32)
    """

    inner: Semigroup = attrs.field(converter=_operator)

    @property
    def template(self) -> Any:
        return self.inner.template

    @property
    def name(self) -> str:
        return f"Dual({self.inner.name})"

    @property
    def has_identity(self) -> bool:
        return self.inner.has_identity

    def embed(self, *raw: Any, **options: Any) -> Element:
        """As the inner operator's."""
        return self.inner.embed(*raw, **options)

    def project(self, element: Element) -> Any:
        """As the inner operator's."""
        return self.inner.project(element)

    def combine(self, left: Element, right: Element) -> Element:
        return self.inner.combine(right, left)

    def identity(self, like: Element) -> Element:
        return parts.identity(self.inner, like)

    @property
    def right(self) -> Action:
        """The inner operator's on the left."""
        return self.inner.left

    @property
    def left(self) -> Action:
        """The inner operator's on the right."""
        return self.inner.right

    def before(self, total: Element, element: Element) -> Element:
        """What the inner operator shows after the element."""
        return self.inner.after(element, total)

    def after(self, element: Element, total: Element) -> Element:
        """What the inner operator shows before the element."""
        return self.inner.before(total, element)

    @property
    def restarts(self) -> bool:
        return self.inner.restarts

    def inverse(self, element: Element) -> Element:
        """As the inner operator's."""
        return inverse_of(self.inner, element)

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.dual(self.inner.facts(dtypes))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return self.inner.promote(dtypes)

    def check(self, dtypes: Dtypes) -> None:
        self.inner.check(dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        return self.inner.events(structure)
