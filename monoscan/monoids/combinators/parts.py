"""What combinators share: which leaves belong to which part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import attrs

from monoscan import errors, tree
from monoscan.monoids.base import Element, Monoid, Semigroup

Dtypes = tuple[str, ...]
Event = int | tuple[int, ...] | None


def operator(combinator: str, given: Any) -> Semigroup:
    """The given operator.

    Raises:
        ScanTypeError: It is none; a class must be called first.
    """
    if isinstance(given, Semigroup):
        return given
    is_class = isinstance(given, type) and issubclass(given, Semigroup)
    got = f"the class {given.__name__}; write {given.__name__}()" if is_class else f"{given!r:.60}"
    raise errors.ScanTypeError(f"[{combinator}] expects operators; got {got}.")


def is_operator(composite: Semigroup, field: attrs.Attribute[Semigroup], value: Any) -> None:
    """A validator of fields that hold an operator."""
    operator(type(composite).__name__, value)


def is_function(composite: Semigroup, field: attrs.Attribute[Any], value: Any) -> None:
    """A validator of fields that hold a function."""
    if not callable(value):
        raise errors.ScanTypeError(f"[{type(composite).__name__}] {field.name} must be a function; got {value!r:.60}.")


def count(part: Semigroup) -> int | None:
    """How many leaves the elements of a part have, if it says."""
    return None if part.template is None else tree.count(tree.flatten(part.template)[1])


def split(parts: Sequence[Semigroup], dtypes: Dtypes) -> list[Dtypes]:
    """The dtypes of each part's leaves.

    A part that does not say how many leaves it has gets what the others leave. Several such
    parts, which must stand together, share that: enough to tell exact from rounded.

    Raises:
        TreeError: A part stands between two that do not say how many leaves they have.
    """
    counts = [count(part) for part in parts]
    open_parts = [i for i, known in enumerate(counts) if known is None]
    if not open_parts:
        return _runs(counts, dtypes)
    first, last = open_parts[0], open_parts[-1] + 1
    between = [part for part, known in zip(parts, counts, strict=True) if known is not None][first:]
    if len(open_parts) < last - first:
        raise errors.TreeError(
            f"[Tuple] cannot tell which leaves belong to {between[0].name}: it stands between operators without a "
            "`template`. Put it first or last, or give them one."
        )
    head = _runs(counts[:first], dtypes)
    after = sum(known or 0 for known in counts[last:])
    tail = _runs(counts[last:], dtypes[len(dtypes) - after :])
    shared = dtypes[sum(map(len, head)) : len(dtypes) - after]
    return [*head, *[shared] * (last - first), *tail]


def _runs(counts: Sequence[int | None], dtypes: Dtypes) -> list[Dtypes]:
    ends = list(accumulate(known or 0 for known in counts))
    return [dtypes[end - (known or 0) : end] for end, known in zip(ends, counts, strict=True)]


def promote(parts: Sequence[Semigroup], dtypes: Dtypes) -> Dtypes:
    """The dtypes of result leaves; leaves that several parts share keep theirs."""
    several = [count(part) for part in parts].count(None) > 1
    result: list[str] = []
    kept = False
    for part, own in zip(parts, split(parts, dtypes), strict=True):
        if count(part) is not None or not several:
            result += part.promote(own)
        elif not kept:
            result += own
            kept = True
    return tuple(result)


def check(parts: Sequence[Semigroup], dtypes: Dtypes) -> None:
    """Lets every part refuse its leaves."""
    several = [count(part) for part in parts].count(None) > 1
    for part, own in zip(parts, split(parts, dtypes), strict=True):
        if count(part) is not None or not several:
            part.check(own)


def identity(part: Semigroup, like: Element) -> Element:
    """The identity of a part.

    Raises:
        IdentityError: The part has none.
    """
    if isinstance(part, Monoid) and part.has_identity:
        return part.identity(like)
    raise errors.IdentityError(f"[identity] {part.name} has no identity; Maybe({part.name}()) adds one.")


def element(combinator: Semigroup, given: Any, number: int) -> Sequence[Any]:
    """The parts' elements of what ``project`` was given.

    Raises:
        TreeError: It is no tuple of that many.
    """
    if not isinstance(given, (tuple, list)) or len(given) != number:
        raise errors.TreeError(
            f"[{combinator.name}.project] expects an element, a tuple of {number}, as scan and fold return; got "
            f"{tree.describe(given)}."
        )
    return given


def children(name: str, structure: tree.Structure, number: int, expected: Any) -> tuple[tree.Structure, ...]:
    """The structures of the parts' elements.

    Raises:
        TreeError: The tree is no tuple of that many.
    """
    if structure is tree.LEAF or structure[0] is dict or len(structure[-1]) != number:
        got = tree.show(structure)
        raise errors.TreeError(f"[{name}] expects a tree {tree.describe(expected)}; got {got}.")
    return tuple(structure[-1])
