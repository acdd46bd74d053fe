"""Constants folded while a program is built, with the results that MLX's own operations have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.ir import Op

Table = dict[Op, Callable[..., Any]]


def fold(op: Op, values: Sequence[Any], dtype: str) -> Any:
    """The result of an operation on constants of one dtype, or ``None`` where it is left to the machine."""
    special = _BOOLS if dtype == "bool" else _INTEGERS if dtype in dtypes.INTEGERS else _FLOATS
    function = special.get(op, _ALL.get(op))
    if function is None:
        return None
    kind = np.dtype(dtype).type
    with np.errstate(all="ignore"):
        return function(*(kind(value) for value in values))


def cast(value: Any, dtype: str) -> Any:
    """A number in another dtype as MLX casts it: integers wrap, floats are cut towards zero."""
    if dtype == "bool":
        return bool(value)
    if dtype in dtypes.INTEGERS:
        bits = 8 * dtypes.itemsize(dtype)
        wrapped = (_cut(value, dtype) if isinstance(value, float) else int(value)) % (1 << bits)
        return wrapped - (1 << bits) if wrapped > dtypes.highest(dtype) else wrapped
    array = np.array(value, "uint64") if isinstance(value, int) and value > dtypes.highest("int64") else np.array(value)
    with np.errstate(all="ignore"):
        return array.astype(dtype).item()


def _cut(value: float, dtype: str) -> int:
    """To an int32 or wider; what that does not hold becomes its lowest value (see ``render.casts``)."""
    if dtype == "uint64" and value >= 2.0**63:
        return int(value) if value < 2.0**64 else 0
    edge = 2 ** (63 if dtype in ("uint32", "int64", "uint64") else 31)
    return int(value) if -edge <= value < edge else -edge


def _floor_divide(x: Any, y: Any) -> int:
    return int(x) // int(y) if y else 0


def _remainder(x: Any, y: Any) -> int:
    return int(x) % int(y) if y else int(x)


# Nothing but what is rounded correctly: folding must not change a bit of the outcome.
_ALL: Table = {
    Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply, Op.NEG: np.negative, Op.ABS: np.abs, Op.MIN: np.minimum,
    Op.MAX: np.maximum, Op.EQ: np.equal, Op.NE: np.not_equal, Op.LT: np.less, Op.LE: np.less_equal, Op.GT: np.greater,
    Op.GE: np.greater_equal, Op.AND: np.bitwise_and, Op.OR: np.bitwise_or, Op.XOR: np.bitwise_xor, Op.NOT: np.invert,
}  # fmt: skip
_BOOLS: Table = {Op.SUB: np.not_equal, Op.FLOORDIV: np.logical_and, Op.REM: np.greater}
_INTEGERS: Table = {Op.FLOORDIV: _floor_divide, Op.REM: _remainder}
_FLOATS: Table = {Op.FLOORDIV: lambda x, y: np.floor(x / y)}
