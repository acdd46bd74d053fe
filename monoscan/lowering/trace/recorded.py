"""What MLX records of a function: one record for each primitive, in topological order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace import stops
from monoscan.lowering.trace.roles import Role
from monoscan.lowering.trace.stops import Record


def record(role: Role, function: Callable[..., tuple[mx.array, ...]], inputs: tuple[Leaf, ...]) -> list[Record] | str:
    """MLX's records of a function, or why MLX cannot record it."""
    examples = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in inputs]
    records: list[Record] = []
    drawing = ""

    def drawn(*arrays: mx.array) -> tuple[mx.array, ...]:
        nonlocal drawing
        results = function(*arrays)
        drawing = stops.draw(arrays, results)
        return results

    with role:
        try:
            mx.export_function(records.append, drawn, *examples)
        except (ValueError, RuntimeError) as error:
            reason = stops.OWN_RULES if stops.has_own_rules(drawing) else _unrecorded(str(error))
            if reason is None:
                raise
            return reason
    if _constants(records):
        _check_constants(role, records, function, examples)
    return stops.placed(records, drawing)


def _unrecorded(text: str) -> str | None:
    """Why MLX cannot record a function that runs."""
    if "for primitive monoscan" in text:
        return "it runs a scan of its own, which MLX does not record"
    if "uncaptured inputs" in text or "Unable to get state" in text or "not have a state" in text:
        return text.replace("[export_function] ", "").replace("[compile] ", "").rstrip(".")
    return None


def _constants(records: list[Record]) -> list[mx.array]:
    return [array for each in records if each["type"] == "constants" for _, array in each["constants"]]


def _memory(array: mx.array) -> tuple[int, object]:
    """Where an array lies, and what holds it there: NumPy sees its memory, and a view waits for MLX's thread."""
    items = np.asarray(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array)
    return int(items.__array_interface__["data"][0]), items


def _check_constants(role: Role, records: list[Record], function: Callable[..., Any], examples: list[mx.array]) -> None:
    """An array that is there before the function runs keeps its address when it runs again."""
    again: list[Record] = []
    mx.export_function(again.append, function, *examples)
    with mx.stream(mx.cpu):
        constants = [array for array in _constants(records) if array.size]
        before = [_memory(array) for array in constants]
        after = [_memory(array) for array in _constants(again) if array.size]
        old = [array for array, (x, _), (y, _) in zip(constants, before, after, strict=True) if x == y]
    if not old:
        return
    if any(each.get("name") == "RandomBits" for each in records):
        raise errors.TraceError(
            f"{role.where}: {role.part} draws random numbers, and it must depend on its arguments alone: it is traced once "
            "and run in any order. Draw them before the scan and pass them as a leaf of the elements."
        )
    raise errors.TraceError(
        f"{role.where}: {role.part} reads an array of shape {tuple(old[0].shape)} and dtype {dtypes.name_of(old[0].dtype)} "
        "that is neither an argument, nor made by it, nor captured where it can be found; its gradient would be silently "
        "zero. Hold it in a field of the operator, a closure, a default or a global that it names."
    )
