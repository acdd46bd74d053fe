"""The machine's own arithmetic on NumPy arrays, which starts in a microsecond where MLX takes fifty.

Operations that IEEE 754 rounds correctly have the same bits in both; functions that it does
not are computed by MLX itself, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from monoscan import dtypes
from monoscan.lowering.program.interpret import ARRAYS, Arithmetic
from monoscan.lowering.program.ir import Instr, Op

Array = npt.NDArray[Any]


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of this name."""
    return np.dtype(name)


def _plain(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda instr, *args: function(*args)


def _by_mlx(instr: Instr, *args: Array) -> Array:
    with mx.stream(mx.cpu):
        result: Array = np.array(ARRAYS[instr.op](instr, *(mx.array(x, dtypes.by_name(x.dtype.name)) for x in args)))
    return result


def _cast(instr: Instr, x: Array) -> Array:
    if instr.dtype == "uint32" and x.dtype.kind == "f":
        x = x.astype(np.int64)  # NumPy's own gives one answer in vectors and another in the tail
    return x.astype(numpy_dtype(instr.dtype))


def _lookup(instr: Instr, index: Array, *table: Array) -> Array:
    grid = np.broadcast_arrays(index, *table)
    chosen: Array = np.take_along_axis(np.stack(grid[1:]), grid[0][None].astype(np.int64), axis=0)[0]
    return chosen


def _logic(logical: Callable[..., Array], bitwise: Callable[..., Array]) -> Callable[..., Array]:
    return lambda instr, x, y: (logical if instr.dtype == "bool" else bitwise)(x, y)


_PLAIN: dict[Op, Callable[..., Array]] = {
    Op.SELECT: np.where,
    Op.ADD: np.add,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.NEG: np.negative,
    Op.ABS: np.abs,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.SQRT: np.sqrt,
    Op.FLOOR: np.floor,
    Op.CEIL: np.ceil,
    Op.ROUND: lambda x: np.rint(x) if x.dtype.kind in "fc" else x,
    Op.EQ: np.equal,
    Op.NE: np.not_equal,
    Op.LT: np.less,
    Op.LE: np.less_equal,
    Op.GT: np.greater,
    Op.GE: np.greater_equal,
    Op.NOT: np.logical_not,
}

MACHINE: Arithmetic[Array] = {
    **dict.fromkeys(Op, _by_mlx),
    **{op: _plain(function) for op, function in _PLAIN.items()},
    Op.CONST: lambda instr: np.array(instr.param, numpy_dtype(instr.dtype)),
    Op.CAST: _cast,
    Op.STOP: lambda instr, x: x,
    Op.SUB: lambda instr, x, y: np.logical_xor(x, y) if instr.dtype == "bool" else np.subtract(x, y),
    Op.LOOKUP: _lookup,
    Op.AND: _logic(np.logical_and, np.bitwise_and),
    Op.OR: _logic(np.logical_or, np.bitwise_or),
    Op.XOR: _logic(np.logical_xor, np.bitwise_xor),
}
"""The arithmetic of NumPy arrays with the machine's bits."""
