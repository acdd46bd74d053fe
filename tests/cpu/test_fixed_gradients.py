"""Gradients of leaves that are the same at every step: summed over the steps as the loop goes back."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

pytestmark = pytest.mark.usefixtures("kernels_are_built")


def problem(k: int, rows: tuple[int, ...], seeded: bool) -> tuple[list[mx.array], mx.array]:
    """A matrix, vectors step by step and a first state; and weights of the results."""
    rng = np.random.default_rng(k)
    arrays = [rng.standard_normal((k, k)) * 0.8 / k**0.5, rng.standard_normal((*rows, 37, k))]
    arrays += [rng.standard_normal((*rows, k))] if seeded else []
    weights = rng.standard_normal((*rows, 37, k))
    return [mx.array(x.astype(np.float32)) for x in arrays], mx.array(weights.astype(np.float32))


def walked(arrays: Any, w: mx.array, reverse: bool, inclusive: bool) -> mx.array:
    """The weighted sum of states, one after the other, in float64."""
    matrix, b, *h0 = arrays
    ys, h = [], h0[0] if h0 else None
    for t in range(37)[:: -1 if reverse else 1]:
        x = b[..., t, :]
        after = x if h is None else (matrix @ h[..., None])[..., 0] + x
        ys.append(after if inclusive else h)
        h = after
    return (mx.stack(ys[:: -1 if reverse else 1], axis=-2) * w.astype(mx.float64)).sum()


def close(found: Any, wanted: Any, rtol: float = 2e-5) -> None:
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=0, atol=rtol * np.abs(np.array(y)).max())


CASES = [
    (2, (), False, True, True), (2, (2,), True, True, False), (12, (2,), False, True, False), (12, (), True, False, True),
    (3, (20,), False, True, True),
]  # fmt: skip


@pytest.mark.parametrize(("k", "rows", "reverse", "inclusive", "seeded"), thinned(CASES, CASES[2:3]))
def test_they_are_those_of_the_walk(
    k: int, rows: tuple[int, ...], reverse: bool, inclusive: bool, seeded: bool
) -> None:
    arrays, w = problem(k, rows, seeded)
    every = tuple(range(len(arrays)))

    def loss(*arrays: mx.array) -> mx.array:
        elems, start = (ms.fixed(arrays[0]), arrays[1]), arrays[2] if seeded else None
        return (w * ms.act(ms.MatrixAffine(), elems, start, axis=len(rows), reverse=reverse, inclusive=inclusive)).sum()

    exact = [x.astype(mx.float64) for x in arrays]
    gradient = mx.grad(loss, argnums=every)
    with mx.stream(mx.cpu):
        wanted = mx.grad(lambda *x: walked(x, w, reverse, inclusive), argnums=every)(*exact)
        turned = mx.grad(lambda a: mx.grad(lambda *x: walked(x, w, reverse, inclusive))(a, *exact[1:])[0, 1])(exact[0])
    close(gradient(*arrays), wanted)
    close(mx.compile(gradient)(*arrays), wanted)
    close([mx.grad(lambda a: mx.grad(loss)(a, *arrays[1:])[0, 1])(arrays[0])], [turned], 5e-5)
    both = mx.vmap(lambda a: mx.grad(loss)(a, *arrays[1:]))(mx.stack([arrays[0] * 0.5, arrays[0]]))
    close(both[1:], wanted[:1])
    tangents = [mx.ones_like(x) for x in arrays]
    ((moved,),) = mx.jvp(lambda *x: [loss(*x)], arrays, tangents)[1:]
    slope = sum(float(np.array(d).sum()) for d in wanted)
    np.testing.assert_allclose(
        moved.item(), slope, rtol=2e-5, atol=2e-5 * max(np.abs(np.array(d)).sum() for d in wanted)
    )


def test_no_step_of_a_fixed_matrix_has_a_cotangent_of_its_own() -> None:
    turn = mx.array([[0.9, 0.3], [-0.3, 0.8]])
    b = mx.random.normal((2, 20000, 2))

    def loss(turn: mx.array, b: mx.array) -> mx.array:
        return ms.act(ms.MatrixAffine(), (ms.fixed(turn), b), mx.zeros((2, 2)), axis=1).square().sum()

    gradient = mx.grad(loss, argnums=(0, 1))
    mx.eval(gradient(turn, b))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(gradient(turn, b))
    assert mx.get_peak_memory() - before <= 2.2 * b.nbytes  # states, and the cotangents that take their place


def test_a_state_of_fixed_leaves_alone_knows_how_many_steps_there_are() -> None:
    """Powers, beside a sum: the first state reads no leaf that has steps."""
    operator = ms.Tuple(ms.Product(), ms.Sum())
    found = ms.act(operator, (ms.fixed(mx.array([2.0, 0.5])), mx.ones((5, 1))), (mx.ones((2,)), mx.zeros((1,))))
    np.testing.assert_array_equal(np.array(found[0]), np.array([2.0, 0.5]) ** np.arange(1, 6)[:, None])
    np.testing.assert_array_equal(np.array(found[1]), np.arange(1.0, 6.0)[:, None])


def test_tangents_of_a_state_that_fixed_leaves_alone_move() -> None:
    """It has all steps, beside another that elements move step by step."""
    matrix, logs, start = mx.array([[0.5, 0.2], [0.3, 0.6]]), mx.zeros((5,)), (mx.array([0.4, 0.6]), mx.array(0.0))

    def states(matrix: mx.array) -> list[mx.array]:
        return list(ms.act(ms.ScaledMatMul(), (ms.fixed(matrix), logs), start))

    (rows, scales), moved = mx.jvp(states, [matrix], [mx.ones_like(matrix)])
    step = 1e-3
    for y, slope in zip((rows, scales), moved, strict=True):
        assert slope.shape == y.shape
    ahead, behind = states(matrix + step), states(matrix - step)
    for slope, y, x in zip(moved, ahead, behind, strict=True):
        np.testing.assert_allclose(np.array(slope), (np.array(y) - np.array(x)) / (2 * step), atol=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("k", [2, 12])
def test_steps_that_do_not_count_add_nothing_to_them(k: int) -> None:
    (matrix, b, h0), w = problem(k, (2,), True)
    counted = mx.array([37, 20])
    valid = (mx.arange(37) < counted[:, None])[..., None]

    def loss(matrix: mx.array, b: mx.array) -> mx.array:
        return (w * valid * ms.act(ms.MatrixAffine(), (ms.fixed(matrix), b), h0, axis=1, lengths=counted)).sum()

    def exact(matrix: mx.array, b: mx.array) -> mx.array:
        return walked((matrix, b, h0.astype(mx.float64)), w * valid, False, True)  # what does not count comes last

    found = mx.grad(loss, argnums=(0, 1))(matrix, b)
    with mx.stream(mx.cpu):
        wanted = mx.grad(exact, argnums=(0, 1))(matrix.astype(mx.float64), b.astype(mx.float64))
    close(found, wanted)
