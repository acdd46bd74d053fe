"""Gradients of acts on wide states that their first element begins, against float64."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.lowering.gradient import begun

K = 20
Arrays = tuple[np.ndarray, ...]


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a gradient was taken apart at its first element."""
    found: list[int] = []
    own = begun.vjp

    def vjp(*args: Any) -> Any:
        found.append(1)
        return own(*args)

    monkeypatch.setattr(begun, "vjp", vjp)
    return found


def drawn(*shape: int) -> Arrays:
    """Matrices, one for each step or one for all, vectors and weights of states."""
    rng = np.random.default_rng(len(shape))
    matrices = rng.standard_normal((*shape, K, K)) * 0.5 / np.sqrt(K)
    vectors, weights = rng.standard_normal((2, *shape, K))
    return tuple(x.astype(np.float32) for x in (matrices, vectors, weights))


def expected(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> Arrays:
    """The gradients of a weighted sum of states h = a h + b, the first of which is b; time first."""
    a, b, w = (x.astype(np.float64) for x in (a, b, w))
    h = [b[0]]
    for t in range(1, len(b)):
        h.append((a[t] @ h[-1][..., None])[..., 0] + b[t])
    by_a, by_b, g = np.zeros_like(a), np.zeros_like(b), np.zeros_like(b[0])
    for t in reversed(range(len(b))):
        by_b[t] = g = g + w[t]
        if t:
            by_a[t] = g[..., :, None] * h[t - 1][..., None, :]
        g = (np.swapaxes(a[t], -1, -2) @ g[..., None])[..., 0]
    return by_a, by_b


def agree(found: list[mx.array], wanted: Arrays) -> None:
    for d, e in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.array(d), e, rtol=0, atol=2e-5 * max(np.abs(e).max(), 1))


@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
@pytest.mark.parametrize("steps", thinned([1, 2, 7], [7]))
def test_matrices_of_every_step(steps: int, reverse: bool, calls: list[int]) -> None:
    a, b, w = drawn(steps, 3)
    loss = lambda a, b: (ms.act(ms.MatrixAffine(), (a, b), reverse=reverse) * mx.array(w)).sum()  # noqa: E731
    found = mx.grad(loss, argnums=(0, 1))(mx.array(a), mx.array(b))
    order = slice(None, None, -1 if reverse else 1)
    agree(list(found), tuple(x[order] for x in expected(a[order], b[order], w[order])))
    assert len(calls) == 1 or steps == 1


@pytest.mark.parametrize("carry", thinned([False, True], [True]))
def test_one_matrix_for_all_steps(carry: bool, calls: list[int]) -> None:
    _, b, w = drawn(6)
    a = drawn()[0]
    filtered = ms.aggregator(lambda a, b: (a, b), ms.MatrixAffine(), lambda h, a, b: a @ h, event=(2, 1))
    if carry:
        w[:] = 0
        w[-1] = 1

    def loss(a: mx.array, b: mx.array) -> mx.array:
        if carry:
            total: mx.array = ms.scan(filtered, (ms.fixed(a), b), return_carry=True)[1].sum()
            return total
        return (ms.scan(filtered, (ms.fixed(a), b)) * mx.array(w)).sum()

    found = mx.grad(loss, argnums=(0, 1))(mx.array(a), mx.array(b))
    rows = np.broadcast_to(a, (6, K, K))
    if carry:
        by_a, by_b = expected(rows, b, w)
        agree(list(found), (by_a.sum(0), by_b))
    else:
        through = w.astype(np.float64) @ a.astype(np.float64)
        by_a, by_b = expected(rows, b, through)
        h = [b[0].astype(np.float64)]
        for t in range(1, 6):
            h.append(a.astype(np.float64) @ h[-1] + b[t])
        agree(list(found), (by_a.sum(0) + w.astype(np.float64).T @ np.array(h), by_b))
    assert len(calls) == 1


def test_mapped_and_differentiated_again(calls: list[int]) -> None:
    a, b, w = (mx.array(x) for x in drawn(4, 2))
    grad = mx.grad(lambda a, b, w: ((ms.act(ms.MatrixAffine(), (a, b)) * w) ** 2).sum(), argnums=1)
    mapped = mx.vmap(grad, in_axes=(1, 1, 1), out_axes=1)(a, b, w)
    agree([mapped[:, i] for i in range(2)], tuple(np.array(grad(a[:, i], b[:, i], w[:, i])) for i in range(2)))
    slope = mx.grad(lambda b: (grad(a, b, w) * b).sum())(b)  # of a quadratic form
    agree([slope], (2 * np.array(grad(a, b, w)),))
    assert calls


def test_sums_of_no_probability_have_gradients() -> None:
    """The logarithm of nothing and of nothing once more, at the first step too."""
    b = mx.array(drawn(5)[1])

    def present(h: mx.array, a: mx.array, b: mx.array) -> mx.array:
        nothing = mx.where(b > 100, b, -mx.inf)
        return h + mx.exp(mx.logaddexp(nothing, nothing))

    shown = ms.aggregator(lambda a, b: (a, b), ms.MatrixAffine(), present, event=(2, 1))
    a = mx.array(drawn()[0])
    found = mx.grad(lambda b: ms.scan(shown, (ms.fixed(a), b)).sum())(b)
    agree([found], expected(np.broadcast_to(drawn()[0], (5, K, K)), drawn(5)[1], np.ones((5, K)))[1:])
