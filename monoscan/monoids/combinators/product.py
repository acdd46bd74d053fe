"""`Tuple` and `Struct`: several operators side by side, by place or by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, final

import attrs

from monoscan import errors, tree
from monoscan.monoids import written
from monoscan.monoids.base import Element, Semigroup
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.side_by_side import SideBySide


@final
@attrs.frozen(init=False)
class Tuple(SideBySide):
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

    def __init__(self, *operators: Semigroup) -> None:
        if not operators:
            raise errors.ScanError("[Tuple] expects at least one operator; got none.")
        self.__attrs_init__(tuple(parts.operator("Tuple", each) for each in operators))

    def __repr__(self) -> str:
        return written.call("Tuple", (("", part) for part in self.parts))

    @property
    def name(self) -> str:
        return f"Tuple({', '.join(part.name for part in self.parts)})"

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

    def _apart(self, whole: Any) -> Sequence[Any]:
        return tuple(whole)

    def _together(self, entries: Iterable[Any]) -> Any:
        return tuple(entries)

    def _children(self, structure: tree.Structure, expected: Sequence[Any]) -> Sequence[tree.Structure]:
        return parts.children(self.name, structure, len(self.parts), tuple(expected))


@final
@attrs.frozen(init=False)
class Struct(SideBySide):
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

    keys: tuple[str, ...]

    def __init__(self, *unnamed: Semigroup, **operators: Semigroup) -> None:
        if unnamed:
            raise errors.ScanError(
                "[Struct] takes operators by name, as Struct(total=Sum()); Tuple takes them in order."
            )
        if not operators:
            raise errors.ScanError("[Struct] expects at least one operator; got none.")
        self.__attrs_init__(tuple(parts.operator("Struct", each) for each in operators.values()), tuple(operators))

    def __repr__(self) -> str:
        return written.call("Struct", self.items)

    @property
    def items(self) -> tuple[tuple[str, Semigroup], ...]:
        """The operators by name."""
        return tuple(zip(self.keys, self.parts, strict=True))

    @property
    def name(self) -> str:
        return f"Struct({', '.join(f'{key}={part.name}' for key, part in self.items)})"

    def embed(self, *shared: Any, **raw: Any) -> Element:
        """An element of each part: from one input that all share, or from one input for each name.

        Raises:
            ScanError: The names are others, or there is more than one shared input.
        """
        given = dict.fromkeys(self.keys, shared[0]) if len(shared) == 1 and not raw else raw
        if set(given) != {*self.keys}:
            raise errors.ScanError(
                f"[{self.name}] embed takes one input for all parts, or the names {', '.join(self.keys)}."
            )
        return {key: _spread(part, given[key]) for key, part in self.items}

    def project(self, element: Element) -> dict[str, Any]:
        """The answer of each part."""
        if not isinstance(element, dict) or set(element) != {*self.keys}:
            raise errors.TreeError(
                f"[{self.name}.project] expects an element, a dict with the keys {', '.join(self.keys)}, as scan and fold "
                f"return; got {tree.describe(element)}."
            )
        return {key: part.project(element[key]) for key, part in self.items}

    def _apart(self, whole: Any) -> Sequence[Any]:
        return [whole[key] for key in self.keys]

    def _together(self, entries: Iterable[Any]) -> Any:
        return dict(zip(self.keys, entries, strict=True))

    def _children(self, structure: tree.Structure, expected: Sequence[Any]) -> Sequence[tree.Structure]:
        if structure is tree.LEAF or structure[0] is not dict or structure[1] != self.keys:
            raise errors.TreeError(
                f"[{self.name}] expects a dict with the keys {', '.join(self.keys)}, in this order; got {tree.show(structure)}."
            )
        return tuple(structure[-1])


def _spread(part: Semigroup, raw: Any) -> Element:
    """Embeds what is meant for one part; a tuple holds several arguments."""
    return part.embed(*raw) if isinstance(raw, tuple) else part.embed(raw)
