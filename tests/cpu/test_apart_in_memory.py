"""Columns that do not lie beside each other in memory: the bits are those of the same numbers in order."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms


def transposed(x: np.ndarray) -> mx.array:
    return mx.swapaxes(mx.array(np.swapaxes(x, 0, -1).copy()), 0, -1)


def every_second(x: np.ndarray) -> mx.array:
    return mx.array(np.repeat(x, 2, -1))[..., ::2]


def backwards(x: np.ndarray) -> mx.array:
    return mx.array(x[..., ::-1].copy())[..., ::-1]


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.int8, marks=pytest.mark.long), np.float16])
@pytest.mark.parametrize("columns", [3, 40, 600])
def test_columns_apart(columns: int, dtype: type) -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(-9, 10, (37, columns)).astype(dtype)
    for reverse in (False, True):
        right = np.array(ms.scan(ms.Sum(), mx.array(x), reverse=reverse, strategy="kernel"))
        for lay in (transposed, every_second, backwards):
            found = ms.scan(ms.Sum(), lay(x), reverse=reverse, strategy="kernel")
            np.testing.assert_array_equal(np.array(found), right, err_msg=lay.__name__)


@pytest.mark.parametrize("columns", [3, 40, 600])
def test_gates_apart_and_updates_in_order(columns: int) -> None:
    rng = np.random.default_rng(8)
    a, b = rng.uniform(0.5, 1, (2, 37, columns)).astype(np.float32)
    right = np.array(ms.scan(ms.Affine(), (mx.array(a), mx.array(b)))[1])
    for lay in (transposed, every_second, backwards):
        np.testing.assert_array_equal(np.array(ms.scan(ms.Affine(), (lay(a), mx.array(b)))[1]), right)
