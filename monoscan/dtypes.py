"""Dtypes by name, so that programs, plans and cache keys need no device."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

HALF = frozenset({"float16", "bfloat16"})
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
COMPLEX = frozenset({"complex64"})
SIGNED = frozenset({"int8", "int16", "int32", "int64"})
UNSIGNED = frozenset({"uint8", "uint16", "uint32", "uint64"})
INTEGERS = SIGNED | UNSIGNED
NAMES = ("bool", *sorted(INTEGERS), *sorted(FLOATS), "complex64")

_BY_NAME: dict[str, mx.Dtype] = {name: getattr(mx, "bool_" if name == "bool" else name) for name in NAMES}
_BY_DTYPE = {dtype: name for name, dtype in _BY_NAME.items()}


def name_of(dtype: mx.Dtype) -> str:
    """``"float32"`` for ``mx.float32``."""
    return _BY_DTYPE[dtype]


def by_name(name: str) -> mx.Dtype:
    """``mx.float32`` for ``"float32"``."""
    return _BY_NAME[name]


def accumulation(name: str) -> str:
    """The dtype that a scan computes in: float32 for halves, else the dtype itself."""
    return "float32" if name in HALF else name


def lane(name: str) -> str:
    """The dtype of what programs compute with: float32 for the parts of complex numbers, else the dtype itself."""
    return "float32" if name in COMPLEX else name


def itemsize(name: str) -> int:
    """Bytes an item."""
    return _BY_NAME[name].size


def constant(value: complex, name: str) -> mx.array:
    """A scalar array of a number that the dtype `holds`; MLX itself takes integers up to the range of int64."""
    if name == "uint64":
        import numpy as np

        return mx.array(np.array(value, np.uint64))
    return mx.array(float(value) if name in FLOATS and isinstance(value, int) else value, _BY_NAME[name])


def number(value: Any) -> Any:
    """NumPy's scalars as Python's; anything else as it is."""
    if type(value) in (bool, int, float, complex):
        return value
    import numpy as np

    return value.item() if isinstance(value, (np.number, np.bool_)) else value


def is_exact(name: str) -> bool:
    """Whether + and * are associative on the machine: integers (which wrap) and bool."""
    return name == "bool" or name in INTEGERS


def lowest(name: str) -> float | int | bool:
    """The identity of ``max``: -inf, the smallest integer, or False."""
    if name == "bool":
        return False
    return mx.iinfo(_BY_NAME[name]).min if name in INTEGERS else -float("inf")


def highest(name: str) -> float | int | bool:
    """The identity of ``min``: +inf, the largest integer, or True."""
    if name == "bool":
        return True
    return mx.iinfo(_BY_NAME[name]).max if name in INTEGERS else float("inf")


def holds(name: str, value: complex) -> bool:
    """Whether a Python number has a place in a dtype, up to the rounding of floats."""
    if isinstance(value, complex):
        return name in COMPLEX
    if name in FLOATS | COMPLEX:
        return isinstance(value, float) or -_BEYOND_FLOATS < value < _BEYOND_FLOATS
    return not isinstance(value, float) and lowest(name) <= value <= highest(name)


_BEYOND_FLOATS = 1 << 1023
"""Python's integers become floats up to here."""
