"""One family of errors: every message says the call, given versus expected, and the way out."""

from __future__ import annotations

from types import FunctionType
from typing import Any


class ScanError(ValueError):
    """Something about a scan's operator, elements or options is not as it must be."""


class ScanTypeError(ScanError, TypeError):
    """A leaf, or what ``combine`` returned, has the wrong dtype or is no array."""


class TreeError(ScanTypeError):
    """The elements do not form the tree that the operator expects."""


class IdentityError(ScanError):
    """An identity is needed and the operator has none."""


class TraceError(ScanError):
    """``combine`` cannot be traced, or did something under tracing that it must not."""


class StrategyError(ScanError):
    """A forced strategy cannot run this scan; the message names the missing fact."""


class DistributedError(ScanError, RuntimeError):
    """Ranks do not make the same call, one of them failed, or one does not answer."""


def called(function: Any) -> str:
    """What messages call a function; another callable by its class, lest a ``__getattr__`` of the user's be run."""
    kind = type(function)
    if kind is FunctionType:
        return str(function.__name__)
    hooks = (vars(base).get(hook) for base in kind.__mro__ for hook in ("__getattr__", "__getattribute__"))
    name = None if any(type(hook) is FunctionType for hook in hooks) else getattr(function, "__name__", None)
    return name if type(name) is str else kind.__name__
