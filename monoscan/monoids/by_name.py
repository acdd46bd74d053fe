"""Functions and dtypes of MLX in fields of operators: copied and pickled by name, as Python's own functions are."""

from __future__ import annotations

import copyreg
from typing import Any

import mlx.core as mx

from monoscan import dtypes


def register() -> None:
    """Tells ``copy`` and ``pickle``, which know nothing of MLX's types."""
    compiled = getattr(mx, "_gc_func", type(mx.multiply))  # what mx.compile returns
    for kind in (type(mx.multiply), type(mx.array.exp), compiled):
        copyreg.pickle(kind, _global)
    copyreg.pickle(mx.Dtype, _dtype)


def _global(function: Any) -> str:
    """A string says that a module holds the object under this name: a copy is the object itself."""
    return str(function.__qualname__)


def _dtype(dtype: mx.Dtype) -> tuple[Any, tuple[str]]:
    return dtypes.by_name, (dtypes.name_of(dtype),)
