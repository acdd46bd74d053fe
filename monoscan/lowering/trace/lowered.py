"""Records of MLX as programs: each primitive in terms of the IR."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace import primitives
from monoscan.lowering.trace.complex_builder import ComplexBuilder
from monoscan.lowering.trace.step import Step
from monoscan.lowering.trace.stops import Record
from monoscan.lowering.trace.untraceable import Untraceable


def lowered(
    records: list[Record], inputs: tuple[Leaf, ...], arity: int = 0, rights: int = 0, *, arrays: bool = False
) -> Program | ArrayProgram | str:
    """The program of some records, or why there is none."""
    builder = ComplexBuilder(inputs, arrays)
    values: dict[str, Ids] = {}
    outputs: list[tuple[str, Any, Any]] = []
    try:
        for record in records:
            if record["type"] == "inputs":
                names = [name for name, _, _ in record["inputs"]]
                values.update(zip(names, builder.leaves(), strict=True))
            elif record["type"] == "constants":
                values.update(constants_of(builder, record))
            elif record["type"] == "outputs":
                outputs = record["outputs"]
            elif record["type"] == "primitive":
                _lower_one(builder, record, values)
    except Untraceable as reason:
        return str(reason)
    return builder.finish([values[name] for name, _, _ in outputs], arity, rights)


def _lower_one(builder: ComplexBuilder, record: Record, values: dict[str, Ids]) -> None:
    _, shape, dtype = record["outputs"][0]
    inputs = [values[name] for name, _, _ in record["inputs"]]
    call = Step(record["name"], builder, inputs, list(record["arguments"]), tuple(shape), dtypes.name_of(dtype))
    results = primitives.lower(call)
    values.update((name, ids) for (name, _, _), ids in zip(record["outputs"], results, strict=True))


def constants_of(builder: ComplexBuilder, record: Record) -> list[tuple[str, Ids]]:
    """The names and the value numbers of a record's constants."""
    return [(name, _constant(builder, array)) for name, array in record["constants"]]


def _constant(builder: ComplexBuilder, array: mx.array) -> Ids:
    name = dtypes.name_of(array.dtype)
    if name in dtypes.HALF:
        array, name = array.astype(mx.float32, stream=mx.cpu), "float32"
    if array.size > builder.most_values:
        raise Untraceable(f"a constant of {array.size} items")
    flat = np.asarray(array).reshape(-1).tolist()  # operations of MLX would wait for its thread
    return np.array([builder.const(value, name) for value in flat], dtype=np.int64).reshape(array.shape)
