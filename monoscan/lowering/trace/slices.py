"""Finds the element that a function of whole slices works on.

`associative_scan` takes a function of slices, as JAX does. MLX records it on slices of the
true shapes. An axis of the slices is a batch axis if every recorded primitive works along
it position by position; the axes behind the last batch axis are those of an element, and
its program is read off the same record. So what a function does with sizes, positions and
masks is in the program, or makes an axis the element's own, or leaves no program at all.

The scan axis is a batch axis too: the function is recorded at every length at which JAX
would call it, and all records must yield one program. Nothing is assumed of the function
but what JAX asks of it, that it is associative. In a trace of ``mx.compile(shapeless=True)``
larger slices must yield that program as well.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import prod
from typing import Any

from monoscan import dtypes, tree
from monoscan.cache import PROGRAMS
from monoscan.lowering.program.arrays import MAX_WIDE, ArrayProgram
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Leaf, Program, Shape
from monoscan.lowering.trace import primitives
from monoscan.lowering.trace.combine import (
    FEW_LANES,
    Traced,
    captures_too_much,
    check_slices,
    record_combine,
    too_many_lanes,
)
from monoscan.lowering.trace.complex_builder import ComplexBuilder, held
from monoscan.lowering.trace.factors import (
    ALIKE,
    Axis,
    Factor,
    Mixed,
    Spread,
    constant,
    dense,
    join,
    own_axis,
    size_of,
    unrolled,
)
from monoscan.lowering.trace.frames import Labels, frame_of
from monoscan.lowering.trace.lowered import constants_of
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.lowering.trace.roles import Role
from monoscan.lowering.trace.step import Step
from monoscan.lowering.trace.stops import Record
from monoscan.lowering.trace.untraceable import Untraceable


def trace_slices(
    structure: tree.Structure,
    dtypes: Sequence[str],
    shapes: Sequence[Shape],
    axis: int,
    captures: Captures,
    shapeless: bool = False,
) -> tuple[int, Traced]:
    """The fewest event axes for which the function works element by element, and its program.

    Args:
        structure: The tree of the elements.
        dtypes: The accumulation dtype of each leaf.
        shapes: The shape of each leaf.
        axis: The scan axis, not negative.
        captures: The function's operator, and the arrays that it captures.
        shapeless: The program is to serve other sizes of the leading axes too.

    Returns:
        tuple(int, Traced): How many leading axes are not event axes, and the program; 0
        and the reason where no choice of axes does it.

    Raises:
        ScanError: The function returns another tree, shape or dtype than it got.
    """

    def at(slices: Sequence[Shape]) -> tuple[int, Traced]:
        leaves = tuple(map(Leaf, dtypes, slices))
        key = ("slices", captures.key, structure, leaves, axis)
        return PROGRAMS.get(key, lambda: _trace(structure, leaves, axis, captures))

    longest, *rest = [
        [(*shape[:axis], length, *shape[axis + 1 :]) for shape in shapes]
        for length in lengths_of_slices(shapes[0][axis])
    ]
    found = at(longest)
    if found[0] and any(at(slices) != found for slices in rest):
        return 0, Traced(None, f"combine depends on how many positions there are along axis {axis}")
    if (
        found[0]
        and shapeless
        and not all(_serves(at, found, _grown(longest, found[0], *by)) for by in ((1, 1), (8, 3)))
    ):
        return 0, Traced(None, "combine depends on the sizes of axes that an element has no part in")
    return found


def _serves(
    at: Callable[[Sequence[Shape]], tuple[int, Traced]], found: tuple[int, Traced], slices: Sequence[Shape]
) -> bool:
    """Whether slices of other sizes give the same program."""
    try:
        return at(slices) == found
    except Exception:  # whatever it raises on slices that it does not get at these sizes is its own business
        return False


def _grown(slices: Sequence[Shape], leading: int, factor: int, more: int) -> list[Shape]:
    """Slices that are larger along the leading axes, but where one leaf has size 1 and another has not."""
    sizes = [max(shape[i] for shape in slices) for i in range(leading)]
    larger = [factor * size + more for size in sizes]
    return [
        tuple(larger[i] if shape[i] == sizes[i] else shape[i] for i in range(leading)) + shape[leading:]
        for shape in slices
    ]


def _trace(structure: tree.Structure, slices: tuple[Leaf, ...], axis: int, captures: Captures) -> tuple[int, Traced]:
    """The same for slices of one length."""
    given = tree.describe(tree.unflatten(structure, slices))
    hint = "It gets slices along the scan axis and must return their like."
    role = Role(f"[associative_scan] {captures.root.name}", "combine", f"slices {given}", hint, slices=True)
    records = record_combine(role, structure, slices, captures)
    if not isinstance(records, str):
        records = captures_too_much(captures) or records
    if isinstance(records, str):
        check_slices(role, captures.root, structure, slices)
        return 0, Traced(None, records)
    return _fewest_event_axes(records, slices, axis, captures)


def lengths_of_slices(length: int) -> list[int]:
    """The lengths of the slices that the recursion of JAX gives to a function, each once and the longest first."""
    found = {1}
    while length > 1:
        found |= {length // 2, (length - 1) // 2}
        length //= 2
    return sorted(found - {0}, reverse=True)


def _fewest_event_axes(
    records: list[Record], slices: tuple[Leaf, ...], axis: int, captures: Captures
) -> tuple[int, Traced]:
    reason = f"combine mixes positions along axis {axis}, or one in front of it"
    for leading in range(min(len(leaf.shape) for leaf in slices), axis, -1):
        lanes = sum(held(Leaf(leaf.dtype, leaf.shape[leading:])).lanes for leaf in slices)
        if lanes > MAX_WIDE:
            return 0, Traced(None, f"an element has {lanes} lanes, more than {MAX_WIDE}")
        wide = too_many_lanes(lanes)
        try:
            program = None if wide else _program(records, slices, leading, captures)
            arrays = _program(records, slices, leading, captures, arrays=True) if lanes > FEW_LANES else None
        except Untraceable as why:
            reason = str(why)
            break
        if program is not None or arrays is not None:
            return leading, Traced(
                program if isinstance(program, Program) else None,
                wide or "",
                arrays if isinstance(arrays, ArrayProgram) else None,
            )
    return 0, Traced(None, reason)


def _program(
    records: list[Record], slices: tuple[Leaf, ...], leading: int, captures: Captures, *, arrays: bool = False
) -> Program | ArrayProgram | None:
    """The program that runs at every position along the leading axes; ``None`` if positions differ."""
    batch = _batch([leaf.shape for leaf in slices], leading)
    if batch is None:
        return None
    element = tuple(Leaf(leaf.dtype, leaf.shape[leading:]) for leaf in slices)
    builder = ComplexBuilder(element + element + captures.leaves, arrays)
    try:
        results = _read(records, builder, slices + slices, batch)
        rows = zip(results, slices, strict=True)
        return builder.finish([_of_element(value, leaf.shape, batch) for value, leaf in rows], len(slices), len(slices))
    except Mixed:
        return None


def _batch(shapes: Sequence[Shape], leading: int) -> list[Factor] | None:
    """The leading axes as factors; ``None`` if the leaves disagree on their sizes by more than sizes of 1."""
    sizes = [max(shape[i] for shape in shapes) for i in range(leading)]
    agree = all(shape[i] in (1, size) for shape in shapes for i, size in enumerate(sizes))
    return [Factor(size, i) for i, size in enumerate(sizes)] if agree and 0 not in sizes else None


def _of_slice(ids: Ids, shape: Shape, batch: list[Factor]) -> Spread:
    """A leaf of an element at every position of a slice."""
    leading = tuple((factor,) if size != 1 else () for factor, size in zip(batch, shape, strict=False))
    own = tuple(own_axis(size) for size in shape[len(batch) :])
    return Spread(ids.reshape((1,) * len(batch) + ids.shape), leading + own)


def _of_element(value: Spread, shape: Shape, batch: list[Factor]) -> Ids:
    """The leaf of an element again."""
    for axis, factor in zip(value.axes, batch, strict=False):
        if axis not in ((), (factor,), (Factor(factor.size, ALIKE),)):
            raise Mixed
    kept = value.axes[: len(batch)] + tuple(dense(axis) for axis in value.axes[len(batch) :])
    return value.fit(kept).reshape(shape[len(batch) :])


def _read(
    records: list[Record], builder: ComplexBuilder, slices: tuple[Leaf, ...], batch: list[Factor]
) -> list[Spread]:
    """The values that the recorded function returns."""
    values: dict[str, Spread] = {}
    outputs: list[str] = []
    for record in records:
        if record["type"] == "inputs":
            ids = builder.leaves()
            elements = [_of_slice(lanes, leaf.shape, batch) for lanes, leaf in zip(ids, slices, strict=False)]
            captured = [constant(lanes) for lanes in ids[len(slices) :]]
            names = [name for name, _, _ in record["inputs"]]
            values.update(zip(names, elements + captured, strict=True))
        elif record["type"] == "constants":
            values.update((name, constant(ids)) for name, ids in constants_of(builder, record))
        elif record["type"] == "outputs":
            outputs = [name for name, _, _ in record["outputs"]]
        elif record["type"] == "primitive":
            results = _primitive(builder, record, [values[name] for name, _, _ in record["inputs"]])
            values.update((name, y) for (name, _, _), y in zip(record["outputs"], results, strict=True))
    return [values[name] for name in outputs]


def _primitive(builder: ComplexBuilder, record: Record, inputs: list[Spread]) -> list[Spread]:
    """The results of one primitive."""
    name, arguments = record["name"], list(record["arguments"])
    primitives.check(name)
    shapes = [tuple(shape) for _, shape, _ in record["outputs"]]
    if name in _VIEWS:
        if 0 in shapes[0]:
            raise Untraceable(f"{name} of an empty array")
        return [_VIEWS[name](inputs[0], arguments, shapes[0])]
    frame = frame_of(name, arguments, [x.shape for x in inputs], shapes)
    common = _common(inputs, frame.inputs)
    arrays = [
        x.fit([dense(axis) if label is None else common[label] for axis, label in zip(x.axes, labels, strict=True)])
        for x, labels in zip(inputs, frame.inputs, strict=True)
    ]
    axes = [
        tuple(own_axis(size) if label is None else common[label] for size, label in zip(shape, labels, strict=True))
        for shape, labels in zip(shapes, frame.outputs, strict=True)
    ]
    if [tuple(map(size_of, each)) for each in axes] != shapes:
        raise Untraceable(f"{name} of operands that broadcast")
    sizes = [tuple(prod(unrolled(axis)) for axis in each) for each in axes]
    arguments = frame.arguments(arrays) if frame.arguments else arguments
    dtype = dtypes.name_of(record["outputs"][0][2])
    results = primitives.lower(Step(name, builder, arrays, arguments, sizes[0], dtype))
    return [Spread(ids.reshape(size), each) for ids, size, each in zip(results, sizes, axes, strict=True)]


def _common(inputs: list[Spread], labels: list[Labels]) -> dict[Hashable, Axis]:
    """The factors of the axes that operands share, by label."""
    found: dict[Hashable, list[Axis]] = {}
    for x, own in zip(inputs, labels, strict=True):
        for axis, label in zip(x.axes, own, strict=True):
            if label is not None:
                found.setdefault(label, []).append(axis)
    return {label: join(axes) for label, axes in found.items()}


_VIEWS: dict[str, Callable[[Spread, list[Any], Shape], Spread]] = {
    **dict.fromkeys(("Broadcast", "BroadcastAxes", "Full"), lambda x, _, shape: x.broadcast(shape)),
    **dict.fromkeys(("ExpandDims", "Flatten", "Reshape", "Squeeze", "Unflatten"), lambda x, _, shape: x.reshape(shape)),
    "Transpose": lambda x, arguments, _: x.transpose(arguments[0]),
}
"""Primitives that move factors and compute nothing."""
