"""Every operation of MLX that a program holds, on every dtype that it takes, and the values that tell dtypes apart.

The oracle is MLX's own operation on arrays, called eagerly, but where that kills the process
(the lowest integer by -1) or has no one answer (floats that no uint32 holds).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import mlx.core as mx
import numpy as np
import numpy.typing as npt

from monoscan import dtypes

Array = npt.NDArray[np.generic]
Function = Callable[[mx.array, mx.array], mx.array]

FLOATS = ("float32", "float64")
NAMES = [name for name in dtypes.NAMES if name not in dtypes.HALF | dtypes.COMPLEX]
_ANY, _BITS, _NUMBERS = set(NAMES), {*dtypes.INTEGERS, "bool"}, set(NAMES) - {"bool"}


@attrs.frozen
class Operation:
    """One operation on two values; `answer` is what it gives on arrays."""

    name: str
    function: Function
    answer: Callable[[mx.array, mx.array], Array]


def _plain(name: str) -> Operation:
    function = getattr(mx, name)
    return Operation(name, function, lambda x, y: np.array(function(x, y)))


def _unary(name: str) -> Operation:
    function = getattr(mx, name)
    return Operation(name, lambda x, y: function(x), lambda x, y: np.array(function(x)))


def _whole(name: str, of_lowest: int) -> Operation:
    """A division; ``of_lowest`` times the lowest integer is its answer for that by -1."""
    function = getattr(mx, name)

    def answer(x: mx.array, y: mx.array) -> Array:
        if dtypes.name_of(x.dtype) not in dtypes.SIGNED:
            return np.array(function(x, y))
        deadly = np.logical_and(np.array(x) == mx.iinfo(x.dtype).min, np.array(y) == -1)
        return np.where(deadly, of_lowest * np.array(x), np.array(function(x, mx.where(mx.array(deadly), 1, y))))

    return Operation(name, function, answer)


def _cast(target: str, back: str | None = None) -> Operation:
    """To a dtype, and from there to another: a compiler likes to drop the dtype between."""
    to, then = dtypes.by_name(target), dtypes.by_name(back or target)

    def answer(x: mx.array, y: mx.array) -> Array:
        cut = x.astype(mx.int64) if target == "uint32" and dtypes.name_of(x.dtype) in FLOATS else x
        return np.array(cut.astype(to).astype(then))

    return Operation(f"to {target}, {back}", lambda x, y: x.astype(to).astype(then), answer)


def _selected(name: str, function: Function) -> Operation:
    return Operation(name, function, lambda x, y: np.array(function(x, y)))


_OPERATIONS: list[tuple[Operation, set[str]]] = [
    *((_plain(name), _ANY) for name in (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "not_equal", "less", "less_equal", "greater",
        "greater_equal", "logical_and", "logical_or",
    )),
    *((_plain(name), _BITS) for name in (
        "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "power",
    )),
    *((_unary(name), _ANY) for name in (
        "abs", "sign", "square", "floor", "ceil", "round", "logical_not", "sqrt", "rsqrt", "reciprocal", "isnan", "isfinite",
    )),
    (_unary("negative"), _NUMBERS),
    (_whole("floor_divide", 1), _ANY),
    (_whole("remainder", 0), _ANY),
    (_selected("where of a comparison", lambda x, y: mx.where(x < y, x, y)), _ANY),
    (_selected("where of a value", lambda x, y: mx.where(x, y, x)), _ANY),
]  # fmt: skip


def operations(name: str) -> list[Operation]:
    """The operations that a dtype has."""
    return [operation for operation, allowed in _OPERATIONS if name in allowed]


def casts(name: str) -> list[Operation]:
    """The casts from a dtype: to every other, and by way of each that is no float back to a float."""
    back = "float64" if name == "float64" else "float32"
    return [_cast(target) for target in NAMES] + [_cast(target, back) for target in NAMES if target not in FLOATS]


def values(name: str) -> Array:
    """Extremes, both zeros, ties, powers of two and what lies beside them, infinities, NaN."""
    if name == "bool":
        return np.array([False, True])
    if name in FLOATS:
        info = np.finfo(name)
        sizes = [0, 0.5, 1, 1.5, 2.5, 3, 1e-3, 100.7, 127.5, 128, 255.9, 300, 2**15, 2**16, 2**31 - 128, 2**31, 2**32]
        sizes += [2.5 * 2**32, 2**53, 2**63, 2**64, 1e20, float(info.max), float(info.tiny), np.inf]
        return np.array([*sizes, *(-size for size in sizes), np.nan], name)
    near = [-129, -128, -64, -33, -32, -31, -7, -3, -2, -1, 0, 1, 2, 3, 5, 7, 8, 16, 31, 32, 33, 63, 64, 127, 128, 255]
    near += [2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1]
    low, high = int(dtypes.lowest(name)), int(dtypes.highest(name))
    return np.array(sorted({x for x in [*near, low, low + 1, high - 1, high] if low <= x <= high}), name)


def pairs(name: str) -> tuple[Array, Array]:
    """Each value with each, one pair of first values a row."""
    first, second = np.meshgrid(values(name), values(name), indexing="ij")
    return first, second


def exact(array: Array, name: str) -> mx.array:
    """As MLX's array: it makes float32 of float64 if it is not told."""
    return mx.array(array, dtypes.by_name(name))


def same(got: Array, want: Array) -> Array:
    """Where the bits are the same, all NaN being one; results below the normal numbers may be flushed to zero."""
    if want.dtype.kind != "f":
        return got == want
    tiny = (np.abs(want) < np.finfo(want.dtype).tiny) & (got == 0)
    return (np.isnan(got) & np.isnan(want)) | ((got == want) & (np.signbit(got) == np.signbit(want))) | tiny


def undetermined(operation: Operation, x: mx.array, y: mx.array) -> Array:
    """Where a float quotient to be rounded down is subnormal: flushed to zero or not, its floor differs."""
    if operation.name != "floor_divide" or dtypes.name_of(x.dtype) != "float32":
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
    quotient = np.abs(np.array(x / y))
    return (quotient > 0) & (quotient < np.finfo(np.float32).tiny)
