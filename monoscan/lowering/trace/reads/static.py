"""Look-ups that run no code of the user's: no getter, no ``__getattr__``, no ``__eq__``, no ``__iter__``."""

from __future__ import annotations

import collections
import contextvars
import gc
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_HEAP_TYPE = 1 << 9

mro_of: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
bases_of: Callable[[type], tuple[type, ...]] = vars(type)["__bases__"].__get__
name_of: Callable[[type], str] = vars(type)["__name__"].__get__
qualified_name_of: Callable[[type], str] = vars(type)["__qualname__"].__get__
module_of: Callable[[type], str] = vars(type)["__module__"].__get__
class_dict: Callable[[type], types.MappingProxyType[str, Any]] = vars(type)["__dict__"].__get__
module_dict: Callable[[types.ModuleType], dict[str, Any]] = vars(types.ModuleType)["__dict__"].__get__
dtype_of: Callable[[Any], Any] = vars(np.ndarray)["dtype"].__get__
_flags_of: Callable[[type], int] = vars(type)["__flags__"].__get__

DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)
"""What stands in a class for a slot; it leads back to the class."""

CONTENTS: dict[type, Callable[[Any], Iterable[Any]]] = {
    dict: dict.values,
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
    collections.deque: collections.deque.__iter__,
    np.ndarray: lambda array: (
        np.ndarray.ravel(array).tolist() if dtype_of(array).hasobject else (np.ndarray.view(array, np.ndarray),)
    ),
    int: lambda value: (int.__pos__(value),),
    float: lambda value: (float.__pos__(value),),
    complex: lambda value: (complex.__pos__(value),),
    str: lambda value: (str.__str__(value),),
    bytes: lambda value: (bytes.__getitem__(value, slice(None)),),
}
"""What has a content, the bases of users' classes, and how to go through it."""


def is_a(value: Any, base: type) -> bool:
    """``isinstance`` by the object's true class, whatever its ``__class__`` says."""
    return base in mro_of(type(value))


def is_heap_type(kind: type) -> bool:
    """Whether a class was made at run time, by a class statement or by C; builtin types were not."""
    return bool(_flags_of(kind) & _HEAP_TYPE)


_OPEN = frozenset((BaseException, types.SimpleNamespace, threading.local, *CONTENTS))


def native_of(kind: type) -> type:
    """The first base that was not made at run time: what lays out the memory of the instances."""
    return next(base for base in mro_of(kind) if not is_heap_type(base))


def is_opaque(kind: type) -> bool:
    """Whether objects hold in C what nothing here reads, as those of ``timedelta`` do."""
    native = native_of(kind)
    return native is not object and _OPEN.isdisjoint(mro_of(native))


def entry_of(kind: type, name: str) -> Any:
    """What a class or the first of its bases holds under a name, as it stands there."""
    for base in mro_of(kind):
        space = class_dict(base)
        if name in space:
            return space[name]
    return None


def instance_dict(value: Any) -> dict[str, Any] | None:
    """The attributes of an object; ``None`` where it has none, or its class shadows ``__dict__``."""
    if is_a(value, threading.local):
        own: dict[str, Any] = threading.local.__getattribute__(value, "__dict__")  # of this thread
        return own
    if type(entry_of(type(value), "__dict__")) not in DESCRIPTORS:
        return None
    found = object.__getattribute__(value, "__dict__")
    return found if type(found) is dict else None


def slots_of(kind: type) -> list[str]:
    """The slots of a class and its bases that nothing shadows."""
    names = [name for base in mro_of(kind) if "__slots__" in class_dict(base) for name in class_dict(base)]
    return [name for name in dict.fromkeys(names) if type(entry_of(kind, name)) is types.MemberDescriptorType]


def slot_contents(value: Any, name: str, default: Any) -> Any:
    """What a slot holds."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return default


def cell_contents(cell: types.CellType, default: Any) -> Any:
    """What a cell holds."""
    try:
        return cell.cell_contents
    except ValueError:
        return default


def variable_contents(variable: contextvars.ContextVar[Any], missing: Any) -> Any:
    """What a context variable holds here: its own default where it was never set."""
    try:
        return variable.get()  # an argument would hide that default
    except LookupError:
        return missing


def content_of(value: Any) -> Iterable[Any] | None:
    """The items of a container, ``None`` for what is none."""
    bases = mro_of(type(value))
    return next((walk(value) for base, walk in CONTENTS.items() if base in bases), None)


_RUNNING = (types.FrameType, types.TracebackType)
"""What leads from an error to everything that ran when it was raised."""


def held_by(value: Any) -> list[Any]:
    """What an object of a type written in C keeps alive."""
    parts = gc.get_referents(value)
    return [part for part in parts if part is not None and type(part) not in _RUNNING and not is_a(part, type)]


def referent_of(proxy: Any) -> Any:
    """What a weak proxy stands for; ``None`` once that is gone."""
    try:
        return proxy.__repr__.__self__
    except ReferenceError:
        return None


def is_special(name: str) -> bool:
    """Whether a name is one of those that Python's syntax looks up."""
    return name[:2] == name[-2:] == "__"
