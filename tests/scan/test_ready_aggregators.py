"""The aggregators of `ms.aggregators` against what NumPy says at every position."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from aggregator_support import T, close, decays, exact, normal
from selection import thinned

import monoscan as ms
from monoscan import aggregators


def _skew(head: Any) -> float:
    d = head - head.mean()
    return (d**3).mean() / (d**2).mean() ** 1.5


def _kurtosis(head: Any) -> float:
    d = head - head.mean()
    return (d**4).mean() / (d**2).mean() ** 2 - 3


READY: list[tuple[ms.Aggregator, Any]] = [
    (aggregators.Count(), len),
    (aggregators.Sum(), np.sum),
    (aggregators.Product(), np.prod),
    (aggregators.Min(), np.min),
    (aggregators.Max(), np.max),
    (aggregators.First(), lambda head: head[0]),
    (aggregators.Last(), lambda head: head[-1]),
    (aggregators.Mean(), np.mean),
    (aggregators.Variance(), np.var),
    (aggregators.Variance(ddof=1), lambda head: np.var(head, ddof=1)),
    (aggregators.Std(ddof=1), lambda head: np.std(head, ddof=1)),
    (aggregators.Skewness(), _skew),
    (aggregators.Kurtosis(), _kurtosis),
    (aggregators.LogSumExp(), np.logaddexp.reduce),
    (aggregators.EMA(0.3), lambda head: (w := decays(0.3, len(head) - 1)) @ head / w.sum()),
]


@pytest.mark.parametrize(("aggregator", "of"), thinned(READY, READY[9::5]), ids=[repr(each) for each, _ in READY])
def test_a_ready_one_presents_what_it_is_called_at_every_position(aggregator: ms.Aggregator, of: Any) -> None:
    x = normal(T)
    found, last = ms.scan(aggregator, mx.array(x)), ms.fold(aggregator, mx.array(x))
    for t in range(2, T):
        close(found[t], of(exact(x[: t + 1])))
    close(last, of(exact(x)))
    assert pickle.loads(pickle.dumps(aggregator)) == aggregator


def test_they_print_as_the_calls_that_make_them_and_not_as_operators() -> None:
    for aggregator in [*(each for each, _ in READY), aggregators.Attention(scale=0.5), aggregators.Moments(3)]:
        assert eval(repr(aggregator), vars(ms)) == aggregator
    both = ms.join(low=aggregators.Min(), high=aggregators.Max())
    assert eval(repr(both), vars(ms)) == both


def test_numbers_of_numpy_are_numbers() -> None:
    assert aggregators.EMA(np.float32(0.5)) == aggregators.EMA(0.5)
    assert aggregators.Std(ddof=np.int64(1)) == aggregators.Std(ddof=1)
    assert repr(aggregators.Moments(np.int64(3))) == "aggregators.Moments(order=3)"
    assert repr(aggregators.Attention(np.float32(0.5))) == "aggregators.Attention(scale=0.5)"


def test_wrong_fields_are_refused_when_they_are_given() -> None:
    with pytest.raises(ms.ScanError, match="order must be 2, 3 or 4; got 5"):
        aggregators.Moments(5)
    with pytest.raises(ms.ScanTypeError, match="scale must be a number, or None; got 'x'"):
        aggregators.Attention("x")  # type: ignore[arg-type]


def test_a_rate_that_is_an_array_is_compared_and_copied() -> None:
    rates = mx.array([0.5, 0.2])
    average = aggregators.EMA(rates)
    assert average == aggregators.EMA(rates)
    assert average != aggregators.EMA(mx.array([0.5, 0.2]))
    x = mx.ones((3, 2))
    assert mx.array_equal(ms.scan(copy.deepcopy(average), x), ms.scan(average, x))


def test_all_ready_ones_at_once_present_the_same() -> None:
    x = normal(T)
    found = ms.scan(ms.join(**{f"n{i}": each for i, (each, _) in enumerate(READY)}), mx.array(x))
    for i, (_, of) in enumerate(READY):
        close(found[f"n{i}"][-1], of(exact(x)))


def test_where_extremes_stand_is_counted_along_the_sequence() -> None:
    x = normal(T, 3)
    found = ms.scan(aggregators.ArgMax(), (mx.array(x), ms.position))
    assert np.array_equal(np.array(found), [[x[: t + 1, j].argmax() for j in range(3)] for t in range(T)])
    assert ms.fold(aggregators.ArgMin(), (mx.array(x[:, 0]), ms.position)).item() == x[:, 0].argmin()


def test_truth_values_are_counted_and_joined() -> None:
    seen = np.array([False, True, True, False])
    found = ms.fold(ms.join(n=aggregators.Count(), any=aggregators.Any(), all=aggregators.All()), mx.array(seen))
    assert {key: value.item() for key, value in found.items()} == {"n": 2, "any": True, "all": False}


def test_attention_of_one_query_is_the_softmax_of_all_scores_and_leaves_masked_keys_out() -> None:
    query, keys, values = normal(5), normal(2, T, 5), normal(2, T, 3)
    keys[:, 2] = 0
    found = ms.fold(aggregators.Attention(), (ms.fixed(mx.array(query)), mx.array(keys), mx.array(values)), axis=1)
    scores = exact(keys) @ query * 5**-0.5
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    close(found, np.einsum("bt,btd->bd", weights, values))
    operator = aggregators.Attention.operator
    masked = operator.embed(mx.array([-mx.inf, -mx.inf]), mx.array([[mx.inf], [1.0]]))
    assert operator.project(ms.fold(operator, masked)).tolist() == [0.0]
