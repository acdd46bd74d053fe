"""Functions of mlx-lm that call something else by a name of their module."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from monoscan import errors


@functools.cache
def rebound(function: types.FunctionType, name: str, other: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which finds `other` by the name where it found something of its module.

    Layers import what they call by name into their modules, so that another module's attribute does not reach them, and
    a change of their own module would reach layers that are not accelerated.

    Raises:
        ScanError: The function does not call anything by that name.
    """
    if name not in function.__code__.co_names:
        raise errors.ScanError(f"[accelerate] {function.__module__}.{function.__qualname__} does not call {name}.")
    names = {**function.__globals__, name: other}
    made = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made
