"""What code can reach: the parts of functions, operators and containers, by the names that code uses."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors

SCALARS = (bool, int, str, bytes, type(None), mx.Dtype)
OPAQUE = (type, types.ModuleType, types.BuiltinFunctionType)
_ENTRIES = ("combine", "identity", "__call__", "__getitem__", "__getattr__")
"""Methods that run although no name in the code that runs them says so."""


@functools.lru_cache(maxsize=1024)
def names_of(code: types.CodeType) -> tuple[str, ...]:
    """Every name that a code object, or one nested in it, looks up globally or as an attribute."""
    nested = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(name for inner in nested for name in names_of(inner))]))


def fields_of(kind: type) -> Iterator[str]:
    """The fields of an attrs class.

    Raises:
        ScanError: The class has an ``__init__`` of its own that attrs did not write.
    """
    if "__init__" in kind.__dict__ and "__attrs_attrs__" not in kind.__dict__:
        raise errors.ScanError(
            f"[{kind.__name__}] has its own __init__ but is not decorated: two of its instances would compare equal. "
            "Decorate the class with @attrs.frozen and declare its fields."
        )
    return (field.name for field in attrs.fields(kind))


def methods_of(kind: type, names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, types.FunctionType]]:
    """What code may look up on an object once it looks up ``names`` or calls it: all names, and the methods among them.

    The library's own operators read nothing but their fields.
    """
    if kind.__module__.startswith("monoscan."):
        return tuple(names), {}
    found = dict.fromkeys([*names, *_ENTRIES])
    methods: dict[str, types.FunctionType] = {}
    queue = list(found)
    while queue:
        name = queue.pop()
        function = _function_in(class_attribute(kind, name))
        if function is not None:
            methods[name] = function
            more = [each for each in names_of(function.__code__) if each not in found]
            found.update(dict.fromkeys(more))
            queue += more
    return tuple(found), methods


def class_attribute(kind: type, name: str) -> Any:
    """The entry of a class or its bases, as it stands there."""
    return next((base.__dict__[name] for base in kind.__mro__ if name in base.__dict__), None)


def _function_in(attribute: Any) -> types.FunctionType | None:
    """The Python function behind an entry of a class."""
    if isinstance(attribute, property):
        attribute = attribute.fget
    if isinstance(attribute, (staticmethod, classmethod)):
        attribute = attribute.__func__
    return attribute if isinstance(attribute, types.FunctionType) else None


Child = tuple[tuple[str, ...], tuple[str, Any], Any]


def children(value: Any, names: tuple[str, ...]) -> list[Child]:
    """What a compound value is made of: by which names code may go on from it, how it is reached, and what it is."""
    kind = type(value)
    if kind is tuple or kind is list:
        return [(names, ("item", i), child) for i, child in enumerate(value)]
    if kind is dict:
        return [(names, ("item", key), child) for key, child in value.items()]
    names, methods = methods_of(kind, names)
    found: list[Child] = [((), ("method", name), function) for name, function in methods.items()]
    if attrs.has(kind):
        return found + [(names, ("field", name), getattr(value, name)) for name in fields_of(kind)]
    if isinstance(value, dict):
        found += [(names, ("item", key), child) for key, child in value.items()]
    elif isinstance(value, (tuple, list)):
        found += [(names, ("item", i), child) for i, child in enumerate(value)]
    attributes = getattr(value, "__dict__", {})
    return found + [(names, ("field", name), attributes[name]) for name in names if name in attributes]


def function_parts(function: types.FunctionType) -> Iterator[tuple[Any, Any]]:
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
        if name in scope and not isinstance(scope[name], OPAQUE):
            yield ("global", name), scope[name]


def is_compound(value: Any) -> bool:
    """Whether a value has parts to walk."""
    return isinstance(value, (tuple, list, dict)) or attrs.has(type(value)) or hasattr(value, "__dict__")


def names_for(value: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names by which code goes on from a value: a function and what is bound to it bring their own."""
    function = value.__func__ if isinstance(value, types.MethodType) else value
    return names_of(function.__code__) if isinstance(function, types.FunctionType) else names
