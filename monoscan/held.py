"""Arrays that are held elsewhere, by NumPy, pandas, torch or JAX, as arrays of MLX."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors


def as_array(label: str, x: Any) -> Any:
    """`to_mlx`, and numbers as arrays: Python's as MLX makes them, NumPy's in the dtype that they have.

    Args:
        label: What messages call it.
        x: A number, or what has ``__array__`` or ``__dlpack__``.
    """
    x = to_mlx(label, x)
    name = getattr(getattr(x, "dtype", None), "name", None)
    if name in dtypes.NAMES and not isinstance(x, mx.array):
        return dtypes.constant(dtypes.number(x), name)
    return mx.array(x) if type(x) in (bool, int, float, complex) else x


def floats(label: str, x: Any, *, kinds: frozenset[str] = dtypes.FLOATS, cast: bool = False) -> mx.array:
    """`to_mlx` of an array of floats.

    Args:
        label: What messages call it.
        x: What has ``__array__`` or ``__dlpack__``.
        kinds: The dtypes that it may have.
        cast: Make float32 of integers and bool.

    Raises:
        ScanTypeError: It is no array, or one of other dtypes.
    """
    found: Any = to_mlx(label, x)
    name = dtypes.name_of(found.dtype) if isinstance(found, mx.array) else None
    if name not in kinds and not (cast and name in dtypes.INTEGERS | {"bool"}):
        raise errors.ScanTypeError(f"{label} must be an array of floats; got {name or type(x).__name__}: {x!r:.60}.")
    converted: mx.array = found if name in kinds else found.astype(mx.float32)
    return converted


def to_mlx(label: str, x: Any) -> Any:
    """An array of MLX with the same values in the same dtype; numbers, and what is no array, as they are.

    Args:
        label: What messages call it.
        x: What has ``__array__`` or ``__dlpack__``.

    Raises:
        ScanTypeError: It is masked, cannot be read here, or has a dtype that MLX has not.
    """
    if isinstance(x, (mx.array, type)) or not (hasattr(x, "__array__") or hasattr(x, "__dlpack__")):
        return x
    import numpy as np

    if isinstance(x, np.generic):
        return x
    if isinstance(x, np.ma.MaskedArray):
        raise errors.ScanTypeError(
            f"{label} is a masked array, and MLX has none: its mask would be lost. Calls that scan take mask=, as in "
            "ms.scan(operator, x.filled(0), mask=~np.ma.getmaskarray(x))."
        )
    try:
        array = np.asarray(x) if hasattr(x, "__array__") else np.from_dlpack(x)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise errors.ScanTypeError(f"{label}, {type(x).__name__}, cannot be read as an array: {error}") from error
    name = array.dtype.name
    if name not in dtypes.NAMES:
        example = "complex64" if array.dtype.kind == "c" else "float32"
        raise errors.ScanTypeError(f"{label} is {name}, which MLX has not. Cast it first, as in x.astype({example!r}).")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return mx.array(np.asarray(native, order="C"), dtypes.by_name(name))  # MLX itself makes float32 of float64
