"""Any rank: many axes that do not merge, the scan axis anywhere among them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

import monoscan as ms

RNG = np.random.default_rng(11)


def recurrence(a: NDArray[np.float64], b: NDArray[np.float64], axis: int, reverse: bool) -> NDArray[np.float64]:
    a, b = np.broadcast_arrays(a, b)
    h = np.zeros_like(b)
    state = np.zeros_like(np.take(b, 0, axis))
    for t in range(b.shape[axis])[:: -1 if reverse else 1]:
        at = (slice(None),) * axis + (t,)
        state = a[at] * state + b[at]
        h[at] = state
    return h


def gate(rank: int, axis: int) -> tuple[int, ...]:
    """Sizes of 1 at every second axis but the scan axis: nothing beside it merges."""
    return tuple(3 if d == axis else 1 + d % 2 for d in range(rank))


def state(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(3 if d == axis else 2 for d in range(rank))


def uniform(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return RNG.uniform(0.5, 1.5, shape)


@pytest.mark.parametrize("rank", [9, 11, 14])
def test_a_broadcast_gate_of_any_rank_is_scanned(rank: int) -> None:
    for axis in (0, 4, rank - 2, rank - 1):
        a, b = uniform(gate(rank, axis)), uniform(state(rank, axis))
        got = ms.linear_recurrence(mx.array(a, mx.float32), mx.array(b, mx.float32), axis=axis)
        np.testing.assert_allclose(np.array(got), recurrence(a, b, axis, False), rtol=1e-5)


def test_leaves_that_broadcast_against_each_other_at_alternate_axes_are_scanned_backwards() -> None:
    a, b = uniform((4, *(1, 2) * 5)), uniform((4, *(2, 1) * 5))
    got = ms.linear_recurrence(mx.array(a, mx.float32), mx.array(b, mx.float32), reverse=True)
    np.testing.assert_allclose(np.array(got), recurrence(a, b, 0, True), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 5, 10])
def test_gradients_of_a_broadcast_gate_of_rank_eleven(axis: int) -> None:
    a, b = uniform(gate(11, axis)), uniform(state(11, axis))
    got = mx.grad(lambda a, b: ms.linear_recurrence(a, b, axis=axis).sum(), argnums=(0, 1))(
        mx.array(a, mx.float32), mx.array(b, mx.float32)
    )
    h = recurrence(a, b, axis, False)
    full = np.broadcast_to(a, b.shape)
    first = [slice(None)] * 11
    first[axis] = slice(0, 1)
    following = np.concatenate([np.delete(full, 0, axis), np.zeros_like(full[tuple(first)])], axis)
    g = recurrence(following, np.ones_like(b), axis, True)
    before = np.concatenate([np.zeros_like(h[tuple(first)]), np.delete(h, -1, axis)], axis)
    spread = tuple(d for d in range(11) if a.shape[d] == 1)
    np.testing.assert_allclose(np.array(got[0]), (g * before).sum(spread, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(np.array(got[1]), g, rtol=1e-5)


def test_strided_views_of_many_axes_are_scanned_where_they_lie() -> None:
    order = [10, 3, 7, 0, 9, 1, 8, 5, 2, 6, 4]
    b = uniform((3, *(2,) * 10))
    x = mx.array(b, mx.float32).transpose(*order)[::-1]
    axis = order.index(0)
    got = ms.scan(ms.Affine(), (mx.full(x.shape, 0.5), x), axis=axis)[1]
    want = recurrence(np.full(x.shape, 0.5), b.transpose(order)[::-1], axis, False)
    np.testing.assert_allclose(np.array(got), want, rtol=1e-5)


def test_views_that_collapse_further_than_their_shapes_say_are_scanned() -> None:
    """A gate of one number per step, spread over all columns: eighteen of them, for a kernel made for three."""
    b = uniform((5, 3, 2, 3))
    for shape in ((5, 1, 1, 3), (5, 1, 2, 3), (5, 3, 1, 3)):
        number = uniform((5, 1, 1, 1))
        gates = mx.broadcast_to(mx.array(number, mx.float32), shape)
        for reverse in (False, True):
            got = ms.linear_recurrence(gates, mx.array(b, mx.float32), reverse=reverse)
            np.testing.assert_allclose(np.array(got), recurrence(number, b, 0, reverse), rtol=1e-5)
        d = mx.grad(lambda g: ms.linear_recurrence(g, mx.array(b, mx.float32)).sum())(gates)
        assert d.shape == shape
