"""Derivatives of ``act``: against differences of the fold in order in float64, and through MLX's transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from act_cases import CASES, N, fold, normal
from selection import thinned

import monoscan as ms
from monoscan import tree

STRATEGIES = ("auto", "brent_kung", "sequential")
STEP = 1e-5
SMOOTH = [i for i, case in enumerate(CASES) if case[0] not in ("FiniteMap", "Bracket")]


def _loss(step: Any, begin: Any, elems: Any, state: Any, weights: list[Any], **options: Any) -> float:
    """A weighted sum of all states and the last one, in float64."""
    states, last = fold(step, begin, elems, state, **options)
    ys = tree.flatten(states)[0] + tree.flatten(last)[0]
    return float(sum((w * y).sum() for w, y in zip(weights, ys, strict=True) if np.asarray(y).dtype.kind == "f"))


def _differences(loss: Callable[[list[Any]], float], leaves: list[Any]) -> list[Any]:
    """Central differences by each number of each leaf of floats."""
    wide = [np.array(x, np.float64) if x.dtype == np.float32 else x for x in map(np.asarray, leaves)]
    found = []
    for x in wide:
        d = np.zeros(x.shape)
        for place in np.ndindex(x.shape) if x.dtype == np.float64 else ():
            kept, sides = x[place], []
            for sign in (1, -1):
                x[place] = kept + sign * STEP
                sides.append(loss(wide))
            x[place] = kept
            d[place] = (sides[0] - sides[1]) / (2 * STEP)
        found.append(d)
    return found


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("number", thinned(SMOOTH, SMOOTH[::3]), ids=[CASES[i][0] for i in SMOOTH])
def test_gradients_are_those_of_the_fold_in_order(number: int, begun: bool, strategy: str) -> None:
    _, operator, elems, state, step, begin = CASES[number]
    if begun and begin is None:
        pytest.skip("no element begins a state")
    leaves, structure = tree.flatten((elems, None if begun else state))
    rng = np.random.default_rng(number)

    def given(values: list[Any]) -> tuple[Any, Any]:
        xs, start = tree.unflatten(structure, values)
        return xs, start

    states, last = fold(step, begin, *given(leaves), reverse=begun)
    weights = [rng.normal(size=np.shape(y)).astype(np.float32) for y in tree.flatten((states, last))[0]]

    def run(values: list[mx.array]) -> mx.array:
        found = ms.act(operator, *given(values), reverse=begun, return_carry=True, strategy=strategy)
        rows = zip(weights, tree.flatten(found)[0], strict=True)
        return sum(((mx.array(w) * y).sum() for w, y in rows if y.dtype == mx.float32), mx.array(0.0))

    def plain(values: list[Any]) -> float:
        return _loss(step, begin, *given(values), weights, reverse=begun)

    arrays = [mx.array(x) for x in leaves]
    floats = [i for i, x in enumerate(arrays) if x.dtype == mx.float32]

    def of_floats(chosen: list[mx.array]) -> mx.array:
        return run([chosen[floats.index(i)] if i in floats else x for i, x in enumerate(arrays)])

    found = mx.grad(of_floats)([arrays[i] for i in floats])
    expected = _differences(plain, leaves)
    for i, d in zip(floats, found, strict=True):
        np.testing.assert_allclose(np.array(d), expected[i], rtol=3e-3, atol=3e-3)


def _pairs() -> tuple[mx.array, mx.array, mx.array]:
    return mx.array(normal(N, 3)), mx.array(normal(N, 3)), mx.array(normal(3))


def _loop(a: mx.array, b: mx.array, h: mx.array) -> mx.array:
    found = []
    for t in range(a.shape[0]):
        h = a[t] * h + b[t]
        found.append(h)
    return mx.stack(found)


def _close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.array(x), np.array(y), rtol=3e-4, atol=3e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_of_exclusive_states(strategy: str) -> None:
    given = _pairs()
    found = mx.grad(
        lambda *xs: (ms.act(ms.Affine(), xs[:2], xs[2], inclusive=False, strategy=strategy) ** 2).sum(), (0, 1, 2)
    )
    expected = mx.grad(lambda a, b, h: (mx.concatenate([h[None], _loop(a, b, h)[:-1]]) ** 2).sum(), (0, 1, 2))
    for d, e in zip(found(*given), expected(*given), strict=True):
        _close(d, e)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tangents_vmap_compile_and_second_derivatives(strategy: str) -> None:
    given = _pairs()

    def run(a: mx.array, b: mx.array, h: mx.array) -> mx.array:
        return ms.act(ms.Affine(), (a, b), h, strategy=strategy)

    moved = [mx.array(normal(*x.shape)) for x in given]
    for f, g in ((run, _loop), (mx.compile(run), _loop)):
        _close(f(*given), g(*given))
        _close(mx.jvp(f, list(given), moved)[1][0], mx.jvp(g, list(given), moved)[1][0])
    many = [mx.array(normal(4, *x.shape)) for x in given]
    _close(mx.vmap(run)(*many), mx.stack([_loop(*(x[i] for x in many)) for i in range(4)]))
    one = mx.vmap(run, in_axes=(None, 0, None))(given[0], many[1], given[2])
    _close(one, mx.stack([_loop(given[0], many[1][i], given[2]) for i in range(4)]))

    def twice(f: Any) -> Any:
        inner = mx.grad(lambda a: (f(a, *given[1:]) ** 2).sum())
        return mx.grad(lambda a: (inner(a) ** 2).sum())(given[0])

    np.testing.assert_allclose(np.array(twice(run)), np.array(twice(_loop)), rtol=2e-3, atol=2e-3)
    mapped = mx.vmap(mx.grad(lambda a: (run(a, *given[1:]) ** 2).sum()))(many[0])
    each = [mx.grad(lambda a: (_loop(a, *given[1:]) ** 2).sum())(many[0][i]) for i in range(4)]
    _close(mapped, mx.stack(each))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_begun_state_has_gradients_under_vmap_too(strategy: str) -> None:
    a = _pairs()[0]
    many = mx.array(normal(4, N, 3))

    def run(b: mx.array) -> mx.array:
        return (ms.act(ms.Affine(), (a, b), strategy=strategy) ** 2).sum()

    each = [mx.grad(lambda x: (_loop(a, x, mx.zeros((3,))) ** 2).sum())(many[i]) for i in range(4)]
    _close(mx.vmap(mx.grad(run))(many), mx.stack(each))


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_begun_state_has_tangents_and_second_derivatives(reverse: bool, strategy: str) -> None:
    a, b, _ = _pairs()
    decay = mx.array(0.7)

    def run(a: mx.array, b: mx.array, decay: mx.array) -> mx.array:
        pulled = ms.Action(lambda s, x: decay * x[0] * s + x[1], lambda x: decay * x[0] * decay + x[1])
        operator = ms.monoid(
            lambda x, y: (decay * x[0] * y[0], decay * y[0] * x[1] + y[1]), right=pulled, name="pulled"
        )
        return ms.act(operator, (a, b), reverse=reverse, strategy=strategy)

    def loop(a: mx.array, b: mx.array, decay: mx.array) -> mx.array:
        order = list(range(N))[::-1] if reverse else list(range(N))
        h, found = decay, {}
        for t in order:
            h = found[t] = decay * a[t] * h + b[t]
        return mx.stack([found[t] for t in range(N)])

    given = [a, b, decay]
    moved = [mx.array(normal(*x.shape)) for x in given]
    _close(mx.jvp(run, given, moved)[1][0], mx.jvp(loop, given, moved)[1][0])

    def twice(f: Any) -> Any:
        inner = mx.grad(lambda *xs: (f(*xs) ** 2).sum(), (0, 1, 2))
        return mx.grad(lambda *xs: sum((d**2).sum() for d in inner(*xs)), (0, 1, 2))(*given)

    for d, e in zip(twice(run), twice(loop), strict=True):
        np.testing.assert_allclose(np.array(d), np.array(e), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_an_action_captures_has_gradients(strategy: str) -> None:
    x = mx.array(normal(N))

    def run(decay: mx.array) -> mx.array:
        pulled = ms.Action(lambda s, e: decay * e + s, lambda e: decay * e)
        return (ms.act(ms.monoid(mx.add, identity=0, right=pulled), x, strategy=strategy) ** 2).sum()

    decay = mx.array(0.7)
    expected = mx.grad(lambda d: (mx.cumsum(d * x) ** 2).sum())(decay)
    _close(mx.grad(run)(decay), expected)


def test_an_untraced_action_has_gradients_by_mlx() -> None:
    top = ms.Action(lambda s, e: mx.sort(s + e), lambda e: mx.sort(e), event=1, states=lambda e: mx.sort(e))
    operator = ms.monoid(mx.add, event=1, right=top, name="sorted")
    x, s = mx.array(normal(5, 3)), mx.array(normal(3))

    def loop(x: mx.array, s: mx.array) -> mx.array:
        found = []
        for t in range(5):
            s = mx.sort(s + x[t])
            found.append(s)
        return mx.stack(found)

    weights = mx.array(normal(5, 3))
    found = mx.grad(lambda *xs: (ms.act(operator, *xs, strategy="sequential") * weights).sum(), (0, 1))(x, s)
    expected = mx.grad(lambda *xs: (loop(*xs) * weights).sum(), (0, 1))(x, s)
    for d, e in zip(found, expected, strict=True):
        _close(d, e)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_of_broadcast_states_are_summed(strategy: str) -> None:
    a, b, _ = _pairs()
    h = mx.array(normal(2, 1))
    found = mx.grad(lambda *xs: (ms.act(ms.Affine(), xs[:2], xs[2], strategy=strategy) ** 2).sum(), (0, 1, 2))(a, b, h)
    expected = mx.grad(lambda a, b, h: (_loop(a[:, None], b[:, None], h) ** 2).sum(), (0, 1, 2))(a, b, h)
    for d, e in zip(found, expected, strict=True):
        _close(d, e)


def test_gradients_of_halves_and_complex_states() -> None:
    a, b, h = (x.astype(mx.float16) for x in _pairs())
    found = mx.grad(lambda b: ms.act(ms.Affine(), (a, b), h).astype(mx.float32).sum())(b)
    assert found.dtype == mx.float16
    exact = mx.grad(lambda b: _loop(a.astype(mx.float32), b, h.astype(mx.float32)).sum())(b.astype(mx.float32))
    np.testing.assert_allclose(np.array(found), np.array(exact), rtol=2e-3, atol=2e-3)
    gate = mx.array((normal(N) + 1j * normal(N)).astype(np.complex64))
    x = mx.array(normal(N))

    def loss(f: Any) -> Any:
        return mx.grad(lambda g: mx.abs(f(g)).sum())(gate)

    ours = loss(lambda g: ms.act(ms.Affine(), (g, x.astype(mx.complex64)), mx.array(1 + 1j)))
    theirs = loss(lambda g: _loop(g, x.astype(mx.complex64), mx.array(1 + 1j)))
    _close(ours, theirs)
