"""Elements of many lanes: operations on parts of them, captured arrays, many rows."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest
from wide_support import close, elements_of_a_filter, folded, kalman, matrices, runs_a_kernel

import monoscan as ms

pytestmark = pytest.mark.usefixtures("kernels_are_built")


def moved(x: mx.array, y: mx.array) -> mx.array:
    joined = mx.concatenate([x[::-1, 1:], y[:, :1] * 2.0], axis=1)
    return mx.where(mx.eye(9) > 0, joined, mx.pad(x[1:, :], [(0, 1), (0, 0)])) + y.reshape(3, 27).T.reshape(9, 9)


def reductions(x: mx.array, y: mx.array) -> mx.array:
    return mx.softmax(x, axis=-1) + y.sum(axis=0) - y.max(axis=1, keepdims=True) * mx.cumsum(x * 0.1, axis=1)


def swapped(x: tuple[mx.array, mx.array], y: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    return x[1], x[0] + y[0]


@pytest.mark.parametrize("combine", [moved, reductions])
def test_operations_on_parts_of_an_element(combine: Callable[[mx.array, mx.array], mx.array]) -> None:
    operator, x = ms.monoid(combine, event=2), mx.array(matrices((6, 9, 9)))
    runs_a_kernel(operator, x)
    expected = [x[0]]
    for t in range(1, 6):
        expected.append(combine(expected[-1], x[t]))
    close(ms.scan(operator, x), np.array(mx.stack(expected)))


def test_results_that_are_parts_of_the_state_before() -> None:
    operator = ms.monoid(swapped, event=2)
    x, y = mx.array(matrices((5, 9, 9))), mx.array(matrices((5, 9, 9), 1))
    state = (x[0], y[0])
    for t in range(1, 5):
        state = swapped(state, (x[t], y[t]))
    found = ms.fold(operator, (x, y))
    assert all(np.array_equal(np.array(a), np.array(b)) for a, b in zip(found, state, strict=True))


def test_captured_arrays_are_read_once_a_row() -> None:
    weights = mx.array(matrices((9, 9), 3))
    operator, x = ms.monoid(lambda left, right: left @ weights + right, event=2), mx.array(matrices((5, 2, 9, 9)))
    runs_a_kernel(operator, x)
    expected = folded(lambda a, b: (a[0] @ np.array(weights) + b[0],), (np.array(x),), 0)[0]
    close(ms.scan(operator, x), expected)


def test_many_rows_are_shared_out_and_keep_their_bits() -> None:
    x = mx.array(matrices((37, 5, 3, 9, 9)))
    whole = ms.scan(ms.MatMul(), x, axis=1)
    each = mx.stack([ms.scan(ms.MatMul(), x[i], axis=0) for i in range(37)])
    assert np.array_equal(np.array(whole), np.array(each))


def test_scalar_constants_are_operands_of_products() -> None:
    operator = ms.monoid(lambda left, right: left @ mx.full((9, 9), 0.25) + right, event=2)
    x = matrices((5, 9, 9))
    runs_a_kernel(operator, mx.array(x))
    close(ms.scan(operator, mx.array(x)), folded(lambda a, b: (a[0] @ np.full((9, 9), 0.25) + b[0],), (x,), 0)[0])


@pytest.mark.parametrize(
    ("operator", "shapes", "loop"),
    [
        (ms.MatMul(), [(2000, 6, 6)], "events"),
        (ms.MatMul(), [(60, 256, 4, 4)], "sweep"),
        (ms.SemiringMatMul(ms.Log()), [(60, 256, 5, 5)], "batch"),
        (ms.MatMul(), [(2000, 20, 20)], "events"),
    ],
)
def test_what_is_written_out_and_what_runs_in_loops_is_told_by_estimates(
    operator: ms.Monoid, shapes: list[tuple[int, ...]], loop: str
) -> None:
    text = str(ms.explain(operator, *[mx.zeros(shape) for shape in shapes]))
    assert f"loop {loop}," in text
    assert f"estimates {loop} " in text


def test_what_has_no_gradient_in_loops_is_written_out() -> None:
    operator = ms.monoid(lambda left, right: left.prod(axis=0) * 0.1 + right, event=2)
    assert "loop sequential" in str(ms.explain(operator, mx.zeros((50, 4, 4))))


def test_batches_of_a_wide_filter_share_its_covariances() -> None:
    one = [np.array(x) for x in elements_of_a_filter(5, 6)]
    rows = [
        np.stack([x * (1 + 0.1 * b) for b in range(3)], 1) if i in (1, 3) else x[:, None] for i, x in enumerate(one)
    ]
    found = ms.scan(ms.KalmanFilter(), tuple(mx.array(x.astype(np.float32)) for x in rows))
    whole = tuple(np.broadcast_to(x, (6, 3, *x.shape[2:])) for x in rows)
    for i, (y, each) in enumerate(zip(found, folded(kalman, whole, 0), strict=True)):
        assert y.shape[1] == (3 if i in (1, 3) else 1)
        close(mx.broadcast_to(y, each.shape), each, 1e-5)
