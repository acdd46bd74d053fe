"""The key of what an operator is and reads, and the arrays among it, found in one walk."""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterable
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.bytecode import names_of
from monoscan.lowering.trace.reads.library import is_library_class, is_library_code
from monoscan.lowering.trace.reads.object_graph import CONSTRUCTORS, Names, Slot, parts_of
from monoscan.lowering.trace.reads.refusals import refusal
from monoscan.lowering.trace.reads.sameness import content_of_buffer, reference_to
from monoscan.lowering.trace.reads.sorts import Sort, by_parts, sort_of
from monoscan.lowering.trace.reads.static import is_a, is_opaque
from monoscan.monoids.declared import Declared


@attrs.frozen(eq=False)
class Key:
    """What an operator is and reads, but for its arrays; one object for all that are equal in that.

    Args:
        parts: What makes it, by value.
        names: The names that the code holds which the operator leads to.
    """

    parts: Hashable
    names: Names

    def __reduce__(self) -> tuple[type[Key], tuple[Hashable, Names]]:
        """What travels is a key of its own: identities mean nothing in another process."""
        return Key, ((), self.names)

    def __deepcopy__(self, memo: dict[int, Any]) -> Key:
        return self


def key_of(root: Any, call: str) -> tuple[tuple[Any, ...], Key]:
    """The arrays that a root leads to, each once, and the key of the rest.

    Args:
        root: An operator, a function, or anything that holds some.
        call: The public function, for messages.

    Raises:
        TraceError: It reads what can be no part of a key, as a clock.
    """
    search = _Search(root, call, {})
    parts = search.visit(root)
    while search.late:  # a name found late may count for an object seen before
        search = _Search(root, call, search.names)
        parts = search.visit(root)
    return tuple(search.arrays), PROGRAMS.get(("key", parts), lambda: Key(parts, search.names))


def leaf_of(array: Any) -> Leaf:
    """The dtype and shape of an array."""
    return array if isinstance(array, Leaf) else Leaf(dtypes.name_of(array.dtype), tuple(array.shape))


class _Identity:
    """A key of an object by identity. It keeps alive only what cannot be referred to weakly."""

    __slots__ = ("_hash", "_refer")

    def __init__(self, value: Any) -> None:
        self._hash = id(value)
        self._refer = reference_to(value) or (lambda: value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        mine = self._refer()
        return mine is not None and mine is other._refer()


_EQUAL = frozenset((bool, int, bytes, type(None), types.CodeType))
"""Types whose values count as they are: the quick way for most of what an operator holds."""


class _Search:
    """Collects arrays and names and builds the key, in one walk."""

    def __init__(self, root: Any, call: str, names: Names) -> None:
        self.arrays: list[Any] = []
        self.names = dict(names)
        self.late = False
        self._root = root
        self._call = call
        self._open = False
        self._certain = True
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []

    def visit(self, value: Any) -> Any:
        kind = type(value)
        sort = sort_of(value)
        if sort is Sort.SCALAR:
            if kind is str and value.isidentifier():
                self._add((value,))  # getattr may take it
            return (kind, repr(value)) if kind is float or kind is complex else (kind, value)  # -0.0 is not 0.0
        if sort is Sort.ARRAY:
            return self._array(value)
        if sort is Sort.DESCRIPTOR:
            return kind, value.__name__
        refused = refusal(value) if self._certain else None
        if refused:
            raise errors.TraceError(
                f"{self._where()}: combine reads {refused}, which is traced once and would keep its first "
                "value. Read it before the call and hold the value in a field, a closure or a global."
            )
        if sort is Sort.BUFFER:
            return content_of_buffer(value)
        if sort is Sort.LEAF:
            return value
        if id(value) in self._seen:
            return "seen", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        return self._compound(value)

    def _where(self) -> str:
        name = self._root.name if is_a(self._root, Declared) else errors.called(self._root)
        return f"[{self._call}] {name}" if self._call else "[capture]"

    def _array(self, value: Any) -> Hashable:
        for i, known in enumerate(self.arrays):
            if known is value:
                return "array", i
        self.arrays.append(value)
        return mx.array, leaf_of(value)

    def _compound(self, value: Any) -> Hashable:
        kind = type(value)
        if kind is types.FunctionType:
            self._code(value)
        parts = parts_of(value, self.names)
        self._open = self._open or bool(value.__dict__ if kind is types.FunctionType else parts.open)
        key = [_head(value, bool(parts.children))]
        for slot, part in parts.children:
            known = type(part) in _EQUAL
            key.append((slot, type(part), part) if known else (slot, self._child(slot, part)))
        return tuple(key)

    def _child(self, slot: Slot, part: Any) -> Any:
        """A part. What a constructor reads, or an object written in C holds, may be read or not: it is never refused."""
        certain = self._certain
        self._certain = certain and slot[0] != "held" and slot[1] not in CONSTRUCTORS
        if slot[0] not in ("class", "bases", "item") and is_a(part, type) and not is_library_class(part):
            self._add(CONSTRUCTORS)
        found = self.visit(part)
        self._certain = certain
        return found

    def _code(self, function: types.FunctionType) -> None:
        if not is_library_code(function.__code__):
            self._add(names_of(function.__code__).attributes)

    def _add(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self.names]
        self.names.update(dict.fromkeys(new))
        self.late = self.late or (self._open and bool(new))


def _is_more(kind: type) -> bool:
    """Whether objects of a class of the user's are more than their parts."""
    return is_opaque(kind) and not is_library_class(kind)


def _head(value: Any, divided: bool) -> Any:
    """How the key tells objects with equal parts apart: by class where that is all there is to them, else by identity."""
    kind = type(value)
    if not by_parts(value) and (not divided or reference_to(value) is not None or _is_more(kind)):
        return _Identity(value)
    return kind if is_library_class(kind) else _Identity(kind)
