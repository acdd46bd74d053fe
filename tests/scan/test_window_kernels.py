"""Windows in one kernel, prepared and presented on the way: against folds in order, exact rationals and pandas' cases."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from aggregator_support import Scaled
from selection import thinned

import monoscan as ms

A = ms.aggregators
SIZES = [2, 3, 7, 8, 9, 15, 16, 17, 33, 100, 150]
LAYOUTS = {
    "row": ((), ()),
    "rows": ((5,), ()),
    "many rows": ((40,), ()),
    "few columns": ((), (3,)),
    "columns": ((), (24,)),
}


def windows(x: np.ndarray, size: int) -> list[np.ndarray]:
    return [x[max(0, i - size + 1) : i + 1] for i in range(len(x))]


def along(f: Callable[[np.ndarray], float], x: np.ndarray, size: int, axis: int) -> np.ndarray:
    return np.apply_along_axis(lambda row: np.array([f(w) for w in windows(row, size)]), axis, x)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("layout", thinned(list(LAYOUTS), ["row", "columns"]))
@pytest.mark.parametrize("dtype", thinned([mx.float16, mx.float32, mx.float64], [mx.float64]))
@pytest.mark.parametrize("size", thinned(SIZES, [3, 100]))
def test_moments_are_those_of_each_window(size: int, dtype: mx.Dtype, layout: str) -> None:
    before, behind = LAYOUTS[layout]
    shape, axis = (*before, 151, *behind), len(before)
    x = mx.array(np.random.default_rng(size).normal(size=shape), dtype)
    exact = np.array(x.astype(mx.float64))
    tolerance = {mx.float16: 3e-3, mx.float32: 2e-5, mx.float64: 1e-12}[dtype]
    for aggregator, f in ((A.Mean(), np.mean), (A.Variance(), np.var)):
        y = ms.window(aggregator, x, size, axis, strategy="kernel")
        assert y.dtype == (mx.float64 if dtype == mx.float64 else mx.float32)  # halves add up in float32
        np.testing.assert_allclose(
            np.array(y.astype(mx.float64)), along(f, exact, size, axis), rtol=tolerance, atol=tolerance
        )


@attrs.frozen
class Weighed(ms.Aggregator):
    """What `present` reads beside the fold: an input, a fixed input, the position and a captured array."""

    scale: mx.array
    operator = ms.Affine()

    def prepare(self, a: Any, b: Any, gain: Any, t: Any) -> Any:
        return a * gain, b + t.astype(b.dtype)

    def present(self, h: Any, a: Any, b: Any, gain: Any, t: Any) -> Any:
        return {"state": h * self.scale + a, "late": b - t.astype(b.dtype)}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("layout", thinned(list(LAYOUTS), ["few columns", "columns"]))
@pytest.mark.parametrize("size", thinned([2, 9, 16, 40], [9]))
def test_present_sees_the_inputs_where_its_window_ends(size: int, layout: str) -> None:
    before, behind = LAYOUTS[layout]
    n, axis = 90, len(before)
    r = np.random.default_rng(1)
    a, b = r.uniform(0.2, 0.9, (*before, n, *behind)), r.normal(size=(*before, n, *behind))
    gain = r.uniform(0.5, 1, before + behind)
    inputs = (*(mx.array(x, mx.float64) for x in (a, b)), ms.fixed(mx.array(gain, mx.float64)), ms.position)
    found = ms.window(Weighed(mx.array(3.0, mx.float64)), inputs, size, axis, strategy="kernel")
    steps = np.moveaxis(np.stack([a * np.expand_dims(gain, axis), b]), axis + 1, 1)
    steps[1] += np.arange(n).reshape(n, *(1,) * (steps.ndim - 2))
    rows = list(zip(*steps, strict=True))
    states = [reduce(lambda h, x: x[0] * h + x[1], w[1:], w[0][1]) for w in windows(np.array(rows), size)]
    expected = np.moveaxis(3 * np.array(states), 0, axis) + a
    np.testing.assert_allclose(np.array(found["state"]), expected, rtol=1e-12)
    late = b - np.arange(n).reshape(n, *(1,) * len(behind))
    np.testing.assert_array_equal(np.array(found["late"]), late)


def test_an_array_that_is_read_against_its_order_has_the_same_windows() -> None:
    x = np.random.default_rng(2).integers(-9, 9, (4, 300))
    y = ms.window(ms.Sum(), mx.array(x)[1, ::-2], 20, strategy="kernel")
    assert y.tolist() == [int(w.sum()) for w in windows(x[1, ::-2], 20)]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("n", thinned([19, 64, 1000, 3000], [64, 1000]))
@pytest.mark.parametrize("size", thinned([2, 5, 15, 16, 18, 31, 40, 63, 200], [5, 40]))
def test_order_is_kept_whatever_the_size(n: int, size: int) -> None:
    maps = np.random.default_rng(n).integers(0, 3, (n, 3))
    y = ms.window(ms.FiniteMap(3), mx.array(maps), size)
    expected = [reduce(lambda l, r: r[l], w) for w in windows(maps, size)]
    np.testing.assert_array_equal(np.array(y), expected)


# ------------------------------------------------------------------ accuracy
def exact_variance(x: np.ndarray) -> Fraction:
    values = [Fraction(float(v)) for v in x]
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values)


@pytest.mark.parametrize("layout", ["row", "columns"])
def test_a_variance_is_right_at_a_large_offset_and_after_a_drop(layout: str) -> None:
    r = np.random.default_rng(3)
    x = np.concatenate([1e8 + r.normal(size=300), r.normal(size=300)])
    given = mx.array(x, mx.float64)
    if layout == "columns":
        given = mx.broadcast_to(given[:, None], (600, 20))
    y = np.array(ms.window(A.Variance(), given, 100, strategy="kernel")).reshape(600, -1)[:, 0]
    for i in (*range(1, 300, 23), *range(300, 405), *range(405, 600, 41)):
        exact = exact_variance(x[max(0, i - 99) : i + 1])
        assert abs(Fraction(float(y[i])) - exact) <= Fraction(1, 10**7) * exact


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("aggregator", [A.Sum(), A.Mean(), A.Variance()], ids=["sum", "mean", "variance"])
def test_what_is_not_finite_leaves_an_aggregator_again(aggregator: Any, bad: float) -> None:
    x = np.random.default_rng(4).normal(size=400)
    x[150] = bad
    y = np.array(ms.window(aggregator, mx.array(x, mx.float64), 50, strategy="kernel"))
    assert np.array_equal(np.isfinite(y), (np.arange(400) < 150) | (np.arange(400) > 199))


# ------------------------------------------------------------------ products that overflow where no window does
@pytest.mark.sampled(3)
@pytest.mark.parametrize("columns", [0, 20])
@pytest.mark.parametrize("size", thinned([9, 40, 100], [40]))
def test_the_fold_in_order_decides_what_is_finite(size: int, columns: int) -> None:
    n, b = 300, np.zeros(300, np.float32)
    b[110] = 1e-30
    a = np.full(n, 1e3, np.float32)
    leaves = [mx.array(x) for x in (a, b)]
    if columns:
        leaves = [mx.broadcast_to(x[:, None], (n, columns)) for x in leaves]
    decay, h = ms.window(ms.Affine(), tuple(leaves), size, strategy="kernel")
    h = np.array(h).reshape(n, -1)[:, -1]
    with np.errstate(over="ignore"):
        expected = [
            reduce(
                lambda h, i: np.float32(a[i] * h) + b[i],
                range(max(0, t - size + 1) + 1, t + 1),
                b[max(0, t - size + 1)],
            )
            for t in range(n)
        ]
    assert not np.isnan(h).any()
    np.testing.assert_allclose(h, np.array(expected), rtol=1e-5)
    assert not np.isnan(np.array(decay)).any()


def test_an_element_that_is_not_finite_does_not_hide_an_overflow_beside_it() -> None:
    a, b = np.full(200, 1e3, np.float32), np.zeros(200, np.float32)
    b[60] = np.nan
    h = np.array(ms.window(ms.Affine(), (mx.array(a), mx.array(b)), 50, strategy="kernel")[1])
    assert np.array_equal(np.isnan(h), (np.arange(200) >= 60) & (np.arange(200) < 110))
    assert not h[np.isfinite(h)].any()


# ------------------------------------------------------------------ transforms
@pytest.mark.long
def test_a_map_of_windows_is_the_windows_of_all_rows() -> None:
    x = mx.array(np.random.default_rng(5).normal(size=(3, 4, 60)), mx.float64)
    scales = mx.array([1.0, 2.0, 3.0], mx.float64)
    f = lambda row, c: ms.window(Scaled(c), row, 20)  # noqa: E731
    y = mx.vmap(mx.vmap(f, in_axes=(0, None)))(x, scales)
    expected = scales[:, None, None] * ms.window(A.Mean(), x, 20, axis=2)
    assert mx.allclose(y, expected, rtol=1e-12)
    loss = lambda x, c: (mx.vmap(mx.vmap(f, in_axes=(0, None)))(x, c) ** 2).sum()  # noqa: E731
    plain = lambda x, c: ((c[:, None, None] * ms.window(A.Mean(), x, 20, axis=2, strategy="sequential")) ** 2).sum()  # noqa: E731
    for one, other in zip(mx.grad(loss, (0, 1))(x, scales), mx.grad(plain, (0, 1))(x, scales), strict=True):
        assert mx.allclose(one, other, rtol=1e-10)


@pytest.mark.long
def test_derivatives_of_a_variance_of_any_order() -> None:
    r = np.random.default_rng(6)
    x, v = (mx.array(r.normal(size=40), mx.float64) for _ in range(2))
    f = lambda x: ms.window(A.Variance(), x, 7, partial=False)  # noqa: E731

    def by_hand(x: mx.array) -> mx.array:
        rows = mx.stack([x[i : i + 7] for i in range(34)])
        return mx.square(rows - rows.mean(axis=1, keepdims=True)).mean(axis=1)

    for g in (f, mx.compile(f)):
        assert mx.allclose(g(x), by_hand(x), rtol=1e-10)
        assert mx.allclose(mx.jvp(g, [x], [v])[1][0], mx.jvp(by_hand, [x], [v])[1][0], rtol=1e-8)
        first, expected = (mx.grad(lambda x, h=h: (h(x) ** 2).sum()) for h in (g, by_hand))
        assert mx.allclose(first(x), expected(x), rtol=1e-8)
    second, expected = (
        mx.grad(lambda x, h=h: (mx.grad(lambda x: (h(x) ** 2).sum())(x) * v).sum()) for h in (f, by_hand)
    )
    assert mx.allclose(second(x), expected(x), rtol=1e-8, atol=1e-12)


def test_what_no_kernel_holds_runs_in_passes() -> None:
    largest = ms.monoid(lambda l, r: mx.sort(mx.concatenate([l, r]))[3:], event=1)
    top = ms.aggregator(lambda x: x, largest, lambda s, x: s[0], event=1)
    x = np.sort(np.random.default_rng(7).integers(-9, 9, (23, 3)))
    assert ms.window(top, mx.array(x), 5).tolist() == [int(np.sort(w.ravel())[-3]) for w in windows(x, 5)]
    with pytest.raises(ms.StrategyError, match=r"strategy='kernel' cannot run it: not traceable"):
        ms.window(top, mx.array(x), 5, strategy="kernel")
