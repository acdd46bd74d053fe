"""`Declared`: what users write as frozen classes, of which everything they read is found before they are traced."""

from __future__ import annotations

import functools
from abc import ABC
from collections.abc import Callable
from typing import Any

import attrs
from attrs.exceptions import FrozenInstanceError

from monoscan import errors


def _explained(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` somebody wrote; where it sets a field, it is told how fields are declared."""

    @functools.wraps(init)
    def wrapped(self: Declared, *values: Any, **named: Any) -> None:
        try:
            init(self, *values, **named)
        except FrozenInstanceError as error:
            name = type(self).__name__
            raise errors.ScanError(
                f"[{name}] sets a field in an __init__ of its own, and operators are frozen. Declare fields instead, as in "
                f"`@attrs.frozen class {name}` with `k: int` in its body; attrs writes the __init__."
            ) from error

    return wrapped


@attrs.frozen
class Declared(ABC):  # noqa: B024  # its subclasses have the abstract methods
    """An operator or an aggregator: a frozen attrs class, whose instances compare by their fields."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__.get("__init__")
        if own is not None and "__attrs_attrs__" not in cls.__dict__:  # not one that attrs has written
            cls.__init__ = _explained(own)  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        """How messages and plans call it."""
        return type(self).__name__
