"""Elements of many lanes in many rows: vectors hold the same lane of several, one from each row."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from wide_support import PRODUCTS, affine, close, elements_of_a_filter, folded, kalman, matrices

import monoscan as ms
from monoscan import dtypes

pytestmark = pytest.mark.usefixtures("batch_lanes")


def runs_in_batches(operator: ms.Monoid, *args: object, **options: object) -> None:
    assert "loop batch" in str(ms.explain(operator, *args, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_equal_the_fold_in_order_whatever_rows_are_left_over(name: str) -> None:
    operator, combine = PRODUCTS[name]
    x = matrices((5, 19, 10, 10))
    runs_in_batches(operator, mx.array(x))
    close(ms.scan(operator, mx.array(x)), folded(combine, (x,), 0)[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_may_lie_anywhere(axis: int) -> None:
    x = matrices((3, 4, 7, 10, 10))
    expected = folded(PRODUCTS["matmul"][1], (np.flip(x, axis),), axis)[0]
    close(ms.scan(ms.MatMul(), mx.array(x), axis=axis, reverse=True), np.flip(expected, axis))


def test_options() -> None:
    operator, combine = PRODUCTS["log"]
    x, start = matrices((5, 3, 10, 10), 5), matrices((3, 10, 10), 6)
    seeded = folded(combine, (x,), 0, (start,))[0]
    ys, carry = ms.scan(operator, mx.array(x), init=mx.array(start), return_carry=True)
    close(ys, seeded), close(carry, seeded[-1])
    late = np.array(ms.scan(operator, mx.array(x), inclusive=False))
    assert np.array_equal(late[0, 2], np.array(operator.identity(mx.array(x[0, 0]))))
    close(mx.array(late[1:]), folded(combine, (x,), 0)[0][:-1])
    close(ms.fold(operator, mx.array(x)), folded(combine, (x,), 0)[0][-1])


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_dtypes_are_computed_as_they_accumulate(dtype: str) -> None:
    with mx.stream(mx.cpu):
        x = mx.array(matrices((4, 3, 11, 11))).astype(dtypes.by_name(dtype))
        expected = folded(PRODUCTS["matmul"][1], (np.array(x.astype(mx.float64)),), 0)[0]
        close(ms.scan(ms.MatMul(), x), expected, 1e-13 if dtype == "float64" else 2e-3)


def test_bools_reach() -> None:
    graph = np.random.default_rng(1).random((6, 4, 10, 10)) < 0.2
    reached = [graph[0]]
    for row in graph[1:]:
        reached.append((reached[-1][:, :, :, None] & row[:, None]).any(axis=2))
    found = ms.scan(ms.SemiringMatMul(ms.Boolean()), mx.array(graph))
    assert np.array_equal(np.array(found), np.stack(reached))


def test_leaves_broadcast_and_may_be_strided() -> None:
    a, b = matrices((5, 1, 10, 10)), matrices((5, 3, 10), 1)
    turned = mx.array(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    matrix, state = ms.scan(ms.MatrixAffine(), (turned, mx.array(b)))
    expected = folded(affine, (np.broadcast_to(a, (5, 3, 10, 10)), b), 0)
    close(matrix, expected[0][:, :1]), close(state, expected[1])


def test_captured_arrays() -> None:
    weights = mx.array(matrices((10, 10), 3))
    operator, x = ms.monoid(lambda left, right: left @ weights + right, event=2), matrices((4, 3, 10, 10))
    close(ms.scan(operator, mx.array(x)), folded(lambda a, b: (a[0] @ np.array(weights) + b[0],), (x,), 0)[0])


def test_sums_in_log_space_are_mended_in_their_own_rows_alone() -> None:
    operator, x = ms.SemiringMatMul(ms.Log()), matrices((4, 5, 10, 10), 8)
    alone = np.array(ms.scan(operator, mx.array(x)))
    x[:, 2] = np.where(np.eye(10) > 0, x[:, 2], -np.inf)
    beside = np.array(ms.scan(operator, mx.array(x)))
    others = [0, 1, 3, 4]
    assert np.array_equal(alone[:, others], beside[:, others])
    close(mx.array(beside), folded(PRODUCTS["log"][1], (x,), 0)[0])


@pytest.mark.long
def test_filters_of_many_rows_and_their_gradients() -> None:
    one = [np.array(x) for x in elements_of_a_filter(5, 7)]
    elements = [np.stack([x * (1 + 0.1 * row) for row in range(3)]).astype(np.float32) for x in one]
    leaves = tuple(map(mx.array, elements))
    expected = folded(kalman, tuple(elements), 1)
    for y, each in zip(ms.scan(ms.KalmanFilter(), leaves, axis=1), expected, strict=True):
        close(y, each, 1e-4)

    def loss(leaves: tuple[mx.array, ...], strategy: str) -> mx.array:
        return sum((y * y).sum() for y in ms.scan(ms.KalmanFilter(), leaves, axis=1, strategy=strategy))

    found, by_arrays = (mx.grad(lambda x, s=s: loss(x, s))(leaves) for s in ("auto", "brent_kung"))
    for leaf, (y, each) in enumerate(zip(found, by_arrays, strict=True)):
        if leaf in (2, 4):  # of symmetric matrices: combine is associative for no others
            y, each = y + y.swapaxes(-1, -2), each + each.swapaxes(-1, -2)
        close(y, np.array(each), 1e-3)
