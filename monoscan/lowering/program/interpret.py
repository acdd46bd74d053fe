"""Interpreters of the IR: one walk over the instructions, one table of operations each.

An *arithmetic* maps each `Op` to a function ``(instr, *args) -> value``. The tables here
compute on MLX arrays and count cost; extended rationals, decimals and error bounds live
in `monoscan.testing`, and kernels are rendered by `monoscan.lowering.render`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.program import double
from monoscan.lowering.program.ir import Instr, Op, Program

Value = TypeVar("Value")
Arithmetic = Mapping[Op, Callable[..., Value]]


def evaluate(program: Program, lanes: Sequence[Value], arithmetic: Arithmetic[Value]) -> list[Value]:
    """Runs a program.

    Args:
        program: The program.
        lanes: A value for each input lane, in order.
        arithmetic: For each operation, a function of the instruction and its arguments.

    Returns:
        The value of each output lane, in order.
    """
    values = list(lanes)
    for instr in program.code:
        values.append(arithmetic[instr.op](instr, *[values[a] for a in instr.args]))
    return [values[v] for v in program.results]


def _unary(function: Callable[[mx.array], mx.array]) -> Callable[..., mx.array]:
    return lambda instr, x: function(x)


def _double(single: Callable[..., mx.array], double: Callable[..., mx.array]) -> Callable[..., mx.array]:
    return lambda instr, *args: (double if instr.dtype == "float64" else single)(*args)


def _binary(function: Callable[[mx.array, mx.array], mx.array]) -> Callable[..., mx.array]:
    return lambda instr, x, y: function(x, y)


def _cast(instr: Instr, x: mx.array) -> mx.array:
    if instr.dtype == "uint32" and dtypes.name_of(x.dtype) in dtypes.FLOATS:
        x = x.astype(mx.int64)  # MLX's own gives one answer in vectors and another in the tail
    return x.astype(dtypes.by_name(instr.dtype))


def _divide_whole(instr: Instr, x: mx.array, y: mx.array) -> mx.array:
    if instr.dtype not in dtypes.SIGNED:
        return mx.floor_divide(x, y)
    return mx.where(y == -1, -x, mx.floor_divide(x, _not_minus_one(y)))


def _remainder(instr: Instr, x: mx.array, y: mx.array) -> mx.array:
    return mx.remainder(x, _not_minus_one(y) if instr.dtype in dtypes.SIGNED else y)


def _not_minus_one(y: mx.array) -> mx.array:
    """MLX dies of SIGFPE where the lowest integer is divided by -1."""
    return mx.where(y == -1, 1, y)


def _shift(function: Callable[[mx.array, mx.array], mx.array]) -> Callable[..., mx.array]:
    """By a count modulo the width in which the machine shifts: beyond it, C++ leaves shifts undefined."""
    return lambda instr, x, y: function(x, y & (63 if dtypes.itemsize(instr.dtype) == 8 else 31))


def _lookup(instr: Instr, index: mx.array, *table: mx.array) -> mx.array:
    shape = mx.broadcast_shapes(index.shape, *(lane.shape for lane in table))
    stacked = mx.stack([mx.broadcast_to(lane, shape) for lane in table], axis=-1)
    chosen = mx.broadcast_to(index, shape)[..., None]
    return mx.take_along_axis(stacked, chosen, axis=-1)[..., 0]


def _logic(logical: Callable[..., mx.array], bitwise: Callable[..., mx.array]) -> Callable[..., mx.array]:
    return lambda instr, x, y: (logical if instr.dtype == "bool" else bitwise)(x, y)


ARRAYS: Arithmetic[mx.array] = {
    Op.CONST: lambda instr: dtypes.constant(instr.param, instr.dtype),
    Op.CAST: _cast,
    Op.STOP: _unary(mx.stop_gradient),
    Op.SELECT: lambda instr, condition, x, y: mx.where(condition, x, y),
    Op.LOOKUP: _lookup,
    Op.ADD: _binary(mx.add),
    Op.SUB: _binary(mx.subtract),
    Op.MUL: _binary(mx.multiply),
    Op.DIV: _binary(mx.divide),
    Op.FLOORDIV: _divide_whole,
    Op.REM: _remainder,
    Op.POW: _binary(mx.power),
    Op.NEG: _unary(mx.negative),
    Op.ABS: _unary(mx.abs),
    Op.SIGN: _unary(mx.sign),
    Op.MIN: _binary(mx.minimum),
    Op.MAX: _binary(mx.maximum),
    Op.SQRT: _unary(mx.sqrt),
    Op.RSQRT: _unary(mx.rsqrt),
    Op.EXP: _double(mx.exp, double.exp),
    Op.EXPM1: _unary(mx.expm1),
    Op.LOG: _unary(mx.log),
    Op.LOG2: _unary(mx.log2),
    Op.LOG10: _unary(mx.log10),
    Op.LOG1P: _unary(mx.log1p),
    Op.LOGADDEXP: _double(mx.logaddexp, double.logaddexp),
    Op.SIGMOID: _double(mx.sigmoid, double.sigmoid),
    Op.ERF: _unary(mx.erf),
    Op.ERFINV: _unary(mx.erfinv),
    Op.SIN: _double(mx.sin, double.sin),
    Op.COS: _double(mx.cos, double.cos),
    Op.TAN: _unary(mx.tan),
    Op.ARCSIN: _unary(mx.arcsin),
    Op.ARCCOS: _unary(mx.arccos),
    Op.ARCTAN: _unary(mx.arctan),
    Op.ARCTAN2: _binary(mx.arctan2),
    Op.SINH: _unary(mx.sinh),
    Op.COSH: _unary(mx.cosh),
    Op.TANH: _unary(mx.tanh),
    Op.FLOOR: _unary(mx.floor),
    Op.CEIL: _unary(mx.ceil),
    Op.ROUND: _unary(mx.round),
    Op.EQ: _binary(mx.equal),
    Op.NE: _binary(mx.not_equal),
    Op.LT: _binary(mx.less),
    Op.LE: _binary(mx.less_equal),
    Op.GT: _binary(mx.greater),
    Op.GE: _binary(mx.greater_equal),
    Op.NOT: lambda instr, x: mx.logical_not(x) if instr.dtype == "bool" else mx.bitwise_invert(x),
    Op.AND: _logic(mx.logical_and, mx.bitwise_and),
    Op.OR: _logic(mx.logical_or, mx.bitwise_or),
    Op.XOR: _logic(mx.not_equal, mx.bitwise_xor),
    Op.SHL: _shift(mx.left_shift),
    Op.SHR: _shift(mx.right_shift),
}
"""The arithmetic of MLX arrays, of any shapes that broadcast."""


def own_answers(program: Program) -> bool:
    """Whether the program may differ from MLX's own operations: open cases, reads out of bounds, float64 by float32."""
    return any(
        instr.op in _OPEN or (instr.op is Op.CAST and instr.dtype == "uint32")
        or (instr.op in _SINGLE and instr.dtype == "float64")
        for instr in program.code
    )  # fmt: skip


_OPEN = frozenset({Op.LOOKUP, Op.FLOORDIV, Op.REM, Op.SHL, Op.SHR})
_SINGLE = frozenset({Op.EXP, Op.SIGMOID, Op.LOGADDEXP, Op.SIN, Op.COS})
