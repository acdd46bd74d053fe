"""A place where ``combine`` reads a value, and how the value is changed there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import monoscan as ms

Change = Callable[[Any], None]


Place = Callable[[Any], tuple[ms.Semigroup, Change]]


def reads(get: Callable[[], Any]) -> ms.Semigroup:
    return ms.monoid(lambda l, r: l + r + get() * l * r)


def attribute_of(holder: Any, name: str = "value") -> Change:
    return lambda value: setattr(holder, name, value)
