"""What ``combine`` must not read, since nothing tells when it changes: clocks, generators, files, the environment."""

from __future__ import annotations

import sys
import types
from typing import Any

import mlx.core as mx

from monoscan.lowering.trace.reads.bytecode import names_of
from monoscan.lowering.trace.reads.chains import end_of, first_of
from monoscan.lowering.trace.reads.library import is_library_class, is_library_code, is_library_module
from monoscan.lowering.trace.reads.static import is_a, module_dict, module_of, mro_of, name_of

_TYPES = {
    ("os", "_Environ"): "the environment",
    ("random", "Random"): "a random generator",
    ("numpy.random.mtrand", "RandomState"): "a random generator",
    ("numpy.random._generator", "Generator"): "a random generator",
    ("numpy.random.bit_generator", "BitGenerator"): "a random generator",
    ("_io", "_IOBase"): "a file",
    ("builtins", "generator"): "a Python generator",
    ("builtins", "coroutine"): "a coroutine",
    ("builtins", "async_generator"): "a Python generator",
    ("_ctypes", "_Pointer"): "memory behind a pointer",
}
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime", "localtime", "gmtime")
_FILES = {
    "io": ("open",),
    "_io": ("open",),
    "builtins": ("open",),
    "posix": ("open", "read", "stat", "listdir", "scandir", "getcwd"),
    "genericpath": ("exists", "isfile", "isdir", "getsize", "getmtime"),
    "mlx.core": ("load",),
    "numpy": ("load", "loadtxt", "genfromtxt", "fromfile"),
}
_FUNCTIONS = {
    **{("time", name + end): "a clock" for name in _CLOCKS for end in ("", "_ns")},
    **{
        ("datetime", f"{kind}.{name}"): "a clock"
        for kind in ("date", "datetime")
        for name in ("now", "today", "utcnow")
    },
    **{("os", name): "the environment" for name in ("getenv", "getenvb")},
    **{("posix", name): "random numbers of the system" for name in ("urandom", "getrandom")},
    **{("uuid", name): "a random generator" for name in ("uuid1", "uuid4")},
    **{("secrets", name): "random numbers of the system" for name in ("token_bytes", "randbelow", "choice")},
    **{(module, name): "a file" for module, names in _FILES.items() for name in names},
    ("importlib", "import_module"): "a module by name",
    ("builtins", "__import__"): "a module by name",
    ("sys", "_getframe"): "the frames of its callers",
    ("inspect", "currentframe"): "the frames of its callers",
    ("decimal", "getcontext"): "the precision of decimals",
    ("builtins", "input"): "what somebody types",
    **{("builtins", name): "code in a text" for name in ("eval", "exec")},
}
_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, type(mx.load))
_BOUND = (types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType)


_BUILTINS = tuple(name for module, name in _FUNCTIONS if module == "builtins")
_MODULES = frozenset(
    (
        *("os", "time", "random", "datetime", "numpy", "numpy.random", "uuid", "secrets", "io", "builtins"),
        *("sys", "importlib", "inspect", "decimal", "mlx.core"),
    )
)
_PLAIN = (types.CodeType, dict, list, tuple, set)


def refusal(value: Any) -> str | None:
    """What a value is, if it must not be read; for a function of the user's, what its code reads by name."""
    if type(value) is types.FunctionType and not is_library_code(value.__code__):
        return _in_code(value)
    found = _sort(value)
    name = getattr(value, "__qualname__", "") if type(value) in (*_CALLABLE, *_BOUND) else ""
    return found and f"{found} ({name or type(value).__name__})"


def _sort(value: Any) -> str | None:
    """What sort of thing a value is, if it is one of those refused."""
    if value is sys.modules:
        return "the table of modules"
    kind = type(value)
    if kind in _PLAIN or kind is types.ModuleType:
        return None
    if kind in _BOUND and not is_a(value.__self__, types.ModuleType):
        owner = _sort(value.__self__)
        if owner:
            return owner
    if kind in _CALLABLE:
        return _FUNCTIONS.get((str(value.__module__), value.__qualname__))
    if kind is types.ClassMethodDescriptorType:
        return _FUNCTIONS.get((value.__objclass__.__module__, f"{value.__objclass__.__name__}.{value.__name__}"))
    return _of_type(kind)


_HARMLESS: set[type] = set()
"""Classes of libraries whose objects may be read."""


def _of_type(kind: type) -> str | None:
    if kind in _HARMLESS:
        return None
    for base in mro_of(kind):
        if base is object or not is_library_class(base):
            continue
        name = str(module_of(base)), name_of(base)
        if name in _TYPES:
            return _TYPES[name]
    if is_library_class(kind):
        _HARMLESS.add(kind)
    return None


def _in_code(function: types.FunctionType) -> str | None:
    held = names_of(function.__code__)
    for name in _BUILTINS:
        if name in held.scope and name not in function.__globals__:
            return f"{_FUNCTIONS['builtins', name]} ({name})"
    for chain in held.chains:
        first = first_of(function, chain[0])
        if _is_suspect(first) and (first is not mx or chain[-1] == "load"):
            found = _sort(end_of(first, chain))
            if found:
                return f"{found} ({'.'.join(chain)})"
    return None


def _is_suspect(value: Any) -> bool:
    """Whether something refused may be read from a value: a module or a class of the libraries that have it."""
    if type(value) is types.ModuleType:
        return module_dict(value).get("__name__") in _MODULES and is_library_module(value)
    return type(value) is type and module_of(value) in _MODULES and is_library_class(value)
