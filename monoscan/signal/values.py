"""What is filtered or averaged: arrays with an axis of time."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan import dtypes
from monoscan.held import floats
from monoscan.monoids import domain


def along(call: str, given: Any, axis: int, kinds: frozenset[str] = dtypes.FLOATS) -> tuple[mx.array, int]:
    """An array in one of these dtypes, integers in float32, and its axis of time, counted from the front.

    Raises:
        ScanError: It has no such axis.
        ScanTypeError: It is no array, or has another dtype.
    """
    x = floats(f"[{call}] x", given, kinds=kinds, cast=True)
    return x, domain.axis_of(call, "x", x, axis)
