"""What aggregators refuse, and how they say it."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from aggregator_support import T, made

import monoscan as ms
from monoscan import aggregators, errors

MEAN, SUM = aggregators.Mean(), ms.Sum()
ONE, PAIR = mx.ones((T,)), mx.ones((T, 2))


def test_a_kernel_that_is_asked_for_and_not_there_is_an_error() -> None:
    with pytest.raises(errors.StrategyError, match="strategy='kernel' cannot run it: not traceable"):
        ms.scan(made(lambda x: x + mx.fft.fft(x[None])[0].real), ONE, strategy="kernel")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ms.scan(MEAN, ONE, init=1), "takes no init; give state="),
        (lambda: ms.scan(SUM, ONE, state=1), "state is no argument of scan; give init="),
        (lambda: ms.scan(aggregators.SelectiveScan(), (ONE, ONE)), r"expects its inputs \(delta, A, B, C, x\); got 2"),
        (lambda: ms.scan(MEAN, (ONE, ONE[:1])), r"What is the same at each position is ms.fixed\(x\)"),
        (lambda: ms.scan(MEAN, (ONE, ONE[:3])), "must have one length"),
        (lambda: ms.scan(MEAN, ms.fixed(1.0)), "needs an input with a time axis"),
        (lambda: ms.scan(MEAN, 3.0), r"ms.fixed\(3.0\) is the same"),
        (lambda: ms.scan(MEAN, (PAIR, mx.ones((T, 3)))), "batch shapes of inputs must broadcast"),
        (lambda: ms.scan(aggregators.EMA(0.1), PAIR, state=(mx.ones(3), mx.ones(3))), "of the state and of inputs"),
        (lambda: ms.scan(aggregators.EMA(0.1), PAIR, state=mx.ones(2)), r"acts on a state \(h, h\)"),
        (lambda: ms.scan(made(lambda x: (x, x)), ONE), "prepare must return an element of Sum"),
        (lambda: ms.scan(made(lambda x: x, ms.MatMul()), ONE), "fewer axes than the 2"),
        (lambda: ms.scan(made(lambda x: 3.0), ONE), "prepare must return arrays; it returned float 3.0"),
        (lambda: ms.scan(made(lambda x: x, present=lambda s, x: None), ONE), "present must return arrays"),
        (lambda: ms.scan(made(lambda x: x, ms.MatMul(), event=2), mx.ones((T, 2, 2))), "no element begins a state"),
        (lambda: ms.scan(made(lambda x: x if x > 0 else -x), ONE), r"Use mx.where"),
        (lambda: ms.scan(made(lambda x: x.reshape(3)), ONE), r"\[scan\] <lambda>: prepare fails on"),
        (lambda: ms.scan(made(lambda x: x, event=(0, 0)), ONE), "event names 2 inputs"),
        (lambda: ms.scan(made(lambda x, t: x, event=1), (PAIR, ms.position)), "its event is 0"),
        (lambda: ms.scan(MEAN, ONE, inclusive=False), "the first the one given: give state"),
        (lambda: ms.fold(made(lambda x: x, present=lambda s, x: s / x), ONE), r"present reads input 0"),
        (lambda: ms.fold(made(lambda x, t: x, present=lambda s, x, t: s / t), (ONE, ms.position)), "the position"),
        (lambda: ms.scan(aggregators.Mean, ONE), r"got the class Mean. Call it: Mean\(\)"),
        (lambda: ms.act(MEAN, ONE), "the aggregator Mean, which ms.scan and ms.fold take"),
        (lambda: MEAN.step(None, ms.position), "The position is an array"),
        (lambda: aggregators.SelectiveScan().step(None, *[ONE[0]] * 5), "fewer axes than the 1 of its event"),
        (lambda: aggregators.EMA(2.0), r"alpha must be in \(0, 1\]"),
        (lambda: aggregators.Variance(-1), "ddof must be 0 or more"),
        (lambda: ms.aggregator(3, SUM, lambda s, x: s), "prepare must be a function"),
        (lambda: ms.aggregator(lambda x: x, ms.Sum, lambda s, x: s), "operator must be an operator"),
        (lambda: ms.join(a=3), "a must be an aggregator"),
        (lambda: ms.join(), "expects at least one aggregator"),
        (lambda: ms.join(a=MEAN, b=aggregators.Attention()), "aggregators of the same inputs have one event"),
        (lambda: ms.fixed("a"), "expects an array"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call: Any, words: str) -> None:
    with pytest.raises(errors.ScanError, match=words):
        call()


def test_where_extremes_stand_asks_for_the_index() -> None:
    with pytest.raises(ms.TreeError, match=r"\[scan\] ArgMax expects its inputs \(x, index\); got 1"):
        ms.scan(ms.aggregators.ArgMax(), mx.ones((3,)))
