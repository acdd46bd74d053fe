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
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.lowering.ir import Leaf

SCALARS = (bool, int, str, bytes, type(None), mx.Dtype)
_OPAQUE = (type, types.ModuleType, types.BuiltinFunctionType)


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
        return tuple(array.astype(dtypes.by_name(leaf.dtype)) for array, leaf in zip(self.arrays, self.leaves, strict=True))

    def stripped(self) -> Captures:
        """The same without the arrays: each leaves its `Leaf`, so that plans hold none of them."""
        if not self.arrays:
            return self
        leaves = tuple(_leaf_of(array) for array in self.arrays)
        return Captures(self.rebuild(leaves), leaves, self.key)

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
    known = _STATIC.get(id(root))
    if known is not None and known[0]() is root:
        return Captures(root, (), known[1])
    search = _Search()
    key = search.visit(root)
    if search.static:
        _remember(root, key)
    return Captures(root, tuple(search.arrays), key)


_STATIC: dict[int, tuple[weakref.ref[Any], Hashable]] = {}
"""The keys of roots that cannot change: walked once in their life, which this does not prolong."""


def _remember(root: Any, key: Hashable) -> None:
    number = id(root)
    try:
        _STATIC[number] = (weakref.ref(root, lambda _: _STATIC.pop(number, None)), key)
    except TypeError:  # no weak reference to it: it is walked at every call
        return


def _leaf_of(array: Any) -> Leaf:
    return array if isinstance(array, Leaf) else Leaf(dtypes.name_of(array.dtype), tuple(array.shape))


@attrs.frozen(eq=False)
class _Identity:
    """A key of an object by identity, which keeps the object alive."""

    value: Any

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value


@functools.lru_cache(maxsize=1024)
def names_of(code: types.CodeType) -> tuple[str, ...]:
    """Every name that a code object, or one nested in it, looks up globally or as an attribute."""
    nested = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(name for inner in nested for name in names_of(inner))]))


@functools.lru_cache(maxsize=1024)
def fields_of(kind: type) -> tuple[str, ...]:
    """The fields of an attrs class.

    Raises:
        ScanError: The class has an ``__init__`` of its own that attrs did not write.
    """
    if "__init__" in kind.__dict__ and "__attrs_attrs__" not in kind.__dict__:
        raise errors.ScanError(
            f"[{kind.__name__}] has its own __init__ but is not decorated: two of its instances would compare equal. "
            "Decorate the class with @attrs.frozen and declare its fields."
        )
    return tuple(field.name for field in attrs.fields(kind))


def _children(value: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """What a compound value is made of, as (how it is reached, child)."""
    kind = type(value)
    if attrs.has(kind):
        yield from ((name, getattr(value, name)) for name in fields_of(kind))
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    elif hasattr(value, "__dict__"):
        yield from ((name, value.__dict__[name]) for name in names if name in value.__dict__)


def _function_parts(function: types.FunctionType) -> Iterator[tuple[Any, Any]]:
    """The cells, defaults and globals that a function reads."""
    for i, cell in enumerate(function.__closure__ or ()):
        try:
            yield ("cell", i), cell.cell_contents
        except ValueError:  # a cell that is not filled yet holds nothing to capture
            continue
    yield from ((("default", i), value) for i, value in enumerate(function.__defaults__ or ()))
    yield from ((("keyword", name), value) for name, value in (function.__kwdefaults__ or {}).items())
    scope = function.__globals__
    for name in names_of(function.__code__):
        if name in scope and not isinstance(scope[name], _OPAQUE):
            yield ("global", name), scope[name]


def _is_compound(value: Any) -> bool:
    return isinstance(value, (tuple, list, dict)) or attrs.has(type(value)) or hasattr(value, "__dict__")


class _Search:
    """Collects arrays and builds the key, in one walk."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.static = True
        self._seen: dict[int, int] = {}

    def visit(self, value: Any, names: tuple[str, ...] = ()) -> Hashable:
        kind = type(value)
        if kind in SCALARS:
            return value if kind is str else (kind, value)
        if kind is float or kind is complex:
            return repr(value)  # tells -0.0 from 0.0, and nan equals nan
        if kind is mx.array or kind is Leaf:
            return self._array(value)
        if isinstance(value, _OPAQUE):
            return value  # type: ignore[return-value]
        if id(value) in self._seen:
            return self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        return self._compound(value, names)

    def _array(self, value: Any) -> Hashable:
        self.static = False
        for i, known in enumerate(self.arrays):
            if known is value:
                return i
        self.arrays.append(value)
        return mx.array, _leaf_of(value)

    def _compound(self, value: Any, names: tuple[str, ...]) -> Hashable:
        if isinstance(value, types.FunctionType):
            names = names_of(value.__code__)
            self.static = self.static and not any(how[0] in ("cell", "global") for how, _ in _function_parts(value))
            return (value.__code__, *((how, self.visit(part, names)) for how, part in _function_parts(value)))
        if isinstance(value, types.MethodType):
            names = names_of(value.__func__.__code__) if isinstance(value.__func__, types.FunctionType) else names
            return types.MethodType, self.visit(value.__func__, names), self.visit(value.__self__, names)
        if isinstance(value, functools.partial):
            return functools.partial, self.visit(value.func), self.visit(value.args), self.visit(value.keywords)
        self.static = self.static and (isinstance(value, tuple) or attrs.has(type(value)))
        if hasattr(value, "__array_interface__"):
            return type(value), value.shape, str(value.dtype), value.tobytes()
        if _is_compound(value):
            head = type(value) if isinstance(value, (tuple, list)) or attrs.has(type(value)) else _Identity(value)
            return (head, *((how, self.visit(part, names)) for how, part in _children(value, names)))
        return _Identity(value)


class _Rebuild:
    """Builds the same object graph with other arrays; what holds none of them is kept as it is."""

    def __init__(self, replacements: dict[int, Any]) -> None:
        self._replacements = replacements
        self._built: dict[int, Any] = {}

    def visit(self, value: Any, names: tuple[str, ...] = ()) -> Any:
        kind = type(value)
        if kind is mx.array or kind is Leaf:
            return self._replacements.get(id(value), value)
        if kind in SCALARS or kind in (float, complex) or isinstance(value, _OPAQUE):
            return value
        if id(value) not in self._built:
            self._built[id(value)] = value  # ends the walk at a cycle
            self._built[id(value)] = self._compound(value, names)
        return self._built[id(value)]

    def _compound(self, value: Any, names: tuple[str, ...]) -> Any:
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            owner = self.visit(value.__self__, names_of(value.__func__.__code__))
            return types.MethodType(self.visit(value.__func__), owner)
        if isinstance(value, functools.partial):
            parts = self.visit(value.func), self.visit(value.args), self.visit(value.keywords)
            return functools.partial(parts[0], *parts[1], **parts[2])
        if not _is_compound(value) or hasattr(value, "__array_interface__"):
            return value
        return self._container(value, names)

    def _container(self, value: Any, names: tuple[str, ...]) -> Any:
        old = dict(_children(value, names))
        new = {how: self.visit(part, names) for how, part in old.items()}
        if all(new[how] is old[how] for how in old):
            return value
        if isinstance(value, (tuple, list)):
            items = list(new.values())
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        clone = copy.copy(value)
        self._built[id(value)] = clone
        for how, part in new.items():
            if isinstance(value, dict):
                clone[how] = part
            else:
                object.__setattr__(clone, how, part)  # frozen classes refuse the ordinary way
        return clone

    def _function(self, value: types.FunctionType) -> Any:
        parts = dict(_function_parts(value))
        cells = tuple(types.CellType() for _ in value.__closure__ or ())
        scope = dict(value.__globals__)
        clone = types.FunctionType(value.__code__, scope, value.__name__, None, cells or None)
        self._built[id(value)] = clone
        names = names_of(value.__code__)
        new = {how: self.visit(part, names) for how, part in parts.items()}
        if all(new[how] is parts[how] for how in parts if parts[how] is not value):
            self._built[id(value)] = value
            return value
        for i, cell in enumerate(cells):
            if ("cell", i) in new:
                cell.cell_contents = new["cell", i]
        clone.__defaults__ = tuple(new["default", i] for i in range(len(value.__defaults__ or ()))) or None
        clone.__kwdefaults__ = {name: new["keyword", name] for name in value.__kwdefaults__ or ()} or None
        scope.update({name: part for (source, name), part in new.items() if source == "global"})
        return clone
