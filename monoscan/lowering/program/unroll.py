"""From an array program to the scalar program that it means."""

from __future__ import annotations

import numpy as np

from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form
from monoscan.lowering.program.builder import Builder, Ids
from monoscan.lowering.program.ir import Program


def unroll(program: ArrayProgram) -> Program:
    """The scalar program: what laws, bounds and exact arithmetic read."""
    builder = Builder(program.inputs)
    values = [ids.reshape(-1) for ids in builder.leaves()]
    for instr in program.code:
        operands = [values[view.value][view.lanes(instr.operand_shape(i))] for i, view in enumerate(instr.args)]
        values.append(_lanes(builder, instr, operands).reshape(-1))
    results = [values[v.value][v.lanes(leaf.shape)] for v, leaf in zip(program.results, program.outputs, strict=True)]
    return builder.finish(results, program.arity, program.rights)


def _lanes(builder: Builder, instr: ArrayInstr, operands: list[Ids]) -> Ids:
    if instr.form is Form.VIEW:
        whole = np.empty(instr.shape, dtype=np.int64)
        for piece, ids in zip(instr.pieces, operands, strict=True):
            whole[piece.slices] = ids
        return whole
    assert instr.op is not None
    if instr.param is not None:
        return np.array([builder.const(value, instr.dtype) for value in instr.param], dtype=np.int64)
    if instr.form is Form.EACH:
        return builder.elementwise(instr.op, operands, instr.dtype)
    rows = [np.moveaxis(ids, -1, 0) for ids in operands]
    if instr.form is Form.REDUCE:
        return builder.reduce(instr.op, rows[0], instr.dtype)
    assert instr.multiply is not None
    return builder.contract(instr.op, instr.multiply, rows[0], rows[1], instr.dtype)
