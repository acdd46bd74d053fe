"""Operators carried along a bijection."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs

from monoscan import tree
from monoscan.monoids import facts, written
from monoscan.monoids.action import Action, State
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts


@final
@attrs.frozen
class Via(Monoid):
    """An operator carried along a bijection: it combines there and comes back.

    Elements are what ``to`` takes; ``combine`` is ``back(inner(to(l), to(r)))``. Identity
    ``back(e)``, if the inner operator has one. NaN and infinities are those of the inner
    operator, and of the way there and back.

    Source: transport of structure; *Via* of Algebird and of Haskell's deriving.

    Args:
        inner (Semigroup): The operator.
        to (callable): From elements to those of the inner operator.
        back (callable): The inverse of ``to``.
        event (int or tuple(int), optional): How many trailing axes of each leaf belong to
            an element. Default: as the inner operator says.

    Raises:
        ScanTypeError: ``inner`` is no operator, or ``to`` or ``back`` no function.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> resistors = ms.Via(ms.Sum(), mx.reciprocal, mx.reciprocal)  # in parallel
        >>> ms.scan(resistors, mx.array([2.0, 2.0, 1.0]))
        array([2, 1, 0.5], dtype=float32)
    """

    inner: Semigroup = attrs.field(validator=parts.is_operator)
    to: Callable[[Element], Element] = attrs.field(validator=parts.is_function)
    back: Callable[[Element], Element] = attrs.field(validator=parts.is_function)
    event: parts.Event = None  # type: ignore[assignment, misc]  # a field here, a class attribute elsewhere

    def __repr__(self) -> str:
        return written.fields(self)

    @property
    def name(self) -> str:
        return f"Via({self.inner.name})"

    @property
    def has_identity(self) -> bool:
        return self.inner.has_identity

    def combine(self, left: Element, right: Element) -> Element:
        return self.back(self.inner.combine(self.to(left), self.to(right)))

    def identity(self, like: Element) -> Element:
        return self.back(parts.identity(self.inner, self.to(like)))

    def before(self, total: Element, element: Element) -> Element:
        """As the inner operator's, there and back."""
        return self.back(self.inner.before(self.to(total), self.to(element)))

    def after(self, element: Element, total: Element) -> Element:
        """As the inner operator's, there and back."""
        return self.back(self.inner.after(self.to(element), self.to(total)))

    @property
    def restarts(self) -> bool:
        return self.inner.restarts

    @property
    def right(self) -> Action:
        """The inner operator's, of what ``to`` makes of elements."""
        return self._through(self.inner.right)

    @property
    def left(self) -> Action:
        """The inner operator's, of what ``to`` makes of elements."""
        return self._through(self.inner.left)

    def _through(self, inner: Action) -> Action:
        def of(function: Callable[[Element], State] | None) -> Callable[[Element], State] | None:
            return None if function is None else lambda element: function(self.to(element))

        return Action(
            lambda state, element: inner.act(state, self.to(element)),
            of(inner.begin), inner.event, inner.template, of(inner.states),
        )  # fmt: skip

    def inverse(self, element: Element) -> Element:
        """As the inner operator's, there and back."""
        return self.back(inverse_of(self.inner, self.to(element)))

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.via(self.inner.facts(dtypes))

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        return self.inner.events(structure) if self.event is None else super().events(structure)
