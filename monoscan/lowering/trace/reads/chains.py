"""What a chain of names in code leads to through modules and classes of libraries, as ``math.pi`` or ``sys.argv``."""

from __future__ import annotations

import sys
import types
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan.lowering.trace.reads.bytecode import Chain
from monoscan.lowering.trace.reads.library import is_library_class, is_library_module
from monoscan.lowering.trace.reads.static import CONTENTS, cell_contents, entry_of, is_a, module_dict

_VALUES = frozenset((bool, mx.array, np.ndarray, *CONTENTS))


def first_of(function: types.FunctionType, name: str) -> Any:
    """What the first name of a chain stands for: a free variable, a global, a module that the function imports."""
    code = function.__code__
    if name in code.co_freevars:
        return cell_contents((function.__closure__ or ())[code.co_freevars.index(name)], None)
    return function.__globals__.get(name, sys.modules.get(name))


def end_of(value: Any, chain: Chain) -> Any:
    """What the rest of a chain leads to, through library modules and library classes; ``None`` anywhere else."""
    for name in chain[1:]:
        if is_a(value, types.ModuleType) and is_library_module(value):
            value = module_dict(value).get(name)
        elif is_a(value, type) and is_library_class(value):
            value = entry_of(value, name)
        else:
            return None
    return value


def setting(function: types.FunctionType, chain: Chain) -> Any:
    """The number, array or container of a library that a chain leads to; ``None`` for anything else."""
    first = first_of(function, chain[0])
    if len(chain) == 2 and type(first) is types.ModuleType:  # most, the quick way
        part = first.__dict__.get(chain[1])
        return part if type(part) in _VALUES and is_library_module(first) else None
    part = end_of(first, chain)
    return part if type(part) in _VALUES else None
