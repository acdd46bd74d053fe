"""Finds the element that a function of whole slices works on.

`associative_scan` takes a function of slices, as JAX does. It is traced on slices of two
positions along each leading axis. If every position of the outputs is the same program of
the same position of the inputs, then that is the program of one element, and the scan can
be planned as if the function had been written for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from monoscan import tree
from monoscan.lowering.builder import Ids
from monoscan.lowering.captures import Captures
from monoscan.lowering.ir import MAX_LANES, Instr, Leaf, Program
from monoscan.lowering.trace import Traced, trace_combine

Shape = tuple[int, ...]


def trace_slices(
    structure: tree.Structure, dtypes: Sequence[str], shapes: Sequence[Shape], axis: int, captures: Captures
) -> tuple[int, Traced]:
    """The fewest event axes for which the function works element by element, and its program.

    Args:
        structure: The tree of the elements.
        dtypes: The accumulation dtype of each leaf.
        shapes: The shape of each leaf.
        axis: The scan axis, not negative.
        captures: The function's operator, and the arrays that it captures.

    Returns:
        tuple(int, Traced): How many leading axes are not event axes, and the program; 0
        and the reason where no choice of axes does it.
    """
    reason = "combine mixes positions along the leading axes"
    for leading in range(min(len(shape) for shape in shapes), axis, -1):
        if not _agree(shapes, leading, axis):
            continue
        probes = tuple(Leaf(d, _probe(shape, leading)) for d, shape in zip(dtypes, shapes, strict=True))
        try:
            traced = trace_combine(captures.root, structure, probes, captures, "associative_scan", limit=None)
        except Exception as error:  # the user's function may insist on the true sizes; running it will tell
            reason = f"combine fails on other sizes: {error}"
            continue
        if traced.program is None:
            return 0, traced
        program = one_element(traced.program, leading)
        if program is not None:
            lanes = sum(leaf.lanes for leaf in program.outputs)
            return (
                (leading, Traced(program)) if lanes <= MAX_LANES else (0, Traced(None, f"an element has {lanes} lanes"))
            )
    return 0, Traced(None, reason)


def _agree(shapes: Sequence[Shape], leading: int, axis: int) -> bool:
    """Leaves share their leading sizes, up to sizes of 1 off the scan axis."""
    sizes = [{shape[i] for shape in shapes} for i in range(leading)]
    return all(len(each - {1}) <= 1 and (i != axis or len(each) == 1) for i, each in enumerate(sizes))


def _probe(shape: Shape, leading: int) -> Shape:
    return tuple(min(size, 2) if i < leading else size for i, size in enumerate(shape))


def one_element(program: Program, leading: int) -> Program | None:
    """The program that every position along the leading axes runs, or ``None`` if they differ."""
    arity = program.arity
    outputs = [
        np.array(lanes, np.int64).reshape(leaf.shape)
        for lanes, leaf in zip(program.output_lanes, program.outputs, strict=True)
    ]
    inputs = [
        np.array(lanes, np.int64).reshape(leaf.shape)
        for lanes, leaf in zip(program.input_lanes, program.inputs, strict=True)
    ]
    sizes = [max(ids.shape[i] for ids in outputs) for i in range(leading)]
    found: Program | None = None
    for place in product(*(range(size) for size in sizes)):
        own = [_at(ids, place) for ids in inputs[: 2 * arity]] + inputs[2 * arity :]
        element = _extract(program, own, [_at(ids, place) for ids in outputs])
        if element is None or (found is not None and element.digest != found.digest):
            return None
        found = element
    return found


def _at(ids: Ids, place: Shape) -> Ids:
    """The lanes of one position; an axis of size 1 serves all positions."""
    return np.asarray(ids[tuple(min(i, size - 1) for i, size in zip(place, ids.shape, strict=False))])


def _extract(program: Program, inputs: list[Ids], outputs: list[Ids]) -> Program | None:
    """The part of a program between these lanes, numbered anew; ``None`` if it reads any other lane."""
    numbers = {int(lane): i for i, lane in enumerate(lane for ids in inputs for lane in ids.flat)}
    first = len(numbers)
    code: list[Instr] = []
    needed = sorted(_reached(program, [int(v) for ids in outputs for v in ids.flat]))
    for number in needed:
        if number < program.num_lanes:
            if number not in numbers:
                return None
            continue
        instr = program.code[number - program.num_lanes]
        numbers[number] = first + len(code)
        code.append(Instr(instr.op, tuple(numbers[a] for a in instr.args), instr.dtype, instr.param))
    leaves = [Leaf(leaf.dtype, ids.shape) for leaf, ids in zip(program.inputs, inputs, strict=True)]
    results = [Leaf(leaf.dtype, ids.shape) for leaf, ids in zip(program.outputs, outputs, strict=True)]
    return Program(
        tuple(leaves),
        tuple(results),
        tuple(code),
        tuple(numbers[int(v)] for ids in outputs for v in ids.flat),
        program.arity,
    )


def _reached(program: Program, values: list[int]) -> set[int]:
    """All values that these depend on, themselves included."""
    seen: set[int] = set()
    while values:
        number = values.pop()
        if number not in seen:
            seen.add(number)
            if number >= program.num_lanes:
                values.extend(program.code[number - program.num_lanes].args)
    return seen
