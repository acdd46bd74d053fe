"""Captured arrays: everything that a ``combine`` reads beside its arguments.

MLX detaches the constants of a traced function, so an array that ``combine`` finds in a
field, a closure cell, a default, a global or a module would lose its gradient silently.
`capture` walks the operator before tracing. It yields those arrays, a hashable key of
everything else that the outcome depends on, and `Captures.rebuild` yields the operator
again with other arrays in their places. An operator that is used again is not walked but
compared with its `guard`.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.bytecode import names_of
from monoscan.lowering.trace.reads.guards import Guard, content_of_buffer, guard, reference_to
from monoscan.lowering.trace.reads.library import is_library_class, is_library_code
from monoscan.lowering.trace.reads.object_graph import CONSTRUCTORS, Names, Slot, Sort, by_parts, parts_of, sort_of
from monoscan.lowering.trace.reads.rebuild import leading_to, rebuild, without_functions
from monoscan.lowering.trace.reads.refusals import refusal
from monoscan.lowering.trace.reads.static import is_a, is_opaque
from monoscan.monoids.base import Semigroup


@attrs.frozen(eq=False)
class Key:
    """What an operator is and reads, but for its arrays; one object for all that are equal in that.

    Args:
        parts: What makes it, by value.
        names: The names that the code holds which the operator leads to.
    """

    parts: Hashable
    names: Names


@attrs.frozen
class Captures:
    """What `capture` found: the root object, its arrays, and the key of the rest."""

    root: Any
    arrays: tuple[Any, ...]
    key: Key

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The dtype and shape of each captured array."""
        return tuple(Leaf(dtypes.accumulation(leaf.dtype), leaf.shape) for leaf in map(_leaf_of, self.arrays))

    @property
    def operands(self) -> tuple[mx.array, ...]:
        """The captured arrays as ``combine`` gets them: halves in float32, as the elements are."""
        return tuple(
            array.astype(dtypes.by_name(leaf.dtype)) for array, leaf in zip(self.arrays, self.leaves, strict=True)
        )

    def stripped(self) -> Captures:
        """The same without the arrays: each leaves its `Leaf`, so that plans hold none of them, nor any function."""
        leaves = tuple(_leaf_of(array) for array in self.arrays)
        return Captures(without_functions(self.rebuild(leaves)), leaves, self.key)

    def rebuild(self, arrays: Sequence[Any]) -> Any:
        """The root again, with these arrays in place of the captured ones."""
        return rebuild(self.root, self.arrays, arrays, self._leading) if self.arrays else self.root

    @cached_property
    def _leading(self) -> dict[int, Any]:
        return leading_to(self.arrays, self.root, self.key.names)


@attrs.define(eq=False)
class _Memory:
    """What is known of a root from its last walk."""

    root: Callable[[], Any]
    key: Key
    guard: Guard | None = None


def capture(root: Any, call: str = "") -> Captures:
    """Finds the arrays that an operator or a function captures.

    Args:
        root: An operator, a function, or anything that holds some.
        call: The public function, for messages.

    Returns:
        Captures: The arrays in the order in which they were met, each once.

    Raises:
        ScanError: An operator's class has its own ``__init__`` and is no attrs class.
        TraceError: It reads what can be no part of a key, as a clock.
    """
    key = _BARE.get(type(root))
    if key is not None:
        return Captures(root, (), key)
    memory = _MEMORIES.get(id(root))
    if memory is not None and memory.root() is not root:
        memory = None
    if memory is not None and memory.guard is not None:
        arrays = memory.guard(root)
        if arrays is not None:
            return Captures(root, arrays, memory.key)
    return _walk(root, call, memory)


_BARE: dict[type, Key] = {}
"""The keys of the library's own operators without fields, which are all alike."""

_MEMORIES: dict[int, _Memory] = {}
"""What is known of roots by their ``id``; an entry ends with its root, which it does not keep alive."""


def _walk(root: Any, call: str, memory: _Memory | None) -> Captures:
    """Walks a root. One that is as it was at the last walk gets a guard, so that it need not be walked again."""
    search, key = _key_of(root, call)
    kind = type(root)
    if memory is not None and memory.key is key:
        written = guard(root, key.names)
        if _key_of(root, call)[1] is key:  # no other thread has changed anything in the meantime
            memory.guard = written
    elif is_a(root, Semigroup) and is_library_class(kind) and not attrs.fields(kind):
        _BARE[kind] = key
    else:
        _remember(root, key)
    return Captures(root, tuple(search.arrays), key)


def _key_of(root: Any, call: str) -> tuple[_Search, Key]:
    search, parts = _search(root, call)
    return search, PROGRAMS.get(("key", parts), lambda: Key(parts, search.names))


def _remember(root: Any, key: Key) -> None:
    number = id(root)
    try:
        reference = weakref.ref(root, lambda _: _MEMORIES.pop(number, None))
    except TypeError:  # no weak reference to it: it is walked at every call
        return
    _MEMORIES[number] = _Memory(reference, key)


def _leaf_of(array: Any) -> Leaf:
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


def _search(root: Any, call: str) -> tuple[_Search, Hashable]:
    """Walks until no more names turn up: a name found late may count for an object seen before."""
    names: Names = {}
    name = root.name if is_a(root, Semigroup) else getattr(root, "__name__", type(root).__name__)
    while True:
        search = _Search(f"[{call}] {name}" if call else "[capture]", names)
        key = search.visit(root)
        if not search.late:
            return search, key
        names = search.names


class _Search:
    """Collects arrays and names and builds the key, in one walk."""

    def __init__(self, where: str, names: Names) -> None:
        self.arrays: list[Any] = []
        self.names = dict(names)
        self.late = False
        self._where = where
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
                f"{self._where}: combine reads {refused}, which is traced once and would keep its first "
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

    def _array(self, value: Any) -> Hashable:
        for i, known in enumerate(self.arrays):
            if known is value:
                return "array", i
        self.arrays.append(value)
        return mx.array, _leaf_of(value)

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
