"""Elements of many lanes: catalogue operators, options and dtypes, against folds in order in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from wide_support import PRODUCTS, affine, close, elements_of_a_filter, folded, kalman, matrices, runs_a_kernel

import monoscan as ms
from monoscan import dtypes

pytestmark = pytest.mark.usefixtures("kernels_are_built")


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("size", thinned([9, 16, 17, 33], [9, 33]))
def test_products_equal_the_fold_in_order(name: str, size: int) -> None:
    operator, combine = PRODUCTS[name]
    x = matrices((6, size, size))
    runs_a_kernel(operator, mx.array(x))
    close(ms.scan(operator, mx.array(x)), folded(combine, (x,), 0)[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_any_axis_and_either_direction(axis: int, reverse: bool) -> None:
    x = matrices((3, 4, 5, 9, 9))
    given = np.flip(x, axis) if reverse else x
    expected = folded(PRODUCTS["matmul"][1], (given,), axis)[0]
    found = ms.scan(ms.MatMul(), mx.array(x), axis=axis, reverse=reverse)
    close(found, np.flip(expected, axis) if reverse else expected)


@pytest.mark.long
@pytest.mark.parametrize("name", ["matmul", "log"])
def test_options(name: str) -> None:
    operator, combine = PRODUCTS[name]
    x, start = matrices((5, 2, 10, 10)), matrices((2, 10, 10), 1)
    inclusive = folded(combine, (x,), 0)[0]
    seeded = folded(combine, (x,), 0, (start,))[0]
    close(ms.fold(operator, mx.array(x)), inclusive[-1])
    ys, carry = ms.scan(operator, mx.array(x), init=mx.array(start), return_carry=True)
    close(ys, seeded), close(carry, seeded[-1])
    late = ms.scan(operator, mx.array(x), inclusive=False, init=mx.array(start))
    close(late, np.concatenate([start[None], seeded[:-1]]))
    first = np.array(operator.identity(mx.array(x[0, 0])))
    found = np.array(ms.scan(operator, mx.array(x), inclusive=False))
    assert np.array_equal(found[0], np.broadcast_to(first, (2, 10, 10)))
    close(mx.array(found[1:]), inclusive[:-1])
    assert np.array_equal(np.array(ms.scan(operator, mx.array(x[:1]))), x[:1])


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["matmul", "log"])
def test_dtypes_are_computed_as_they_accumulate(name: str, dtype: str) -> None:
    operator, combine = PRODUCTS[name]
    kind = dtypes.by_name(dtype)
    with mx.stream(mx.cpu):
        x = mx.array(matrices((5, 11, 11))).astype(kind)
        exact = np.array(x.astype(mx.float64))
        ys, carry = ms.scan(operator, x, return_carry=True)
        expected = folded(combine, (exact,), 0)[0]
        assert ys.dtype == kind
        assert carry.dtype == (mx.float64 if dtype == "float64" else mx.float32)
        close(ys, expected, {"float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}[dtype])
        close(carry, expected[-1], 1e-13 if dtype == "float64" else 2e-5)


def test_integers_wrap_and_bools_reach() -> None:
    x = np.random.default_rng(0).integers(-9, 9, size=(12, 9, 9)).astype(np.int32)
    expected = [x[0]]
    for row in x[1:]:
        expected.append((expected[-1].astype(np.int64) @ row.astype(np.int64)).astype(np.int32))
    assert np.array_equal(np.array(ms.scan(ms.MatMul(), mx.array(x))), np.stack(expected))
    graph = np.random.default_rng(1).random((7, 9, 9)) < 0.2
    found = np.array(ms.scan(ms.SemiringMatMul(ms.Boolean()), mx.array(graph)))
    reached = [graph[0]]
    for row in graph[1:]:
        reached.append((reached[-1][:, :, None] & row[None]).any(axis=1))
    assert np.array_equal(found, np.stack(reached))
    late = np.array(ms.scan(ms.SemiringMatMul(ms.Boolean()), mx.array(graph), inclusive=False))
    assert np.array_equal(late, np.stack([np.eye(9, dtype=bool), *reached[:-1]]))


@pytest.mark.parametrize("size", [8, 9, 20])
def test_affine_maps_of_matrices(size: int) -> None:
    a, b = matrices((7, 3, size, size)), matrices((7, 3, size), 1)
    found = ms.scan(ms.MatrixAffine(), (mx.array(a), mx.array(b)))
    for y, expected in zip(found, folded(affine, (a, b), 0), strict=True):
        close(y, expected)


def test_leaves_broadcast_and_keep_their_shapes() -> None:
    a, b = matrices((7, 1, 9, 9)), matrices((7, 3, 9), 1)
    matrix, state = ms.scan(ms.MatrixAffine(), (mx.array(a), mx.array(b)))
    wide = folded(affine, (np.broadcast_to(a, (7, 3, 9, 9)), b), 0)
    assert matrix.shape == (7, 1, 9, 9)
    close(matrix, wide[0][:, :1]), close(state, wide[1])


@pytest.mark.parametrize("n", [5, 8])
def test_kalman_filters(n: int) -> None:
    elements = elements_of_a_filter(n, 20)
    runs_a_kernel(ms.KalmanFilter(), elements)
    expected = folded(kalman, tuple(np.array(x) for x in elements), 0)
    for y, each in zip(ms.scan(ms.KalmanFilter(), elements), expected, strict=True):
        close(y, each, 1e-4)


def test_strided_elements_are_read_where_they_stand() -> None:
    x = matrices((9, 9, 6))
    turned = mx.array(x).transpose(2, 1, 0)
    expected = folded(PRODUCTS["matmul"][1], (x.transpose(2, 1, 0),), 0)[0]
    close(ms.scan(ms.MatMul(), turned), expected)
    close(ms.scan(ms.MatMul(), mx.array(x.transpose(2, 0, 1))[::2]), folded(PRODUCTS["matmul"][1], (x.transpose(2, 0, 1)[::2],), 0)[0])  # fmt: skip
