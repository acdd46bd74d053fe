"""What is filtered or averaged: arrays with an axis of time."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.held import floats


def along(call: str, given: Any, axis: int, kinds: frozenset[str] = dtypes.FLOATS) -> tuple[mx.array, int]:
    """An array in one of these dtypes, integers in float32, and its axis of time, counted from the front.

    Raises:
        ScanError: It has no such axis.
        ScanTypeError: It is no array, or has another dtype.
    """
    x = floats(f"[{call}] x", given, kinds=kinds, cast=True)
    if not -x.ndim <= axis < x.ndim:
        raise errors.ScanError(f"[{call}] expects values with an axis {axis}; got {x.shape}.")
    return x, axis % x.ndim
