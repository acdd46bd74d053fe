"""MLX's primitives that move lanes about: slices, gathers, scatters. They leave no trace in a program.

What depends on the element's own value is an `Op.LOOKUP`; all else is known at trace time.
"""

from __future__ import annotations

import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Op
from monoscan.lowering.trace.complex_builder import ComplexBuilder
from monoscan.lowering.trace.step import Step
from monoscan.lowering.trace.untraceable import Untraceable

UPDATES = {0: Op.MAX, 1: Op.MIN, 2: Op.ADD, 3: Op.MUL, 4: None}
"""How an update is combined with what it falls on; ``None`` replaces it."""


def take_slice(call: Step, x: Ids) -> Ids:
    """``x[start:stop:step]`` along every axis."""
    return x[_slices(*call.arguments)]


def _slices(start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(*bounds) for bounds in zip(start, stop, step, strict=True))


def update_slice(call: Step, x: Ids, update: Ids) -> Ids:
    """``x`` with a slice replaced by, or combined with, an update."""
    where = _slices(*call.arguments[1:])
    op, result = UPDATES[call.arguments[0]], x.copy()
    result[where] = update if op is None else call.each(op, x[where], np.broadcast_to(update, x[where].shape))
    return result


def split(call: Step, x: Ids) -> list[Ids]:
    """The parts between indices along an axis."""
    indices, axis = call.arguments
    return list(np.split(x, list(indices), axis))


def pad(call: Step, x: Ids, value: Ids) -> Ids:
    """``x`` with a constant around it."""
    axes, low, high = call.arguments
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, low, high, strict=True):
        widths[axis] = (before, after)
    return np.pad(x, widths, constant_values=int(value))


def arange(call: Step) -> Ids:
    """Constants at equal distances."""
    start, _, step = call.arguments
    count = call.shape[0]
    return np.array([call.builder.const(start + i * step, call.dtype) for i in range(count)], dtype=np.int64)


def _place(index: int, size: int) -> int:
    """A place in an axis: negative indices count from its end, what lies outside is clamped."""
    return min(max(index + size if index < 0 else index, 0), size - 1)


def _dynamic_place(builder: ComplexBuilder, number: int, size: int) -> int:
    """`_place` as a value of the program, without the steps that the index shows to be idle."""
    if not dtypes.holds(builder.dtype_of(number), size):
        number = builder.emit(Op.CAST, (number,), "int32")
    dtype = builder.dtype_of(number)
    low, high = _bounds(builder, number)
    if low < 0:
        negative = builder.emit(Op.LT, (number, builder.const(0, dtype)), "bool")
        wrapped = builder.emit(Op.ADD, (number, builder.const(size, dtype)), dtype)
        number = builder.emit(Op.SELECT, (negative, wrapped, number), dtype)
        if low < -size:
            number = builder.emit(Op.MAX, (number, builder.const(0, dtype)), dtype)
    return number if high < size else builder.emit(Op.MIN, (number, builder.const(size - 1, dtype)), dtype)


def _bounds(builder: ComplexBuilder, number: int) -> tuple[int, int]:
    """Between which integers an index lies, as far as its dtype and clipping by constants say."""
    instr, dtype = builder.instr(number), builder.dtype_of(number)
    if instr is not None and instr.op in (Op.MIN, Op.MAX):
        for index, limit in (instr.args, instr.args[::-1]):
            value = builder.value_of(limit)
            if value is not None:
                low, high = _bounds(builder, index)
                extreme = min if instr.op is Op.MIN else max
                return extreme(low, value), extreme(high, value)
    return int(dtypes.lowest(dtype)), int(dtypes.highest(dtype))


def _lookup(call: Step, number: int, table: Ids) -> Ids:
    """Row ``number`` of a table of lanes: by position if it is known, else by `Op.LOOKUP`."""
    value = call.builder.value_of(number)
    if value is not None:
        row: Ids = table[_place(int(value), len(table))]
        return row
    place = _dynamic_place(call.builder, number, len(table))
    columns = table.reshape(len(table), -1).T
    dtype = call.builder.dtype_of(int(table.flat[0]))
    found = [call.builder.emit(Op.LOOKUP, (place, *(int(v) for v in column)), dtype) for column in columns]
    return np.array(found, dtype=np.int64).reshape(table.shape[1:])


def gather(call: Step, x: Ids, *indices: Ids) -> Ids:
    """Rows of ``x`` by index along some of its axes."""
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


def gather_axis(call: Step, x: Ids, indices: Ids) -> Ids:
    """Items of ``x`` along one axis, one for each index."""
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


def scatter(call: Step, x: Ids, *rest: Ids) -> Ids:
    """``x`` with updates at indices that do not depend on the element."""
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
            start = _place(int(value), x.shape[axis])
            target[axis] = slice(start, start + target[axis].stop)
        op, update = UPDATES[kind], updates[place]
        result[tuple(target)] = update if op is None else call.each(op, result[tuple(target)], update)
    return result
