"""Gradients of windows by one kernel, against sums over windows in NumPy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from aggregator_support import Scaled
from selection import thinned

import monoscan as ms
from monoscan.lowering.plan.fused_window import FusedWindow
from monoscan.lowering.plan.window_gradient import window_gradient
from monoscan.lowering.render.headers import expand
from monoscan.lowering.render.source import render
from monoscan.lowering.targets.cpu.windows import Pull
from monoscan.scan import call
from monoscan.scan.passes import pass_over
from monoscan.scan.window_fusion import WindowFusion

A = ms.aggregators
Spread = Callable[[np.ndarray, float], np.ndarray]
"""What one window says of its elements, from them and the weight of its result."""


def _of_max(x: np.ndarray, w: float) -> np.ndarray:
    return w * (np.arange(len(x)) == np.argmax(x))


def _of_decay(x: np.ndarray, w: float) -> np.ndarray:
    return w * 0.5 ** np.arange(len(x))[::-1]


FOLDS: dict[str, tuple[Any, Spread]] = {
    "sum": (ms.Sum(), lambda x, w: np.full(len(x), w)),
    "max": (ms.Max(), _of_max),
    "mean": (A.Mean(), lambda x, w: np.full(len(x), w / len(x))),
    "variance": (A.Variance(), lambda x, w: 2 * w * (x - x.mean()) / len(x)),
    "product": (ms.Product(), lambda x, w: w * np.prod(x) / x),
    "decay": (ms.aggregator(lambda x: (x * 0 + 0.5, x), ms.Affine(), lambda h, x: h), _of_decay),
}


def by_windows(spread: Spread, x: np.ndarray, w: np.ndarray, size: int, axis: int) -> np.ndarray:
    """The gradient of the weighted sum of all windows."""
    rows, weights = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (x, w))
    found = np.zeros_like(rows)
    for column in range(rows.shape[1]):
        for i in range(len(rows)):
            first = max(0, i - size + 1)
            found[first : i + 1, column] += spread(rows[first : i + 1, column], weights[i, column])
    moved = np.moveaxis(x, axis, 0).shape
    return np.moveaxis(found.reshape(moved), 0, axis)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an item from each run of a kernel of a gradient."""
    ran: list[str] = []
    run = Pull.run

    def counted(pull: Pull, *given: Any) -> Any:
        ran.append("kernel")
        return run(pull, *given)

    monkeypatch.setattr(Pull, "run", counted)
    return ran


def pulled(operator: Any, x: mx.array, w: mx.array, size: int, axis: int = 0) -> np.ndarray:
    gradient = mx.vjp(lambda x: ms.window(operator, x, size, axis), [x], [w])[1][0]
    assert gradient.dtype == x.dtype
    return np.array(gradient.astype(mx.float64))


# blocks side by side, a last block that is short, rows and columns side by side, one block at a time
LAYOUTS = [
    ((151,), 0, 3),
    ((151,), 0, 30),
    ((83,), 0, 2),
    ((40, 61), 1, 20),
    ((90, 3), 0, 8),
    ((70, 24), 0, 23),
    ((60,), 0, 50),
]


@pytest.mark.parametrize("name", thinned(list(FOLDS), ["variance"]))
def test_each_window_adds_its_share(name: str, kernels: list[str]) -> None:
    operator, spread = FOLDS[name]
    for shape, axis, size in LAYOUTS:
        r = np.random.default_rng(size)
        x, w = r.normal(size=shape), r.normal(size=shape)
        found = pulled(operator, mx.array(x, mx.float64), mx.array(w, mx.float64), size, axis)
        np.testing.assert_allclose(found, by_windows(spread, x, w, size, axis), rtol=1e-9, atol=1e-10)
    assert len(kernels) == len(LAYOUTS)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_narrow_floats_are_rounded_once(dtype: mx.Dtype, kernels: list[str]) -> None:
    r = np.random.default_rng(1)
    x, w = (mx.array(r.normal(size=700), dtype) for _ in range(2))
    exact = [np.array(a.astype(mx.float64)) for a in (x, w)]
    expected = by_windows(FOLDS["variance"][1], *exact, 30, 0)
    tolerance = 1e-5 if dtype == mx.float32 else 2e-3
    if dtype == mx.float16:
        w = w.astype(mx.float32)  # as the variance is
    np.testing.assert_allclose(pulled(A.Variance(), x, w, 30), expected, rtol=tolerance, atol=tolerance)
    assert len(kernels) == 1


def test_what_is_not_finite_reaches_its_windows_alone(kernels: list[str]) -> None:
    x, w = np.random.default_rng(2).normal(size=(2, 200))
    x[90] = np.nan
    found = pulled(A.Variance(), mx.array(x, mx.float64), mx.array(w, mx.float64), 20)
    near = np.abs(np.arange(200) - 90) < 20
    assert np.isnan(found[near]).all()
    assert np.isfinite(found[~near]).all()
    assert len(kernels) == 1


@pytest.mark.long
def test_leaves_that_share_axes_get_sums_over_them(kernels: list[str]) -> None:
    r = np.random.default_rng(3)
    a, b, w = r.uniform(0.5, 1, (30, 1)), r.normal(size=(30, 6)), r.normal(size=(30, 6))
    arrays = [mx.array(x, mx.float64) for x in (a, b)]
    gradients = mx.vjp(lambda a, b: ms.window(ms.Affine(), (a, b), 7)[1], arrays, [mx.array(w, mx.float64)])[1]
    da, db = np.zeros_like(a), np.zeros_like(b)
    for i in range(30):
        g, first = w[i].copy(), max(0, i - 6)
        states = [b[first]]
        for t in range(first + 1, i + 1):
            states.append(a[t] * states[-1] + b[t])
        for t in range(i, first, -1):
            db[t] += g
            da[t] += (g * states[t - 1 - first]).sum()
            g = g * a[t]
        db[first] += g
    for found, expected in zip(gradients, (da, db), strict=True):
        np.testing.assert_allclose(np.array(found), expected, rtol=1e-10, atol=1e-12)
    assert kernels


@pytest.mark.long
def test_maps_compiles_and_second_derivatives_are_those_of_each_row() -> None:
    r = np.random.default_rng(4)
    x, v = (mx.array(r.normal(size=(3, 40)), mx.float64) for _ in range(2))

    def gradient(row: mx.array) -> mx.array:
        return mx.grad(lambda x: (ms.window(A.Variance(), x, 9) ** 2).sum())(row)

    def squares(row: mx.array) -> mx.array:
        held = mx.array(np.tri(40) - np.tri(40, k=-9), mx.float64)
        mean, square = ((held * f).sum(1) / held.sum(1) for f in (row, row * row))
        return mx.square(square - mean * mean)

    def by_hand(row: mx.array) -> mx.array:
        return mx.grad(lambda x: squares(x).sum())(row)

    expected = mx.stack([by_hand(row) for row in x])
    assert mx.allclose(mx.vmap(gradient)(x), expected, rtol=1e-9, atol=1e-12)
    assert mx.allclose(mx.vmap(gradient, in_axes=1)(x.T), expected, rtol=1e-9, atol=1e-12)
    assert mx.allclose(mx.compile(gradient)(x[0]), expected[0], rtol=1e-9, atol=1e-12)
    shared = mx.grad(lambda x: (mx.vmap(lambda s: s * ms.window(A.Variance(), x, 9) ** 2)(v[0, :2])).sum())(x[0])
    assert mx.allclose(shared, v[0, :2].sum() * expected[0], rtol=1e-9, atol=1e-12)
    second, again = (mx.grad(lambda x, f=f: (f(x) * v[0]).sum())(x[0]) for f in (gradient, by_hand))
    assert mx.allclose(second, again, rtol=1e-8, atol=1e-10)


@pytest.mark.long
def test_captured_arrays_have_gradients_by_array_operations(kernels: list[str]) -> None:
    x, w = (mx.array(a, mx.float64) for a in np.random.default_rng(5).normal(size=(2, 50)))
    loss = lambda x, c: (ms.window(Scaled(c), x, 8) * w).sum()  # noqa: E731
    of_x, of_scale = mx.grad(loss, (0, 1))(x, mx.array(3.0, mx.float64))
    np.testing.assert_allclose(np.array(of_x), 3 * pulled(A.Mean(), x, w, 8), rtol=1e-9)
    assert float(of_scale) == pytest.approx(float((ms.window(A.Mean(), x, 8) * w).sum()))
    assert len(kernels) == 1


@pytest.mark.long
def test_weights_have_gradients_too(kernels: list[str]) -> None:
    r = np.random.default_rng(6)
    x, weight, w = r.normal(size=40), r.uniform(1, 2, 40), r.normal(size=40)
    mean = ms.aggregator(lambda x, n: ms.Mean().embed(x, n), ms.Mean(), lambda s, x, n: ms.Mean().project(s))
    arrays = [mx.array(a, mx.float64) for a in (x, weight)]
    of_x, of_weight = mx.vjp(lambda x, n: ms.window(mean, (x, n), 6), arrays, [mx.array(w, mx.float64)])[1]
    dx, dn = np.zeros(40), np.zeros(40)
    for i in range(40):
        own = slice(max(0, i - 5), i + 1)
        total = weight[own].sum()
        dx[own] += w[i] * weight[own] / total
        dn[own] += w[i] * (x[own] - (x[own] * weight[own]).sum() / total) / total
    np.testing.assert_allclose(np.array(of_x), dx, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.array(of_weight), dn, rtol=1e-8, atol=1e-12)
    assert len(kernels) == 1


@pytest.mark.long
@pytest.mark.skipif(shutil.which("clang++") is None, reason="no clang++")
def test_clang_reads_the_text_as_well(tmp_path: Path) -> None:
    asked = call.options("window")
    over = pass_over(A.Variance(), mx.zeros((100,)), 0, None, asked)
    kernel = WindowFusion(over, asked, 10).windows()
    assert isinstance(kernel, FusedWindow)
    found = window_gradient(kernel)
    assert not isinstance(found, str)
    (tmp_path / "kernel.cpp").write_text(expand(render(found.spec)))
    told = subprocess.run(
        ["clang++", "-std=c++17", "-fsyntax-only", tmp_path / "kernel.cpp"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
