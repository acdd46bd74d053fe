"""Every primitive of MLX that a trace may hold: the program on lanes equals the function on arrays."""

# a table: one row a case

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support import name_of, numpy_of

from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Leaf, Op
from monoscan.lowering.trace import primitives
from monoscan.lowering.trace.combine import trace_function
from monoscan.lowering.trace.complex_builder import held

RNG = np.random.default_rng(6)
Function = Callable[..., Any]
Case = tuple[str, Function, Sequence[mx.array]]


def real(*shape: int, low: float = -2, high: float = 2) -> mx.array:
    return mx.array(RNG.uniform(low, high, shape).astype(np.float32))


def whole(*shape: int, dtype: str = "int32", low: int = -9, high: int = 10) -> mx.array:
    return mx.array(RNG.integers(low, high, shape)).astype(getattr(mx, dtype))


def truth(*shape: int) -> mx.array:
    return mx.array(RNG.integers(0, 2, shape).astype(bool))


def outputs_of(function: Function, arrays: Sequence[mx.array]) -> list[mx.array]:
    result = function(*arrays)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def traced(function: Function, arrays: Sequence[mx.array]) -> Any:
    leaves = tuple(Leaf(name_of(x), tuple(x.shape)) for x in arrays)
    return trace_function("f", lambda *xs: outputs_of(function, xs), leaves)


def lanes_of(arrays: Sequence[mx.array]) -> list[mx.array]:
    """What programs hold: of complex numbers the parts."""
    return [part for x in arrays for lane in x.reshape(-1) for part in parts_of(lane)]


def parts_of(lane: mx.array) -> list[mx.array]:
    return [mx.real(lane), mx.imag(lane)] if lane.dtype == mx.complex64 else [lane]


def shapeless(action: Callable[[], None]) -> None:
    """Does something while MLX traces a function that is to fit every size, and records other primitives."""

    def function(x: mx.array) -> mx.array:
        action()
        return x + 1

    mx.compile(function, shapeless=True)(mx.ones(1))


def check(function: Function, arrays: Sequence[mx.array], trace: Callable[..., Any] = traced) -> None:
    found = trace(function, arrays)
    assert found.program is not None, found.reason
    want = outputs_of(function, arrays)
    got = evaluate(found.program, lanes_of(arrays), ARRAYS)
    assert list(found.program.outputs) == [held(Leaf(name_of(y), tuple(y.shape))) for y in want]
    for lane, expected in zip(got, lanes_of(want), strict=True):
        assert lane.dtype == expected.dtype
        np.testing.assert_allclose(numpy_of(lane), numpy_of(expected), rtol=3e-6, atol=1e-6)


X, Y, P = real(2, 3), real(2, 3), real(2, 3, low=0.1)
UNIT = real(2, 3, low=-0.95, high=0.95)
I, J, U = whole(2, 3), whole(2, 3, low=1), whole(2, 3, dtype="uint8", low=0)
T, S = truth(2, 3), truth(2, 3)
M, N = real(2, 3), real(3, 4)
Z = mx.array((RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))).astype(np.complex64))
K = mx.array([1], mx.int32)

UNARY: list[Case] = [(name, getattr(mx, name), [X]) for name in (
    "abs", "negative", "sign", "exp", "expm1", "sigmoid", "erf", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "floor",
    "ceil", "round", "square", "logical_not", "isnan", "isinf", "isfinite", "degrees", "radians", "stop_gradient",
)] + [(name, getattr(mx, name), [P]) for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal")] + [
    (name, getattr(mx, name), [UNIT]) for name in ("arcsin", "arccos", "erfinv")
]  # fmt: skip
BINARY: list[Case] = [(name, getattr(mx, name), [X, Y]) for name in (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "logaddexp", "arctan2", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "remainder", "floor_divide",
)] + [
    ("power", mx.power, [P, Y]),
    ("divmod of floats", mx.divmod, [X, P]),
    ("divmod of integers", mx.divmod, [I, J]),
    ("remainder of integers", mx.remainder, [I, J]),
    ("floor_divide of integers", mx.floor_divide, [I, J]),
    ("power of integers", mx.power, [J, mx.abs(J)]),
    ("add of small integers", mx.add, [U, U]),
    ("integer division", mx.divide, [I, J]),
    ("bitwise_and", mx.bitwise_and, [I, J]), ("bitwise_or", mx.bitwise_or, [I, J]), ("bitwise_xor", mx.bitwise_xor, [I, J]),
    ("xor of bool", mx.bitwise_xor, [T, S]), ("and of bool", mx.bitwise_and, [T, S]),
    ("left_shift", mx.left_shift, [U, mx.array([1, 2, 3], mx.uint8)]),
    ("right_shift", mx.right_shift, [U, mx.array([1, 2, 3], mx.uint8)]),
    ("equal with nan", lambda x, y: mx.array_equal(x, y, equal_nan=True), [X, X]),
    ("isclose", mx.isclose, [X, X]),
]  # fmt: skip
SELECTION: list[Case] = [
    ("where", mx.where, [T, X, Y]),
    ("where of a comparison", lambda x, y: mx.where(x > y, x, y), [X, Y]),
    ("clip", lambda x: mx.clip(x, -1, 1), [X]),
    ("maximum with a constant", lambda x: mx.maximum(x, 0), [X]),
    ("a constant array", lambda x: x + mx.array([1.0, 2.0, 3.0]), [X]),
    ("eye", lambda x: x @ mx.eye(3), [X]),
    ("zeros", lambda x: x + mx.zeros_like(x), [X]),
    ("full", lambda x: mx.full((2, 2), x[0, 0]), [X]),
    ("arange", lambda x: x * mx.arange(3), [X]),
    ("arange of floats", lambda x: x * mx.arange(0.5, 2.0, 0.5), [X]),
    ("linspace", lambda x: x * mx.linspace(0, 1, 3), [X]),
    ("tri", lambda x: mx.tril(x), [X]),
    ("identity of max", lambda x: mx.maximum(x, mx.full(x.shape, -mx.inf)), [X]),
    ("copy", lambda x: mx.array(x) + 1, [X]),
]
CASTS: list[Case] = [
    (f"{source} to {target}", lambda x, t=target: x.astype(getattr(mx, t)), [value])
    for source, value in (("float32", X), ("int32", I), ("uint8", U), ("bool", T))
    for target in ("float32", "float64", "int32", "int64", "int8", "uint8", "uint64", "bool_")
    if not (source == "float32" and target.startswith("uint"))
]
COMPLEX: list[Case] = [
    ("complex product", lambda x: x * x, [Z]), ("conjugate", mx.conjugate, [Z]), ("real", mx.real, [Z]), ("imag", mx.imag, [Z]),
    ("complex sum", lambda x: x + 1, [Z]), ("a complex constant", lambda x: x * 2j, [Z]), ("complex product of a real number", lambda x, y: x * y, [Z, X]),
    ("complex and real concatenated", lambda x, y: mx.concatenate([x, y.astype(mx.complex64)]), [Z, X]), ("parts of a real number", lambda x: mx.real(x) + mx.imag(x.astype(mx.complex64)), [X]),
    ("complex where", mx.where, [T, Z, -Z]), ("a complex condition", lambda x, y: mx.where(x, y, 0), [mx.array([[0, 1j, 1], [2j, 0, 0]]), X]), ("complex matmul", lambda x: x @ x.T, [Z]),
    ("complex take by a value", lambda x, i: mx.take(x, i, axis=1), [Z, K]), ("complex cumprod", lambda x: mx.cumprod(x, axis=1), [Z]), ("complex sum of all", mx.sum, [Z]), ("complex mean", mx.mean, [Z]),
    ("complex all", mx.all, [Z]), ("complex isfinite", mx.isfinite, [Z]), ("complex pad", lambda x: mx.pad(x, 1), [Z]), ("complex slice update", lambda x: _assigned(x, (0, 1), 5j), [Z]),
    ("complex outer", lambda x: mx.outer(x[0], x[1]), [Z]), ("complex norm", mx.linalg.norm, [Z]), ("complex inner product", lambda x: (mx.conj(x) * x).sum(), [Z]),
] + [(f"complex64 to {target}", lambda x, t=target: x.astype(getattr(mx, t)), [3 * Z]) for target in ("float32", "float64", "int32", "int8", "bool_")] + [
    (f"{name_of(x)} to complex64", lambda x: x.astype(mx.complex64), [x]) for x in (X, I, U, T)
]  # fmt: skip
SHAPES: list[Case] = [
    ("reshape", lambda x: x.reshape(3, 2), [X]), ("flatten", lambda x: x.flatten(), [X]),
    ("unflatten", lambda x: mx.unflatten(x, 1, (3, 1)), [X]), ("expand_dims", lambda x: x[:, None], [X]),
    ("squeeze", lambda x: x[:1].squeeze(0), [X]), ("transpose", lambda x: x.T, [X]),
    ("moveaxis", lambda x: mx.moveaxis(x[None], 0, 2), [X]), ("swapaxes", lambda x: mx.swapaxes(x[None], -1, -2), [X]),
    ("broadcast_to", lambda x: mx.broadcast_to(x[:, :1], (2, 5)), [X]), ("concatenate", lambda x, y: mx.concatenate([x, y], 1), [X, Y]),
    ("stack", lambda x, y: mx.stack([x, y], -1), [X, Y]), ("split", lambda x: mx.split(x, 3, axis=1), [X]),
    ("split at", lambda x: mx.split(x, [1], axis=1), [X]), ("slice", lambda x: x[:, 1:], [X]), ("step", lambda x: x[:, ::2], [X]),
    ("backwards", lambda x: x[::-1, ::-1], [X]), ("one element", lambda x: x[1, 2], [X]), ("ellipsis", lambda x: x[..., 0], [X]),
    ("pad", lambda x: mx.pad(x, ((1, 0), (0, 2)), constant_values=7), [X]), ("repeat", lambda x: mx.repeat(x, 2, axis=1), [X]),
    ("tile", lambda x: mx.tile(x, (1, 2)), [X]), ("roll", lambda x: mx.roll(x, 1, axis=1), [X]), ("diag", lambda x: mx.diag(x[0]), [X]),
    ("diagonal", lambda x: mx.diagonal(x), [X]), ("atleast", lambda x: mx.atleast_3d(x), [X]), ("outer", lambda x: mx.outer(x[0], x[1]), [X]),
    ("slice update", lambda x: _assigned(x, (slice(None), slice(1, 2)), 5.0), [X]),
    ("slice update of one", lambda x: _assigned(x, (0, 1), 5.0), [X]), ("slice add", lambda x: x.at[:, 1:].add(1.0), [X]),
    ("slice multiply", lambda x: x.at[0].multiply(x[1]), [X]), ("slice maximum", lambda x: x.at[0].maximum(x[1]), [X]),
    ("slice minimum", lambda x: x.at[0].minimum(x[1]), [X]),
]  # fmt: skip
INDEXING: list[Case] = [
    ("take by constants", lambda x: x[:, mx.array([2, 0, 1])], [X]), ("take along axis by constants", lambda x: mx.take_along_axis(x, mx.array([[2, 0, 1], [0, 0, 1]]), 1), [X]),
    ("take by a value", lambda x, i: mx.take(x, i, axis=1), [X, K]), ("take of a row by a value", lambda x, i: x[i], [X, K]),
    ("negative index by a value", lambda x, i: mx.take(x, i - 3, axis=1), [X, K]),
    ("take along axis by values", lambda x, i: mx.take_along_axis(x, i, axis=1), [X, whole(2, 3, low=0, high=3)]),
    ("take along axis by negative values", lambda x, i: mx.take_along_axis(x, i, axis=1), [X, whole(2, 3, low=-3, high=3)]),
    ("gather of pairs", lambda x: x[mx.array([0, 1]), mx.array([2, 0])], [X]), ("unsigned index", lambda x, i: x[:, i], [X, K.astype(mx.uint32)]),
    ("index of a composition", lambda x, y: mx.take_along_axis(x, y, axis=-1), [whole(4, low=0, high=4), whole(4, low=0, high=4)]),
    ("scatter to constants", lambda x: _assigned(x, (slice(None), mx.array([0, 2])), 9.0), [X]),
    ("scatter add", lambda x: x.at[:, mx.array([0, 2])].add(1.0), [X]),
]  # fmt: skip
REDUCTIONS: list[Case] = [
    (f"{name} {how}", lambda x, n=name, k=options: getattr(mx, n)(x, **k), [X])
    for name in ("sum", "prod", "max", "min", "mean", "all", "any", "logsumexp", "argmax", "argmin", "var", "std")
    for how, options in (("of all", {}), ("of rows", {"axis": 0}), ("of columns", {"axis": 1, "keepdims": True}))
] + [
    ("sum of integers", lambda x: x.sum(axis=0), [I]), ("sum of bool", lambda x: x.sum(axis=1), [T]), ("sum of small integers", lambda x: x.sum(), [U]),
    ("prod of integers", lambda x: x.prod(axis=0), [I]), ("all of integers", lambda x: mx.all(x), [I]), ("any of bool", lambda x: mx.any(x, axis=1), [T]),
    ("max of bool", lambda x: x.max(axis=0), [T]), ("softmax", lambda x: mx.softmax(x, axis=-1), [X]), ("softmax of rows", lambda x: mx.softmax(x, axis=0), [X]),
    ("norm", lambda x: mx.linalg.norm(x), [X]), ("sum of two axes", lambda x: x.sum(axis=(0, 1)), [X]), ("trace", lambda x: mx.trace(x), [X]),
]  # fmt: skip
SCANS: list[Case] = [
    (f"{name}{' reversed' * reverse}", lambda x, n=name, r=reverse: getattr(mx, n)(x, axis=1, reverse=r), [X])
    for name in ("cumsum", "cumprod", "cummax", "cummin")
    for reverse in (False, True)
]
PRODUCTS: list[Case] = [
    ("matmul", mx.matmul, [M, N]), ("matrix and vector", lambda a, b: a @ b[:, 0], [M, N]), ("vector and matrix", lambda a, b: a[0] @ b, [M, N]),
    ("inner product", lambda a, b: mx.inner(a, b), [X[0], Y[0]]), ("stack of products", mx.matmul, [real(2, 2, 3), real(2, 3, 2)]),
    ("broadcast product", mx.matmul, [real(2, 2, 3), real(3, 2)]), ("einsum", lambda a, b: mx.einsum("ij,jk->ik", a, b), [M, N]),
    ("addmm", lambda c, a, b: mx.addmm(c, a, b), [real(2, 4), M, N]), ("square addmm", mx.addmm, [real(2, 2), real(2, 2), real(2, 2)]),
    ("linear layer", lambda x, w, b: mx.addmm(b, x, w.T), [real(2, 3), real(4, 3), real(4)]), ("tensordot", lambda a, b: mx.tensordot(a, b, 1), [M, N]),
    ("kron", lambda a: mx.kron(a, a), [real(2, 2)]), ("cross", lambda a, b: mx.linalg.cross(a, b), [real(3), real(3)]),
]  # fmt: skip
CASES = UNARY + BINARY + SELECTION + CASTS + COMPLEX + SHAPES + INDEXING + REDUCTIONS + SCANS + PRODUCTS


def _assigned(x: mx.array, where: Any, value: Any) -> mx.array:
    copy = mx.array(x)
    copy[where] = value
    return copy


@pytest.mark.parametrize(("function", "arrays"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_program_of(function: Function, arrays: Sequence[mx.array]) -> None:
    check(function, arrays)


@pytest.mark.parametrize(("function", "arrays"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_program_in_a_shapeless_trace_of(function: Function, arrays: Sequence[mx.array]) -> None:
    def trace(function: Function, arrays: Sequence[mx.array]) -> Any:
        found: list[Any] = []
        shapeless(lambda: found.append(traced(function, arrays)))
        return found[-1]

    check(function, arrays, trace)


def names_in(function: Function, arrays: Sequence[mx.array]) -> set[str]:
    records: list[dict[str, Any]] = []

    def record() -> None:
        mx.export_function(records.append, lambda *xs: tuple(outputs_of(function, xs)), *arrays)

    record()
    shapeless(record)
    return {record["name"] for record in records if record["type"] == "primitive"}


def test_every_primitive_in_the_tables_is_among_the_cases() -> None:
    seen = set().union(*(names_in(function, arrays) for _, function, arrays in CASES))
    known = set(primitives.ELEMENTWISE) | set(primitives._RULES)
    unreached = known - seen - {"Copy", "StopGradient"}  # MLX leaves these two out of a trace
    assert not unreached, f"no case reaches {sorted(unreached)}"


def test_every_operation_of_the_ir_is_among_the_cases() -> None:
    seen = {i.op for _, f, arrays in CASES if (p := traced(f, arrays).program) is not None for i in p.code}
    assert set(Op) - seen == set()


def test_every_operation_of_the_ir_can_be_interpreted() -> None:
    assert set(ARRAYS) == set(Op)


# ------------------------------------------------------------------------------------ special values

SPECIAL = mx.array([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-40, 3.4e38])


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "add", "multiply", "divide", "equal", "not_equal", "less", "remainder"]
)
def test_special_values_of_two_arguments(name: str) -> None:
    x, y = mx.broadcast_to(SPECIAL[:, None], (9, 9)).reshape(-1)[:60], mx.broadcast_to(SPECIAL, (9, 9)).reshape(-1)[:60]
    check(getattr(mx, name), [x, y])


@pytest.mark.parametrize(
    "name", ["abs", "sign", "floor", "sqrt", "exp", "isnan", "isinf", "logical_not", "round", "tanh"]
)
def test_special_values_of_one_argument(name: str) -> None:
    check(getattr(mx, name), [SPECIAL])


def test_reductions_of_special_values() -> None:
    for name in ("sum", "max", "min", "prod", "argmax", "logsumexp"):
        x = SPECIAL[:6] if name == "argmax" else SPECIAL[2:6]
        check(getattr(mx, name), [x])


def test_lookup_takes_the_row_that_its_index_says() -> None:
    table = real(5)
    for i in range(-5, 5):
        check(lambda x, k: mx.take(x, k), [table, mx.array([i])])


# ------------------------------------------------------------------------------------------- reasons


@pytest.mark.parametrize(
    ("words", "function", "arrays"),
    [
        ("Sort", lambda x: mx.sort(x), [X]),
        ("ArgSort", lambda x: mx.argsort(x), [X]),
        ("exclusive", lambda x: mx.cumsum(x, axis=1, inclusive=False), [X]),
        ("addmm", lambda c, a, b: mx.addmm(c, a, b, alpha=2.0), [real(2, 4), M, N]),
        ("float16", lambda x: x.astype(mx.float16).astype(mx.float32), [X]),
        ("scatter to an index that depends", lambda x, i: _assigned(x, (slice(None), i), 9.0), [X, K]),
        ("4096 lanes", lambda x: mx.broadcast_to(x[None], (4096, 2, 3)).sum(axis=0), [X]),
        ("FFT", lambda x: mx.fft.fft(x), [X]),
        ("Partition", lambda x: mx.partition(x, 1), [X]),
        ("ArcSinh", lambda x: mx.arcsinh(x), [X]),
        ("Contiguous", lambda x: mx.contiguous(x.T), [X]),
        ("CumLogAddExp", lambda x: mx.logcumsumexp(x, axis=1), [X]),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_the_reason_names_what_is_not_traceable(words: str, function: Function, arrays: Sequence[mx.array]) -> None:
    found = traced(function, arrays)
    assert found.program is None
    assert words.lower() in found.reason.lower(), found.reason
