"""How values count, where an operator is compared with what it was."""

from __future__ import annotations

import collections
import enum
import functools
import threading
import types
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.library import is_library_class, is_library_module
from monoscan.lowering.trace.reads.static import CONTENTS, DESCRIPTORS, dtype_of, entry_of, module_of, mro_of
from monoscan.monoids.declared import Declared

MEMBERS: dict[type, tuple[str, ...]] = {
    types.BuiltinFunctionType: ("__self__", "__name__"),
    types.MethodWrapperType: ("__self__", "__name__"),
    functools.partial: ("func", "args", "keywords"),
    collections.defaultdict: ("default_factory",),
    BaseException: ("args",),
    property: ("fget",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
}
"""What objects of these types, written in C, hold under which names."""

_BY_PARTS = (types.FunctionType, types.MethodType, *MEMBERS, *CONTENTS)
_INERT = ("_thread", "re", "abc", "_abc")
"""Libraries whose objects tell a combine nothing about numbers."""
_MEMORY = frozenset(("array", "mmap", "_ctypes", "ctypes"))
"""Libraries of C whose objects are memory, which counts by content."""


class Missing(enum.Enum):
    """What an empty cell or slot holds."""

    MISSING = 0


MISSING = Missing.MISSING


class Sort(enum.Enum):
    """How a value counts: by value, by shape and dtype, by content, by identity, by type, or by its parts."""

    SCALAR = 0
    ARRAY = 1
    BUFFER = 2
    LEAF = 3
    DESCRIPTOR = 4
    COMPOUND = 5


_SORTS: dict[type, Sort] = {
    **dict.fromkeys((bool, int, float, complex, str, bytes, type(None), type(...), mx.Dtype, Missing), Sort.SCALAR),
    **dict.fromkeys((mx.array, Leaf), Sort.ARRAY),
    **dict.fromkeys((bytearray, memoryview, np.ma.MaskedArray, np.memmap), Sort.BUFFER),
    **dict.fromkeys((types.CodeType, type(mx.add), type(mx.array.__add__), np.ufunc), Sort.LEAF),
    **dict.fromkeys((types.MethodDescriptorType, types.WrapperDescriptorType), Sort.LEAF),
    types.ClassMethodDescriptorType: Sort.LEAF,
    **dict.fromkeys(DESCRIPTORS, Sort.DESCRIPTOR),
    **dict.fromkeys((types.FunctionType, types.MethodType, dict, list, tuple, functools.partial), Sort.COMPOUND),
    threading.local: Sort.COMPOUND,
}


def sort_of(value: Any) -> Sort:
    """How a value counts."""
    kind = type(value)
    sort = _SORTS.get(kind)
    if sort is not None:
        return sort
    bases = mro_of(kind)
    if np.ndarray in bases or np.generic in bases:
        divided = np.ndarray in bases and (dtype_of(value).hasobject or not is_library_class(kind))
        return Sort.COMPOUND if divided else Sort.BUFFER
    if not _MEMORY.isdisjoint(map(module_of, bases)):
        return Sort.BUFFER
    if types.ModuleType in bases:
        return Sort.LEAF if is_library_module(value) else Sort.COMPOUND
    if type in bases:
        return Sort.LEAF if is_library_class(value) and is_library_class(kind) else Sort.COMPOUND
    if kind is types.BuiltinFunctionType:
        owner = value.__self__
        return Sort.LEAF if owner is None or sort_of(owner) is Sort.LEAF else Sort.COMPOUND
    return Sort.LEAF if module_of(kind) in _INERT and is_library_class(kind) else Sort.COMPOUND


def by_parts(value: Any) -> bool:
    """Whether two values with the same class and the same parts count as one."""
    kind = type(value)
    if kind in _BY_PARTS:
        return True
    bases = mro_of(kind)
    return Declared in bases or tuple in bases or list in bases or entry_of(kind, "__attrs_attrs__") is not None
