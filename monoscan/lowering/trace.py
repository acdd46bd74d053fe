"""Traces a Python ``combine`` once, on one element, into a program.

MLX itself records the function: `mx.export_function` calls back with one record for each
primitive, in topological order. `primitives` puts each in terms of the IR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.lowering import primitives, stops
from monoscan.lowering.builder import Builder, Ids
from monoscan.lowering.call import MAX_VALUES, Call, Untraceable
from monoscan.lowering.captures import Captures
from monoscan.lowering.ir import MAX_LANES, Leaf, Program
from monoscan.monoids.base import Semigroup

Record = dict[str, Any]

MAX_CAPTURED_LANES = 256
"""The most items of one captured array that are still unrolled into scalars."""


@attrs.frozen
class Traced:
    """What tracing found: a program, or the reason why there is none."""

    program: Program | None
    reason: str = ""

    @property
    def own_rules(self) -> bool:
        """Whether the function holds one with derivatives of its own."""
        return self.reason == stops.OWN_RULES


def trace_combine(
    operator: Semigroup,
    structure: tree.Structure,
    leaves: tuple[Leaf, ...],
    captures: Captures,
    call: str = "scan",
    limit: int | None = MAX_LANES,
) -> Traced:
    """The program of an operator's ``combine``.

    Args:
        operator: The operator, for messages.
        structure: The tree of an element.
        leaves: The dtype (of accumulation) and the event shape of each leaf.
        captures: The operator with the arrays that it captures.
        call: The public call, for messages.
        limit: The most lanes that an element may have.

    Returns:
        Traced: The program, or why ``combine`` is not traceable.

    Raises:
        ScanError: ``combine`` does what no strategy can run: it branches on an array's
            value, returns another tree, shape or dtype than it got, or reads an array
            that cannot be found.
    """
    captured = captures.leaves

    def combine(*arrays: mx.array) -> tuple[mx.array, ...]:
        left, right = arrays[: len(leaves)], arrays[len(leaves) : 2 * len(leaves)]
        rebuilt = captures.rebuild(arrays[2 * len(leaves) :])
        result = rebuilt.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
        return _checked_tree(where, result, structure)

    where = f"[{call}] {operator.name}"
    try:
        records = _record(where, combine, leaves + leaves + captured)
    except ValueError as error:
        if isinstance(error, errors.ScanError) or not str(error).startswith("["):
            raise
        element = tree.describe(tree.unflatten(structure, leaves))
        raise errors.ScanError(f"{where}: combine fails on one element, {element}: {error}") from error
    if isinstance(records, str):
        return Traced(None, records)
    outputs = next(record["outputs"] for record in records if record["type"] == "outputs")
    _check_types(where, [Leaf(dtypes.name_of(dtype), tuple(shape)) for _, shape, dtype in outputs], leaves, structure)
    lanes = sum(leaf.lanes for leaf in leaves)
    if limit is not None and lanes > limit:
        return Traced(None, f"an element has {lanes} lanes, more than {limit}")
    if not all(leaf.lanes for leaf in leaves):
        return Traced(None, "a leaf of an element is empty")
    largest = max((leaf.lanes for leaf in captured), default=0)
    if largest > MAX_CAPTURED_LANES:
        return Traced(None, f"it captures an array of {largest:,} items, more than {MAX_CAPTURED_LANES}")
    return _lower(records, leaves + leaves + captured, len(leaves))


def check_slices(where: str, operator: Semigroup, structure: tree.Structure, slices: tuple[Leaf, ...]) -> None:
    """Checks what a function of whole slices returns, where it was not traced.

    Raises:
        ScanError: It returns another tree, shape or dtype than it got.
    """
    left, right = ([mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in slices] for _ in range(2))
    result = operator.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
    got = [Leaf(dtypes.name_of(y.dtype), tuple(y.shape)) for y in _checked_tree(where, result, structure)]
    _check_types(where, got, slices, structure)


def trace_function(name: str, function: Callable[..., Sequence[mx.array]], inputs: tuple[Leaf, ...]) -> Traced:
    """The program of any function of arrays, as an identity or an action.

    Args:
        name: What messages call it.
        function: Takes an array for each leaf and returns a sequence of arrays.
        inputs: The leaves.
    """
    records = _record(f"[trace] {name}", lambda *arrays: tuple(function(*arrays)), inputs)
    return Traced(None, records) if isinstance(records, str) else _lower(records, inputs, 0)


def _record(where: str, function: Callable[..., tuple[mx.array, ...]], inputs: tuple[Leaf, ...]) -> list[Record] | str:
    """MLX's records of a function, or why MLX cannot record it."""
    examples = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in inputs]
    records: list[Record] = []
    drawing = ""

    def drawn(*arrays: mx.array) -> tuple[mx.array, ...]:
        nonlocal drawing
        results = function(*arrays)
        drawing = stops.draw(arrays, results)
        return results

    try:
        mx.export_function(records.append, drawn, *examples)
        if _constants(records):
            _check_constants(where, records, function, examples)
    except (errors.ScanError, IndexError, TypeError):
        raise
    except (ValueError, RuntimeError) as error:
        return stops.OWN_RULES if stops.has_own_rules(drawing) else _reason(where, error)
    return stops.placed(records, drawing)


def _reason(where: str, error: Exception) -> str:
    text = str(error)
    if text == "std::bad_cast":
        raise errors.ScanTypeError(
            f"{where} uses a Python integer that MLX does not take: those from 2**63 on are written as arrays, "
            "mx.array(np.array(value, np.uint64))."
        ) from error
    if "Attempting to eval" in text or "Only length-1 arrays" in text:
        raise errors.TraceError(
            f"{where}: combine reads the value of an array (a Python if, while, bool(), float(), .item() or NumPy call); "
            "it is traced once for all elements. Use mx.where(condition, x, y) to select."
        ) from error
    if "uncaptured inputs" in text or "Unable to get state" in text or "not have a state" in text:
        return text.replace("[export_function] ", "").replace("[compile] ", "").rstrip(".")
    raise error


def _constants(records: list[Record]) -> list[mx.array]:
    return [array for record in records if record["type"] == "constants" for _, array in record["constants"]]


def _memory(array: mx.array) -> tuple[int, object]:
    """Where an array lies, and what holds it there: by a view of items of its own size, which is no copy."""
    items = np.asarray(array.view({1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}[array.itemsize]))
    return int(items.__array_interface__["data"][0]), items


def _check_constants(where: str, records: list[Record], function: Callable[..., Any], examples: list[mx.array]) -> None:
    """An array that is there before ``combine`` runs keeps its address when it runs again."""
    again: list[Record] = []
    mx.export_function(again.append, function, *examples)
    with mx.stream(mx.cpu):
        constants = [array for array in _constants(records) if array.size]
        before = [_memory(array) for array in constants]
        after = [_memory(array) for array in _constants(again) if array.size]
        old = [array for array, (x, _), (y, _) in zip(constants, before, after, strict=True) if x == y]
    if old:
        raise errors.TraceError(
            f"{where}: combine reads an array of shape {tuple(old[0].shape)} and dtype {dtypes.name_of(old[0].dtype)} that is neither an "
            "argument, nor made by combine, nor captured where it can be found; its gradient would be silently zero. "
            "Hold it in a field of the operator, a closure, a default or a global that combine names."
        )


def _checked_tree(where: str, result: Any, structure: tree.Structure) -> tuple[mx.array, ...]:
    leaves = tree.flatten_like(result, structure)
    if leaves is None:
        got = tree.show(tree.flatten(result)[1])
        raise errors.TreeError(
            f"{where}: combine must return the tree of its arguments, {tree.show(structure)}; it returned {got}."
        )
    for path, leaf in zip(tree.paths(structure), leaves, strict=True):
        if not isinstance(leaf, mx.array):
            raise errors.TreeError(
                f"{where}: combine must return arrays; leaf {path or 'x'} is {type(leaf).__name__} {leaf!r:.40}. "
                "Wrap it in mx.array(..., dtype) or mx.full."
            )
    return tuple(leaves)


def _check_types(where: str, got: Sequence[Leaf], leaves: Sequence[Leaf], structure: tree.Structure) -> None:
    for path, leaf, returned in zip(tree.paths(structure), leaves, got, strict=True):
        if returned.shape != leaf.shape:
            raise errors.ScanError(
                f"{where}: combine must keep the shape of an element; leaf {path or 'x'} has event shape {leaf.shape} "
                f"and combine returned {returned.shape}. `event` says how many trailing axes belong to an element."
            )
        if returned.dtype != leaf.dtype:
            raise errors.ScanTypeError(
                f"{where}: combine must keep dtypes; leaf {path or 'x'} is {leaf.dtype} and combine returned "
                f"{returned.dtype}. Cast the elements before the scan, or the result with .astype."
            )


def _lower(records: list[Record], inputs: tuple[Leaf, ...], arity: int) -> Traced:
    builder = Builder(inputs)
    values: dict[str, Ids] = {}
    outputs: list[tuple[str, Any, Any]] = []
    try:
        for record in records:
            if record["type"] == "inputs":
                names = [name for name, _, _ in record["inputs"]]
                values.update(zip(names, builder.leaves(), strict=True))
            elif record["type"] == "constants":
                values.update((name, _constant(builder, array)) for name, array in record["constants"])
            elif record["type"] == "outputs":
                outputs = record["outputs"]
            elif record["type"] == "primitive":
                _lower_one(builder, record, values)
    except Untraceable as reason:
        return Traced(None, str(reason))
    return Traced(builder.finish([values[name] for name, _, _ in outputs], arity))


def _lower_one(builder: Builder, record: Record, values: dict[str, Ids]) -> None:
    _, shape, dtype = record["outputs"][0]
    inputs = [values[name] for name, _, _ in record["inputs"]]
    call = Call(record["name"], builder, inputs, list(record["arguments"]), tuple(shape), dtypes.name_of(dtype))
    results = primitives.lower(call)
    values.update((name, ids) for (name, _, _), ids in zip(record["outputs"], results, strict=True))


def _constant(builder: Builder, array: mx.array) -> Ids:
    name = dtypes.name_of(array.dtype)
    if name in dtypes.HALF:
        array, name = array.astype(mx.float32, stream=mx.cpu), "float32"
    if array.size > MAX_VALUES:
        raise Untraceable(f"a constant of {array.size} items")
    flat: Any = array.reshape(-1, stream=mx.cpu).tolist()
    return np.array([builder.const(value, name) for value in flat], dtype=np.int64).reshape(array.shape)
