"""One operator acting on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.monoids import facts, written
from monoscan.monoids.action import Action, Events, State
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts


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

    actor: Semigroup = attrs.field(validator=parts.is_operator)
    acted: Semigroup = attrs.field(validator=parts.is_operator)
    act: Callable[[Element, Element], Element] = attrs.field(default=mx.multiply, validator=parts.is_function)
    event: parts.Event = None  # type: ignore[assignment, misc]  # a field here, a class attribute elsewhere

    def __repr__(self) -> str:
        return written.fields(self)

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

    @property
    def left(self) -> Action:
        """On elements of ``acted``: ``acted(m, act(n, s))``, begun by ``m``."""
        return Action(self._moved, _acted_of, self._acted_events, self.acted.template)

    def _moved(self, state: State, element: Element) -> State:
        n, m = element
        return self.acted.combine(m, self.act(n, state))

    @property
    def _acted_events(self) -> int | Events:
        event = self.event
        if isinstance(event, tuple):
            return lambda structure: event[-tree.count(structure) :]
        return self.acted.events if event is None else event

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


def _acted_of(element: Element) -> Element:
    return element[1]
