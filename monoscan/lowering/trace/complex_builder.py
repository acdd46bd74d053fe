"""Complex numbers while a function is traced: each is a pair of real values, and those alone are in the program.

A complex leaf is held as real lanes, its parts along a last axis of size 2. While shapes are
executed a number below zero stands for a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.array_builder import ArrayBuilder
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.builder import Builder, Ids
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.lowering.trace.complex_functions import FUNCTIONS
from monoscan.lowering.trace.complex_numbers import Lanes, Pair, nonzero
from monoscan.lowering.trace.untraceable import Untraceable


def held(leaf: Leaf) -> Leaf:
    """A leaf as programs hold it."""
    return Leaf(dtypes.lane(leaf.dtype), (*leaf.shape, 2)) if leaf.dtype in dtypes.COMPLEX else leaf


class ComplexBuilder:
    """What a trace builds its program with: a builder of real programs, and the pairs of its values that are complex.

    Args:
        inputs: The input leaves.
        arrays: Builds an array program, and no scalar one.
    """

    def __init__(self, inputs: tuple[Leaf, ...], arrays: bool = False) -> None:
        self.inputs = inputs
        real = tuple(map(held, inputs))
        self._real: Builder | ArrayBuilder = ArrayBuilder(real) if arrays else Builder(real)
        self._pairs: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int], int] = {}

    @property
    def most_values(self) -> int:
        """The most lanes of one intermediate array."""
        return self._real.most_values

    def leaves(self) -> list[Ids]:
        """The value numbers of each input leaf, in its shape."""
        lanes = zip(self.inputs, self._real.leaves(), strict=True)
        return [self._paired(ids[..., 0], ids[..., 1]) if leaf.dtype == "complex64" else ids for leaf, ids in lanes]

    def dtype_of(self, number: int) -> str:
        """The dtype of a value."""
        return "complex64" if number < 0 else self._real.dtype_of(number)

    def value_of(self, number: int) -> Any:
        """The value of a constant, or ``None``."""
        if number >= 0:
            return self._real.value_of(number)
        re, im = map(self._real.value_of, self._pairs[-1 - number])
        return None if re is None or im is None else complex(re, im)

    def instr(self, number: int) -> Instr | None:
        """The instruction that yields a value, or ``None`` for an input lane and a pair."""
        return self._real.instr(number) if number >= 0 else None

    def const(self, value: Any, dtype: str) -> int:
        """The number of a constant, cast to its dtype."""
        if dtype != "complex64":
            return self._real.const(value, dtype)
        return self._place(self._real.const(value.real, "float32"), self._real.const(value.imag, "float32"))

    def emit(self, op: Op, args: tuple[int, ...], dtype: str) -> int:
        """The number of the value that an operation yields."""
        return int(self.elementwise(op, [np.array(number) for number in args], dtype))

    def elementwise(self, op: Op, arrays: list[Ids], dtype: str) -> Ids:
        """One operation on arrays of values that broadcast."""
        if dtype != "complex64" and all(ids.min(initial=0) >= 0 for ids in arrays):
            return self._real.elementwise(op, arrays, dtype)
        if op is Op.CAST:
            return self._cast(arrays[0], dtype)
        if op not in FUNCTIONS:
            raise Untraceable(f"{op.value} of complex numbers")
        first = [Lanes(self._real, arrays[0])] if op in (Op.SELECT, Op.LOOKUP) else []
        result = FUNCTIONS[op](*first, *map(self._pair, arrays[len(first) :]))
        return result.ids if isinstance(result, Lanes) else self._paired(result.re.ids, result.im.ids)

    def reduce(self, op: Op, rows: Ids, dtype: str) -> Ids:
        """The lanes along axis 0 combined, from left to right."""
        if dtype != "complex64":
            return self._real.reduce(op, rows, dtype)
        total: Ids = rows[0]
        for row in rows[1:]:
            total = self.elementwise(op, [total, row], dtype)
        return total

    def contract(self, add: Op, multiply: Op, x: Ids, y: Ids, dtype: str) -> Ids:
        """Sums of products along axis 0, from left to right."""
        if dtype != "complex64":
            return self._real.contract(add, multiply, x, y, dtype)
        return self.reduce(add, self.elementwise(multiply, [x, y], dtype), dtype)

    def conjugate(self, ids: Ids) -> Ids:
        """The conjugates of complex numbers."""
        pair = self._pair(ids).conjugate()
        return self._paired(pair.re.ids, pair.im.ids)

    def part(self, ids: Ids, which: int) -> Ids:
        """The real part, 0, or the imaginary part, 1, of complex numbers."""
        pair = self._pair(ids)
        return (pair.re, pair.im)[which].ids

    def finish(self, results: list[Ids], arity: int, rights: int) -> Program | ArrayProgram:
        """The program with these results, without dead code."""
        return self._real.finish([self._lanes(ids) for ids in results], arity, rights)

    def _cast(self, ids: Ids, dtype: str) -> Ids:
        if dtype == "complex64":
            pair = self._pair(ids)
            return self._paired(self._real.elementwise(Op.CAST, [pair.re.ids], "float32"), pair.im.ids)
        pair = self._pair(ids)
        return nonzero(pair).ids if dtype == "bool" else self._real.elementwise(Op.CAST, [pair.re.ids], dtype)

    def _place(self, re: int, im: int) -> int:
        """The number that stands for a pair."""
        if (re, im) not in self._places:
            self._pairs.append((re, im))
            self._places[re, im] = -len(self._pairs)
        return self._places[re, im]

    def _paired(self, re: Ids, im: Ids) -> Ids:
        re, im = np.broadcast_arrays(re, im)
        numbers = [self._place(int(a), int(b)) for a, b in zip(re.flat, im.flat, strict=True)]
        return np.array(numbers, dtype=np.int64).reshape(re.shape)

    def _pair(self, ids: Ids) -> Pair:
        """The parts of numbers; real ones have the imaginary part 0."""
        zero = self._real.const(0, "float32")
        parts = [self._pairs[-1 - number] if number < 0 else (number, zero) for number in map(int, ids.flat)]
        re, im = np.array(parts, dtype=np.int64).reshape(*ids.shape, 2).transpose(-1, *range(ids.ndim))
        return Pair(Lanes(self._real, re), Lanes(self._real, im))

    def _lanes(self, ids: Ids) -> Ids:
        if not ids.size or ids.flat[0] >= 0:
            return ids
        pair = self._pair(ids)
        return np.stack([pair.re.ids, pair.im.ids], axis=-1)
