"""Gradients where functions have kinks: zeros, ties, infinities, junk behind a reset."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gradient_oracle import numpy_of
from selection import thinned
from support import GRAPH, PORTABLE

import monoscan as ms


def values(x: mx.array) -> list[float]:
    return [float(v) for v in numpy_of(x).ravel()]


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("zeros", [(), (1,), (1, 3), (0,), (4,), (0, 1, 2, 3, 4)])
def test_products_with_zeros_divide_by_nothing(zeros: tuple[int, ...], strategy: str) -> None:
    x = np.array([2.0, 3.0, 5.0, 7.0, 11.0])
    x[list(zeros)] = 0
    want = [sum(np.prod(np.delete(x[: t + 1], i)) for t in range(i, 5)) for i in range(5)]
    got = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy=strategy).sum())(mx.array(x.astype(np.float32)))
    assert values(got) == want


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("operator", [ms.Max(), ms.Min()], ids=lambda op: op.name)
def test_a_tie_goes_to_the_latest(operator: ms.Monoid, strategy: str) -> None:
    x = mx.array([1.0, 1.0, 1.0, 1.0])
    assert values(mx.grad(lambda x: ms.scan(operator, x, strategy=strategy).sum())(x)) == [1, 1, 1, 1]
    assert values(mx.grad(lambda x: ms.fold(operator, x, strategy=strategy))(x)) == [0, 0, 0, 1]
    moved = mx.jvp(lambda x: ms.scan(operator, x, strategy=strategy), [x], [mx.array([1.0, 2.0, 3.0, 4.0])])[1][0]
    assert values(moved) == [1, 2, 3, 4]
    assert values(mx.grad(lambda x: ms.scan(operator, x, strategy=strategy, reverse=True).sum())(x)) == [1, 1, 1, 1]


def test_ties_are_those_of_mlx() -> None:
    x, run = mx.array([1.0, 3.0, 3.0, 2.0, 3.0]), mx.cummax
    want = mx.grad(lambda x: run(x).sum())(x)
    for strategy in (*PORTABLE, "native"):
        assert values(mx.grad(lambda x, s=strategy: ms.scan(ms.Max(), x, strategy=s).sum())(x)) == values(want)


LOW = -np.inf


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("x", [[LOW, LOW, 0.0, LOW], [0.0, LOW, LOW, 1.0], [LOW, LOW], [LOW, 2.0]])
def test_log_sums_of_minus_infinity_have_no_nan(x: list[float], strategy: str) -> None:
    array = mx.array(x)
    total = mx.grad(lambda x: ms.fold(ms.LogSumExp(), x, strategy=strategy))(array)
    if max(x) > LOW:
        want = np.exp(np.array(x) - np.logaddexp.reduce(x))
        np.testing.assert_allclose(np.array(total), want, rtol=1e-6)
    for run in (ms.scan, ms.fold):
        grad = mx.grad(lambda x, run=run: run(ms.LogSumExp(), x, strategy=strategy).sum())
        assert np.isfinite(np.array(grad(array))).all()
        assert np.isfinite(np.array(mx.grad(lambda x, grad=grad: grad(x).sum())(array))).all()


def of_softmax(x: mx.array, strategy: str) -> mx.array:
    softmax = ms.OnlineSoftmax()
    return softmax.project(ms.fold(softmax, softmax.embed(x), strategy=strategy))


@pytest.mark.parametrize("strategy", thinned([*GRAPH, "sequential"], ["sequential", "hillis_steele"]))
@pytest.mark.parametrize("run", [lambda x, strategy: ms.fold(ms.LogSumExp(), x, strategy=strategy), of_softmax])
def test_log_sums_of_ties_have_both_derivatives(run: Any, strategy: str) -> None:
    x = np.array([1.0, 1.0, 0.5, 1.0])
    share = np.exp(x) / np.exp(x).sum()
    first, array = mx.grad(lambda x: run(x, strategy)), mx.array(x.astype(np.float32))
    np.testing.assert_allclose(np.array(first(array)), share, rtol=1e-5)
    second = mx.grad(lambda x: first(x)[0])(array)
    np.testing.assert_allclose(np.array(second), share[0] * ([1, 0, 0, 0] - share), rtol=1e-5)


def test_attention_to_keys_that_tie() -> None:
    keys, values = np.array([[1.0, 2.0], [1.0, 2.0], [0.5, 0.0]]), np.array([2.0, -1.0, 3.0])
    query = np.array([1.0, 0.5])
    weights = np.exp(keys @ query) / np.exp(keys @ query).sum()
    attention, v = ms.aggregators.Attention(scale=1.0), mx.array(values.astype(np.float32))[:, None]
    got = mx.grad(lambda k: ms.fold(attention, (ms.fixed(mx.array(query.astype(np.float32))), k, v)).sum())(
        mx.array(keys.astype(np.float32))
    )
    np.testing.assert_allclose(np.array(got), (weights * (values - weights @ values))[:, None] * query, rtol=1e-5)


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
def test_online_softmax_of_masked_scores_has_no_nan(strategy: str) -> None:
    softmax, x = ms.OnlineSoftmax(), mx.array([LOW, LOW, 0.0, LOW, 1.0])
    got = mx.grad(lambda x: softmax.project(ms.fold(softmax, softmax.embed(x), strategy=strategy)))(x)
    np.testing.assert_allclose(np.array(got), np.array(mx.softmax(x)), rtol=1e-5, atol=1e-7)
    for leaf in (0, 1):
        each = mx.grad(
            lambda x, i=leaf: mx.where(x > LOW, ms.scan(softmax, softmax.embed(x), strategy=strategy)[i], 0).sum()
        )(x)
        assert np.isfinite(np.array(each)).all()


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, 0.0])
def test_junk_that_is_not_valid_leaks_nothing(junk: float, strategy: str) -> None:
    valid, x = mx.array([True, False, True, False, True]), mx.array([2.0, junk, 3.0, junk, 5.0])
    for operator in (ms.Product(), ms.LogSumExp(), ms.Sum()):
        clean = mx.grad(lambda x, op=operator: ms.scan(op, x).sum())(x[::2])
        got = mx.grad(lambda x, op=operator: ms.scan(ms.Maybe(op), (valid, x), strategy=strategy)[1][::2].sum())(x)
        np.testing.assert_allclose(np.array(got), [clean[0].item(), 0, clean[1].item(), 0, clean[2].item()], rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("junk", thinned([np.nan, np.inf, 0.0], [np.nan, 0.0]))
@pytest.mark.parametrize("operator", [ms.Product(), ms.Sum(), ms.LogSumExp()], ids=lambda op: op.name)
def test_no_gradient_passes_a_reset(operator: ms.Monoid, junk: float, inclusive: bool, strategy: str) -> None:
    """Junk in one segment leaves the gradients of those before and after it alone."""
    heads = mx.array([True, False, True, False, False, True, False])
    x, w = mx.array([2.0, 0.5, 3.0, junk, 7.0, 5.0, 0.25]), mx.array([0.3, 1.5, -0.7, 0.9, 2.0, 0.8, -1.0])

    def loss(x: mx.array) -> mx.array:
        y = ms.scan(ms.Segmented(operator), (heads, x), inclusive=inclusive, strategy=strategy)[1]
        return (mx.where(mx.abs(y) == mx.inf, 0, y) * w).sum()  # identities of -inf

    def part(x: mx.array, w: mx.array) -> mx.array:
        y = ms.scan(operator, x, inclusive=inclusive)
        return (mx.where(mx.abs(y) == mx.inf, 0, y) * w).sum()

    got = mx.grad(loss)(x)
    for segment in (slice(0, 2), slice(5, 7)):
        np.testing.assert_allclose(np.array(got[segment]), np.array(mx.grad(part)(x[segment], w[segment])), rtol=1e-6)


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
def test_a_guarded_function_leaks_nothing(strategy: str) -> None:
    """``where(x > 0, sqrt(x), 0)``: MLX's own rule would multiply infinity by zero."""
    norm = ms.monoid(lambda l, r: mx.where(l + r > 0, mx.sqrt(l * l + r * r), 0.0), identity=0)
    got = mx.grad(lambda x: ms.scan(norm, x, strategy=strategy).sum())(mx.zeros((4,)))
    assert values(got) == [1, 0, 0, 0]


def test_scores_that_are_all_infinite_share_the_weight() -> None:
    for score in (float("inf"), -float("inf")):
        top, weight = ms.fold(ms.OnlineSoftmax(), (mx.full((3,), score), mx.ones((3,))))
        assert (top.item(), weight.item()) == (score, 3.0)
