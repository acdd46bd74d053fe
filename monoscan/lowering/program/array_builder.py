"""Builds array programs: what a trace runs on is the same as for scalar ones, numbers of lanes in NumPy arrays.

Every value has its own run of lane numbers. Shape operations move the numbers about, and what an
operation then reads is recognised again as a view of a value, or put together from several.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from monoscan.lowering.program import constants
from monoscan.lowering.program.arrays import (
    ArrayInstr,
    ArrayProgram,
    Form,
    Piece,
    View,
    eliminate_dead_code,
    row_major,
)
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Instr, Leaf, Op, Shape

PRODUCTS = {(Op.ADD, Op.MUL), (Op.MAX, Op.ADD), (Op.MIN, Op.ADD), (Op.LOGADDEXP, Op.ADD), (Op.OR, Op.AND)}
"""The sums of products that are one instruction."""


class ArrayBuilder:
    """Grows an array program over given input leaves."""

    most_values = 1 << 20
    """The most lanes of one intermediate array; those of products that are summed at once are never held."""

    def __init__(self, inputs: tuple[Leaf, ...]) -> None:
        self.inputs = inputs
        self.code: list[ArrayInstr] = []
        self._starts: list[int] = []  # the first lane of each value
        self._values: list[Leaf] = []
        self._end = 0
        self._given = [self._value(leaf) for leaf in inputs]
        self._operands: dict[int, tuple[Ids, ...]] = {}  # of each elementwise value, in its shape
        self._constants: dict[int, Any] = {}  # by lane
        self._known: dict[Any, Ids] = {}

    def leaves(self) -> list[Ids]:
        """The lanes of each input leaf, in its shape."""
        return list(self._given)

    def dtype_of(self, lane: int) -> str:
        """The dtype of a lane."""
        return self._values[self._value_of(lane)].dtype

    def value_of(self, lane: int) -> Any:
        """The value of a constant, or ``None``."""
        return self._constants.get(lane)

    def const(self, value: Any, dtype: str) -> int:
        """The lane of a constant, cast to its dtype."""
        held = constants.cast(value, dtype)
        lane = int(self._emit(ArrayInstr(Form.EACH, Op.CONST, (), dtype, (), param=(held,))))
        self._constants[lane] = held
        return lane

    def emit(self, op: Op, args: tuple[int, ...], dtype: str) -> int:
        """The lane of a scalar operation."""
        return int(self.elementwise(op, [np.array(lane) for lane in args], dtype))

    def instr(self, lane: int) -> Instr | None:
        """The operation that yields a lane, or ``None`` for an input and for what is combined of many."""
        value = self._value_of(lane)
        if value not in self._operands:
            return None
        made, place = self.code[value - len(self.inputs)], lane - self._starts[value]
        assert made.op is not None
        return Instr(made.op, tuple(int(grid.flat[place]) for grid in self._operands[value]), made.dtype)

    def elementwise(self, op: Op, arrays: list[Ids], dtype: str) -> Ids:
        """One operation on arrays of lanes that broadcast."""
        grid = np.broadcast_arrays(*arrays)
        folded = self._fold(op, grid, dtype)
        if folded is not None:
            return folded
        views = tuple(self._view(each) for each in grid)
        shape = grid[0].shape
        alike = [i for i, size in enumerate(shape) if size > 1 and not any(view.strides[i] for view in views)]
        if alike:
            few = [each[_firsts(each.ndim, alike)] for each in grid]
            return np.broadcast_to(self.elementwise(op, few, dtype), shape)
        ids = self._emit(ArrayInstr(Form.EACH, op, views, dtype, shape))
        self._operands[self._value_of(int(ids.flat[0]))] = tuple(grid)
        return ids

    def reduce(self, op: Op, rows: Ids, dtype: str) -> Ids:
        """The lanes along axis 0 combined, from left to right."""
        if len(rows) == 1:
            only: Ids = rows[0]
            return only
        last = np.moveaxis(rows, 0, -1)
        product = self._product(last)
        if product is not None and (op, product[0]) in PRODUCTS:
            return self._combined(Form.CONTRACT, op, list(product[1]), dtype, product[0])
        return self._combined(Form.REDUCE, op, [last], dtype)

    def contract(self, add: Op, multiply: Op, x: Ids, y: Ids, dtype: str) -> Ids:
        """Sums of products along axis 0, from left to right."""
        grid = [np.moveaxis(each, 0, -1) for each in np.broadcast_arrays(x, y)]
        if grid[0].shape[-1] == 1:
            return self.elementwise(multiply, [each[..., 0] for each in grid], dtype)
        return self._combined(Form.CONTRACT, add, grid, dtype, multiply)

    def finish(self, results: list[Ids], arity: int, rights: int) -> ArrayProgram:
        """The program with these results, without dead code."""
        views = tuple(self._view(ids) for ids in results)
        outputs = tuple(Leaf(self._values[v.value].dtype, ids.shape) for v, ids in zip(views, results, strict=True))
        return eliminate_dead_code(ArrayProgram(self.inputs, outputs, tuple(self.code), views, arity, rights))

    # ---------------------------------------------------------------- values and lanes
    def _value(self, leaf: Leaf) -> Ids:
        self._starts.append(self._end)
        self._values.append(leaf)
        ids = np.arange(self._end, self._end + leaf.lanes, dtype=np.int64).reshape(leaf.shape)
        self._end += leaf.lanes
        return ids

    def _value_of(self, lane: int) -> int:
        return bisect_right(self._starts, lane) - 1

    def _emit(self, instr: ArrayInstr) -> Ids:
        key = (instr, repr(instr.param))  # 0.0 is not -0.0
        if key not in self._known:
            self.code.append(instr)
            self._known[key] = self._value(Leaf(instr.dtype, instr.shape))
        return self._known[key]

    def _combined(self, form: Form, op: Op, grid: list[Ids], dtype: str, multiply: Op | None = None) -> Ids:
        views = tuple(self._view(each) for each in grid)
        *shape, count = grid[0].shape
        return self._emit(ArrayInstr(form, op, views, dtype, tuple(shape), count, multiply))

    def _product(self, ids: Ids) -> tuple[Op, tuple[Ids, ...]] | None:
        """What lanes are the results of, and its operands, if that is one operation on two arrays."""
        view = self._as_view(ids)
        operands = None if view is None else self._operands.get(view.value)
        if view is None or operands is None or len(operands) != 2:
            return None
        places = ids - self._starts[view.value]
        op = self.code[view.value - len(self.inputs)].op
        assert op is not None
        return op, tuple(grid.reshape(-1)[places] for grid in operands)

    # ---------------------------------------------------------------- constants
    def _fold(self, op: Op, grid: Sequence[Ids], dtype: str) -> Ids | None:
        """Lanes that are known already, where the operation need not run."""
        if op is Op.CAST and self.dtype_of(int(grid[0].flat[0])) == dtype:
            return grid[0]
        known = [self._known_lanes(each) for each in grid]
        if op is Op.STOP:
            return grid[0] if known[0] is not None else None
        if op is Op.SELECT and known[0] is not None:
            return np.where(np.array(known[0], dtype=bool).reshape(grid[0].shape), grid[1], grid[2])
        if any(each is None for each in known):
            return None
        source = self.dtype_of(int(grid[0].flat[0]))
        lanes = []
        for values in zip(*(each or [] for each in known), strict=True):
            folded = values[0] if op is Op.CAST else constants.fold(op, list(values), source)
            if folded is None:
                return None
            lanes.append(self.const(folded, dtype))
        return np.array(lanes, dtype=np.int64).reshape(grid[0].shape)

    def _known_lanes(self, ids: Ids) -> list[Any] | None:
        """The constants that lanes are, if they all are."""
        if int(ids.flat[0]) not in self._constants or not set(np.unique(ids).tolist()) <= self._constants.keys():
            return None
        return [self._constants[int(lane)] for lane in ids.flat]

    # ---------------------------------------------------------------- views
    def _view(self, ids: Ids) -> View:
        """A view of one value; a new one is put together where there is none."""
        found = self._as_view(ids)
        if found is not None:
            return found
        spread = [i for i, size in enumerate(ids.shape) if size > 1 and ids.strides[i] == 0]
        if spread:  # put together once, and broadcast
            once = self._view(ids[_firsts(ids.ndim, spread)])
            strides = tuple(0 if i in spread else stride for i, stride in enumerate(once.strides))
            return attrs.evolve(once, strides=strides)
        values = self._known_lanes(ids)
        dtype = self.dtype_of(int(ids.flat[0]))
        if values is not None:
            whole = self._emit(ArrayInstr(Form.EACH, Op.CONST, (), dtype, ids.shape, param=tuple(values)))
        else:
            axis = _axis_of_neighbours(ids)
            if axis != ids.ndim - 1:  # neighbours stay side by side
                turned = self._view(ids.swapaxes(axis, -1))
                order = list(turned.strides)
                order[axis], order[-1] = order[-1], order[axis]
                return attrs.evolve(turned, strides=tuple(order))
            blocks = [(Piece(start, part.shape), self._as_view(part)) for start, part in self._pieces(ids)]
            pieces, views = zip(*blocks, strict=True)
            whole = self._emit(ArrayInstr(Form.VIEW, None, views, dtype, ids.shape, pieces=pieces))
        return View(self._value_of(int(whole.flat[0])), 0, row_major(ids.shape))

    def _as_view(self, ids: Ids) -> View | None:
        first = int(ids.flat[0])
        value = self._value_of(first)
        strides = tuple(
            int(ids[tuple(int(i == axis) for i in range(ids.ndim))]) - first if size > 1 else 0
            for axis, size in enumerate(ids.shape)
        )
        view = View(value, first - self._starts[value], strides)
        lanes = view.lanes(ids.shape) + self._starts[value]
        end = self._starts[value] + self._values[value].lanes
        inside = self._starts[value] <= int(lanes.min()) and int(lanes.max()) < end
        return view if inside and np.array_equal(lanes, ids) else None

    def _pieces(self, ids: Ids, start: Shape = ()) -> Iterator[tuple[Shape, Ids]]:
        """Blocks that are views of one value each, along the axis where they are fewest."""
        start = start or (0,) * ids.ndim
        if self._as_view(ids) is not None:
            yield start, ids
            return
        found = {axis: self._cuts(ids, axis) for axis, size in enumerate(ids.shape) if size > 1}
        telling = [axis for axis, cuts in found.items() if cuts] or list(found)
        axis = min(telling, key=lambda i: len(found[i]))
        # where no cut tells them apart, one slice at a time
        cuts = [0, *(found[axis] or range(1, ids.shape[axis])), ids.shape[axis]]
        for low, high in itertools.pairwise(cuts):
            at = tuple(place + low * (i == axis) for i, place in enumerate(start))
            yield from self._pieces(ids.take(range(low, high), axis), at)

    def _cuts(self, ids: Ids, axis: int) -> list[int]:
        """Where slices along an axis do not go on as those before them."""
        rows = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        steps = np.diff(rows, axis=0)
        values = [self._value_of(int(row[0])) for row in rows]
        cuts: list[int] = []
        step: int | None = None
        for i, each in enumerate(steps, 1):
            even = values[i] == values[i - 1] and bool((each == each[0]).all())
            if not even or (step is not None and step != each[0]):
                cuts.append(i)
                step = None
            else:
                step = int(each[0])
        return cuts


def _firsts(rank: int, axes: Sequence[int]) -> tuple[slice, ...]:
    """The first of all that stands along some axes."""
    return tuple(slice(0, 1) if i in axes else slice(None) for i in range(rank))


def _axis_of_neighbours(ids: Ids) -> int:
    """The axis along which most lanes follow on one another; the last one if there is none."""
    following = [int((np.diff(ids, axis=axis) == 1).sum()) for axis in range(ids.ndim)]
    return max(range(ids.ndim), key=lambda axis: (following[axis], axis)) if max(following, default=0) else ids.ndim - 1
