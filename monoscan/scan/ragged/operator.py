"""The operator that knows which elements are valid and where sequences start: what bounds are to array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.monoids import copies, facts
from monoscan.monoids.action import Action, State
from monoscan.monoids.base import Element, Monoid, Semigroup
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.product import Struct, Tuple
from monoscan.monoids.facts import Facts

Dtypes = tuple[str, ...]


def select(condition: mx.array, yes: Element, no: Element) -> Element:
    """One of two trees."""
    return tree.map_leaves(lambda x, y: mx.where(condition, x, y), yes, no)


@final
@attrs.frozen
class Ragged(Monoid):
    """The operator on ``(valid, element)``, or ``(head, valid, element)``, or ``(head, valid, start, element)``.

    What is not valid is skipped, and a head forgets what is before it. What nothing valid came before is ``blank``: the
    identity of the operator, else zeros. It never is combined.

    Args:
        inner: The operator.
        heads: Elements say whether they are the first of a sequence.
        starts: How many leaves the state has that they hold, from which their sequence starts.
        begun: No state is given: states are pairs ``(seen, state)``, which the first valid element begins.
    """

    inner: Semigroup
    heads: bool = False
    starts: int = 0
    begun: bool = False

    @property
    def name(self) -> str:
        return f"Ragged({self.inner.name})"

    @property
    def flags(self) -> int:
        """How many leaves of an element stand before those of the operator."""
        return 1 + self.heads + self.starts

    def combine(self, left: Element, right: Element) -> Element:
        head, valid, start, y = self._apart(right)
        seen, x = left[int(self.heads)], left[-1]
        value = select(mx.logical_and(seen, valid), self.inner.combine(x, y), select(valid, y, x))
        if head is None:
            return mx.logical_or(seen, valid), value
        value = select(head, select(valid, y, self.blank(x)), value)
        seen = mx.logical_or(valid, mx.logical_and(seen, mx.logical_not(head)))
        flags = mx.logical_or(left[0], head), seen
        return (*flags, select(head, start, left[2]), value) if self.starts else (*flags, value)

    def blank(self, like: Element) -> Element:
        """What stands where nothing came before."""
        return parts.identity(self.inner, like) if self.inner.has_identity else tree.map_leaves(mx.zeros_like, like)

    def identity(self, like: Element) -> Element:
        *flags, x = like
        return (*(tree.map_leaves(mx.zeros_like, flag) for flag in flags), self.blank(x))

    def before(self, total: Element, element: Element) -> Element:
        """The inner operator's, between elements that are valid; nothing before a head."""
        head, valid, _, y = self._apart(element)
        seen, x = total[int(self.heads)], total[-1]
        shown = select(mx.logical_and(seen, valid), self.inner.before(x, y), x) if self.inner.restarts else x
        if head is not None:
            shown = select(head, self.blank(x), shown)
        return (*total[:-1], shown)

    @property
    def restarts(self) -> bool:
        return self.heads or self.inner.restarts

    @property
    def right(self) -> Action:
        """The inner operator's: what is not valid moves nothing, and a head starts anew."""
        inner = self.inner.right
        if not self.begun:
            return Action(self._moved, None, inner.event, inner.template)
        template = None if inner.template is None else ("seen", inner.template)
        return Action(self._moved_or_begun, None, self._state_events, template)

    def _moved(self, state: State, element: Element) -> State:
        head, valid, start, x = self._apart(element)
        before = state if head is None else select(head, start, state)
        return select(valid, self.inner.right.act(before, x), before)

    def _moved_or_begun(self, state: State, element: Element) -> State:
        head, valid, _, x = self._apart(element)
        inner, (seen, s) = self.inner.right, state
        if head is not None:
            seen, s = mx.logical_and(seen, mx.logical_not(head)), select(head, tree.map_leaves(mx.zeros_like, s), s)
        assert inner.begin is not None, "an act without a state is begun by it"
        moved = select(seen, inner.act(s, x), inner.begin(x))
        return mx.logical_or(seen, valid), select(valid, moved, s)

    def _apart(self, element: Element) -> tuple[mx.array | None, mx.array, State, Element]:
        """Head, valid, start and the element; ``None`` for what there is not."""
        head = element[0] if self.heads else None
        return head, element[int(self.heads)], element[2] if self.starts else None, element[-1]

    def _state_events(self, structure: tree.Structure) -> tuple[int, ...]:
        return (0, *self.inner.right.events(structure[-1][1]))

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        children = structure[-1]
        start = self.inner.right.events(children[2]) if self.starts else ()
        return (*(0,) * (1 + self.heads), *start, *self.inner.events(children[-1]))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return (*dtypes[: self.flags], *self.inner.promote(dtypes[self.flags :]))

    def check(self, dtypes: Dtypes) -> None:
        self.inner.check(dtypes[self.flags :])

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.segmented(self.inner.facts(dtypes[self.flags :]))


def lifted(operator: Semigroup, heads: bool, form: tree.Structure | None = None, begun: bool = False) -> Semigroup:
    """The operator on elements with flags; of a product each part by itself.

    Args:
        operator: The operator.
        heads: Elements say whether they are the first of a sequence.
        form: The tree of the state that elements hold, from which their sequence starts; ``None`` where they hold none.
        begun: No state is given.
    """
    if not operator.parts:
        return Ragged(operator, heads, 0 if form is None else tree.count(form), begun)
    forms = (None,) * len(operator.parts) if form is None else form[-1]
    each = [lifted(part, heads, own, begun) for part, own in zip(operator.parts, forms, strict=True)]
    if isinstance(operator, Struct):
        return Struct(**{key: part for (key, _), part in zip(operator.items, each, strict=True)})
    return Tuple(*each)


def flagged(operator: Semigroup, flags: Sequence[Any], *trees: Any) -> Any:
    """Entries of trees behind flags: ``(*flags, *entries)``; of a product in each part."""
    if not operator.parts:
        return (*flags, *trees)
    rows = zip(operator.parts, *map(copies.entries, trees), strict=True)
    return copies.like(trees[-1], [flagged(part, flags, *each) for part, *each in rows])
