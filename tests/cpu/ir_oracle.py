"""An interpreter of the IR on NumPy arrays, independent of the library's own, and a fold in order."""

from __future__ import annotations

import platform
from collections.abc import Callable

import numpy as np

from monoscan.lowering.program.ir import Instr, Op, Program

Values = list[np.ndarray]


def _floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return np.floor(a / b)
    quotient = a.astype(object) // np.where(b == 0, 1, b).astype(object)
    return np.where(b == 0, 0, _wrap(quotient, a.dtype)).astype(a.dtype)


def _remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return np.mod(a, b)
    return np.where(b == 0, a, np.mod(a.astype(object), np.where(b == 0, 1, b).astype(object))).astype(a.dtype)


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    modulus = 1 << (8 * a.dtype.itemsize)
    powers = np.vectorize(lambda x, n: pow(int(x), int(n), modulus) if n >= 0 else 0, otypes=[object])(a, b)
    return _wrap(powers, a.dtype)


def _cast(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats are cut to an int32, or to 64 bits; what that does not hold becomes its lowest value; then integers wrap."""
    if a.dtype.kind != "f" or dtype.kind not in "iu":
        return a.astype(dtype)
    whole = np.vectorize(int, otypes=[object])
    edge = 2.0**63 if dtype.itemsize == 8 or dtype == np.uint32 else 2.0**31
    cut = whole(np.where((a >= -edge) & (a < edge), a, -edge))
    if dtype == np.uint64:
        cut = np.where(a >= edge, whole(np.where((a >= edge) & (a < 2 * edge), a, 0.0)), cut)
    return _wrap(cut, dtype)


def _wrap(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    bits = 8 * dtype.itemsize
    masked = np.vectorize(lambda v: int(v) % (1 << bits), otypes=[object])(values)
    return masked.astype(np.uint64).astype(dtype)


def _extreme(wins: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda a, b: np.where((a != a) | wins(a, b), a, b)


def _shift(left: bool) -> Callable[..., np.ndarray]:
    def apply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        count = b.astype(np.int64) & (63 if a.dtype.itemsize == 8 else 31)
        wide = a.astype(np.int64)
        return (wide << count if left else wide >> count).astype(a.dtype)

    return apply


def _lookup(index: np.ndarray, *table: np.ndarray) -> np.ndarray:
    inside = np.where((index >= 0) & (index < len(table)), index, 0)  # kernels read the first lane then
    return np.choose(inside, np.broadcast_arrays(*table))


def _logic(boolean: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda *args: boolean(*args).astype(args[0].dtype)


TABLE: dict[Op, Callable[..., np.ndarray]] = {
    Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply, Op.DIV: np.divide, Op.FLOORDIV: _floor_divide,
    Op.REM: _remainder, Op.NEG: np.negative, Op.ABS: np.abs, Op.SIGN: lambda a: (a > 0) * 1 - (a < 0) * 1,
    Op.MIN: _extreme(np.less), Op.MAX: _extreme(np.greater), Op.SQRT: np.sqrt, Op.RSQRT: lambda a: 1 / np.sqrt(a),
    Op.EXP: np.exp, Op.LOG: np.log, Op.LOG1P: np.log1p, Op.EXPM1: np.expm1, Op.TANH: np.tanh,
    Op.FLOOR: np.floor, Op.CEIL: np.ceil, Op.ROUND: np.rint, Op.EQ: np.equal, Op.NE: np.not_equal, Op.LT: np.less,
    Op.LE: np.less_equal, Op.GT: np.greater, Op.GE: np.greater_equal, Op.NOT: np.invert, Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or, Op.XOR: np.bitwise_xor, Op.SHL: _shift(True), Op.SHR: _shift(False),
    Op.STOP: lambda a: a, Op.SELECT: np.where, Op.LOOKUP: _lookup, Op.LOGADDEXP: np.logaddexp, Op.POW: _power,
}  # fmt: skip


ARITHMETIC = {Op.ADD, Op.SUB, Op.MUL, Op.FLOORDIV, Op.REM, Op.POW, Op.ABS, Op.SIGN, Op.MIN, Op.MAX}


EXACT = {
    Op.CONST, Op.CAST, Op.STOP, Op.SELECT, Op.LOOKUP, Op.NEG, Op.ABS, Op.SIGN, Op.MIN, Op.MAX, Op.FLOOR, Op.CEIL, Op.ROUND,
}  # fmt: skip
"""What rounds nothing, and keeps subnormal numbers."""


def run(program: Program, lanes: Values, flush: bool = False) -> Values:
    """The output lanes of a program; float32 results below the normal numbers may be flushed as by kernels."""
    values = list(lanes)
    flushed = flush and platform.machine() in ("x86_64", "AMD64") and "float64" not in program.dtypes
    with np.errstate(all="ignore"):
        for instr in program.code:
            found = _apply(instr, [values[a] for a in instr.args])
            values.append(_flush(found) if flushed and instr.op not in EXACT else found)
    return [values[v] for v in program.results]


def _flush(found: np.ndarray) -> np.ndarray:
    if found.dtype != np.float32:
        return found
    return np.where(np.abs(found) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), found), found)


def _apply(instr: Instr, args: Values) -> np.ndarray:
    dtype = np.dtype(instr.dtype)
    if instr.op is Op.CONST:
        return np.asarray(instr.param).astype(dtype)
    if instr.op is Op.CAST:
        return _cast(args[0], dtype)
    if instr.dtype == "bool" and args[-1].dtype.kind == "b" and instr.op in ARITHMETIC:  # as integers, then the truth
        return np.asarray(TABLE[instr.op](*(arg.astype(np.int8) for arg in args))) != 0
    return np.asarray(TABLE[instr.op](*args)).astype(dtype)


def fold_in_order(
    program: Program,
    elements: list[np.ndarray],
    captures: list[np.ndarray],
    init: list[np.ndarray] | None,
    reverse: bool,
    flush: bool = False,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every inclusive value and every exclusive one, leaf by leaf; elements have shape (outer, n, inner, *event).

    Without init the first exclusive value is the first element itself, which no kernel returns.
    """
    arity, n = program.arity, elements[0].shape[1]
    events = [leaf.shape for leaf in program.inputs]

    def lanes(array: np.ndarray, event: tuple[int, ...]) -> Values:
        flat = array.reshape(*array.shape[: array.ndim - len(event)], -1) if event else array[..., None]
        return [flat[..., i] for i in range(flat.shape[-1])]

    captured = [lane for a, e in zip(captures, events[2 * arity :], strict=True) for lane in lanes(a, e)]
    steps = [[lane for a, e in zip(elements, events, strict=False) for lane in lanes(a[:, t], e)] for t in range(n)]
    state = None if init is None else [lane for a, e in zip(init, events, strict=False) for lane in lanes(a, e)]
    shape = steps[0][0].shape
    after: list[Values] = [[]] * n
    before: list[Values] = [[]] * n
    for t in range(n - 1, -1, -1) if reverse else range(n):
        before[t] = steps[t] if state is None else state
        if state is None:
            state = steps[t]
        else:
            state = [np.broadcast_to(v, shape) for v in run(program, [*state, *steps[t], *captured], flush)]
        after[t] = state
    return _leaves(program, after), _leaves(program, before)


def _leaves(program: Program, steps: list[Values]) -> list[np.ndarray]:
    leaves, start = [], 0
    for leaf in program.inputs[: program.arity]:
        lanes = [np.stack(np.broadcast_arrays(*[s[start + i] for s in steps]), axis=1) for i in range(leaf.lanes)]
        stacked = np.stack(np.broadcast_arrays(*lanes), axis=-1)
        leaves.append(stacked.reshape(*stacked.shape[:-1], *leaf.shape))
        start += leaf.lanes
    return leaves
