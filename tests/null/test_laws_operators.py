"""Every operator of the library at every level that it claims, on the dtypes that it takes."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan import monoids
from monoscan.testing import check_homomorphism, check_laws

INTEGERS = ("int8", "uint16", "int32", "int64")
ALL = ("float32", "float16", "bfloat16", "float64", *INTEGERS, "bool")
FLOATS = ("float32", "bfloat16", "float64")
EXAMPLES = 20

OPERATORS: list[tuple[ms.Semigroup, tuple[str, ...]]] = [
    (ms.Sum(), ALL),
    (ms.Product(), ALL),
    (ms.Max(), ALL),
    (ms.Min(), ALL),
    (ms.First(), ("float32", "int32")),
    (ms.Last(), ("float32", "int32")),
    (ms.MinMax(), ("float32", "float16", "uint8")),
    (ms.ArgMax(), ("float32", "bfloat16", "int32")),
    (ms.ArgMin(), ("float32", "float64", "uint8")),
    (ms.All(), ("bool", "float32")),
    (ms.Any(), ("bool", "int32")),
    (ms.Xor(), ("bool", *INTEGERS)),
    (ms.Mean(), FLOATS),
    (ms.Moments(2), FLOATS),
    (ms.Moments(3), ("float32",)),
    (ms.Moments(4), ("float32",)),
    (ms.LogSumExp(), FLOATS),
    (ms.OnlineSoftmax(), FLOATS),
    (ms.MaxSubarray(), FLOATS),
    (ms.MaxPlusAffine(), ("float32", "float64")),
    (ms.Affine(), ("float32", "float16", "float64", "int32")),
    (ms.MatMul(), ("float32", "int32")),
    (ms.MatrixAffine(), ("float32", "int32")),
    (ms.SemiringMatMul(ms.MaxPlus()), ("float32",)),
    (ms.SemiringMatMul(ms.MinPlus()), ("float32",)),
    (ms.SemiringMatMul(ms.Log()), ("float32",)),
    (ms.SemiringMatMul(ms.Boolean()), ("bool",)),
    (ms.Quaternion(), ("float32",)),
    (ms.Rigid3(), ("float32",)),
    (ms.Bracket(), ("int32",)),
    (ms.FiniteMap(4), ("int32",)),
    (ms.KalmanFilter(), ("float32",)),
    (ms.ScaledMatMul(), ("float32", "float64")),
    (ms.KalmanSmoother(), ("float32",)),
]
COMPOSITES: list[ms.Semigroup] = [
    ms.Dual(ms.Affine()),
    ms.Dual(ms.First()),
    ms.Maybe(ms.Last()),
    ms.Maybe(ms.Affine()),
    ms.Segmented(ms.Sum()),
    ms.Segmented(ms.First()),
    ms.Segmented(ms.Maybe(ms.LogSumExp())),
    ms.Segmented(ms.Affine()),
    ms.Segmented(ms.MatMul()),
    ms.Maybe(ms.MatMul()),
    ms.Struct(turn=ms.Dual(ms.Quaternion()), wait=ms.MaxPlusAffine()),
    ms.Via(ms.Affine(), lambda element: element, lambda element: element),
    ms.Tuple(ms.Min(), ms.Affine()),
    ms.Struct(mean=ms.Mean(), peak=ms.Max()),
    ms.Tuple(ms.Segmented(ms.Max()), ms.Dual(ms.Product())),
    ms.Semidirect(ms.Product(), ms.Sum()),
    ms.Dual(ms.Semidirect(ms.Product(), ms.Sum())),
    ms.Via(ms.Max(), lambda x: -x, lambda x: -x),
]
BASES = {
    "Aggregator",
    "Action", "Monoid", "Semigroup", "Facts", "CustomMonoid", "CustomSemigroup", "monoid", "Semiring", "MaxPlus", "MinPlus",
    "Log", "Boolean", "annotations",
}  # fmt: skip
CASES = [(monoid, dtype) for monoid, names in OPERATORS for dtype in names]


@pytest.mark.parametrize(("monoid", "dtype"), CASES, ids=lambda value: getattr(value, "name", value))
def test_operators_are_lawful(monoid: ms.Semigroup, dtype: str) -> None:
    """Exactly or at 60 digits, and in the machine's arithmetic; no law is vacuous, no fact forgotten."""
    report = check_laws(monoid, dtypes=(dtype,), examples=EXAMPLES)
    assert {row.verdict for row in report.rows} == {"holds"}


@pytest.mark.parametrize("monoid", COMPOSITES, ids=lambda value: value.name)
def test_composites_are_lawful(monoid: ms.Semigroup) -> None:
    """With the facts that the table infers, and the laws of the action."""
    report = check_laws(monoid, dtypes=("float32",), examples=EXAMPLES)
    assert {row.verdict for row in report.rows} == {"holds"}


@pytest.mark.parametrize("monoid", [ms.MatMul(), ms.SemiringMatMul(ms.MaxPlus())], ids=lambda value: value.name)
def test_matrices_of_three_are_lawful(monoid: ms.Semigroup) -> None:
    """And not of two only."""
    check_laws(monoid, dtypes=("float32",), examples=8, size=3)


@pytest.mark.parametrize("monoid", [ms.KalmanFilter(), ms.KalmanSmoother()], ids=lambda value: value.name)
def test_filters_of_one_state_are_lawful(monoid: ms.Semigroup) -> None:
    """The local level model has one."""
    check_laws(monoid, dtypes=("float32", "float64"), examples=16, size=1)


def test_the_semidirect_product_has_the_laws_of_an_action() -> None:
    """Four of them, at both levels."""
    report = check_laws(ms.Semidirect(ms.Product(), ms.Sum()), dtypes=("float32",), examples=8)
    assert sum(row.law.startswith("action") for row in report.rows) == 8


def test_affine_is_the_dual_of_a_semidirect_product() -> None:
    """The identity map is a homomorphism both ways."""
    composite = ms.Dual(ms.Semidirect(ms.Product(), ms.Sum()))
    check_homomorphism(ms.Affine(), composite, lambda element: element, examples=EXAMPLES)
    check_homomorphism(composite, ms.Affine(), lambda element: element, examples=EXAMPLES)


@pytest.mark.parametrize(
    ("source", "target", "mapping"),
    [
        (ms.LogSumExp(), ms.Sum(), mx.exp),
        (ms.OnlineSoftmax(), ms.Sum(), lambda e: e[1] * mx.exp(e[0])),
        (ms.OnlineSoftmax(), ms.LogSumExp(), lambda e: e[0] + mx.log(e[1])),
        (ms.Mean(), ms.Sum(), lambda e: e[0].astype(e[1].dtype) * e[1]),
        (ms.Moments(2), ms.Mean(), lambda e: (e[0], e[1])),
        (ms.MaxSubarray(), ms.Sum(), lambda e: e[0]),
        (ms.MaxPlusAffine(), ms.Sum(), lambda e: e[0]),
        (ms.MatrixAffine(), ms.Dual(ms.MatMul()), lambda e: e[0]),
        (ms.Rigid3(), ms.Quaternion(), lambda e: e[0]),
        (ms.Bracket(), ms.Sum(), lambda e: e[1] - e[0]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_models_of_operators(source: ms.Semigroup, target: ms.Semigroup, mapping: Any) -> None:
    """An operator is right if the map to its model is a homomorphism."""
    dtype = "int32" if source == ms.Bracket() else "float32"
    check_homomorphism(source, target, mapping, dtype=dtype, examples=EXAMPLES)


def test_every_exported_operator_is_here() -> None:
    """A new one must bring its laws."""
    checked = {type(monoid).__name__ for monoid, _ in OPERATORS} | {type(monoid).__name__ for monoid in COMPOSITES}
    exported = {name for name in vars(monoids) if name[0].isupper() and isinstance(getattr(monoids, name), type)}
    assert exported - BASES <= checked
