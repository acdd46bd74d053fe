"""The walk back that makes states again, and sums as it goes: gradients of the selective scan against float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from broken_headers import break_header
from loop_driver import compile_source
from selection import thinned

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.targets.cpu import build, kernels, recomputed

pytestmark = pytest.mark.usefixtures("kernels_are_built")

MAMBA = ms.aggregators.SelectiveScan()
STATES = 3
Arrays = list[Any]


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


def inputs(batch: int, time: int, channels: int, states: int = STATES, dtype: str = "float32") -> Arrays:
    """Those of a selective scan: one channel in eight has gates that underflow."""
    rng = np.random.default_rng(time)
    delta = rng.uniform(0.01, 0.5, (batch, time, channels))
    delta[..., ::8] = 60
    a = -rng.uniform(0.5, 4, (channels, states))
    b, c = rng.standard_normal((2, batch, time, states))
    x = rng.standard_normal((batch, time, channels))
    return [each.astype(dtype) for each in (delta, a, b, c, x)]


def scanned(delta: Any, a: Any, b: Any, c: Any, x: Any, **options: Any) -> Any:
    return ms.scan(MAMBA, (delta, ms.fixed(a), b[:, :, None], c[:, :, None], x), axis=1, **options)


def expected(arrays: Arrays, weights: Any, h0: Any = None, end: Any = None) -> tuple[Arrays, Any]:
    """The gradients by all inputs and by the first state, in float64, of a weighted sum of outputs and the last state."""
    delta, a, b, c, x, w = (np.array(each, np.float64) for each in (*arrays, weights))
    h = np.zeros((x.shape[0], x.shape[1] + 1, *a.shape))
    if h0 is not None:
        h[:, 0] = h0
    for t in range(x.shape[1]):
        h[:, t + 1] = np.exp(delta[:, t, :, None] * a) * h[:, t] + (delta * x)[:, t, :, None] * b[:, t, None]
    found = [np.zeros_like(each) for each in (delta, a, b, c, x)]
    g = np.zeros_like(h[:, 0]) if end is None else np.array(end, np.float64)
    for t in reversed(range(x.shape[1])):
        g = g + w[:, t, :, None] * c[:, t, None]
        gates = np.exp(delta[:, t, :, None] * a)
        by_gate, by_input = g * gates * h[:, t], (g * b[:, t, None]).sum(-1)
        found[0][:, t] = (by_gate * a).sum(-1) + by_input * x[:, t]
        found[1] += (by_gate * delta[:, t, :, None]).sum(0)
        found[2][:, t] = (g * (delta * x)[:, t, :, None]).sum(1)
        found[3][:, t] = (w[:, t, :, None] * h[:, t + 1]).sum(1)
        found[4][:, t] = by_input * delta[:, t]
        g = g * gates
    return found, g


def close(found: Sequence[mx.array], wanted: Sequence[Any], tolerance: float = 2e-6) -> None:
    for d, e in zip(found, wanted, strict=True):
        assert d.shape == e.shape
        np.testing.assert_allclose(
            np.array(d.astype(mx.float32)), e, rtol=0, atol=tolerance * max(np.abs(e).max(), 1e-3)
        )


def gradients(loss: Callable[..., mx.array], arrays: Sequence[mx.array]) -> list[mx.array]:
    return list(mx.grad(loss, argnums=tuple(range(len(arrays))))(*arrays))


SHAPES = [(1, 1, 16), (2, 37, 32), (1, 260, 41), (3, 70, 41), (9, 20, 24)]


@pytest.mark.parametrize(("batch", "time", "channels"), thinned(SHAPES, SHAPES[1:3]))
def test_gradients_are_those_of_the_fold_in_order(batch: int, time: int, channels: int, launches: list[bool]) -> None:
    shape = (batch, time, channels)
    arrays = inputs(*shape)
    w = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = gradients(lambda *xs: (scanned(*xs) * mx.array(w)).sum(), [mx.array(x) for x in arrays])
    close(found, expected(arrays, w)[0])
    assert launches == [True]


@pytest.mark.long
@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
def test_first_and_last_states_have_gradients(reverse: bool, launches: list[bool]) -> None:
    arrays = inputs(2, 300, 41)
    rng = np.random.default_rng(1)
    w, h0, end = (rng.standard_normal(s).astype(np.float32) for s in ((2, 300, 41), (41, STATES), (2, 41, STATES)))

    def loss(*xs: mx.array) -> mx.array:
        y, h = scanned(*xs[:5], state=xs[5], reverse=reverse, return_carry=True)
        return (y * mx.array(w)).sum() + (h * mx.array(end)).sum()

    found = gradients(loss, [mx.array(x) for x in (*arrays, h0)])
    turned = [x[:, ::-1] if reverse and x.ndim == 3 else x for x in (*arrays, w)]
    wanted, first = expected(turned[:5], turned[5], h0, end)
    close(found, [*(x[:, ::-1] if reverse and x.ndim == 3 else x for x in wanted), first.sum(0)])
    assert launches == [True]


@pytest.mark.parametrize("leaf", thinned(range(5), [1]))
def test_what_is_not_asked_for_is_not_in_the_way(leaf: int) -> None:
    arrays = inputs(2, 20, 16)
    w = np.ones((2, 20, 16), np.float32)
    given = [mx.array(x) for x in arrays]
    d = mx.grad(lambda *xs: scanned(*xs).sum(), argnums=leaf)(*given)
    close([d], [expected(arrays, w)[0][leaf]])


@pytest.mark.parametrize("dtype", thinned(["float16", "bfloat16", "float64"], ["float16"]))
def test_other_dtypes(dtype: str) -> None:
    with mx.stream(mx.cpu):
        arrays = [mx.array(x).astype(getattr(mx, dtype)) for x in inputs(2, 40, 24, dtype="float64")]
        exact = [np.array(x.astype(mx.float64)) for x in arrays]
        found = gradients(lambda *xs: scanned(*xs).sum(), arrays)
        wanted = expected(exact, np.ones((2, 40, 24)))[0]
        assert [d.dtype for d in found] == [x.dtype for x in arrays]
        bound = {"float16": 2e-3, "bfloat16": 1e-2, "float64": 1e-12}[dtype]
        for d, e in zip(found, wanted, strict=True):
            np.testing.assert_allclose(np.array(d.astype(mx.float64)), e, rtol=0, atol=bound * np.abs(e).max())


def test_bits_do_not_depend_on_threads() -> None:
    given = [mx.array(x) for x in inputs(5, 300, 40)]
    threads, found = build.load().threads(), []
    try:
        for n in (1, 2):
            build.load().set_threads(n)
            found.append([np.array(d) for d in gradients(lambda *xs: (scanned(*xs) ** 2).sum(), given)])
    finally:
        build.load().set_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_no_array_holds_states() -> None:
    given = [mx.array(x) for x in inputs(2, 300, 32)]
    grad = mx.grad(lambda *xs: scanned(*xs).sum(), argnums=tuple(range(5)))
    mx.eval(given, grad(*given))
    mx.clear_cache()  # a buffer from there may be larger than what was asked for
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    found = grad(*given)
    mx.eval(found)
    assert mx.get_peak_memory() - before <= 1.02 * sum(d.nbytes for d in found) + 4096


def test_inputs_that_lie_otherwise() -> None:
    arrays = inputs(2, 33, 32)
    given = [mx.array(x) for x in arrays]
    turned = [mx.array(np.ascontiguousarray(x.swapaxes(-1, -2))).swapaxes(-1, -2) for x in arrays]
    straight, other = (gradients(lambda *xs: scanned(*xs).sum(), xs) for xs in (given, turned))
    close(other, [np.array(d) for d in straight])


def test_rows_that_share_inputs(launches: list[bool]) -> None:
    """Steps that all sequences have in common: their cotangents are summed over these."""
    arrays = inputs(1, 45, 20)
    x = np.random.default_rng(3).standard_normal((6, 45, 20)).astype(np.float32)
    wide = [np.broadcast_to(each, (6, *each.shape[1:])) if each.ndim == 3 else each for each in arrays[:4]]
    found = gradients(lambda *xs: scanned(*xs).sum(), [mx.array(each) for each in (*arrays[:4], x)])
    wanted = expected([*wide, x], np.ones(x.shape))[0]
    close(found, [*(e.sum(0, keepdims=True) if e.ndim == 3 else e for e in wanted[:4]), wanted[4]])
    assert launches == [True]


def test_transforms(launches: list[bool]) -> None:
    arrays = [mx.array(x) for x in inputs(2, 24, 16)]
    loss = lambda *xs: (scanned(*xs) ** 2).sum()  # noqa: E731
    direct = gradients(loss, arrays)
    compiled = mx.compile(mx.grad(loss, argnums=tuple(range(5))))(*arrays)
    close(compiled, [np.array(d) for d in direct])
    others = [mx.array(x) for x in inputs(2, 24, 16)[:1]]
    both = [mx.stack([arrays[0], 2 * others[0]]), *arrays[1:]]
    mapped = mx.vmap(mx.grad(loss, argnums=(0, 1, 2)), in_axes=(0, None, None, None, None))(*both)
    for row in (0, 1):
        one = mx.grad(loss, argnums=(0, 1, 2))(both[0][row], *arrays[1:])
        close([d[row] for d in mapped], [np.array(d) for d in one])
    summed = mx.grad(lambda *xs: mx.vmap(loss, in_axes=(0, None, None, None, None))(*xs).sum(), argnums=(1, 2))(*both)
    close(summed, [np.array(d.sum(0)) for d in mapped[1:]])
    assert all(launches)


def test_derivatives_of_gradients() -> None:
    """A tangent of the gradient against differences of gradients in float64, forward and reverse, and under vmap."""
    arrays = inputs(2, 10, 16)
    arrays[0] = np.minimum(arrays[0], 0.5)
    w = np.random.default_rng(2).standard_normal((2, 10, 16)).astype(np.float32)
    given = [mx.array(x) for x in arrays]
    rng = np.random.default_rng(5)
    along = [rng.standard_normal(x.shape).astype(np.float32) for x in arrays]
    h = 1e-5
    ends = [
        expected([x.astype(np.float64) + s * h * t for x, t in zip(arrays, along, strict=True)], w)[0] for s in (1, -1)
    ]
    wanted = [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)]
    grad = mx.grad(lambda *xs: (scanned(*xs) * mx.array(w)).sum(), argnums=tuple(range(5)))
    tangents = [mx.array(t) for t in along]
    close(mx.jvp(grad, given, tangents)[1], wanted, 2e-5)

    def slope(*xs: mx.array) -> mx.array:
        return sum(((d * t).sum() for d, t in zip(grad(*xs), tangents, strict=True)), mx.array(0.0))

    close(gradients(slope, given), wanted, 2e-5)
    twice = mx.vmap(mx.grad(slope, argnums=(0, 1, 2)), in_axes=(0, None, None, None, None))
    found = twice(mx.stack([given[0]] * 2), *given[1:])
    close([d[1] for d in found], wanted[:3], 2e-5)


@pytest.mark.parametrize(
    ("header", "honest", "wrong"),
    thinned(
        [
            ("recomputed.h", "tiles.states[0] = tiles.before[tile];", "tiles.states[0] = tiles.before[0];"),
            ("recomputed_memory.h", "v[i] = first_lanes(v[i], m);", "v[i] = first_lanes(v[i], m - 1);"),
            ("lane_sums.h", "v[i] = add_blocks<h>(v[i], v[i + h]);", "v[i] = add_blocks<h>(v[i + h], v[i]);"),
            ("summed_tasks.h", "outputs[f.index].data = at", "outputs[f.index].data = (u8*)g->scratch + 64"),
        ],
        [],
    ),
)
def test_a_wrong_loop_is_found(header: str, honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_header(header, honest, wrong, monkeypatch)
    monkeypatch.setattr(recomputed, "COMPILED", Cache(4))
    monkeypatch.setattr(kernels, "COMPILED", Cache(4))
    arrays = inputs(3, 300, 41)
    w = np.random.default_rng(0).standard_normal((3, 300, 41)).astype(np.float32)
    found = gradients(lambda *xs: (scanned(*xs) * mx.array(w)).sum(), [mx.array(x) for x in arrays])
    with pytest.raises(AssertionError):
        close(found, expected(arrays, w)[0])


CAPTURED = [0.3, -0.7]


@pytest.mark.parametrize("channels", thinned([16, 21], [21]))
def test_captured_arrays_of_loops(channels: int, launches: list[bool]) -> None:
    """A leaky integrator whose two constants are captured."""
    xs = np.random.default_rng(0).standard_normal((300, channels))

    def ours(k: mx.array, xs: mx.array) -> mx.array:
        def step(h: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
            h = mx.tanh(k[0] * h + x) * k[1]
            return h, h * k[0]

        return (ms.loop(step, xs, mx.zeros((channels,))) ** 2).sum()

    def plain(k: Any) -> float:
        h, total = np.zeros(channels), 0.0
        for x in xs.astype(np.float32).astype(np.float64):
            h = np.tanh(k[0] * h + x) * k[1]
            total += float(((h * k[0]) ** 2).sum())
        return total

    found = mx.grad(ours)(mx.array(CAPTURED), mx.array(xs.astype(np.float32)))
    e = 1e-6 * np.eye(2)
    k = np.array(mx.array(CAPTURED), np.float64)
    wanted = [(plain(k + e[i]) - plain(k - e[i])) / 2e-6 for i in range(2)]
    np.testing.assert_allclose(np.array(found), wanted, rtol=1e-5)
    assert launches == [True]


@pytest.mark.parametrize("state", thinned([False, True], []))
def test_the_loop_compiles_without_warnings(state: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    plain = recomputed.render_recomputed

    def noted(spec: Any) -> str:
        texts.append(plain(spec))
        return texts[-1]

    monkeypatch.setattr(recomputed, "render_recomputed", noted)
    monkeypatch.setattr(recomputed, "COMPILED", Cache(4))
    first = mx.zeros((16, STATES)) if state else None
    k = mx.array(0.5)

    def loss(*xs: mx.array) -> mx.array:
        y = scanned(*xs, state=first).sum()
        return y + ms.loop(lambda h, x: (k * h + x, (h, x)), xs[4], mx.zeros((16,)), axis=1)[0].sum()

    mx.eval(gradients(loss, [mx.array(x) for x in inputs(2, 9, 16)]))
    mx.eval(mx.grad(lambda k: ms.loop(lambda h, x: (k * h + x, h), mx.ones((9, 16)), mx.zeros((16,))).sum())(k))
    assert len(texts) == 2
    for text in texts:
        compile_source(text)
