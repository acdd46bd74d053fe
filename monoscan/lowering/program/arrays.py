"""Array programs: the IR of wide elements, whose values are arrays of lanes.

Where a `Program` has one value a lane, an `ArrayProgram` has one for each leaf and one for
each array that an operation yields. An operand is a `View`: an index map into the lanes of a
value, so broadcasts, transposes, slices and reshapes take no instruction. ``unroll`` gives
the scalar program, which is what an array program means.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from functools import cached_property
from math import prod
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from monoscan.lowering.program.ir import Leaf, Op, Shape, Signature

MAX_WIDE = 4096
"""The most lanes that one element may have at all: 16 KiB of float32, so that a combine stays in the caches."""


class Form(enum.Enum):
    """What an instruction does with its operands."""

    EACH = "each"  # the operation on every lane
    REDUCE = "reduce"  # the operation between `count` lanes, from left to right
    CONTRACT = "contract"  # the same between `count` products of two lanes each
    VIEW = "view"  # puts pieces of other values beside each other


@attrs.frozen
class View:
    """The lanes of a value that an index ``i`` reads: lane ``offset + i[0] * strides[0] + ...``."""

    value: int
    offset: int
    strides: tuple[int, ...]

    def lanes(self, shape: Shape) -> npt.NDArray[np.int64]:
        """The lanes for all indices of this shape."""
        found = np.full(shape, self.offset, dtype=np.int64)
        for axis, (size, stride) in enumerate(zip(shape, self.strides, strict=True)):
            found += (np.arange(size) * stride).reshape([size if i == axis else 1 for i in range(len(shape))])
        return found


@attrs.frozen
class Piece:
    """A block of a result: where it begins, and its shape."""

    start: Shape
    shape: Shape

    @property
    def slices(self) -> tuple[slice, ...]:
        """The block as an index."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))


@attrs.frozen
class ArrayInstr:
    """One operation on earlier values.

    Args:
        form: What it does.
        op: The operation; that which combines lanes, of a REDUCE or a CONTRACT.
        args: The operands. Those of a REDUCE or a CONTRACT have one more axis, the last, which is the one that is combined.
        dtype: That of the result.
        shape: That of the result.
        count: The length of the axis that is combined.
        multiply: What makes the products of a CONTRACT.
        param: The values of a constant, lane by lane.
        pieces: For each operand of a VIEW, where it goes.
    """

    form: Form
    op: Op | None
    args: tuple[View, ...]
    dtype: str
    shape: Shape
    count: int = 0
    multiply: Op | None = None
    param: tuple[Any, ...] | None = None
    pieces: tuple[Piece, ...] = ()

    def operand_shape(self, place: int) -> Shape:
        """The shape that an operand is read in."""
        if self.form is Form.VIEW:
            return self.pieces[place].shape
        return self.shape if self.form is Form.EACH else (*self.shape, self.count)


@attrs.frozen(cache_hash=True)
class ArrayProgram(Signature):
    """A traced function of arrays.

    Args:
        inputs: The leaves it reads, as in `Program`; each is a value.
        outputs: The leaves it returns.
        code: The instructions. Value ``i`` is input ``i``, and the result of ``code[i - len(inputs)]`` from there on.
        results: What each output is, as a view in its shape.
        arity: How many leaves the left operand of a step has, and its result.
        rights: How many the right operand has; of a ``combine`` as many.
    """

    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    code: tuple[ArrayInstr, ...]
    results: tuple[View, ...]
    arity: int
    rights: int = attrs.field(default=attrs.Factory(lambda self: self.arity, takes_self=True))

    @cached_property
    def values(self) -> tuple[Leaf, ...]:
        """The dtype and the shape of every value."""
        return self.inputs + tuple(Leaf(instr.dtype, instr.shape) for instr in self.code)

    @cached_property
    def depends(self) -> tuple[frozenset[int], ...]:
        """For each output leaf, the input leaves that it reads: told apart lane by lane, as `unroll` would."""
        reads = [np.full(leaf.lanes, 1 << i, dtype=object) for i, leaf in enumerate(self.inputs)]  # sets as bits
        for instr in self.code:
            found = np.zeros(instr.shape, dtype=object)
            for place, view in enumerate(instr.args):
                each = reads[view.value][view.lanes(instr.operand_shape(place))]
                if instr.form is Form.VIEW:
                    found[instr.pieces[place].slices] = each
                else:
                    found |= each if instr.form is Form.EACH else np.bitwise_or.reduce(each, axis=-1)
            reads.append(found.reshape(-1))
        of_results = [
            np.bitwise_or.reduce(reads[view.value][view.lanes(leaf.shape)], axis=None, initial=0)
            for view, leaf in zip(self.results, self.outputs, strict=True)
        ]
        return tuple(frozenset(i for i in range(len(self.inputs)) if bits >> i & 1) for bits in of_results)

    def results_of(self, leaf: int) -> object:
        return self.results[leaf]

    def select(self, leaves: Sequence[int]) -> ArrayProgram:
        """The program of some of its outputs."""
        outputs, results = tuple(self.outputs[i] for i in leaves), tuple(self.results[i] for i in leaves)
        return eliminate_dead_code(attrs.evolve(self, outputs=outputs, results=results))

    def reorder(self, leaves: Sequence[int], arity: int, rights: int | None = None) -> ArrayProgram:
        """The program with its inputs in this order. What is left out may be read by lanes alone that no result shows."""
        first, kept = len(self.inputs), set(leaves)
        read = {view.value for instr in self.code for view in instr.args} | {view.value for view in self.results}
        lost = sorted(read.intersection(range(first)) - kept)
        zeros = tuple(zeros_of(self.inputs[i].dtype) for i in lost)
        names = {old: new for new, old in enumerate([*leaves, *lost, *range(first, len(self.values))])}
        code, results = _renamed(self, self.code, names, frozenset(lost))
        inputs, rights = tuple(self.inputs[i] for i in leaves), arity if rights is None else rights
        return ArrayProgram(inputs, self.outputs, zeros + code, results, arity, rights)

    def __str__(self) -> str:
        lines = [f"%{i} = input : {_typed(leaf.dtype, leaf.shape)}" for i, leaf in enumerate(self.inputs)]
        for number, instr in enumerate(self.code, len(self.inputs)):
            named = [each.value for each in (instr.op, instr.multiply) if each is not None]
            what = ".".join(named) if instr.form is Form.EACH else " ".join([instr.form.value, ".".join(named)])
            args = " ".join(self._shown(view, instr.operand_shape(i)) for i, view in enumerate(instr.args))
            param = "" if instr.param is None else " " + ", ".join(map(repr, instr.param[:8]))
            lines.append(f"%{number} = {what} {args}{param} : {_typed(instr.dtype, instr.shape)}".replace("  ", " "))
        results = " ".join(self._shown(v, leaf.shape) for v, leaf in zip(self.results, self.outputs, strict=True))
        return "\n".join([*lines, f"outputs {results}"])

    def _shown(self, view: View, shape: Shape) -> str:
        if is_whole(view, shape, self.values[view.value].shape):
            return f"%{view.value}"
        strides = ",".join(map(str, view.strides))
        return f"%{view.value}[{f'{view.offset}+' if view.offset else ''}{strides}]"


def _typed(dtype: str, shape: Shape) -> str:
    return f"{dtype}{list(shape) if shape else ''}"


def row_major(shape: Shape) -> tuple[int, ...]:
    """The strides of an array without gaps."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def view_of(value: int, lanes: npt.NDArray[np.int64], shape: Shape) -> View | None:
    """The view that reads these lanes of a value; ``None`` if strides do not tell it."""
    first = int(lanes.flat[0])
    strides = tuple(
        int(lanes[tuple(int(i == axis) for i in range(lanes.ndim))]) - first if size > 1 else 0
        for axis, size in enumerate(shape)
    )
    view = View(value, first, strides)
    return view if np.array_equal(view.lanes(shape), lanes) else None


def is_whole(view: View, shape: Shape, of: Shape) -> bool:
    """Whether a view is all of a value as it stands."""
    full = all(size == 1 or a == b for size, a, b in zip(shape, view.strides, row_major(shape), strict=True))
    return view.offset == 0 and full and shape == of


def steady_first(program: ArrayProgram, steady: Iterable[int]) -> tuple[ArrayProgram, int]:
    """The program with what follows from some of its inputs alone in front, and how many instructions that is."""
    first, known = len(program.inputs), set(steady)
    for value, instr in enumerate(program.code, first):
        if all(view.value in known for view in instr.args):
            known.add(value)
    order = sorted(range(first, len(program.values)), key=lambda value: value not in known)
    names = {old: new for new, old in enumerate([*range(first), *order])}
    code, results = _renamed(program, tuple(program.code[value - first] for value in order), names)
    return attrs.evolve(program, code=code, results=results), sum(value >= first for value in known)


def eliminate_dead_code(program: ArrayProgram) -> ArrayProgram:
    """The same program without the instructions that no output reads."""
    first, live = len(program.inputs), {view.value for view in program.results}
    for number in range(first + len(program.code) - 1, first - 1, -1):
        if number in live:
            live.update(view.value for view in program.code[number - first].args)
    kept = [number for number in range(first, first + len(program.code)) if number in live]
    names = {old: new for new, old in enumerate(kept, first)} | {i: i for i in range(first)}
    code, results = _renamed(program, tuple(program.code[number - first] for number in kept), names)
    return attrs.evolve(program, code=code, results=results)


def zeros_of(dtype: str) -> ArrayInstr:
    """The constant zero, in the place of what no result shows."""
    zero = False if dtype == "bool" else 0.0 if dtype.startswith("float") else 0
    return ArrayInstr(Form.EACH, Op.CONST, (), dtype, (), param=(zero,))


def _renamed(
    program: ArrayProgram, code: tuple[ArrayInstr, ...], names: dict[int, int], scalars: frozenset[int] = frozenset()
) -> tuple[tuple[ArrayInstr, ...], tuple[View, ...]]:
    def rename(views: tuple[View, ...]) -> tuple[View, ...]:
        return tuple(
            View(names[view.value], 0, (0,) * len(view.strides))
            if view.value in scalars
            else attrs.evolve(view, value=names[view.value])
            for view in views
        )

    return tuple(attrs.evolve(instr, args=rename(instr.args)) for instr in code), rename(program.results)
