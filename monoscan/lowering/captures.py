"""Captured arrays: everything that a ``combine`` reads beside its arguments.

MLX detaches the constants of a traced function, so an array that ``combine`` finds in a
field, a closure cell, a default, a global or a module would lose its gradient silently.
`capture` walks the operator before tracing. It yields those arrays, a hashable key of
everything else that the outcome depends on, and `Captures.rebuild` yields the operator
again with other arrays in their places.
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.ir import Leaf
from monoscan.lowering.object_graph import (
    OPAQUE,
    SCALARS,
    children,
    class_attribute,
    function_parts,
    is_compound,
    names_for,
    names_of,
)
from monoscan.monoids.base import Semigroup


@attrs.frozen
class Captures:
    """What `capture` found: the root object, its arrays, and the key of the rest."""

    root: Any
    arrays: tuple[Any, ...]
    key: Hashable

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
        """The same without the arrays: each leaves its `Leaf`, so that plans hold none of them."""
        leaves = tuple(_leaf_of(array) for array in self.arrays)
        replacements = {id(old): new for old, new in zip(self.arrays, leaves, strict=True)}
        return Captures(_Rebuild(replacements, strip=True).visit(self.root), leaves, self.key)

    def rebuild(self, arrays: Sequence[Any]) -> Any:
        """The root again, with these arrays in place of the captured ones."""
        if not self.arrays:
            return self.root
        replacements = {id(old): new for old, new in zip(self.arrays, arrays, strict=True)}
        return _Rebuild(replacements).visit(self.root)


def capture(root: Any) -> Captures:
    """Finds the arrays that an operator or a function captures.

    Args:
        root: An operator, a function, or anything that holds some.

    Returns:
        Captures: The arrays in the order in which they were met, each once.

    Raises:
        ScanError: An operator's class has its own ``__init__`` and is no attrs class.
    """
    bare = _BARE.get(type(root))
    if bare is not None:
        return Captures(root, (), bare)
    known = _STATIC.get(id(root))
    if known is not None and known[0]() is root:
        return Captures(root, (), known[1])
    search = _Search()
    key = search.visit(root)
    if search.static:
        _remember(root, key)
    return Captures(root, tuple(search.arrays), key)


def names_reached(root: Any) -> set[str]:
    """All names that the code which an operator or a function may run looks up."""
    search = _Search()
    search.visit(root)
    return search.names


_STATIC: dict[int, tuple[weakref.ref[Any], Hashable]] = {}
"""The keys of roots that cannot change: walked once in their life, which this does not prolong."""


_BARE: dict[type, Hashable] = {}
"""The keys of the library's own operators without fields, which are all alike."""


def _remember(root: Any, key: Hashable) -> None:
    kind = type(root)
    if isinstance(root, Semigroup) and kind.__module__.startswith("monoscan.") and not attrs.fields(kind):
        _BARE[kind] = key
        return
    number = id(root)
    try:
        _STATIC[number] = (weakref.ref(root, lambda _: _STATIC.pop(number, None)), key)
    except TypeError:  # no weak reference to it: it is walked at every call
        return


def _leaf_of(array: Any) -> Leaf:
    return array if isinstance(array, Leaf) else Leaf(dtypes.name_of(array.dtype), tuple(array.shape))


class _Identity:
    """A key of an object by identity. It keeps alive only what cannot be referred to weakly."""

    __slots__ = ("_hash", "_refer")

    def __init__(self, value: Any) -> None:
        self._hash = id(value)
        try:
            self._refer: Callable[[], Any] = weakref.ref(value)
        except TypeError:
            self._refer = lambda: value

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        mine = self._refer()
        return mine is not None and mine is other._refer()


def _kind_key(kind: type) -> Hashable:
    """A class as part of a key; classes made at run time may hold arrays, and are not kept alive."""
    return kind if kind.__module__.startswith(("builtins", "monoscan.")) else _Identity(kind)


class _Search:
    """Collects arrays and builds the key, in one walk."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.static = True
        self.names: set[str] = set()
        self._seen: dict[Any, int] = {}

    def visit(self, value: Any, names: tuple[str, ...] = ()) -> Hashable:
        kind = type(value)
        if kind in SCALARS:
            return kind, value
        if kind is float or kind is complex:
            return kind, repr(value)  # tells -0.0 from 0.0, and nan equals nan
        if kind is mx.array or kind is Leaf:
            return self._array(value)
        if isinstance(value, OPAQUE):
            return _kind_key(value) if isinstance(value, type) else value
        names = names_for(value, names)
        place = id(value), names
        if place in self._seen:
            return "seen", self._seen[place]
        self._seen[place] = len(self._seen)
        return self._compound(value, names)

    def _array(self, value: Any) -> Hashable:
        self.static = False
        for i, known in enumerate(self.arrays):
            if known is value:
                return "array", i
        self.arrays.append(value)
        return mx.array, _leaf_of(value)

    def _compound(self, value: Any, names: tuple[str, ...]) -> Hashable:
        if isinstance(value, types.FunctionType):
            parts = list(function_parts(value))
            self.names.update(names_of(value.__code__))
            self.static &= all(isinstance(part, OPAQUE) for (where, _), part in parts if where in ("cell", "global"))
            return (value.__code__, *((how, self.visit(part, names)) for how, part in parts))
        if isinstance(value, types.MethodType):
            return types.MethodType, self.visit(value.__func__, names), self.visit(value.__self__, names)
        if isinstance(value, functools.partial):
            return functools.partial, self.visit(value.func), self.visit(value.args), self.visit(value.keywords)
        self.static = self.static and isinstance(value, (tuple, Semigroup))  # these are frozen
        if hasattr(value, "__array_interface__"):
            return type(value), value.shape, str(value.dtype), value.tobytes()
        if is_compound(value):
            found = children(value, names)
            return (self._head(value), *((how, self.visit(part, names)) for names, how, part in found))
        return _Identity(value)

    def _head(self, value: Any) -> Hashable:
        kind = type(value)
        by_content = kind is dict or isinstance(value, (tuple, list)) or attrs.has(kind)
        return _kind_key(kind) if by_content else _Identity(value)


class _Rebuild:
    """Builds the same object graph with other arrays; what holds none of them is kept as it is.

    Args:
        replacements: What takes the place of an array, by its ``id``.
        strip: Leave out what no name leads to, since it may hold arrays too.
    """

    def __init__(self, replacements: dict[int, Any], strip: bool = False) -> None:
        self._replacements = replacements
        self._strip = strip
        self._built: dict[Any, Any] = {}

    def visit(self, value: Any, names: tuple[str, ...] = ()) -> Any:
        kind = type(value)
        if kind is mx.array or kind is Leaf:
            return self._replacements.get(id(value), value)
        if kind in SCALARS or kind in (float, complex) or isinstance(value, OPAQUE):
            return value
        names = names_for(value, names)
        place = id(value), names
        if place not in self._built:
            self._built[place] = value  # ends the walk at a cycle
            self._built[place] = self._compound(value, names)
        return self._built[place]

    def _compound(self, value: Any, names: tuple[str, ...]) -> Any:
        if isinstance(value, types.FunctionType):
            return self._function(value, names)
        if isinstance(value, types.MethodType):
            return types.MethodType(self.visit(value.__func__, names), self.visit(value.__self__, names))
        if isinstance(value, functools.partial):
            parts = self.visit(value.func), self.visit(value.args), self.visit(value.keywords)
            return functools.partial(parts[0], *parts[1], **parts[2])
        if not is_compound(value) or hasattr(value, "__array_interface__"):
            return value
        return self._container(value, names)

    def _container(self, value: Any, names: tuple[str, ...]) -> Any:
        found = children(value, names)
        new = {how: self.visit(part, names) for names, how, part in found}
        changed = {how: new[how] for _, how, part in found if new[how] is not part}
        bare = self._strip and not attrs.has(type(value)) and bool(getattr(value, "__dict__", None))
        if not changed and not bare:
            return value
        if isinstance(value, (tuple, list)):
            items = [new["item", i] for i in range(len(value))]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        clone = copy.copy(value)
        self._built[id(value), names] = clone
        if bare:
            for name in [name for name in clone.__dict__ if ("field", name) not in new]:
                del clone.__dict__[name]
        self._change(clone, changed)
        return clone

    def _change(self, clone: Any, changed: dict[tuple[str, Any], Any]) -> None:
        methods = {}
        for (how, name), part in changed.items():
            if how == "item":
                clone[name] = part
            elif how == "field":
                object.__setattr__(clone, name, part)  # frozen classes refuse the ordinary way
            else:
                methods[name] = _like_attribute(class_attribute(type(clone), name), part)
        if methods:
            kind = type(clone)
            body = {"__slots__": (), "__module__": kind.__module__, **methods}
            own = types.new_class(kind.__name__, (kind,), exec_body=lambda space: space.update(body))
            object.__setattr__(clone, "__class__", own)

    def _function(self, value: types.FunctionType, names: tuple[str, ...]) -> Any:
        parts = dict(function_parts(value))
        cells = tuple(types.CellType() for _ in value.__closure__ or ())
        scope = {name: value.__globals__[name] for name in (*names, "__builtins__") if name in value.__globals__}
        clone = types.FunctionType(value.__code__, scope, value.__name__, None, cells or None)
        self._built[id(value), names] = clone
        new = {how: self.visit(part, names) for how, part in parts.items()}
        if all(new[how] is parts[how] for how in parts if parts[how] is not value):
            self._built[id(value), names] = value
            return value
        for i, cell in enumerate(cells):
            if ("cell", i) in new:
                cell.cell_contents = new["cell", i]
        clone.__defaults__ = tuple(new["default", i] for i in range(len(value.__defaults__ or ()))) or None
        clone.__kwdefaults__ = {name: new["keyword", name] for name in value.__kwdefaults__ or ()} or None
        scope.update({name: part for (source, name), part in new.items() if source == "global"})
        return clone


def _like_attribute(attribute: Any, function: types.FunctionType) -> Any:
    """The function as the kind of class entry, a property or a method, that it takes the place of."""
    return type(attribute)(function) if isinstance(attribute, (property, staticmethod, classmethod)) else function
