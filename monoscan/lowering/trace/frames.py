"""Along which axes each of MLX's primitives works position by position.

A frame gives each axis of each operand and result a label, as in an index notation. Axes
with one label are walked together: at each position along them the primitive does the
same to what stands there. Axes without a label, and all axes of a primitive that is not
listed, belong to the primitive itself, which may slice, sum or reorder them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import attrs

from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.trace.primitives import ELEMENTWISE

Labels = list[Hashable | None]


@attrs.frozen
class Frame:
    """The labels of a primitive's axes.

    Args:
        inputs: For each operand, a label for each axis, or ``None``.
        outputs: For each result likewise.
        arguments: The primitive's arguments for operands that are unrolled along unlabelled axes alone.
    """

    inputs: list[Labels]
    outputs: list[Labels]
    arguments: Callable[[list[Ids]], list[Any]] | None = None


def frame_of(name: str, arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    """The frame of one recorded primitive.

    Args:
        name: Its name.
        arguments: Its arguments.
        inputs: The shape of each operand.
        outputs: The shape of each result.
    """
    rule = _elementwise if name in ELEMENTWISE else _RULES.get(name, _unknown)
    return rule(arguments, inputs, outputs)


def _unknown(_: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    return Frame([[None] * len(s) for s in inputs], [[None] * len(s) for s in outputs])


def _counted(shape: Shape, without: Sequence[int] = ()) -> Labels:
    """Axes by number from the end; none for these."""
    rank = len(shape)
    own = {axis % rank for axis in without}
    return [None if i in own else i - rank for i in range(rank)]


def _along(*own: int) -> Callable[..., Frame]:
    """The frame of a primitive that owns these axes."""
    return lambda _, inputs, outputs: _owning(own, inputs, outputs)


def _owning(own: Sequence[int], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    return Frame([_counted(shape, own) for shape in inputs], [_counted(shape, own) for shape in outputs])


_elementwise = _along()


def _slice(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    start, _, step = arguments
    return _owning(_cut(start, step, inputs[0], outputs[0]), inputs, outputs)


def _slice_update(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    _, start, _, step = arguments
    return _owning(_cut(start, step, inputs[0], inputs[1]), inputs, outputs)


def _cut(start: Shape, step: Shape, whole: Shape, part: Shape) -> list[int]:
    """The axes that are not sliced from end to end."""
    rows = zip(start, step, whole, part, strict=True)
    return [i for i, (begin, by, size, kept) in enumerate(rows) if (begin, by, kept) != (0, 1, size)]


def _pad(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    own = [i for i, (before, after) in enumerate(zip(inputs[0], outputs[0], strict=True)) if before != after]
    return Frame([_counted(inputs[0], own), []], [_counted(outputs[0], own)])


def _matmul(_: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    """The inner axes are summed; a third operand is added to the result."""
    left, right, *added = [_counted(shape) for shape in inputs]
    left[-1] = right[-2] = None
    left[-2], right[-1] = -2, -1
    return Frame([left, right, *added], [_counted(outputs[0])])


def _gather(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    axes, sizes = arguments
    table, *indices = inputs
    rows: Labels = [None if i in axes or sizes[i] != size else i for i, size in enumerate(table)]
    places: list[Labels] = [[("index", label) for label in _counted(shape)] for shape in indices]
    longest: Labels = max(places, key=len, default=[])

    def unrolled(arrays: list[Ids]) -> list[Any]:
        kept = arrays[0].shape
        return [axes, tuple(kept[i] if label is not None else sizes[i] for i, label in enumerate(rows))]

    return Frame([rows, *places], [longest + rows], unrolled)


def _gather_axis(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    table = _counted(inputs[0], arguments)
    return Frame([table, _counted(inputs[1])], [_counted(outputs[0])])


def _scatter(arguments: list[Any], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Frame:
    _, axes = arguments
    table, *indices, updates = inputs
    places = len(updates) - len(table)
    rows: Labels = [
        None if i in axes or updates[places + i] != size else i - len(table) for i, size in enumerate(table)
    ]
    fixed: list[Labels] = [[None] * len(shape) for shape in indices]
    return Frame([rows, *fixed, [None] * places + rows], [rows])


_RULES: dict[str, Callable[[list[Any], Sequence[Shape], Sequence[Shape]], Frame]] = {
    **dict.fromkeys(
        (
            "AsType",
            "BitwiseBinary",
            "Conjugate",
            "Copy",
            "DivMod",
            "Equal",
            "Imag",
            "Log",
            "Real",
            "Sqrt",
            "Square",
            "StopGradient",
        ),
        _elementwise,
    ),
    **dict.fromkeys(("LogSumExp", "Softmax"), _along(-1)),
    **dict.fromkeys(("Matmul", "AddMM"), _matmul),
    "ArgReduce": lambda arguments, *shapes: _owning(arguments[1:], *shapes),
    "Concatenate": lambda arguments, *shapes: _owning(arguments, *shapes),
    "Gather": _gather,
    "GatherAxis": _gather_axis,
    "NumberOfElements": lambda arguments, inputs, _: Frame([_counted(inputs[0], arguments[0])], [[]]),
    "Pad": _pad,
    "Reduce": lambda arguments, *shapes: _owning(arguments[1], *shapes),
    "Scan": lambda arguments, *shapes: _owning(arguments[1:2], *shapes),
    "Scatter": _scatter,
    "Slice": _slice,
    "SliceUpdate": _slice_update,
    "Split": lambda arguments, *shapes: _owning(arguments[1:], *shapes),
}
