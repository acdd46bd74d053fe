"""Leaves that depend on nothing in common, in several kernels: values, carries and gradients are those of one."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

NUMBER = 10


def combine(left: tuple[mx.array, ...], right: tuple[mx.array, ...]) -> tuple[mx.array, ...]:
    """Sums, but for leaf 3, which reads the running sum of leaf 9."""
    sums = tuple(map(mx.add, left, right))
    return (*sums[:3], left[3] + right[3] + left[9] * right[8], *sums[4:])


def leaves(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(-3, 4, shape).astype(np.float32) for _ in range(NUMBER)]


def expected(xs: list[np.ndarray], init: float) -> list[np.ndarray]:
    found = [init + np.cumsum(x.astype(np.float64), 0) for x in xs]
    before = found[9] - xs[9]  # what has come before each step
    found[3] = init + np.cumsum(xs[3] + before * xs[8], 0)
    return found


@pytest.mark.parametrize("shape", [(701, 3), (90, 5, 40)], ids=str)
def test_values_and_carries(shape: tuple[int, ...]) -> None:
    operator, xs = ms.monoid(combine), leaves(shape)
    given = tuple(map(mx.array, xs))
    assert len(ms.explain(operator, given).kernels) > 1
    results, carry = ms.scan(operator, given, init=(mx.array(1.0),) * NUMBER, return_carry=True)
    for result, last, right in zip(results, carry, expected(xs, 1.0), strict=True):
        np.testing.assert_array_equal(np.array(result), right)  # whole numbers: no rounding
        np.testing.assert_array_equal(np.array(last), right[-1])


def test_gradients_reach_all_leaves() -> None:
    xs = leaves((40, 3))
    weights = mx.array(np.random.default_rng(6).integers(-2, 3, (NUMBER, 40, 3)).astype(np.float32))

    def loss(strategy: str, *given: mx.array) -> mx.array:
        results = ms.scan(ms.monoid(combine), given, strategy=strategy)
        return sum((w * y).sum() for w, y in zip(weights, results, strict=True))

    arguments = tuple(range(1, NUMBER + 1))
    ours, others = (mx.grad(loss, arguments)(name, *map(mx.array, xs)) for name in ("auto", "brent_kung"))
    for one, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))
