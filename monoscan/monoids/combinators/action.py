"""One operator acting on another, and operators carried along a bijection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.monoids import facts
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts

Event = int | tuple[int, ...] | None


def _callable(composite: Semigroup, field: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        raise errors.ScanTypeError(f"[{type(composite).__name__}] {field.name} must be a function; got {value!r:.60}.")


def _operator(composite: Semigroup, field: attrs.Attribute[Semigroup], value: Any) -> None:
    parts.operator(type(composite).__name__, value)


@final
@attrs.frozen
class Semidirect(Monoid):
    """The semidirect product: the first part of the left element acts on the second part of the right.

    Elements are pairs ``(n, m)``; ``combine`` is ``(actor(n_l, n_r), acted(m_l, act(n_l,
    m_r)))``. Identity (e, e), if both have one. ``act`` must be an action by homomorphisms,
    which the laws check. NaN and infinities pass through ``act``. Recurrences, where the
    right acts on the left, are its `Dual`: ``Dual(Semidirect(Product(), Sum()))`` is `Affine`.

    Source: the semidirect product of monoids; Blelloch (1990), section 1.4.

    Args:
        actor (Semigroup): Combines the first parts.
        acted (Semigroup): Combines the second parts.
        act (callable, optional): ``act(n, m)``, the second part after the action.
            Default: ``mx.multiply``.
        event (int or tuple(int), optional): How many trailing axes of each leaf belong to
            an element. Default: as the parts say.

    Raises:
        ScanTypeError: A part is no operator, or ``act`` no function.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> discounted = ms.Semidirect(ms.Product(), ms.Sum())
        >>> factor, reward = mx.full((3,), 0.5), mx.ones((3,))
        >>> ms.scan(discounted, (factor, reward))[1]
        array([1, 1.5, 1.75], dtype=float32)
    """

    actor: Semigroup = attrs.field(validator=_operator)
    acted: Semigroup = attrs.field(validator=_operator)
    act: Callable[[Element, Element], Element] = attrs.field(default=mx.multiply, validator=_callable)
    event: Event = None  # type: ignore[assignment, misc]  # a field here, a class attribute elsewhere

    @property
    def template(self) -> Any:
        both = self.actor.template, self.acted.template
        return None if None in both else both

    @property
    def name(self) -> str:
        return f"Semidirect({self.actor.name}, {self.acted.name})"

    @property
    def has_identity(self) -> bool:
        return self.actor.has_identity and self.acted.has_identity

    def embed(self, n: Any, m: Any) -> Element:
        """An element of each part."""
        return self.actor.embed(n), self.acted.embed(m)

    def project(self, element: Element) -> tuple[Any, Any]:
        """The answer of each part."""
        n, m = parts.element(self, element, 2)
        return self.actor.project(n), self.acted.project(m)

    def combine(self, left: Element, right: Element) -> Element:
        (n_l, m_l), (n_r, m_r) = left, right
        return self.actor.combine(n_l, n_r), self.acted.combine(m_l, self.act(n_l, m_r))

    def identity(self, like: Element) -> Element:
        return parts.identity(self.actor, like[0]), parts.identity(self.acted, like[1])

    def before(self, total: Element, element: Element) -> Element:
        """Each part's own; the second part of the element is met as the first part of ``total`` has changed it."""
        (n, m), (after_n, after_m) = total, element
        return self.actor.before(n, after_n), self.acted.before(m, self.act(n, after_m))

    def after(self, element: Element, total: Element) -> Element:
        """Each part's own: an action keeps where segments start."""
        return self.actor.after(element[0], total[0]), self.acted.after(element[1], total[1])

    @property
    def restarts(self) -> bool:
        return self.actor.restarts or self.acted.restarts

    def inverse(self, element: Element) -> Element:
        """``(n', act(n', m'))`` of the inverses ``n'`` and ``m'``."""
        back = inverse_of(self.actor, element[0])
        return back, self.act(back, inverse_of(self.acted, element[1]))

    def facts(self, dtypes: Dtypes) -> Facts:
        of_actor, of_acted = parts.split((self.actor, self.acted), dtypes)
        return facts.semidirect(self.actor.facts(of_actor), self.acted.facts(of_acted))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return parts.promote((self.actor, self.acted), dtypes)

    def check(self, dtypes: Dtypes) -> None:
        parts.check((self.actor, self.acted), dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        if self.event is not None:
            return super().events(structure)
        expected = (self.actor.template or self.actor.name, self.acted.template or self.acted.name)
        first, second = parts.children(self.name, structure, 2, expected)
        return (*self.actor.events(first), *self.acted.events(second))


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

    inner: Semigroup = attrs.field(validator=_operator)
    to: Callable[[Element], Element] = attrs.field(validator=_callable)
    back: Callable[[Element], Element] = attrs.field(validator=_callable)
    event: Event = None  # type: ignore[assignment, misc]  # a field here, a class attribute elsewhere

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

    def inverse(self, element: Element) -> Element:
        """As the inner operator's, there and back."""
        return self.back(inverse_of(self.inner, self.to(element)))

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.via(self.inner.facts(dtypes))

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        return self.inner.events(structure) if self.event is None else super().events(structure)
