"""Builds programs: numbers values, shares equal ones, folds constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from monoscan.lowering.program import constants
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program, eliminate_dead_code

Ids = npt.NDArray[np.int64]
"""An array of value numbers: what stands for an MLX array while shapes are executed."""


class Builder:
    """Grows a straight-line program over given input leaves."""

    most_values = 4096
    """The most lanes of one intermediate array: beyond it, unrolling is no service to anyone."""

    def __init__(self, inputs: tuple[Leaf, ...]) -> None:
        self.inputs = inputs
        self.dtypes: list[str] = [leaf.dtype for leaf in inputs for _ in range(leaf.lanes)]
        self._first = len(self.dtypes)
        self.code: list[Instr] = []
        self._known: dict[Any, int] = {}

    def leaves(self) -> list[Ids]:
        """The value numbers of each input leaf, in its shape."""
        ids, start = [], 0
        for leaf in self.inputs:
            ids.append(np.arange(start, start + leaf.lanes, dtype=np.int64).reshape(leaf.shape))
            start += leaf.lanes
        return ids

    def emit(self, op: Op, args: tuple[int, ...], dtype: str, param: Any = None) -> int:
        """The number of the value that this operation yields."""
        shortcut = self._fold(op, args, dtype)
        if shortcut is not None:
            return shortcut
        key = (op, args, dtype, repr(param))
        if key not in self._known:
            self._known[key] = len(self.dtypes)
            self.code.append(Instr(op, args, dtype, param))
            self.dtypes.append(dtype)
        return self._known[key]

    def const(self, value: Any, dtype: str) -> int:
        """The number of a constant, cast to its dtype."""
        return self.emit(Op.CONST, (), dtype, constants.cast(value, dtype))

    def dtype_of(self, number: int) -> str:
        """The dtype of a value."""
        return self.dtypes[number]

    def value_of(self, number: int) -> Any:
        """The value of a constant, or ``None``."""
        instr = self.instr(number)
        return instr.param if instr is not None and instr.op is Op.CONST else None

    def elementwise(self, op: Op, arrays: list[Ids], dtype: str) -> Ids:
        """One operation on arrays of values that broadcast."""
        grid = np.broadcast_arrays(*arrays)
        flat = [self.emit(op, tuple(int(a) for a in args), dtype) for args in zip(*(g.flat for g in grid), strict=True)]
        return np.array(flat, dtype=np.int64).reshape(grid[0].shape)

    def reduce(self, op: Op, rows: Ids, dtype: str) -> Ids:
        """The lanes along axis 0 combined, from left to right."""
        total: Ids = rows[0]
        for row in rows[1:]:
            total = self.elementwise(op, [total, row], dtype)
        return total

    def contract(self, add: Op, multiply: Op, x: Ids, y: Ids, dtype: str) -> Ids:
        """Sums of products along axis 0, from left to right."""
        return self.reduce(add, self.elementwise(multiply, [x, y], dtype), dtype)

    def finish(self, results: list[Ids], arity: int, rights: int) -> Program:
        """The program with these results, without dead code."""
        outputs = tuple(Leaf(self.dtypes[ids.flat[0]] if ids.size else "float32", ids.shape) for ids in results)
        numbers = tuple(int(number) for ids in results for number in ids.flat)
        return eliminate_dead_code(Program(self.inputs, outputs, tuple(self.code), numbers, arity, rights))

    def instr(self, number: int) -> Instr | None:
        """The instruction that yields a value, or ``None`` for an input lane."""
        return self.code[number - self._first] if number >= self._first else None

    def _fold(self, op: Op, args: tuple[int, ...], dtype: str) -> int | None:
        """A number that is known already, where the operation need not run."""
        if op is Op.CAST and self.dtypes[args[0]] == dtype:
            return args[0]
        if op is Op.STOP and getattr(self.instr(args[0]), "op", None) in (Op.CONST, Op.STOP):
            return args[0]
        values = [self.value_of(a) for a in args]
        if op is Op.SELECT and values[0] is not None:
            return args[1] if values[0] else args[2]
        condition = self.instr(args[0]) if op is Op.SELECT else None
        if condition is not None and condition.op is Op.NOT:
            return self.emit(op, (condition.args[0], args[2], args[1]), dtype)
        if not args or any(value is None for value in values):
            return None
        if op is Op.CAST:
            return self.const(values[0], dtype)
        folded = constants.fold(op, values, self.dtypes[args[0]])
        return None if folded is None else self.const(folded, dtype)
