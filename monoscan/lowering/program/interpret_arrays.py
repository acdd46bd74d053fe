"""An array program on MLX arrays, whose batch axes stand in front of those of an element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.arrays import ArrayInstr, ArrayProgram, Form, View
from monoscan.lowering.program.interpret import ARRAYS as PLAIN
from monoscan.lowering.program.ir import Instr, Op, Shape

_REDUCTIONS: Mapping[Op, Callable[..., mx.array]] = {
    Op.ADD: mx.sum, Op.MUL: mx.prod, Op.MAX: mx.max, Op.MIN: mx.min, Op.AND: mx.all, Op.OR: mx.any,
}  # fmt: skip


def _logaddexp(instr: Instr, x: mx.array, y: mx.array) -> mx.array:
    """With the derivatives of the table of rules: MLX's are NaN where two infinities meet, as two paths that are none."""
    tie = mx.logical_and(x == y, mx.isinf(x))
    apart = PLAIN[Op.LOGADDEXP](instr, mx.where(tie, 0, x), mx.where(tie, 0, y))
    return mx.where(tie, 0.5 * x + 0.5 * y, apart)


ARRAYS: Mapping[Op, Callable[..., mx.array]] = {**PLAIN, Op.LOGADDEXP: _logaddexp}


def own_derivatives(program: ArrayProgram) -> bool:
    """Whether MLX's derivatives of what `evaluate_arrays` runs are better than those of the function: of log sums they are."""
    return any(instr.op is Op.LOGADDEXP for instr in program.code)


def evaluate_arrays(program: ArrayProgram, leaves: Sequence[mx.array]) -> list[mx.array]:
    """Runs a program.

    Args:
        program: The program.
        leaves: An array for each input, all with the same number of batch axes, which broadcast.

    Returns:
        An array for each output.
    """
    rank = leaves[0].ndim - len(program.inputs[0].shape)
    values = list(leaves)
    for instr in program.code:
        operands = [_read(values[v.value], rank, v, instr.operand_shape(i)) for i, v in enumerate(instr.args)]
        y = _run(instr, rank, operands)
        values.append(mx.broadcast_to(y, (*y.shape[:rank], *instr.shape)) if instr.args else y)
    return [
        mx.broadcast_to(x := _read(values[v.value], rank, v, leaf.shape), (*x.shape[:rank], *leaf.shape))
        for v, leaf in zip(program.results, program.outputs, strict=True)
    ]


def _read(x: mx.array, rank: int, view: View, shape: Shape) -> mx.array:
    """The lanes of a view, of size 1 along the axes that it is broadcast over."""
    once = tuple(size if stride else 1 for size, stride in zip(shape, view.strides, strict=True))
    lanes = view.lanes(once).reshape(-1)
    flat = x.reshape(*x.shape[:rank], -1)
    if not np.array_equal(lanes, np.arange(flat.shape[-1])):
        flat = mx.take(flat, mx.array(lanes), axis=-1)
    return flat.reshape(*x.shape[:rank], *once)


def _run(instr: ArrayInstr, rank: int, operands: list[mx.array]) -> mx.array:
    if instr.form is Form.VIEW:
        return _joined(instr, rank, operands)
    assert instr.op is not None
    if instr.param is not None:
        lanes = [dtypes.constant(value, instr.dtype) for value in instr.param]
        return mx.stack(lanes).reshape((1,) * rank + instr.shape)
    if instr.form is Form.EACH:
        return ARRAYS[instr.op](Instr(instr.op, (), instr.dtype), *operands)
    terms = operands[0]
    if instr.form is Form.CONTRACT:
        assert instr.multiply is not None
        terms = ARRAYS[instr.multiply](Instr(instr.multiply, (), instr.dtype), *operands)
    return _folded(instr, instr.op, mx.broadcast_to(terms, (*terms.shape[:-1], instr.count)))


def _folded(instr: ArrayInstr, op: Op, terms: mx.array) -> mx.array:
    """The terms along the last axis, combined."""
    if op in _REDUCTIONS:
        return _REDUCTIONS[op](terms, axis=-1).astype(dtypes.by_name(instr.dtype))
    if op is Op.LOGADDEXP:
        return _log_sum(Instr(Op.EXP, (), instr.dtype), terms)
    rows = [terms[..., k] for k in range(instr.count)]
    return reduce(lambda x, y: ARRAYS[op](Instr(op, (), instr.dtype), x, y), rows)


def _log_sum(exp: Instr, terms: mx.array) -> mx.array:
    """The logarithm of the sum of exponentials along the last axis; terms that are -inf have no share in its derivatives."""
    most = mx.stop_gradient(mx.max(terms, axis=-1, keepdims=True))
    total = mx.sum(PLAIN[Op.EXP](exp, terms - mx.where(mx.isinf(most), 0, most)), axis=-1)
    most = most.squeeze(-1)
    nothing = most == -mx.inf
    return mx.where(nothing, most, mx.log(mx.where(nothing, 1, total)) + mx.where(mx.isinf(most), 0, most))


def _joined(instr: ArrayInstr, rank: int, operands: list[mx.array]) -> mx.array:
    """Pieces put beside each other: all lanes in a row, then each where it belongs."""
    lead = mx.broadcast_shapes(*(x.shape[:rank] for x in operands), operands[0].shape[:rank])
    flat = [
        mx.broadcast_to(x, (*lead, *piece.shape)).reshape(*lead, -1)
        for x, piece in zip(operands, instr.pieces, strict=True)
    ]
    source, start = np.empty(instr.shape, dtype=np.int64), 0
    for x, piece in zip(flat, instr.pieces, strict=True):
        source[piece.slices] = np.arange(start, start + x.shape[-1]).reshape(piece.shape)
        start += x.shape[-1]
    return mx.take(mx.concatenate(flat, axis=-1), mx.array(source.reshape(-1)), axis=-1).reshape(*lead, *instr.shape)
