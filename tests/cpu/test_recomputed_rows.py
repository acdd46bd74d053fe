"""Gradients of captured and fixed arrays where there are no columns, or few: summed as the loop goes back."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from loop_driver import compile_source
from selection import thinned

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.targets.cpu import recomputed

pytestmark = pytest.mark.usefixtures("kernels_are_built")

CONSTANTS = [0.3, -0.7]


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each gradient that was asked for is one of this loop."""
    found: list[bool] = []
    own = recomputed.vjp

    def vjp(*args: Any) -> Any:
        result = own(*args)
        found.append(result is not None)
        return result

    monkeypatch.setattr(recomputed, "vjp", vjp)
    return found


def leaky(k: mx.array, x: mx.array, h0: mx.array, axis: int = 0, reverse: bool = False) -> mx.array:
    """A leaky integrator whose two constants are captured."""

    def step(h: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        h = mx.tanh(k[0] * h + x) * k[1]
        return h, h * k[0]

    return ms.loop(step, x, h0, axis=axis, reverse=reverse)


def expected(k: Any, x: Any, h0: Any, w: Any) -> tuple[Any, Any, Any]:
    """The gradients of a weighted sum of its outputs in float64, time first."""
    k, x, h0, w = (np.array(each, np.float32).astype(np.float64) for each in (k, x, h0, w))
    h = np.zeros((len(x) + 1, *x.shape[1:]))
    h[0] = h0
    for t in range(len(x)):
        h[t + 1] = np.tanh(k[0] * h[t] + x[t]) * k[1]
    g, by_x, by_k = np.zeros_like(h[0]), np.zeros_like(x), np.zeros(2)
    for t in reversed(range(len(x))):
        g = g + w[t] * k[0]
        turned = h[t + 1] / k[1]
        inside = g * k[1] * (1 - turned**2)
        by_k += (w[t] * h[t + 1]).sum() + (inside * h[t]).sum(), (g * turned).sum()
        by_x[t] = inside
        g = inside * k[0]
    return by_k, by_x, g


def agree(found: Any, wanted: Any) -> None:
    for d, e in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.array(d), e, rtol=0, atol=4e-6 * max(np.abs(e).max(), 1))


SHAPES = [((260,), 0), ((70, 3), 0), ((2, 70), 1), ((20, 70), 1), ((3, 40, 2), 1), ((2, 9, 40, 3), 2)]


@pytest.mark.parametrize("reverse", thinned([False, True], [False]))
@pytest.mark.parametrize(("shape", "axis"), thinned(SHAPES, [SHAPES[0], SHAPES[3]]))
def test_captured_arrays(shape: tuple[int, ...], axis: int, reverse: bool, launches: list[bool]) -> None:
    rng = np.random.default_rng(len(shape))
    x, w = rng.standard_normal((2, *shape)).astype(np.float32)
    h0 = rng.standard_normal(shape[:axis] + shape[axis + 1 :]).astype(np.float32)
    loss = lambda *xs: (leaky(*xs, axis, reverse) * mx.array(w)).sum()  # noqa: E731
    by_k, by_x, by_h = mx.grad(loss, argnums=(0, 1, 2))(mx.array(CONSTANTS), mx.array(x), mx.array(h0))
    turned = [np.moveaxis(each, axis, 0)[:: -1 if reverse else 1] for each in (x, w)]
    wanted = expected(CONSTANTS, turned[0], h0, turned[1])
    agree([by_k, np.moveaxis(np.array(by_x), axis, 0)[:: -1 if reverse else 1], by_h], wanted)
    assert launches == [True]


def test_only_captured_arrays_of_many_rows(launches: list[bool]) -> None:
    x = np.random.default_rng(0).standard_normal((20, 70)).astype(np.float32)
    h0 = mx.zeros((20,))
    found = mx.grad(lambda k: leaky(k, mx.array(x), h0, 1).sum())(mx.array(CONSTANTS))
    agree([found], expected(CONSTANTS, x.T, np.zeros(20), np.ones((70, 20)))[:1])
    assert launches == [True]


def test_fixed_inputs_and_what_begins_a_state(launches: list[bool]) -> None:
    """A filter of one row whose matrix is fixed, and whose first element is its first state."""
    turn = np.array([[0.9, 0.3], [-0.4, 0.5]])
    x, w = np.random.default_rng(1).standard_normal((2, 90, 2)).astype(np.float32)
    filtered = ms.aggregator(lambda a, b: (a, b), ms.MatrixAffine(), lambda h, a, b: h * 1.0, event=(2, 1))
    loss = lambda a, b: (ms.scan(filtered, (ms.fixed(a), b)) * mx.array(w)).sum()  # noqa: E731
    found = mx.grad(loss, argnums=(0, 1))(mx.array(turn.astype(np.float32)), mx.array(x))
    h, a = [x[0].astype(np.float64)], turn.astype(np.float32).astype(np.float64)
    for b in x[1:]:
        h.append(a @ h[-1] + b)
    by_a, by_b, g = np.zeros((2, 2)), np.zeros((90, 2)), np.zeros(2)
    for t in reversed(range(90)):
        by_b[t] = g = g + w[t]
        if t:
            by_a += np.outer(g, h[t - 1])
        g = a.T @ g
    agree(found, [by_a, by_b])
    assert launches == [True]


def test_no_step_has_a_cotangent_of_its_own() -> None:
    k, x, h0 = (
        mx.array(CONSTANTS),
        mx.array(np.random.default_rng(0).standard_normal(20000).astype(np.float32)),
        mx.zeros(()),
    )
    grad = mx.grad(lambda k, x: leaky(k, x, h0).sum(), argnums=(0, 1))
    mx.eval(grad(k, x))
    mx.clear_cache()  # a buffer from there may be larger than what was asked for
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(grad(k, x))
    assert mx.get_peak_memory() - before <= 1.1 * x.nbytes


@pytest.mark.parametrize("rows", thinned([1, 9], []))
def test_transforms(rows: int) -> None:
    rng = np.random.default_rng(2)
    k, lead = mx.array(CONSTANTS), (rows,) if rows > 1 else ()
    x = mx.array(rng.standard_normal((3, *lead, 12)).astype(np.float32))
    h0 = mx.zeros(lead)
    grad = mx.grad(lambda k, x: (leaky(k, x, h0, len(lead)) ** 2).sum(), argnums=(0, 1))
    single = [grad(k, x[i]) for i in range(3)]
    mapped = mx.vmap(grad, in_axes=(None, 0))(k, x)
    agree([d[i] for d in mapped for i in range(3)], [np.array(each[j]) for j in range(2) for each in single])
    agree(mx.compile(grad)(k, x[0]), [np.array(d) for d in single[0]])
    slope = lambda k: grad(k, x[0])[0].sum()  # noqa: E731
    e = 1e-2 * mx.eye(2)
    wanted = [(slope(k + e[i]) - slope(k - e[i])).item() / 2e-2 for i in range(2)]
    np.testing.assert_allclose(np.array(mx.grad(slope)(k)), wanted, rtol=2e-3)


@pytest.mark.parametrize("columns", thinned([0, 3], []))
def test_scalar_code_compiles_without_warnings(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, shape = list[str](), (9, columns) if columns else (9,)
    plain = recomputed.render_recomputed

    def noted(spec: Any) -> str:
        texts.append(plain(spec))
        return texts[-1]

    monkeypatch.setattr(recomputed, "render_recomputed", noted)
    monkeypatch.setattr(recomputed, "COMPILED", Cache(4))
    mx.eval(mx.grad(lambda k: leaky(k, mx.ones(shape), mx.zeros(shape[1:])).sum())(mx.array(CONSTANTS)))
    assert "scalar_code = true" in texts[0]
    compile_source(texts[0])
