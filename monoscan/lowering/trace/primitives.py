"""MLX's primitives, as a trace names them, in terms of the IR.

Elementwise primitives become one operation a lane. Shape operations leave no trace in
the program: they are executed here, on arrays of value numbers. Whatever is not in the
tables makes a ``combine`` not traceable, and `Untraceable` says its name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monoscan import dtypes
from monoscan.lowering.program.builder import Ids
from monoscan.lowering.program.ir import Op
from monoscan.lowering.trace import indexing
from monoscan.lowering.trace.step import Step
from monoscan.lowering.trace.untraceable import Untraceable

ELEMENTWISE = {
    "Abs": Op.ABS, "Add": Op.ADD, "ArcCos": Op.ARCCOS, "ArcSin": Op.ARCSIN, "ArcTan": Op.ARCTAN, "ArcTan2": Op.ARCTAN2,
    "Ceil": Op.CEIL, "Cos": Op.COS, "Cosh": Op.COSH, "Divide": Op.DIV, "Erf": Op.ERF,
    "ErfInv": Op.ERFINV, "Exp": Op.EXP, "Expm1": Op.EXPM1, "Floor": Op.FLOOR, "FloorDivide": Op.FLOORDIV,
    "Greater": Op.GT, "GreaterEqual": Op.GE, "Less": Op.LT, "LessEqual": Op.LE, "Log1p": Op.LOG1P,
    "LogAddExp": Op.LOGADDEXP, "LogicalAnd": Op.AND, "LogicalNot": Op.NOT, "LogicalOr": Op.OR, "Maximum": Op.MAX,
    "Minimum": Op.MIN, "Multiply": Op.MUL, "Negative": Op.NEG, "NotEqual": Op.NE, "Power": Op.POW,
    "Remainder": Op.REM, "Round": Op.ROUND, "Select": Op.SELECT, "Sigmoid": Op.SIGMOID, "Sign": Op.SIGN, "Sin": Op.SIN,
    "Sinh": Op.SINH, "Subtract": Op.SUB, "Tan": Op.TAN, "Tanh": Op.TANH,
}  # fmt: skip

_REDUCTIONS = {0: Op.AND, 1: Op.OR, 2: Op.ADD, 3: Op.MUL, 4: Op.MIN, 5: Op.MAX}
_SCANS = {0: Op.MAX, 1: Op.MIN, 2: Op.ADD, 3: Op.MUL, 4: Op.LOGADDEXP}
_BITS = (Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR)


def check(name: str) -> None:
    """Raises `Untraceable` for a primitive that is in no table."""
    if name not in ELEMENTWISE and name not in _RULES:
        raise Untraceable(f"the operation {name}")


def lower(call: Step) -> list[Ids]:
    """The value numbers of a primitive's outputs.

    Raises:
        Untraceable: The primitive, or one of its arguments, is not in the IR.
    """
    most = call.builder.most_values
    if any(array.size > most for array in call.inputs) or np.prod(call.shape, dtype=int) > most:
        raise Untraceable(f"{call.name} on more than {most} lanes")
    if call.name in ELEMENTWISE:
        return [call.each(ELEMENTWISE[call.name], *call.inputs)]
    check(call.name)
    result = _RULES[call.name](call, *call.inputs)
    return result if isinstance(result, list) else [result]


def _equal(call: Step, x: Ids, y: Ids) -> Ids:
    same = call.each(Op.EQ, x, y, dtype="bool")
    if not call.arguments[0]:
        return same
    both_nan = call.each(Op.AND, *(call.each(Op.NE, v, v, dtype="bool") for v in (x, y)), dtype="bool")
    return call.each(Op.OR, same, both_nan, dtype="bool")


def _cast(call: Step, x: Ids) -> Ids:
    if call.dtype in dtypes.HALF:
        raise Untraceable(f"a cast to {call.dtype} inside combine")
    return call.each(Op.CAST, x)


def _log(call: Step, x: Ids) -> Ids:
    return call.each((Op.LOG2, Op.LOG10, Op.LOG)[call.arguments[0]], x)


def _bitwise(call: Step, x: Ids, y: Ids) -> Ids:
    return call.each(_BITS[call.arguments[0]], x, y)


def _divmod(call: Step, x: Ids, y: Ids) -> list[Ids]:
    return [call.each(Op.FLOORDIV, x, y), call.each(Op.REM, x, y)]


def _reduce(call: Step, x: Ids) -> Ids:
    kind, axes = call.arguments
    op = _REDUCTIONS[kind]
    if op in (Op.AND, Op.OR):
        x = call.each(Op.CAST, x, dtype="bool")
    x = call.each(Op.CAST, x)
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    flat = x.transpose([*axes, *rest]).reshape(-1, *(x.shape[axis] for axis in rest))
    return call.builder.reduce(op, flat, call.dtype).reshape(call.shape)


def _arg_reduce(call: Step, x: Ids) -> Ids:
    kind, axis = call.arguments
    rows = np.moveaxis(x, axis, 0)
    source = call.builder.dtype_of(int(rows.flat[0]))
    best, index = rows[0], call.each(Op.CAST, np.broadcast_to(call.const(0), rows[0].shape))
    for i, row in enumerate(rows[1:], 1):
        better = call.each(Op.GT if kind else Op.LT, row, best, dtype="bool")
        if source in dtypes.FLOATS:  # the first NaN wins
            odd = [call.each(op, x, x, dtype="bool") for op, x in ((Op.NE, row), (Op.EQ, best))]
            better = call.each(Op.OR, better, call.each(Op.AND, *odd, dtype="bool"), dtype="bool")
        best = call.each(Op.SELECT, better, row, best, dtype=source)
        index = call.each(Op.SELECT, better, call.const(i), index)
    return index.reshape(call.shape)


def _scan(call: Step, x: Ids) -> Ids:
    kind, axis, reverse, inclusive = call.arguments
    if not inclusive:
        raise Untraceable("an exclusive scan inside combine")
    rows = list(np.moveaxis(call.each(Op.CAST, x), axis, 0))[:: -1 if reverse else 1]
    for i in range(1, len(rows)):
        rows[i] = call.each(_SCANS[kind], rows[i - 1], rows[i])
    return np.moveaxis(np.stack(rows[:: -1 if reverse else 1]), 0, axis)


def _logsumexp(call: Step, x: Ids) -> Ids:
    return call.builder.reduce(Op.LOGADDEXP, np.moveaxis(x, -1, 0), call.dtype)[..., None]


def _matmul(call: Step, x: Ids, y: Ids) -> Ids:
    """Every inner product as a sum from left to right."""
    left, right = np.moveaxis(x[..., :, None, :], -1, 0), np.moveaxis(y[..., None, :, :], -2, 0)
    return call.builder.contract(Op.ADD, Op.MUL, left, right, call.dtype)


def _addmm(call: Step, x: Ids, y: Ids, c: Ids) -> Ids:
    if call.arguments != [1.0, 1.0]:
        raise Untraceable(f"addmm with scales {call.arguments}")
    return call.each(Op.ADD, _matmul(call, x, y), c)


def _softmax(call: Step, x: Ids) -> Ids:
    top = call.builder.reduce(Op.MAX, np.moveaxis(x, -1, 0), call.dtype)[..., None]
    weights = call.each(Op.EXP, call.each(Op.SUB, x, top))
    total = call.builder.reduce(Op.ADD, np.moveaxis(weights, -1, 0), call.dtype)
    return call.each(Op.DIV, weights, total[..., None])


def _number_of_elements(call: Step, x: Ids) -> Ids:
    """A constant but in a shapeless compile; an element's sizes are always known."""
    axes, inverted, _ = call.arguments
    number = np.prod([x.shape[axis] for axis in axes])
    return call.const(1 / number if inverted else number.item())


def _same(call: Step, x: Ids, *_: Ids) -> Ids:
    return x


def _stop(call: Step, x: Ids) -> Ids:
    return call.each(Op.STOP, x) if call.dtype in dtypes.FLOATS | dtypes.COMPLEX else x


def _reshape(call: Step, x: Ids) -> Ids:
    return x.reshape(call.shape)


_RULES: dict[str, Callable[..., Ids | list[Ids]]] = {
    "AddMM": _addmm,
    "Arange": indexing.arange,
    "ArgReduce": _arg_reduce,
    "AsType": _cast,
    "BitwiseBinary": _bitwise,
    "Broadcast": lambda call, x, *_: np.broadcast_to(x, call.shape),
    "BroadcastAxes": lambda call, x, *_: np.broadcast_to(x, call.shape),
    "Concatenate": lambda call, *xs: np.concatenate(xs, call.arguments[0]),
    "Conjugate": lambda call, x: call.builder.conjugate(x),
    "Copy": _same,
    "DivMod": _divmod,
    "Equal": _equal,
    "ExpandDims": _reshape,
    "Flatten": _reshape,
    "Full": lambda call, x: np.broadcast_to(x, call.shape),
    "Gather": indexing.gather,
    "GatherAxis": indexing.gather_axis,
    "Imag": lambda call, x: call.builder.part(x, 1),
    "Log": _log,
    "LogSumExp": _logsumexp,
    "Matmul": _matmul,
    "NumberOfElements": _number_of_elements,
    "Pad": indexing.pad,
    "Real": lambda call, x: call.builder.part(x, 0),
    "Reduce": _reduce,
    "Reshape": _reshape,
    "Scan": _scan,
    "Scatter": indexing.scatter,
    "Slice": indexing.take_slice,
    "SliceUpdate": indexing.update_slice,
    "Softmax": _softmax,
    "Split": indexing.split,
    "Sqrt": lambda call, x: call.each(Op.RSQRT if call.arguments[0] else Op.SQRT, x),
    "Square": lambda call, x: call.each(Op.MUL, x, x),
    "Squeeze": _reshape,
    "StopGradient": _stop,
    "Transpose": lambda call, x: x.transpose(call.arguments[0]),
    "Unflatten": _reshape,
}
