"""Where the arrays of a rolled kernel stand in its memory, and how a view of one is an address.

An array lies in rows along its last axis, axes of size 1 left out; rows begin whole vectors apart.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import attrs
import numpy as np
import numpy.typing as npt

from monoscan.lowering.program.arrays import ArrayProgram, Form, View
from monoscan.lowering.program.ir import Leaf, Shape


@attrs.frozen
class Vectors:
    """What the vectors of a rolled kernel hold.

    Args:
        lanes: How many lanes of one element.
        rows: Of how many elements, each of another row.
    """

    lanes: int
    rows: int = 1

    @property
    def width(self) -> int:
        """The lanes of a vector."""
        return self.lanes * self.rows


@attrs.frozen
class Place:
    """An array in memory.

    Args:
        leaf: Its dtype and its shape.
        pitch: The items from one row to the next.
        shared: All elements of a vector have the same, so that items are no vectors.
    """

    leaf: Leaf
    pitch: int
    shared: bool = False

    @property
    def dtype(self) -> str:
        """The dtype of its lanes."""
        return self.leaf.dtype

    @property
    def shape(self) -> Shape:
        """The shape without axes of size 1."""
        return without_ones(self.leaf.shape)

    @property
    def columns(self) -> int:
        """The lanes of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """The rows."""
        return prod(self.shape[:-1])

    @property
    def items(self) -> int:
        """Items from the first to the last."""
        return self.rows * self.pitch

    @property
    def strides(self) -> tuple[int, ...]:
        """Items from one to the next along each axis of `shape`."""
        outer = [self.pitch * prod(self.shape[i + 1 : -1]) for i in range(len(self.shape) - 1)]
        return (*outer, 1) if self.shape else ()

    def address(self, view: View, shape: Shape) -> tuple[int, tuple[int, ...]] | None:
        """Where a view of this shape begins, and its strides along each axis; ``None`` if strides do not tell it."""
        lanes = self._items(view.lanes(shape))
        first = int(lanes.flat[0])
        steps = tuple(
            int(lanes[tuple(int(i == axis) for i in range(lanes.ndim))]) - first if size > 1 else 0
            for axis, size in enumerate(shape)
        )
        return (first, steps) if np.array_equal(View(0, first, steps).lanes(shape), lanes) else None

    def _items(self, lanes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return lanes // self.columns * self.pitch + lanes % self.columns


def without_ones(shape: Shape) -> Shape:
    """A shape without axes of size 1."""
    return tuple(size for size in shape if size != 1)


def places(program: ArrayProgram, vectors: Vectors, shared: Collection[int] = ()) -> list[Place]:
    """The places of all values of a program, some of which all elements of a vector share."""
    return [
        Place(leaf, whole(_columns(leaf), vectors.width), True)
        if number in shared
        else Place(leaf, _reach(program, number, _columns(leaf), vectors.lanes))
        for number, leaf in enumerate(program.values)
    ]


def own_place(leaf: Leaf, vectors: Vectors) -> Place:
    """The place of an array beside those of a program: rows of whole vectors."""
    return Place(leaf, whole(_columns(leaf), vectors.lanes))


def _columns(leaf: Leaf) -> int:
    return (without_ones(leaf.shape)[-1:] or (1,))[0]


def _reach(program: ArrayProgram, number: int, columns: int, width: int) -> int:
    """How far whole vectors reach in a row: pieces of a view may begin anywhere."""
    instr = program.code[number - len(program.inputs)] if number >= len(program.inputs) else None
    if instr is None or instr.form is not Form.VIEW or len(without_ones(instr.shape)) == 0:
        return whole(columns, width)
    axis = max(i for i, size in enumerate(instr.shape) if size > 1)
    ends = [piece.start[axis] + whole(piece.shape[axis], width) for piece in instr.pieces]
    return whole(max(ends), min(width, 4))


def whole(lanes: int, width: int) -> int:
    """The lanes of whole vectors."""
    return -(-lanes // width) * width
