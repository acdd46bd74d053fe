"""The identity of every operator, bit for bit, on every dtype that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from monoscan import dtypes, errors, tree
from monoscan import monoids as ms

FLOATS = sorted(dtypes.FLOATS)
INTEGERS = sorted(dtypes.INTEGERS)
REAL = [*FLOATS, *INTEGERS, "bool"]
NUMBERS = [*FLOATS, *INTEGERS, "complex64"]
Case = tuple[str, ms.Semigroup, Callable[[mx.array], Any], list[str]]


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def _single(operator: ms.Semigroup) -> Callable[[mx.array], Any]:
    return lambda x: operator.embed(x)


def _square(x: mx.array) -> mx.array:
    return mx.broadcast_to(x, (2, 2))


def _with_index(x: mx.array) -> Any:
    return x, mx.array(3, mx.int32)


def _filter(x: mx.array) -> Any:
    return _square(x), mx.broadcast_to(x, (2,)), _square(x), mx.broadcast_to(x, (2,)), _square(x)


def _smoother(x: mx.array) -> Any:
    return _filter(x)[:3]


CASES: list[Case] = [
    *((op.name, op, _single(op), REAL) for op in (ms.Max(), ms.Min(), ms.MinMax())),
    *((op.name, op, _with_index, REAL) for op in (ms.ArgMax(), ms.ArgMin())),
    *((op.name, op, _single(op), ["bool"]) for op in (ms.All(), ms.Any())),
    ("Xor", ms.Xor(), _single(ms.Xor()), [*INTEGERS, "bool"]),
    *((op.name, op, _single(op), NUMBERS) for op in (ms.Sum(), ms.Product())),
    *((op.name, op, _single(op), FLOATS) for op in (ms.LogSumExp(), ms.OnlineSoftmax(), ms.MaxSubarray())),
    *((op.name, op, _single(op), FLOATS) for op in (ms.Mean(), ms.Moments(2), ms.Moments(3), ms.Moments(4))),
    ("MaxPlusAffine", ms.MaxPlusAffine(), lambda x: (x, x), FLOATS),
    ("Affine", ms.Affine(), lambda x: (x, x), NUMBERS),
    ("MatMul", ms.MatMul(), _square, NUMBERS),
    ("MatrixAffine", ms.MatrixAffine(), lambda x: (_square(x), mx.broadcast_to(x, (2,))), NUMBERS),
    *((op.name, op, _square, FLOATS) for op in map(ms.SemiringMatMul, (ms.MaxPlus(), ms.MinPlus(), ms.Log()))),
    ("Boolean", ms.SemiringMatMul(ms.Boolean()), _square, ["bool"]),
    ("Quaternion", ms.Quaternion(), lambda x: mx.broadcast_to(x, (4,)), FLOATS),
    ("Rigid3", ms.Rigid3(), lambda x: (mx.broadcast_to(x, (4,)), mx.broadcast_to(x, (3,))), FLOATS),
    ("FiniteMap", ms.FiniteMap(3), lambda x: mx.array([2, 0, 0]).astype(x.dtype), INTEGERS),
    ("Bracket", ms.Bracket(), lambda x: (mx.maximum(x, 0), mx.maximum(x, 0)), INTEGERS),
    ("KalmanFilter", ms.KalmanFilter(), _filter, ["float32", "float64"]),
    ("KalmanSmoother", ms.KalmanSmoother(), _smoother, ["float32", "float64"]),
    ("Dual", ms.Dual(ms.Affine()), lambda x: (x, x), NUMBERS),
    ("Maybe", ms.Maybe(ms.Last()), lambda x: (mx.array(True), x), REAL),
    ("Maybe missing", ms.Maybe(ms.Last()), lambda x: (mx.array(False), mx.zeros_like(x)), REAL),
    ("Segmented", ms.Segmented(ms.Max()), lambda x: (mx.array(True), x), REAL),
    ("Segmented inside", ms.Segmented(ms.Max()), lambda x: (mx.array(False), x), REAL),
    ("Tuple", ms.Tuple(ms.Max(), ms.Affine()), lambda x: (x, (x, x)), INTEGERS),
    ("Struct", ms.Struct(low=ms.Min(), high=ms.Max()), lambda x: {"low": x, "high": x}, REAL),
    ("Semidirect", ms.Semidirect(ms.Product(), ms.Sum()), lambda x: (x, x), NUMBERS),
]


def _values(name: str) -> list[Any]:
    if name == "bool":
        return [False, True]
    if name in dtypes.INTEGERS:
        return [0, 1, 2, dtypes.lowest(name), dtypes.highest(name)]
    return [0.5, -2.0, 0.0, 3.0]


def _array(value: Any, name: str) -> mx.array:
    if name == "uint64":
        return mx.array(np.array(value, np.uint64))
    return mx.array(value, dtypes.by_name(name))


def _bits(element: Any) -> list[Any]:
    leaves = tree.flatten(element)[0]
    wide = [leaf.astype(mx.float32) if dtypes.name_of(leaf.dtype) == "bfloat16" else leaf for leaf in leaves]
    return [(str(leaf.dtype), np.array(w).tolist()) for leaf, w in zip(leaves, wide, strict=True)]


@pytest.mark.parametrize(
    ("operator", "embed", "name"),
    [pytest.param(op, embed, name, id=f"{label}-{name}") for label, op, embed, names in CASES for name in names],
)
def test_identity_on_both_sides(operator: ms.Monoid, embed: Callable[[mx.array], Any], name: str) -> None:
    for value in _values(name):
        element = embed(_array(value, name))
        neutral = operator.identity(element)
        assert _bits(operator.combine(neutral, element)) == _bits(element)
        assert _bits(operator.combine(element, neutral)) == _bits(element)
        assert _bits(operator.combine(neutral, neutral)) == _bits(neutral)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 0.25])
@pytest.mark.parametrize(
    "operator",
    [ms.Max(), ms.Min(), ms.MinMax(), ms.ArgMax(), ms.ArgMin(), ms.LogSumExp(), ms.Mean(), ms.Moments(4)],
    ids=lambda op: op.name,
)
def test_identity_at_infinity(operator: ms.Monoid, value: float) -> None:
    x = mx.array(value)
    element = _with_index(x) if isinstance(operator, (ms.ArgMax, ms.ArgMin)) else operator.embed(x)
    neutral = operator.identity(element)
    assert _bits(operator.combine(neutral, element)) == _bits(element) == _bits(operator.combine(element, neutral))


@pytest.mark.parametrize("operator", [ms.OnlineSoftmax(), ms.MaxSubarray()], ids=lambda op: op.name)
def test_identity_at_minus_infinity(operator: ms.Monoid) -> None:
    element = operator.embed(mx.array(-np.inf))
    neutral = operator.identity(element)
    assert _bits(operator.combine(neutral, element)) == _bits(element) == _bits(operator.combine(element, neutral))


@pytest.mark.parametrize(
    ("operator", "given", "words"),
    [
        (
            ms.Max(),
            ("complex64",),
            "[Max] takes floats and integers and bool only, since complex numbers have no order",
        ),
        (ms.ArgMax(), ("float32", "float32"), "[ArgMax] takes integers only"),
        (ms.LogSumExp(), ("int32",), "leaf x is int32. Cast it first, as in x.astype(mx.float32)"),
        (ms.OnlineSoftmax(), ("int32", "float32"), "leaf max is int32"),
        (ms.MaxSubarray(), ("float32", "int8", "float32", "float32"), "leaf prefix is int8"),
        (ms.MaxPlusAffine(), ("float32", "int8"), "leaf b is int8"),
        (ms.Moments(3), ("int32", "float32", "int32", "float32"), "leaf m2 is int32"),
        (ms.Mean(), ("bool", "float32"), "leaf n is bool"),
        (ms.MatMul(), ("bool",), "leaf A is bool"),
        (ms.Xor(), ("float32",), "it works on bits"),
        (ms.SemiringMatMul(ms.MaxPlus()), ("int32",), "[SemiringMatMul(MaxPlus)] takes floats only"),
        (ms.FiniteMap(2), ("float32",), "[FiniteMap(2)] takes integers only"),
        (ms.Bracket(), ("int32", "float32"), "leaf opens is float32"),
        (ms.KalmanFilter(), ("int32",) * 5, "leaf A is int32"),
        (ms.Quaternion(), ("int32",), "leaf q is int32"),
        (ms.Segmented(ms.Tuple(ms.Sum(), ms.LogSumExp())), ("bool", "int32", "int32"), "[LogSumExp] takes floats only"),
        (ms.Maybe(ms.Dual(ms.MaxPlusAffine())), ("bool", "int32", "int32"), "[MaxPlusAffine] takes floats only"),
    ],
    ids=lambda value: value.name if isinstance(value, ms.Semigroup) else None,
)
def test_dtypes_that_have_no_identity_are_refused(operator: ms.Semigroup, given: tuple[str, ...], words: str) -> None:
    with pytest.raises(errors.ScanTypeError) as error:
        operator.check(given)
    assert words in str(error.value)
