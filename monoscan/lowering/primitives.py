"""MLX's primitives, as a trace names them, in terms of the IR.

Elementwise primitives become one operation a lane. Shape operations leave no trace in
the program: they are executed here, on arrays of value numbers. Whatever is not in the
tables makes a ``combine`` not traceable, and `Untraceable` says its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from monoscan import dtypes
from monoscan.lowering.builder import Builder, Ids
from monoscan.lowering.ir import Op

MAX_VALUES = 4096
"""The most lanes of one intermediate array: beyond it, unrolling is no service to anyone."""


class Untraceable(Exception):
    """The IR cannot express a primitive; the message is the reason that ``explain`` shows."""


@attrs.frozen
class Call:
    """One record of a trace: a primitive on arrays of value numbers."""

    name: str
    builder: Builder
    inputs: list[Ids]
    arguments: list[Any]
    shape: tuple[int, ...]
    dtype: str

    def each(self, op: Op, *arrays: Ids, dtype: str | None = None) -> Ids:
        """One operation, elementwise."""
        return self.builder.elementwise(op, list(arrays), dtype or self.dtype)

    def const(self, value: Any, dtype: str | None = None) -> Ids:
        """A scalar constant."""
        return np.array(self.builder.const(value, dtype or self.dtype))


ELEMENTWISE = {
    "Abs": Op.ABS, "Add": Op.ADD, "ArcCos": Op.ARCCOS, "ArcSin": Op.ARCSIN, "ArcTan": Op.ARCTAN, "ArcTan2": Op.ARCTAN2,
    "Ceil": Op.CEIL, "Conjugate": Op.CONJ, "Cos": Op.COS, "Cosh": Op.COSH, "Divide": Op.DIV, "Erf": Op.ERF,
    "ErfInv": Op.ERFINV, "Exp": Op.EXP, "Expm1": Op.EXPM1, "Floor": Op.FLOOR, "FloorDivide": Op.FLOORDIV,
    "Greater": Op.GT, "GreaterEqual": Op.GE, "Imag": Op.IMAG, "Less": Op.LT, "LessEqual": Op.LE, "Log1p": Op.LOG1P,
    "LogAddExp": Op.LOGADDEXP, "LogicalAnd": Op.AND, "LogicalNot": Op.NOT, "LogicalOr": Op.OR, "Maximum": Op.MAX,
    "Minimum": Op.MIN, "Multiply": Op.MUL, "Negative": Op.NEG, "NotEqual": Op.NE, "Power": Op.POW, "Real": Op.REAL,
    "Remainder": Op.REM, "Round": Op.ROUND, "Select": Op.SELECT, "Sigmoid": Op.SIGMOID, "Sign": Op.SIGN, "Sin": Op.SIN,
    "Sinh": Op.SINH, "Subtract": Op.SUB, "Tan": Op.TAN, "Tanh": Op.TANH,
}  # fmt: skip

_REDUCTIONS = {0: Op.AND, 1: Op.OR, 2: Op.ADD, 3: Op.MUL, 4: Op.MIN, 5: Op.MAX}
_SCANS = {0: Op.MAX, 1: Op.MIN, 2: Op.ADD, 3: Op.MUL, 4: Op.LOGADDEXP}
_BITS = (Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR)
_UPDATES = {0: Op.MAX, 1: Op.MIN, 2: Op.ADD, 3: Op.MUL, 4: None}


def lower(call: Call) -> list[Ids]:
    """The value numbers of a primitive's outputs.

    Raises:
        Untraceable: The primitive, or one of its arguments, is not in the IR.
    """
    if any(array.size > MAX_VALUES for array in call.inputs) or np.prod(call.shape, dtype=int) > MAX_VALUES:
        raise Untraceable(f"{call.name} on more than {MAX_VALUES} lanes")
    if call.name in ELEMENTWISE:
        return [call.each(ELEMENTWISE[call.name], *call.inputs)]
    if call.name not in _RULES:
        raise Untraceable(f"the operation {call.name}")
    result = _RULES[call.name](call, *call.inputs)
    return result if isinstance(result, list) else [result]


def _equal(call: Call, x: Ids, y: Ids) -> Ids:
    same = call.each(Op.EQ, x, y, dtype="bool")
    if not call.arguments[0]:
        return same
    both_nan = call.each(Op.AND, *(call.each(Op.NE, v, v, dtype="bool") for v in (x, y)), dtype="bool")
    return call.each(Op.OR, same, both_nan, dtype="bool")


def _cast(call: Call, x: Ids) -> Ids:
    if call.dtype in dtypes.HALF:
        raise Untraceable(f"a cast to {call.dtype} inside combine")
    return call.each(Op.CAST, x)


def _log(call: Call, x: Ids) -> Ids:
    return call.each((Op.LOG2, Op.LOG10, Op.LOG)[call.arguments[0]], x)


def _bitwise(call: Call, x: Ids, y: Ids) -> Ids:
    return call.each(_BITS[call.arguments[0]], x, y)


def _divmod(call: Call, x: Ids, y: Ids) -> list[Ids]:
    return [call.each(Op.FLOORDIV, x, y), call.each(Op.REM, x, y)]


def _fold_axis(call: Call, op: Op, x: Ids) -> Ids:
    """Combines the lanes along axis 0, from left to right."""
    total = x[0]
    for row in x[1:]:
        total = call.each(op, total, row)
    return total


def _reduce(call: Call, x: Ids) -> Ids:
    kind, axes = call.arguments
    op = _REDUCTIONS[kind]
    if op in (Op.AND, Op.OR):
        x = call.each(Op.CAST, x, dtype="bool")
    x = call.each(Op.CAST, x)
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    flat = x.transpose([*axes, *rest]).reshape(-1, *(x.shape[axis] for axis in rest))
    return _fold_axis(call, op, flat).reshape(call.shape)


def _arg_reduce(call: Call, x: Ids) -> Ids:
    kind, axis = call.arguments
    rows = np.moveaxis(x, axis, 0)
    source = call.builder.dtypes[int(rows.flat[0])]
    best, index = rows[0], call.each(Op.CAST, np.broadcast_to(call.const(0), rows[0].shape))
    for i, row in enumerate(rows[1:], 1):
        better = call.each(Op.GT if kind else Op.LT, row, best, dtype="bool")
        best = call.each(Op.SELECT, better, row, best, dtype=source)
        index = call.each(Op.SELECT, better, call.const(i), index)
    return index.reshape(call.shape)


def _scan(call: Call, x: Ids) -> Ids:
    kind, axis, reverse, inclusive = call.arguments
    if not inclusive:
        raise Untraceable("an exclusive scan inside combine")
    rows = list(np.moveaxis(x, axis, 0))[:: -1 if reverse else 1]
    for i in range(1, len(rows)):
        rows[i] = call.each(_SCANS[kind], rows[i - 1], rows[i])
    return np.moveaxis(np.stack(rows[:: -1 if reverse else 1]), 0, axis)


def _logsumexp(call: Call, x: Ids) -> Ids:
    return _fold_axis(call, Op.LOGADDEXP, np.moveaxis(x, -1, 0))[..., None]


def _matmul(call: Call, x: Ids, y: Ids) -> Ids:
    """Every inner product as a sum from left to right."""
    terms = [call.each(Op.MUL, x[..., :, k, None], y[..., None, k, :]) for k in range(x.shape[-1])]
    return _fold_axis(call, Op.ADD, np.stack(terms))


def _addmm(call: Call, c: Ids, x: Ids, y: Ids) -> Ids:
    if call.arguments != [1.0, 1.0]:
        raise Untraceable(f"addmm with scales {call.arguments}")
    return call.each(Op.ADD, _matmul(call, x, y), c)


def _slice(call: Call, x: Ids) -> Ids:
    return x[_slices(*call.arguments)]


def _slices(start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(*bounds) for bounds in zip(start, stop, step, strict=True))


def _slice_update(call: Call, x: Ids, update: Ids) -> Ids:
    where = _slices(*call.arguments[1:])
    op, result = _UPDATES[call.arguments[0]], x.copy()
    result[where] = update if op is None else call.each(op, x[where], np.broadcast_to(update, x[where].shape))
    return result


def _split(call: Call, x: Ids) -> list[Ids]:
    indices, axis = call.arguments
    return list(np.split(x, list(indices), axis))


def _pad(call: Call, x: Ids, value: Ids) -> Ids:
    axes, low, high = call.arguments
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, low, high, strict=True):
        widths[axis] = (before, after)
    return np.pad(x, widths, constant_values=int(value))


def _arange(call: Call) -> Ids:
    start, _, step = call.arguments
    count = call.shape[0]
    return np.array([call.builder.const(start + i * step, call.dtype) for i in range(count)], dtype=np.int64)


def _index(call: Call, number: int, size: int) -> tuple[int | None, int]:
    """An index as a constant if it is one, and as a value that counts from the front."""
    value = call.builder.value_of(number)
    if value is not None:
        return int(value) % size, number
    dtype = call.builder.dtypes[number]
    if dtype in dtypes.UNSIGNED:
        return None, number
    negative = call.builder.emit(Op.LT, (number, call.builder.const(0, dtype)), "bool")
    wrapped = call.builder.emit(Op.ADD, (number, call.builder.const(size, dtype)), dtype)
    return None, call.builder.emit(Op.SELECT, (negative, wrapped, number), dtype)


def _lookup(call: Call, number: int, table: Ids) -> Ids:
    """Row ``number`` of a table of lanes: by position if it is known, else by `Op.LOOKUP`."""
    position, dynamic = _index(call, number, len(table))
    if position is not None:
        return table[position]
    columns = table.reshape(len(table), -1).T
    dtype = call.builder.dtypes[int(table.flat[0])]
    found = [call.builder.emit(Op.LOOKUP, (dynamic, *(int(v) for v in column)), dtype) for column in columns]
    return np.array(found, dtype=np.int64).reshape(table.shape[1:])


def _gather(call: Call, x: Ids, *indices: Ids) -> Ids:
    axes, sizes = call.arguments
    if any(sizes[axis] != 1 for axis in axes):
        raise Untraceable("a gather of more than one row an index")
    grid = np.broadcast_arrays(*indices)
    rows = np.moveaxis(x, axes, range(len(axes)))
    found = []
    for numbers in zip(*(g.flat for g in grid), strict=True):
        piece = rows
        for number in numbers:
            piece = _lookup(call, int(number), piece)
        found.append(piece)
    if any(size != x.shape[axis] for axis, size in enumerate(sizes) if axis not in axes):
        raise Untraceable("a gather of a part of an axis")
    return np.stack(found).reshape(call.shape)


def _gather_axis(call: Call, x: Ids, indices: Ids) -> Ids:
    axis = call.arguments[0]
    columns = np.moveaxis(np.broadcast_to(x, _without(x, indices, axis)), axis, -1)
    wanted = np.moveaxis(indices, axis, -1)
    found = np.empty(wanted.shape, dtype=np.int64)
    for place in np.ndindex(wanted.shape):
        found[place] = _lookup(call, int(wanted[place]), columns[place[:-1]])
    return np.moveaxis(found, -1, axis)


def _without(x: Ids, indices: Ids, axis: int) -> tuple[int, ...]:
    """The shape of ``x`` along ``axis`` and of ``indices`` elsewhere."""
    shape = list(indices.shape)
    shape[axis] = x.shape[axis]
    return tuple(shape)


def _scatter(call: Call, x: Ids, *rest: Ids) -> Ids:
    *indices, updates = rest
    kind, axes = call.arguments
    result = x.copy()
    grid = np.broadcast_arrays(*indices) if indices else []
    for place in np.ndindex(grid[0].shape if grid else ()):
        where = [call.builder.value_of(int(g[place])) for g in grid]
        if any(value is None for value in where):
            raise Untraceable("a scatter to an index that depends on the element")
        target = [slice(0, size) for size in updates.shape[len(grid[0].shape) if grid else 0 :]]
        for axis, value in zip(axes, where, strict=True):
            start = int(value) % x.shape[axis]
            target[axis] = slice(start, start + target[axis].stop)
        op, update = _UPDATES[kind], updates[place]
        result[tuple(target)] = update if op is None else call.each(op, result[tuple(target)], update)
    return result


def _softmax(call: Call, x: Ids) -> Ids:
    top = _fold_axis(call, Op.MAX, np.moveaxis(x, -1, 0))[..., None]
    weights = call.each(Op.EXP, call.each(Op.SUB, x, top))
    return call.each(Op.DIV, weights, _fold_axis(call, Op.ADD, np.moveaxis(weights, -1, 0))[..., None])


def _same(call: Call, x: Ids, *_: Ids) -> Ids:
    return x


def _reshape(call: Call, x: Ids) -> Ids:
    return x.reshape(call.shape)


_RULES: dict[str, Callable[..., Ids | list[Ids]]] = {
    "AddMM": _addmm,
    "Arange": _arange,
    "ArgReduce": _arg_reduce,
    "AsType": _cast,
    "BitwiseBinary": _bitwise,
    "Broadcast": lambda call, x, *_: np.broadcast_to(x, call.shape),
    "Concatenate": lambda call, *xs: np.concatenate(xs, call.arguments[0]),
    "Copy": _same,
    "DivMod": _divmod,
    "Equal": _equal,
    "ExpandDims": _reshape,
    "Flatten": _reshape,
    "Full": lambda call, x: np.broadcast_to(x, call.shape),
    "Gather": _gather,
    "GatherAxis": _gather_axis,
    "Log": _log,
    "LogSumExp": _logsumexp,
    "Matmul": _matmul,
    "Pad": _pad,
    "Reduce": _reduce,
    "Reshape": _reshape,
    "Scan": _scan,
    "Scatter": _scatter,
    "Slice": _slice,
    "SliceUpdate": _slice_update,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": lambda call, x: call.each(Op.RSQRT if call.arguments[0] else Op.SQRT, x),
    "Square": lambda call, x: call.each(Op.MUL, x, x),
    "Squeeze": _reshape,
    "StopGradient": _same,
    "Transpose": lambda call, x: x.transpose(call.arguments[0]),
    "Unflatten": _reshape,
}

