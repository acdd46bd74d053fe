"""Several operators side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import attrs

from monoscan import errors, tree
from monoscan.monoids import written
from monoscan.monoids.action import Action, State
from monoscan.monoids.base import Element, Monoid, Semigroup, inverse_of
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts, product


def _spread(part: Semigroup, raw: Any) -> Element:
    """Embeds what is meant for one part; a tuple holds several arguments."""
    return part.embed(*raw) if isinstance(raw, tuple) else part.embed(raw)


def _all_have_identity(members: Iterable[Semigroup]) -> bool:
    return all(member.has_identity for member in members)


@attrs.frozen
class _SideBySide:
    """Actions at once, one for each entry of a tree.

    Args:
        actions: The actions.
        apart: The entries of a state or an element.
        together: The state of such entries.
        children: The structures of the entries of a state's structure.
    """

    actions: tuple[Action, ...]
    apart: Callable[[Any], Sequence[Any]]
    together: Callable[[Sequence[Any]], State]
    children: Callable[[tree.Structure], Sequence[tree.Structure]]

    @property
    def action(self) -> Action:
        """All of them as one."""
        names = [action.template for action in self.actions]
        return Action(
            self._act,
            self._each([action.begin for action in self.actions]),
            self._events,
            None if None in names else self.together(names),
            self._each([action.source for action in self.actions]),
        )

    def _act(self, state: State, element: Element) -> State:
        rows = zip(self.actions, self.apart(state), self.apart(element), strict=True)
        return self.together([action.act(s, x) for action, s, x in rows])

    def _each(self, functions: list[Callable[[Element], State] | None]) -> Callable[[Element], State] | None:
        """What makes the state of each part, if each has one."""
        known = [function for function in functions if function is not None]
        if len(known) < len(functions):
            return None
        return lambda element: self.together([f(x) for f, x in zip(known, self.apart(element), strict=True)])

    def _events(self, structure: tree.Structure) -> tuple[int, ...]:
        pairs = zip(self.actions, self.children(structure), strict=True)
        return tuple(k for action, child in pairs for k in action.events(child))


@final
@attrs.frozen(init=False)
class Tuple(Monoid):
    """Several operators at once, one for each entry of a tuple.

    Elements are tuples with an element of each part; ``combine`` and the identity are
    those of the parts. It has an identity if all parts have one. NaN and infinities stay
    in the part where they are.

    Source: the direct product of monoids.

    Args:
        parts (Semigroup): The operators.

    Raises:
        ScanTypeError: A part is no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> extremes = ms.Tuple(ms.Min(), ms.Max())
        >>> ms.scan(extremes, extremes.embed(mx.array([2, 1, 3])))
        (array([2, 1, 1], dtype=int32), array([2, 2, 3], dtype=int32))
    """

    parts: tuple[Semigroup, ...]

    def __init__(self, *operators: Semigroup) -> None:
        if not operators:
            raise errors.ScanError("[Tuple] expects at least one operator; got none.")
        self.__attrs_init__(tuple(parts.operator("Tuple", each) for each in operators))

    def __repr__(self) -> str:
        return written.call("Tuple", (("", part) for part in self.parts))

    @property
    def template(self) -> Any:
        known = tuple(part.template for part in self.parts)
        return None if None in known else known

    @property
    def name(self) -> str:
        return f"Tuple({', '.join(part.name for part in self.parts)})"

    @property
    def has_identity(self) -> bool:
        return _all_have_identity(self.parts)

    def embed(self, *raw: Any) -> Element:
        """An element of each part: from one input that all share, or from one input for each part.

        Raises:
            ScanError: There is another number of inputs.
        """
        if len(raw) not in (1, len(self.parts)):
            raise errors.ScanError(
                f"[{self.name}] embed takes one input for all parts, or {len(self.parts)}; got {len(raw)}."
            )
        shared = raw * len(self.parts) if len(raw) == 1 else raw
        return tuple(_spread(part, each) for part, each in zip(self.parts, shared, strict=True))

    def project(self, element: Element) -> Any:
        """The answer of each part."""
        each = parts.element(self, element, len(self.parts))
        return tuple(part.project(own) for part, own in zip(self.parts, each, strict=True))

    def combine(self, left: Element, right: Element) -> Element:
        return tuple(part.combine(x, y) for part, x, y in zip(self.parts, left, right, strict=True))

    def identity(self, like: Element) -> Element:
        return tuple(parts.identity(part, each) for part, each in zip(self.parts, like, strict=True))

    def before(self, total: Element, element: Element) -> Element:
        """Each part's own."""
        return tuple(part.before(x, y) for part, x, y in zip(self.parts, total, element, strict=True))

    def after(self, element: Element, total: Element) -> Element:
        """Each part's own."""
        return tuple(part.after(x, y) for part, x, y in zip(self.parts, element, total, strict=True))

    @property
    def restarts(self) -> bool:
        return any(part.restarts for part in self.parts)

    @property
    def right(self) -> Action:
        """The parts' own, on tuples of their states."""
        return self._actions(tuple(part.right for part in self.parts))

    @property
    def left(self) -> Action:
        """The parts' own, on tuples of their states."""
        return self._actions(tuple(part.left for part in self.parts))

    def _actions(self, actions: tuple[Action, ...]) -> Action:
        expected = tuple(action.template or part.name for action, part in zip(actions, self.parts, strict=True))
        return _SideBySide(actions, tuple, tuple, lambda s: parts.children(self.name, s, len(actions), expected)).action

    def inverse(self, element: Element) -> Element:
        """The inverse in each part."""
        return tuple(inverse_of(part, each) for part, each in zip(self.parts, element, strict=True))

    def facts(self, dtypes: Dtypes) -> Facts:
        return product(part.facts(own) for part, own in zip(self.parts, parts.split(self.parts, dtypes), strict=True))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return parts.promote(self.parts, dtypes)

    def check(self, dtypes: Dtypes) -> None:
        parts.check(self.parts, dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        expected = tuple(part.template or part.name for part in self.parts)
        children = parts.children(self.name, structure, len(self.parts), expected)
        return tuple(k for part, child in zip(self.parts, children, strict=True) for k in part.events(child))


@final
@attrs.frozen(init=False)
class Struct(Monoid):
    """Several operators at once, one for each key of a dict.

    Elements are dicts with an element of each part, in the order of the parts; ``combine``
    and the identity are those of the parts. It has an identity if all parts have one. NaN
    and infinities stay in the part where they are.

    Source: the direct product of monoids.

    Args:
        parts (Semigroup): The operators, by name.

    Raises:
        ScanTypeError: A part is no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> summary = ms.Struct(mean=ms.Mean(), peak=ms.Max())
        >>> summary.project(ms.fold(summary, summary.embed(mx.array([2.0, 1.0, 3.0]))))
        {'mean': array(2, dtype=float32), 'peak': array(3, dtype=float32)}
    """

    items: tuple[tuple[str, Semigroup], ...]

    def __init__(self, *unnamed: Semigroup, **operators: Semigroup) -> None:
        if unnamed:
            raise errors.ScanError(
                "[Struct] takes operators by name, as Struct(total=Sum()); Tuple takes them in order."
            )
        if not operators:
            raise errors.ScanError("[Struct] expects at least one operator; got none.")
        items = tuple((key, parts.operator("Struct", each)) for key, each in operators.items())
        self.__attrs_init__(items)

    def __repr__(self) -> str:
        return written.call("Struct", self.items)

    @property
    def parts(self) -> tuple[Semigroup, ...]:
        """The operators, in order."""
        return tuple(part for _, part in self.items)

    @property
    def template(self) -> Any:
        known = {key: part.template for key, part in self.items}
        return None if None in known.values() else known

    @property
    def name(self) -> str:
        return f"Struct({', '.join(f'{key}={part.name}' for key, part in self.items)})"

    @property
    def has_identity(self) -> bool:
        return _all_have_identity(self.parts)

    def embed(self, *shared: Any, **raw: Any) -> Element:
        """An element of each part: from one input that all share, or from one input for each name.

        Raises:
            ScanError: The names are others, or there is more than one shared input.
        """
        given = {key: shared[0] for key, _ in self.items} if len(shared) == 1 and not raw else raw
        if set(given) != {key for key, _ in self.items}:
            keys = ", ".join(key for key, _ in self.items)
            raise errors.ScanError(f"[{self.name}] embed takes one input for all parts, or the names {keys}.")
        return {key: _spread(part, given[key]) for key, part in self.items}

    def project(self, element: Element) -> dict[str, Any]:
        """The answer of each part."""
        if not isinstance(element, dict) or set(element) != {key for key, _ in self.items}:
            keys = ", ".join(key for key, _ in self.items)
            raise errors.TreeError(
                f"[{self.name}.project] expects an element, a dict with the keys {keys}, as scan and fold return; got "
                f"{tree.describe(element)}."
            )
        return {key: part.project(element[key]) for key, part in self.items}

    def combine(self, left: Element, right: Element) -> Element:
        return {key: part.combine(left[key], right[key]) for key, part in self.items}

    def identity(self, like: Element) -> Element:
        return {key: parts.identity(part, like[key]) for key, part in self.items}

    def before(self, total: Element, element: Element) -> Element:
        """Each part's own."""
        return {key: part.before(total[key], element[key]) for key, part in self.items}

    def after(self, element: Element, total: Element) -> Element:
        """Each part's own."""
        return {key: part.after(element[key], total[key]) for key, part in self.items}

    @property
    def restarts(self) -> bool:
        return any(part.restarts for part in self.parts)

    @property
    def right(self) -> Action:
        """The parts' own, on dicts of their states."""
        return self._actions(tuple(part.right for part in self.parts))

    @property
    def left(self) -> Action:
        """The parts' own, on dicts of their states."""
        return self._actions(tuple(part.left for part in self.parts))

    def _actions(self, actions: tuple[Action, ...]) -> Action:
        keys = [key for key, _ in self.items]
        return _SideBySide(
            actions,
            lambda each: [each[key] for key in keys],
            lambda each: dict(zip(keys, each, strict=True)),
            self._children,
        ).action

    def inverse(self, element: Element) -> Element:
        """The inverse in each part."""
        return {key: inverse_of(part, element[key]) for key, part in self.items}

    def facts(self, dtypes: Dtypes) -> Facts:
        return product(part.facts(own) for part, own in zip(self.parts, parts.split(self.parts, dtypes), strict=True))

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return parts.promote(self.parts, dtypes)

    def check(self, dtypes: Dtypes) -> None:
        parts.check(self.parts, dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        pairs = zip(self.parts, self._children(structure), strict=True)
        return tuple(k for part, child in pairs for k in part.events(child))

    def _children(self, structure: tree.Structure) -> tuple[tree.Structure, ...]:
        keys = tuple(key for key, _ in self.items)
        if structure is tree.LEAF or structure[0] is not dict or structure[1] != keys:
            got = tree.show(structure)
            raise errors.TreeError(
                f"[{self.name}] expects a dict with the keys {', '.join(keys)}, in this order; got {got}."
            )
        return tuple(structure[-1])
