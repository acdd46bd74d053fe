"""``mx.vmap`` along any axis of arrays that have fewer axes than others."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms


class Leak(ms.Aggregator):
    operator, event = ms.Affine(), (0, 0)

    def prepare(self, rate: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        return rate, x

    def present(self, h: mx.array, rate: mx.array, x: mx.array) -> mx.array:
        return h * rate


def captured(w: mx.array, x: mx.array) -> mx.array:
    return ms.scan(ms.monoid(lambda left, right: left + right + w[0] * w[1] * left * right), x)


NARROW = {
    "capture": lambda w, x: captured(w[0], x),
    "element": lambda w, x: ms.scan(ms.Affine(), (w, x))[1],
    "init": lambda w, x: ms.scan(ms.Sum(), x, init=w[0]),
    "state": lambda w, x: ms.act(ms.Affine(), (x, x), w[0]),
    "fixed": lambda w, x: ms.scan(Leak(), (ms.fixed(w[0]), x)),
    "first": lambda w, x: ms.scan(Leak(), (x, x), state=w[0]),
    "fixed leaf": lambda w, x: ms.act(ms.Affine(), (ms.fixed(w[0]), x)),
    "window": lambda w, x: ms.window(ms.Affine(), (w, x), 2)[1],
    "mean": lambda w, x: ms.scan(ms.Mean(), ms.Mean().embed(x, mx.abs(w)))[0],
}


@pytest.mark.parametrize("name", NARROW)
def test_maps_along_the_last_axis_of_what_has_fewer_axes(name: str) -> None:
    """A mapped axis is not lost among axes of size 1 that are put in front of it."""
    w, x = mx.random.normal((2, 2, 2)), mx.random.normal((2, 3, 4, 2))
    found = mx.vmap(NARROW[name], in_axes=(2, None))(w, x)
    expected = mx.stack([NARROW[name](w[..., i], x) for i in range(2)])
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-6)


def test_maps_of_gradients_along_the_last_axis_of_one_position() -> None:
    """Axes of size 1 that are taken away come back in the gradient."""
    x = mx.random.normal((1, 1, 4))
    grad = mx.grad(lambda w: ms.window(Leak(), (w, x), 5, 1).sum())
    w = mx.random.normal((1, 1, 4, 3))
    found = mx.vmap(grad, in_axes=3)(w)
    expected = mx.stack([grad(w[..., i]) for i in range(3)])
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-6)
