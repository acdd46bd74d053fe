"""Captured arrays: everything that a ``combine`` reads beside its arguments.

MLX detaches the constants of a traced function, so an array that ``combine`` finds in a
field, a closure cell, a default, a global or a module would lose its gradient silently.
`capture` walks the operator before tracing. It yields those arrays, a hashable key of
everything else that the outcome depends on, and `Captures.rebuild` yields the operator
again with other arrays in their places. An operator that is used again is not walked but
compared with its `guard`, and one that is made anew with the guard of the last one like it.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import PROGRAMS
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.guards import Guard, guard
from monoscan.lowering.trace.reads.key import Key, key_of, leaf_of
from monoscan.lowering.trace.reads.library import is_library_class
from monoscan.lowering.trace.reads.rebuild import leading_to, rebuild, without_functions
from monoscan.lowering.trace.reads.static import is_a
from monoscan.monoids.declared import Declared


@attrs.frozen
class Captures:
    """What `capture` found: the root object, its arrays, and the key of the rest."""

    root: Any
    arrays: tuple[Any, ...]
    key: Key

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The dtype and shape of each captured array."""
        return tuple(Leaf(dtypes.accumulation(leaf.dtype), leaf.shape) for leaf in map(leaf_of, self.arrays))

    @property
    def operands(self) -> tuple[mx.array, ...]:
        """The captured arrays as ``combine`` gets them: halves in float32, as the elements are."""
        if not self.arrays:
            return ()
        rows = zip(self.arrays, self.leaves, strict=True)
        return tuple(array.astype(dtypes.by_name(leaf.dtype)) for array, leaf in rows)

    def stripped(self) -> Captures:
        """The same without the arrays: each leaves its `Leaf`, so that plans hold none of them, nor any function."""
        leaves = tuple(leaf_of(array) for array in self.arrays)
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


@attrs.define(eq=False)
class _Form:
    """What is known of the last root of one class and one code, as lambdas have that are made anew at each call."""

    known: tuple[Key, Guard | None]
    written: int = 0


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
    return _alike(root, call) if memory is None else _walk(root, call, memory)


_BARE: dict[type, Key] = {}
"""The keys of the library's own operators without fields, which are all alike."""

_MEMORIES: dict[int, _Memory] = {}
"""What is known of roots by their ``id``; an entry ends with its root, which it does not keep alive."""

_MAX_WRITTEN = 8
"""How often the guard of a form is written: where roots differ time and again, they are better walked."""


def _alike(root: Any, call: str) -> Captures:
    """A root that was not seen before: compared with the last one of its form, and walked where it differs."""
    place = ("form", id(type(root)), id(_code_of(root)))  # where another has taken an id, the guard tells
    form: _Form | None = PROGRAMS.find(place)
    if form is None:
        found = _walk(root, call, None)
        PROGRAMS.get(place, lambda: _Form((found.key, None)))
        return found
    key, compare = form.known
    arrays = compare and compare(root)
    if arrays is not None:
        return Captures(root, arrays, key)
    found = _walk(root, call, None)
    if found.key is not key:
        form.known = found.key, None
    elif form.written < _MAX_WRITTEN:
        form.written += 1
        written = guard(root, key.names, alike=True)
        if key_of(root, call)[1] is key:
            form.known = key, written
    return found


def _code_of(root: Any) -> types.CodeType | None:
    """The code of a function, or of the function that one of the library's operators is made of."""
    function = getattr(root, "function", None) if is_library_class(type(root)) else None
    function = root if type(root) is types.FunctionType else function
    return function.__code__ if type(function) is types.FunctionType else None


def _walk(root: Any, call: str, memory: _Memory | None) -> Captures:
    """Walks a root. One that is as it was at the last walk gets a guard, so that it need not be walked again."""
    arrays, key = key_of(root, call)
    kind = type(root)
    if memory is not None and memory.key is key:
        written = guard(root, key.names)
        if key_of(root, call)[1] is key:  # no other thread has changed anything in the meantime
            memory.guard = written
    elif is_a(root, Declared) and is_library_class(kind) and not attrs.fields(kind):
        _BARE[kind] = key
    else:
        _remember(root, key)
    return Captures(root, arrays, key)


def _remember(root: Any, key: Key) -> None:
    number = id(root)
    try:
        reference = weakref.ref(root, lambda _: _MEMORIES.pop(number, None))
    except TypeError:  # no weak reference to it: it is walked at every call
        return
    _MEMORIES[number] = _Memory(reference, key)
