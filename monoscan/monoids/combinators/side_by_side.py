"""What products of operators share: each part works on its own entry of an element."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from monoscan import tree
from monoscan.monoids.action import Action, State
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts, product


@attrs.frozen
class SideBySide(Monoid):
    """Several operators at once, each on an entry of a tree."""

    parts: tuple[Semigroup, ...]

    @abstractmethod
    def _apart(self, whole: Any) -> Sequence[Any]:
        """The entries of an element, or of a state."""

    @abstractmethod
    def _together(self, entries: Iterable[Any]) -> Any:
        """The element, or the state, of such entries."""

    @abstractmethod
    def _children(self, structure: tree.Structure, expected: Sequence[Any]) -> Sequence[tree.Structure]:
        """The structures of the entries of such a tree.

        Args:
            structure: Its structure.
            expected: What messages say of each entry.

        Raises:
            TreeError: It is another tree.
        """

    @property
    def template(self) -> Any:
        return _template(self._together, [part.template for part in self.parts])

    @property
    def has_identity(self) -> bool:
        return all(part.has_identity for part in self.parts)

    def combine(self, left: Element, right: Element) -> Element:
        rows = zip(self.parts, self._apart(left), self._apart(right), strict=True)
        return self._together([part.combine(x, y) for part, x, y in rows])

    def identity(self, like: Element) -> Element:
        rows = zip(self.parts, self._apart(like), strict=True)
        return self._together([parts.identity(part, each) for part, each in rows])

    def before(self, total: Element, element: Element) -> Element:
        """Each part's own."""
        rows = zip(self.parts, self._apart(total), self._apart(element), strict=True)
        return self._together([part.before(x, y) for part, x, y in rows])

    def after(self, element: Element, total: Element) -> Element:
        """Each part's own."""
        rows = zip(self.parts, self._apart(element), self._apart(total), strict=True)
        return self._together([part.after(x, y) for part, x, y in rows])

    def inverse(self, element: Element) -> Element:
        """The inverse in each part."""
        rows = zip(self.parts, self._apart(element), strict=True)
        return self._together([inverse_of(part, each) for part, each in rows])

    @property
    def restarts(self) -> bool:
        return any(part.restarts for part in self.parts)

    @property
    def right(self) -> Action:
        """The parts' own, each on its entry of a state."""
        return self._actions([part.right for part in self.parts])

    @property
    def left(self) -> Action:
        """The parts' own, each on its entry of a state."""
        return self._actions([part.left for part in self.parts])

    def _actions(self, actions: Sequence[Action]) -> Action:
        expected = [action.template or part.name for action, part in zip(actions, self.parts, strict=True)]

        def act(state: State, element: Element) -> State:
            rows = zip(actions, self._apart(state), self._apart(element), strict=True)
            return self._together([action.act(s, x) for action, s, x in rows])

        def events(structure: tree.Structure) -> tuple[int, ...]:
            pairs = zip(actions, self._children(structure, expected), strict=True)
            return tuple(k for action, child in pairs for k in action.events(child))

        return Action(
            act,
            self._each([action.begin for action in actions]),
            events,
            _template(self._together, [action.template for action in actions]),
            self._each([action.source for action in actions]),
        )

    def _each(self, functions: list[Callable[[Element], State] | None]) -> Callable[[Element], State] | None:
        """What makes the state of each part, if each has one."""
        known = [function for function in functions if function is not None]
        if len(known) < len(functions):
            return None
        return lambda element: self._together([f(x) for f, x in zip(known, self._apart(element), strict=True)])

    def facts(self, dtypes: Dtypes) -> Facts:
        return product(part.facts(own) for part, own in zip(self.parts, parts.split(self.parts, dtypes), strict=True))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return parts.promote(self.parts, dtypes)

    def check(self, dtypes: Dtypes) -> None:
        parts.check(self.parts, dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        children = self._children(structure, [part.template or part.name for part in self.parts])
        return tuple(k for part, child in zip(self.parts, children, strict=True) for k in part.events(child))


def _template(together: Callable[[Iterable[Any]], Any], known: Sequence[Any]) -> Any:
    return None if None in known else together(known)
