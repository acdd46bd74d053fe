"""Leaves of an act's elements that are the same at every step."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

TURN = mx.array([[0.9, 0.3], [-0.3, 0.9]])


def test_a_fixed_leaf_stands_for_as_many_copies_as_there_are_steps() -> None:
    b, h = mx.random.normal((3, 40, 2)), mx.random.normal((3, 2))
    for axis, turn in ((0, TURN), (1, TURN), (1, mx.stack([TURN, TURN * 0.5, TURN * 0.1]))):
        copies = mx.repeat(mx.broadcast_to(turn, (40 if axis == 0 else 3, 2, 2))[:, None], 40 if axis else 3, axis=1)
        copies = mx.swapaxes(copies, 0, 1)[:3] if axis == 0 else copies
        state = h if axis else mx.random.normal((40, 2))
        found = ms.act(ms.MatrixAffine(), (ms.fixed(turn), b), state, axis=axis)
        expected = ms.act(ms.MatrixAffine(), (copies, b), state, axis=axis)
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-5)


def test_numbers_and_negative_axes() -> None:
    b = mx.random.normal((4, 30))
    expected = ms.linear_recurrence(0.5, b, axis=1)
    for axis in (1, -1):
        found = ms.act(ms.Affine(), (ms.fixed(0.5), b), mx.zeros((4,)), axis=axis)
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-6, atol=1e-6)
    assert ms.act(ms.MatrixAffine(), (ms.fixed(TURN), mx.ones((4, 30, 2))), axis=-2).shape == (4, 30, 2)


@pytest.mark.parametrize("traced", [1, 40])
def test_gradients_in_a_shapeless_function_are_of_any_length(traced: int) -> None:
    """MLX's rule for what is spread holds the lengths of the trace: wrong sums, or memory that is not there."""
    b, turn = mx.random.normal((2, 40, 2)), mx.array([[0.4, 0.3], [-0.2, 0.5]])

    def loss(turn: mx.array, b: mx.array) -> mx.array:
        return ms.act(ms.MatrixAffine(), (ms.fixed(turn), b), mx.ones((2, 2)), axis=1).square().sum()

    gradient = mx.grad(loss, argnums=(0, 1))
    compiled = mx.compile(gradient, shapeless=True)
    mx.eval(compiled(turn, b[:, :traced]))
    for n in (40, 1, 7):
        for found, wanted in zip(compiled(turn, b[:, :n]), gradient(turn, b[:, :n]), strict=True):
            np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-4, atol=1e-5)


def test_a_shapeless_function_takes_other_lengths() -> None:
    run = mx.compile(lambda x, b: ms.act(ms.MatrixAffine(), (ms.fixed(x), b)), shapeless=True)
    gated = mx.compile(lambda x, b: ms.act(ms.Affine(), (ms.fixed(x), b)), shapeless=True)
    for n in (5, 9):
        b = mx.random.normal((n, 2))
        pairs = (
            (run(TURN, b), ms.act(ms.MatrixAffine(), (ms.fixed(TURN), b))),
            (gated(mx.array(0.5), b[:, 0]), ms.act(ms.Affine(), (ms.fixed(0.5), b[:, 0]))),
        )
        for found, expected in pairs:
            np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("elems", "axis", "message"),
    [
        ((ms.fixed(TURN), ms.fixed(TURN[0])), 0, r"\[act\] MatrixAffine has fixed leaves alone"),
        ((ms.fixed(TURN), mx.ones((3, 2))), 2, r"axis 2 is out of bounds for leaf b with shape \(3, 2\)"),
        (
            (ms.fixed(mx.ones((3, 2, 2))), mx.ones((3, 2))),
            0,
            r"fixed leaf A has shape \(3, 2, 2\): of 0 batch axes at most",
        ),
        ((ms.fixed(1.0), mx.ones((3, 2))), 0, r"fixed leaf A has shape \(\)"),
        ((ms.fixed(TURN), 3.0), 0, r"leaf b is float"),
    ],
)
def test_errors_name_the_leaf(elems: object, axis: int, message: str) -> None:
    with pytest.raises(ms.ScanError, match=message):
        ms.act(ms.MatrixAffine(), elems, axis=axis)
