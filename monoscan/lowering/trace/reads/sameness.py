"""When two values count as the same."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from monoscan.lowering.trace.reads.static import mro_of


def same(value: Any, known: Any) -> bool:
    """Whether two scalars are the same: of one type, and equal or both NaN, with one sign of zero."""
    if value is known:
        return True
    kind = type(value)
    if kind is not type(known):
        return False
    if kind is float:
        signed = math.copysign(1, value) == math.copysign(1, known)
        return (value == known and signed) or (math.isnan(value) and math.isnan(known))
    return repr(value) == repr(known) if kind is complex else bool(value == known)


def content_of_buffer(value: Any) -> tuple[Any, ...]:
    """What a buffer holds, with its type."""
    kind = type(value)
    bases = mro_of(kind)
    if np.ndarray in bases or np.generic in bases:
        return kind, value.shape, value.dtype.str, value.tobytes()
    view = memoryview(value)
    return kind, view.shape, view.format, view.tobytes()


def reference_to(value: Any) -> Callable[[], Any] | None:
    """A weak reference to an object, ``None`` where there can be none."""
    try:
        return weakref.ref(value)
    except TypeError:
        return None


def same_items(value: Any, known: tuple[Any, ...]) -> bool:
    """Whether a value is a tuple of the same scalars."""
    return type(value) is tuple and len(value) == len(known) and all(map(same, value, known))
