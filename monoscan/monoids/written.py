"""Operators as they are written: ``repr`` is the call that makes them, with functions by their names."""

from __future__ import annotations

from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import attrs
import mlx.core as mx

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)


def call(name: str, arguments: Iterable[tuple[str, Any]]) -> str:
    """A call: ``name(value, keyword=value)``.

    Args:
        name: What is called.
        arguments: The keyword, empty for a positional argument, and the value of each.
    """
    written = (f"{keyword}={value(given)}" if keyword else value(given) for keyword, given in arguments)
    return f"{name}({', '.join(written)})"


def fields(given: Any) -> str:
    """An instance of an attrs class as the call of its class: without the fields that have their defaults."""
    return call(type(given).__name__, arguments(given))


def arguments(given: Any) -> list[tuple[str, Any]]:
    """What makes an instance of an attrs class: of each argument its keyword, empty where it is required, and the value."""
    pairs = [(field, getattr(given, field.name)) for field in attrs.fields(type(given)) if field.init]
    shown = [(field, each) for field, each in pairs if field.default is attrs.NOTHING or each != field.default]
    return [("" if field.default is attrs.NOTHING else field.name, each) for field, each in shown]


def value(given: Any) -> str:
    """A value: a function by its name, anything else as Python writes it."""
    name = getattr(given, "__qualname__", None) if isinstance(given, _FUNCTIONS) else None
    if name is not None:
        return str(name)
    if type(given) is type(mx.multiply):
        return f"mx.{given.__qualname__}"
    return repr(given)
