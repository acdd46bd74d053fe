"""Windows: the fold of the last so many elements, against folds in order in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

Step = Callable[[Any, Any], Any]


def folds(combine: Step, xs: Any, size: int, partial: bool = True) -> list[Any]:
    """The fold in order of each window of a sequence of elements."""
    starts = range(len(xs)) if partial else range(size - 1, len(xs))
    return [reduce(combine, xs[max(0, i - size + 1) : i + 1]) for i in starts]


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, shape)


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize(
    ("n", "size"),
    thinned(
        [(n, size) for n in (0, 1, 2, 7, 16, 33) for size in (1, 2, 3, 7, 16, 40)], [(0, 2), (2, 1), (7, 7), (33, 7)]
    ),
)
def test_windows_hold_the_last_elements_in_order(n: int, size: int, partial: bool) -> None:
    x = integers(n, 2, 2, seed=n)
    y = np.array(ms.window(ms.MatMul(), mx.array(x), size, partial=partial))
    assert y.shape == (n if partial else max(0, n - size + 1), 2, 2)
    np.testing.assert_array_equal(y, np.array(folds(np.matmul, x, size, partial)).reshape(y.shape))


@pytest.mark.parametrize("strategy", ["auto", "sequential", "hillis_steele", "brent_kung"])
@pytest.mark.parametrize("size", thinned([1, 2, 3, 5, 8, 16, 17], [3, 8]))
def test_a_semigroup_needs_no_identity(strategy: str, size: int) -> None:
    later = ms.monoid(lambda l, r: mx.where(r % 3 == 0, l, r))
    x = integers(16, seed=1)
    y = ms.window(later, mx.array(x), size, strategy=strategy)
    assert y.tolist() == folds(lambda l, r: l if r % 3 == 0 else r, x, size)


@pytest.mark.parametrize("axis", [0, 1])
def test_batch_axes_broadcast_as_in_a_scan(axis: int) -> None:
    gates, inputs = integers(7, 1, seed=2), integers(7, 5, seed=3)
    a, b = (mx.array(np.moveaxis(x, 0, axis)) for x in (gates, inputs))
    decay, h = ms.window(ms.Affine(), (a, b), 3, axis=axis)
    assert decay.shape == a.shape
    rows = list(zip(gates, inputs, strict=True))
    expected = folds(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), rows, 3)
    np.testing.assert_array_equal(np.moveaxis(np.array(h), axis, 0), [state for _, state in expected])


def test_leaves_of_another_rank_align_their_batch_axes() -> None:
    a, b = mx.array(integers(6, seed=4)), mx.array(integers(6, 6, seed=5))
    decay, h = ms.window(ms.Affine(), (a, b), 4)
    assert (decay.shape, h.shape) == ((6,), (6, 6))
    column = ms.window(ms.Affine(), (a, b[:, 2]), 4)[1]
    np.testing.assert_array_equal(np.array(h)[:, 2], np.array(column))


def test_halves_are_rounded_once() -> None:
    x = np.random.default_rng(6).uniform(0.5, 1, 300).astype(np.float16)
    y = ms.window(ms.Sum(), mx.array(x), 100)
    assert y.dtype == mx.float16
    exact = np.array(folds(np.add, x.astype(np.float64), 100))
    assert np.max(np.abs(np.array(y, np.float64) - exact) / exact) <= 2.0**-11 * 1.001


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("operator", [ms.Sum(), ms.Product()], ids=["sum", "product"])
def test_what_is_not_finite_is_gone_once_it_left_the_window(operator: Any, bad: float) -> None:
    x = np.ones(40)
    x[11] = bad
    y = np.array(ms.window(operator, mx.array(x, mx.float64), 7))
    assert np.array_equal(np.isfinite(y), (np.arange(40) < 11) | (np.arange(40) > 17))


def test_a_variance_forgets_a_level_that_it_has_left() -> None:
    r = np.random.default_rng(7)
    x = np.concatenate([1e8 + r.normal(size=300), r.normal(size=300)])
    y = ms.window(ms.aggregators.Variance(), mx.array(x, mx.float64), 100, partial=False)
    exact = [float(np.var(x[i : i + 100].astype(np.longdouble))) for i in range(501)]
    np.testing.assert_allclose(np.array(y), exact, rtol=1e-7)


def test_a_window_of_an_aggregator_begins_with_its_first_element() -> None:
    a, b = np.full(9, 0.5), np.arange(9.0)
    leaky = ms.aggregator(lambda a, b: (a, b), ms.Affine(), lambda h, a, b: h + a)
    y = ms.window(leaky, (mx.array(a, mx.float64), mx.array(b, mx.float64)), 3)
    expected = [0.5 + s for s in folds(lambda h, x: 0.5 * h + x, b, 3)]
    np.testing.assert_array_equal(np.array(y), expected)


def test_an_operator_that_cannot_be_traced_runs_by_arrays() -> None:
    largest = ms.monoid(lambda l, r: mx.sort(mx.concatenate([l, r]))[3:], event=1)
    x = np.sort(integers(23, 3, seed=8))
    y = ms.window(largest, mx.array(x), 5)
    np.testing.assert_array_equal(np.array(y), folds(lambda l, r: np.sort(np.concatenate([l, r]))[3:], x, 5))


# ------------------------------------------------------------------ transforms
def numeric_gradient(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    steps = [h * 1e-6 for h in np.eye(x.size)]
    return np.array([(f(x + h.reshape(x.shape)) - f(x - h.reshape(x.shape))) / 2e-6 for h in steps]).reshape(x.shape)


@pytest.mark.parametrize("size", thinned([1, 3, 4, 12, 20], [3]))
def test_the_gradient_is_that_of_the_folds(size: int) -> None:
    r = np.random.default_rng(9)
    x, w = r.normal(size=(12, 2, 2)), r.normal(size=(12, 2, 2))
    found = mx.grad(lambda x: (ms.window(ms.MatMul(), x, size) * mx.array(w, mx.float64)).sum())(
        mx.array(x, mx.float64)
    )
    expected = numeric_gradient(lambda x: float(np.sum(w * np.array(folds(np.matmul, x, size)))), x)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.long
def test_captured_arrays_get_gradients() -> None:
    x = np.random.default_rng(10).normal(size=10)

    def loss(c: mx.array) -> mx.array:
        return ms.window(ms.monoid(lambda l, r: c * l * r), mx.array(x, mx.float64), 4).sum()

    def by_hand(c: np.ndarray) -> float:
        return float(sum(folds(lambda l, r: c * l * r, x, 4)))

    found = mx.grad(loss)(mx.array(0.5, mx.float64))
    assert float(found) == pytest.approx(float(numeric_gradient(by_hand, np.array(0.5))), rel=1e-6)


def test_transforms_of_mlx_go_through() -> None:
    x = mx.array(np.random.default_rng(11).normal(size=(4, 13)), mx.float64)
    plain = ms.window(ms.Product(), x, 5, axis=1)
    each = mx.vmap(lambda row: ms.window(ms.Product(), row, 5))(x)
    compiled = mx.compile(lambda x: ms.window(ms.Product(), x, 5, axis=1))(x)
    assert mx.allclose(plain, each, rtol=1e-14)
    assert mx.array_equal(plain, compiled)
    t = mx.ones_like(x)
    tangent = mx.jvp(lambda x: ms.window(ms.Product(), x, 5, axis=1), [x], [t])[1][0]
    gradient = mx.grad(lambda x: ms.window(ms.Product(), x, 5, axis=1).sum())(x)
    assert float(tangent.sum()) == pytest.approx(float(gradient.sum()), rel=1e-12)


# ------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, r"\[window\] size must be at least 1, which is each element alone; got 0\."),
        (2.0, r"\[window\] size must be an int; got .*2\.0"),
        (True, r"\[window\] size must be an int; got .*True"),
    ],
)
def test_a_size_that_is_none_is_refused(size: Any, words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        ms.window(ms.Max(), mx.ones((3,)), size)


def test_a_numpy_integer_is_a_size() -> None:
    assert ms.window(ms.Sum(), mx.ones((3,)), np.int64(2)).tolist() == [1, 2, 2]


def test_an_action_that_no_element_begins_has_no_windows() -> None:
    rows = ms.aggregator(lambda a: a, ms.MatMul(), lambda s, a: s, event=2)
    with pytest.raises(ms.ScanError, match=r"window.*no element begins a state of MatMul"):
        ms.window(rows, mx.ones((5, 2, 2)), 3)


def test_a_shapeless_compile_is_refused() -> None:
    with pytest.raises(ms.StrategyError, match=r"\[window\] Max has no plan that fits every size"):
        mx.compile(lambda x: ms.window(ms.Max(), x, 3), shapeless=True)(mx.ones((5,)))


def test_a_function_is_no_operator() -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[window\] expects an operator; got the function"):
        ms.window(mx.add, mx.ones((5,)), 3)
