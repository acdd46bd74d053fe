"""Whose code it is: a library's, which is one leaf, or the user's, which is walked.

The standard library, what is installed in ``site-packages``, extension modules and this
package are libraries. A package in editable mode, or run from a folder, is the user's.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
import sysconfig
from types import CodeType, ModuleType
from typing import Any

from monoscan import errors
from monoscan.lowering.trace.reads.static import (
    class_dict,
    is_a,
    is_heap_type,
    module_dict,
    module_of,
    mro_of,
    qualified_name_of,
)

_INSTALLED = ("site-packages", "dist-packages")
_GENERATED = ("<frozen", "<attrs generated", "<__array_function__")
_PLAIN = ("builtins", "abc", "typing", "collections", "types", "argparse", "logging", "threading", "_thread")
_KNOWN: set[type] = set()
"""Classes that were found to be a library's, which stay what they are."""


@functools.lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    own = os.path.dirname(errors.__file__)
    return tuple(os.path.join(os.path.abspath(folder), "") for folder in (paths["stdlib"], paths["platstdlib"], own))


@functools.lru_cache(maxsize=4096)
def is_library_file(file: str) -> bool:
    """Whether the code of a file is a library's."""
    if file.startswith(_GENERATED) or file.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
        return True
    path = os.path.abspath(file)
    return path.startswith(_folders()) or any(part in _INSTALLED for part in path.split(os.sep))


def is_library_code(code: CodeType) -> bool:
    """Whether a code object is a library's."""
    return is_library_file(code.co_filename)


def is_library_module(module: ModuleType) -> bool:
    """Whether a module is a library's; one that was made at run time is not."""
    space = module_dict(module)
    file = space.get("__file__")
    if type(file) is str:
        return is_library_file(file)
    origin = getattr(space.get("__spec__"), "origin", None)
    return origin in ("built-in", "frozen") or _is_library_name(str(space.get("__name__")).rpartition(".")[0])


def is_library_class(kind: type) -> bool:
    """Whether a class is a library's, as those that are written in C are."""
    if kind in _KNOWN:
        return True
    name = module_of(kind)
    found = not is_heap_type(kind) or (type(name) is str and _is_library_name(name) and _stands_in(name, kind))
    if found:
        _KNOWN.add(kind)
    return found


def _stands_in(module: str, kind: type) -> bool:
    """Whether a class is where its name says; what ``type(...)`` or ``exec`` makes may name a library's module."""
    name = qualified_name_of(kind)
    if "<locals>" in name:
        return module != "builtins"
    space: Any = module_dict(sys.modules[module])
    for part in name.split("."):
        found = space.get(part)
        space = class_dict(found) if is_a(found, type) else {}
    return found is kind


def _is_library_name(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and is_a(module, ModuleType) and is_library_module(module)


def reads_any_attribute(kind: type) -> bool:
    """Whether a class has methods of a library, which are not walked and may read any attribute of an instance."""
    for base in mro_of(kind):
        module = str(module_of(base))
        if is_library_class(base) and module not in _PLAIN and not module.startswith("monoscan."):
            return True
    return False
