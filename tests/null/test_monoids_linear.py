"""Matrices: products of every dtype, the unrolled solver, maps of vectors and other semirings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from monoscan import errors
from monoscan import monoids as ms
from monoscan.monoids import matrices


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32", "uint64", "float32", "float64", "complex64"])
def test_matrix_product_is_numpys_and_wraps(name: str) -> None:
    x = np.random.default_rng(0).integers(0, 100, (2, 3, 3)).astype(name)
    got = ms.MatMul().combine(*(mx.array(m, getattr(mx, name)) for m in x))
    assert got.dtype == getattr(mx, name)
    np.testing.assert_array_equal(np.array(got), x[0] @ x[1])


def test_matrix_affine_applies_left_first() -> None:
    rng = np.random.default_rng(1)
    a, b, h = rng.integers(-4, 4, (2, 3, 3)), rng.integers(-4, 4, (2, 3)), rng.integers(-4, 4, 3)
    for cast in (mx.int32, mx.float32, mx.complex64):
        left, right = ((mx.array(a[i]).astype(cast), mx.array(b[i]).astype(cast)) for i in range(2))
        matrix, vector = ms.MatrixAffine().combine(left, right)
        expected = a[1] @ (a[0] @ h + b[0]) + b[1]
        np.testing.assert_array_equal(np.array(matrix) @ h + np.array(vector), expected)


def test_zero_times_infinity_is_nan() -> None:
    infinite = mx.full((2, 2), mx.inf)
    assert mx.isnan(ms.MatMul().combine(mx.eye(2), infinite)).any().item()


@pytest.mark.parametrize("size", range(1, 8))
def test_solve_is_numpys(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix, right = rng.normal(size=(5, size, size)), rng.normal(size=(5, size, 3))
    got = matrices.solve(mx.array(matrix, mx.float64), mx.array(right, mx.float64))
    np.testing.assert_allclose(np.array(got), np.linalg.solve(matrix, right), rtol=1e-9, atol=1e-11)


def test_solve_needs_its_pivots() -> None:
    permutation = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(np.array(matrices.solve(mx.array(permutation), mx.eye(3))), permutation.T)
    tiny = mx.array([[1e-20, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(np.array(matrices.solve(tiny, mx.array([[1.0], [2.0]]))), [[1.0], [1.0]])


def test_solve_of_a_singular_matrix_is_not_finite() -> None:
    assert not mx.isfinite(matrices.solve(mx.ones((2, 2)), mx.eye(2))).all().item()


def test_solve_differentiates_and_batches() -> None:
    rng = np.random.default_rng(3)
    a, b = mx.array(rng.normal(size=(4, 3, 3)), mx.float64), mx.array(rng.normal(size=(4, 3, 2)), mx.float64)
    np.testing.assert_allclose(np.array(mx.vmap(matrices.solve)(a, b)), np.array(matrices.solve(a, b)), rtol=1e-13)
    da, db = mx.grad(lambda m, r: matrices.solve(m, r).sum(), argnums=(0, 1))(a[0], b[0])
    back = np.linalg.solve(np.array(a[0]).T, np.ones((3, 2)))
    np.testing.assert_allclose(np.array(db), back, rtol=1e-9)
    np.testing.assert_allclose(np.array(da), -back @ np.array(matrices.solve(a[0], b[0])).T, rtol=1e-8)


def _paths(semiring: str, steps: np.ndarray, start: int, end: int) -> list[float]:
    inner = product(range(steps.shape[-1]), repeat=len(steps) - 1)
    routes = ([start, *middle, end] for middle in inner)
    return [sum(steps[k, route[k], route[k + 1]] for k in range(len(steps))) for route in routes]


def test_semirings_sum_over_all_paths() -> None:
    steps = np.random.default_rng(4).normal(size=(4, 3, 3)).astype(np.float32)
    steps[1, 2, 0] = -np.inf
    totals = {
        "MaxPlus": (ms.MaxPlus(), max),
        "MinPlus": (ms.MinPlus(), min),
        "Log": (ms.Log(), lambda paths: np.log(np.exp(paths).sum())),
    }
    for name, (semiring, total) in totals.items():
        given = -steps if name == "MinPlus" else steps
        got = np.array(reduce(ms.SemiringMatMul(semiring).combine, [mx.array(step) for step in given]))
        for start, end in product(range(3), repeat=2):
            assert got[start, end] == pytest.approx(total(_paths(name, given, start, end)), abs=1e-5)


def test_boolean_matrices_reach() -> None:
    reach = ms.SemiringMatMul(ms.Boolean())
    chain = mx.array(np.eye(4, k=1, dtype=bool))
    assert np.array_equal(np.array(reduce(reach.combine, [chain] * 3)), np.eye(4, k=3, dtype=bool))
    assert reach.promote(("int32",)) == ("bool",)
    assert reach.facts(("bool",)).associativity == "exact"


def test_a_semiring_is_expected() -> None:
    with pytest.raises(errors.ScanTypeError, match=r"expects a semiring, as MaxPlus\(\); got"):
        ms.SemiringMatMul(ms.Sum())
