"""Hypothesis strategies for numbers of every dtype and arrays of them; all shrink towards 0."""

from __future__ import annotations

import math
import struct
from typing import Any

import mlx.core as mx
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from monoscan import dtypes, errors

_DRAWN = frozenset(dtypes.NAMES)
_WIDTH = {"float16": 16, "bfloat16": 32, "float32": 32, "float64": 64}
_SIGNIFICAND = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}
_LEAST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


def expect_drawn(dtype: Any) -> None:
    """Refuses what is no name of a dtype that numbers are drawn in.

    Raises:
        ScanTypeError: There is no such dtype.
    """
    if not isinstance(dtype, str) or dtype not in _DRAWN:
        raise errors.ScanTypeError(f"[laws] draws {', '.join(sorted(_DRAWN))}, by name; got {dtype!s:.60}.")


def numbers(dtype: str, *, infinities: bool = False, nans: bool = False) -> SearchStrategy[Any]:
    """Numbers of a dtype: small and simple ones, then any, then the ends of the range.

    Args:
        dtype (str): As ``"float32"``.
        infinities (bool, optional): Whether they are in the domain. Default: ``False``.
        nans (bool, optional): Whether NaN is one of the values. Default: ``False``.

    Raises:
        ScanTypeError: There is no such dtype.
    """
    expect_drawn(dtype)
    if dtype == "bool":
        return st.booleans()
    if dtype in dtypes.COMPLEX:
        return st.builds(complex, numbers("float32"), numbers("float32"))
    if dtype in dtypes.INTEGERS:
        low, high = int(dtypes.lowest(dtype)), int(dtypes.highest(dtype))
        return st.one_of(st.integers(max(low, -8), 8), st.integers(low, high), st.sampled_from([low, high]))
    small = st.integers(-8, 8).map(float)
    quarters = st.integers(-64, 64).map(lambda k: k / 4)
    full = _full(dtype)
    choices = [small, quarters, full, full, full, full, _floats(dtype), st.sampled_from(_ends(dtype))]
    if infinities or nans:
        choices.append(st.sampled_from([*([math.inf, -math.inf] * infinities), *([math.nan] * nans)]))
    return st.one_of(*choices)


def tame(dtype: str) -> SearchStrategy[Any]:
    """Small numbers, whose products stay in range and mostly exact."""
    if dtype == "bool":
        return st.booleans()
    if dtype in dtypes.COMPLEX:
        return st.builds(complex, tame("float32"), tame("float32"))
    if dtype in dtypes.INTEGERS:
        return st.integers(0 if dtype in dtypes.UNSIGNED else -3, 3)
    return st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -1.5, 0.75])


def below_infinity(dtype: str) -> SearchStrategy[Any]:
    """Floats and -inf, for domains that have no +inf."""
    return st.one_of(numbers(dtype), st.just(-math.inf)) if dtype in dtypes.FLOATS else numbers(dtype)


def _full(dtype: str) -> SearchStrategy[float]:
    """Floats in [-16, 16] with all bits of the significand, so that most operations round."""
    digits = _SIGNIFICAND[dtype]
    return st.integers(-(2**digits), 2**digits).map(lambda k: k * 2.0 ** (4 - digits))


def _floats(dtype: str) -> SearchStrategy[float]:
    bound = _LARGEST.get(dtype, 1.7e308)
    floats = st.floats(-bound, bound, width=_WIDTH[dtype], allow_subnormal=False, allow_nan=False)  # type: ignore[arg-type]
    return floats.map(_truncated) if dtype == "bfloat16" else floats


def _truncated(value: float) -> float:
    """The bfloat16 next to a float32, towards 0."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0] & 0xFFFF0000
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def _ends(dtype: str) -> list[float]:
    largest, least = _LARGEST.get(dtype, 1.7976931348623157e308), _LEAST_NORMAL[dtype]
    return [0.0, -0.0, 1.0, -1.0, largest, -largest, least, -least]


def array_of(values: Any, dtype: str) -> mx.array:
    """An array of values, also those beyond the range of int64."""
    if dtype in dtypes.INTEGERS:
        return mx.array(np.array(values, dtype))
    return mx.array(values, dtypes.by_name(dtype))


def arrays(dtype: str, shape: tuple[int, ...], values: SearchStrategy[Any] | None = None) -> SearchStrategy[mx.array]:
    """Arrays of a dtype and shape.

    Args:
        dtype (str): As ``"float32"``.
        shape (tuple(int)): The shape.
        values (SearchStrategy, optional): The items. Default: `numbers` of the dtype.
    """
    items = numbers(dtype) if values is None else values
    if not shape:
        return items.map(lambda value: array_of(value, dtype))
    count = math.prod(shape)
    flat = st.lists(items, min_size=count, max_size=count)
    return flat.map(lambda given: array_of(given, dtype).reshape(shape))
