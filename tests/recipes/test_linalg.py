"""Tridiagonal systems, products out of range, and nonlinear recurrences, against NumPy and loops."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

import monoscan as ms
from monoscan import linalg

Array = np.ndarray


def systems(batch: tuple[int, ...], size: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Diagonals of dominant matrices, with NaN where nothing is to be read."""
    random = np.random.default_rng(seed)
    lower, upper = random.normal(size=(2, *batch, size))
    diagonal = np.sign(random.normal(size=(*batch, size))) * (np.abs(lower) + np.abs(upper) + 0.5)
    lower[..., 0] = upper[..., -1] = np.nan
    return lower, diagonal, upper


def dense(lower: Array, diagonal: Array, upper: Array) -> Array:
    size = diagonal.shape[-1]
    matrix = np.zeros((*diagonal.shape, size))
    matrix[..., np.arange(size), np.arange(size)] = diagonal
    matrix[..., np.arange(1, size), np.arange(size - 1)] = lower[..., 1:]
    matrix[..., np.arange(size - 1), np.arange(1, size)] = upper[..., :-1]
    return matrix


def single(*given: Array) -> list[mx.array]:
    return [mx.array(x.astype(np.float32)) for x in given]


@pytest.mark.parametrize("size", [1, 2, 33])
def test_solutions_of_many_systems(size: int) -> None:
    diagonals = systems((3,), size)
    right = np.random.default_rng(1).normal(size=(3, size, 2))
    ours = linalg.solve_tridiagonal(*single(*diagonals, right))
    np.testing.assert_allclose(ours, np.linalg.solve(dense(*diagonals), right), rtol=1e-4, atol=1e-5)
    vectors = linalg.solve_tridiagonal(*single(*diagonals, right[..., 0]))
    np.testing.assert_allclose(vectors, np.array(ours)[..., 0], rtol=1e-5, atol=1e-6)


def test_one_matrix_for_many_right_hand_sides_in_float64() -> None:
    diagonals = systems((), 40)
    right = np.random.default_rng(1).normal(size=(40, 5))
    ours = linalg.solve_tridiagonal(*(mx.array(x, mx.float64) for x in (*diagonals, right)))
    assert ours.dtype == mx.float64
    np.testing.assert_allclose(ours, np.linalg.solve(dense(*diagonals), right), rtol=1e-12, atol=1e-13)


def test_gradients_solve_the_transposed_system() -> None:
    diagonals = systems((), 12)
    right, weights = np.random.default_rng(2).normal(size=(2, 12))
    given = single(*diagonals, right)

    def loss(*given: mx.array) -> mx.array:
        return (linalg.solve_tridiagonal(*given) * mx.array(weights.astype(np.float32))).sum()

    by_lower, by_diagonal, by_upper, by_right = mx.grad(loss, (0, 1, 2, 3))(*given)
    matrix = dense(*diagonals)
    x, adjoint = np.linalg.solve(matrix, right), np.linalg.solve(matrix.T, weights)
    np.testing.assert_allclose(by_right, adjoint, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(by_diagonal, -adjoint * x, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(by_lower[1:], -adjoint[1:] * x[:-1], rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(by_upper[:-1], -adjoint[:-1] * x[1:], rtol=2e-4, atol=1e-5)
    assert by_lower[0].item() == by_upper[-1].item() == 0


def test_diagonals_that_do_not_fit() -> None:
    one = mx.ones((4,))
    with pytest.raises(ms.ScanError, match=r"\[solve_tridiagonal\] expects dl, d and du of shape \(..., n\)"):
        linalg.solve_tridiagonal(one, one, mx.ones((3,)), one)
    with pytest.raises(ms.ScanTypeError, match="d must be an array of floats"):
        linalg.solve_tridiagonal(one, one.astype(mx.int32), one, one)


def test_products_beyond_the_range_of_floats() -> None:
    random = np.random.default_rng(0)
    matrices = random.uniform(0, 1e-3, (500, 2, 3, 3))
    products, scales = linalg.scaled_matmul(mx.array(matrices.astype(np.float32)))
    expected, scale = np.broadcast_to(np.eye(3), (2, 3, 3)), np.zeros(2)
    for t, matrix in enumerate(matrices):
        expected = expected @ matrix
        greatest = expected.max((1, 2))
        expected, scale = expected / greatest[:, None, None], scale + np.log(greatest)
        if t in (0, 99, 499):
            np.testing.assert_allclose(products[t], expected, rtol=1e-4)
            np.testing.assert_allclose(scales[t], scale, rtol=1e-5)


WEIGHTS = np.random.default_rng(4).normal(size=(3, 3)) * 0.5


def steps_in_order(inputs: Array, state: Array) -> Array:
    found = []
    for x in inputs:
        state = np.tanh(WEIGHTS @ state + x)
        found.append(state)
    return np.stack(found)


def test_newton_finds_the_states_of_the_loop() -> None:
    inputs, state = np.random.default_rng(5).normal(size=(200, 3)), np.array([0.3, -0.2, 0.1])
    weights, x, h = single(WEIGHTS, inputs, state)

    def run(weights: mx.array, x: mx.array, h: mx.array) -> mx.array:
        return linalg.deer(lambda h, x: mx.tanh(weights @ h + x), x, h)

    np.testing.assert_allclose(run(weights, x, h), steps_in_order(inputs, state), atol=2e-5)

    def in_order(weights: mx.array, x: mx.array, h: mx.array) -> mx.array:
        found = []
        for t in range(len(x)):
            h = mx.tanh(weights @ h + x[t])
            found.append(h)
        return mx.stack(found)

    factor = mx.random.normal((200, 3), key=mx.random.key(0))
    ours, expected = (
        mx.grad(lambda *given, f=f: (f(*given) * factor).sum(), (0, 1, 2))(weights, x, h) for f in (run, in_order)
    )
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)


@pytest.mark.long
def test_gradients_pass_on_to_what_inputs_and_captured_weights_are_made_of() -> None:
    """MLX cuts evaluated arrays off that a function closes over which it has differentiated: no gradient, no word."""
    inputs, state = mx.random.normal((3, 12, 2), key=mx.random.key(1)), mx.zeros((2,))
    weights = mx.array([[0.4, -0.3], [0.2, 0.5]])

    def newton(weights: mx.array, x: mx.array) -> mx.array:
        made, shifted = mx.tanh(weights), 2 * x
        return linalg.deer(lambda h, x: mx.tanh((made * h).sum(-1) + x), shifted, state, iterations=12)

    def in_order(weights: mx.array, x: mx.array) -> mx.array:
        made, h, found = mx.tanh(weights), state, []
        for t in range(x.shape[0]):
            h = mx.tanh(made @ h + 2 * x[t])
            found.append(h)
        return mx.stack(found)

    def gradient(run: Any) -> Any:
        return mx.grad(lambda *given: run(*given).square().sum(), (0, 1))

    for kind in (lambda f: f, mx.compile, lambda f: lambda w, x: [y[0] for y in mx.vmap(f, (None, 0))(w, x[None])]):
        ours, expected = kind(gradient(newton))(weights, inputs[0]), gradient(in_order)(weights, inputs[0])
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_derivatives_of_gradients_are_refused() -> None:
    def loss(x: mx.array) -> mx.array:
        return linalg.deer(lambda h, x: mx.tanh(0.5 * h + x), x, mx.zeros((1,))).sum()

    with pytest.raises(ms.ScanError, match=r"\[deer\] derivatives of its gradients .* ms.loop"):
        mx.grad(lambda x: mx.grad(loss)(x).sum())(mx.ones((4, 1)))


def test_steps_may_read_by_index_and_hold_layers() -> None:
    layer, table, words = nn.Linear(3, 3), mx.random.normal((5, 3)), mx.array([0, 4, 2, 2, 1])
    found = linalg.deer(lambda h, word: mx.tanh(0.5 * layer(h) + table[word]), words, mx.zeros((3,)))
    h = mx.zeros((3,))
    for t, word in enumerate(words.tolist()):
        h = mx.tanh(0.5 * layer(h) + table[word])
        np.testing.assert_allclose(found[t], h, atol=1e-5)


def chaotic(h: mx.array, x: mx.array) -> mx.array:
    return 3.9 * h * (1 - h) * x


def test_what_does_not_settle_is_an_error() -> None:
    with pytest.raises(ms.ScanError, match=r"\[deer\] states change by .* still after 3 rounds"):
        linalg.deer(chaotic, mx.ones((64, 1)), mx.array([0.1]), iterations=3)


@pytest.mark.long
def test_what_does_not_settle_in_a_compiled_function_is_no_number() -> None:
    x, h = mx.ones((64, 1)), mx.array([0.1])
    compiled = mx.compile(lambda x, h: linalg.deer(chaotic, x, h, iterations=3))
    assert mx.isnan(compiled(x, h)[1:]).all()  # the first state needs no guess
    settled = mx.compile(lambda x, h: linalg.deer(lambda h, x: 0.5 * mx.sin(h) + x, x, h, iterations=8))
    assert not mx.isnan(settled(x, h)).any()


def test_what_newton_refuses_and_no_steps() -> None:
    def step(h: mx.array, x: mx.array) -> mx.array:
        return h / 2 + x

    with pytest.raises(
        ms.ScanTypeError, match=r"\[deer\] xs must be arrays with the steps along their first axis; got 3"
    ):
        linalg.deer(step, 3.0, mx.zeros((2,)))
    with pytest.raises(ms.ScanTypeError, match=r"\[deer\] state must be an array of floats; got float: 3"):
        linalg.deer(step, mx.ones((4, 2)), 3.0)  # type: ignore[arg-type]
    for wrong in (lambda h, x: None, lambda h, x: (h, x), lambda h, x: h[:1]):
        with pytest.raises(ms.ScanError, match=r"\[deer\] step\(h, x\) returns the next state, of shape \(2,\); got"):
            linalg.deer(wrong, mx.ones((4, 2)), mx.zeros((2,)))  # type: ignore[arg-type, return-value]
    for shape in ((3, 2, 3), (2, 2)):
        with pytest.raises(ms.ScanError, match=r"\[scaled_matmul\] expects square matrices along an axis"):
            linalg.scaled_matmul(mx.ones(shape))
    assert linalg.deer(step, mx.ones((0, 2)), mx.zeros((2,))).shape == (0, 2)
    np.testing.assert_allclose(linalg.deer(step, mx.ones((2, 2)), mx.array([2, 0])), [[2, 1], [2, 1.5]], rtol=1e-6)
