"""NumPy's integers are taken wherever an int is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import rl, signal

X = mx.arange(12).reshape(4, 3).astype(mx.float32)


def counted(state: Any, x: Any) -> Any:
    return state + 1, state


CALLS: dict[str, Callable[[Any], Any]] = {
    "axis of scan": lambda one: ms.scan(ms.Sum(), X, axis=one),
    "axis of fold": lambda one: ms.fold(ms.Sum(), X, axis=one),
    "axis of act": lambda one: ms.act(ms.Sum(), X, axis=one),
    "axis of loop": lambda one: ms.loop(lambda s, x: (s + x, s), X, mx.zeros((4,)), axis=one),
    "axis of associative_scan": lambda one: ms.associative_scan(mx.add, X, axis=one),
    "axis of linear_recurrence": lambda one: ms.linear_recurrence(X, X, axis=one),
    "axis beside a gate that is a number": lambda one: ms.linear_recurrence(0.5, X, axis=one),
    "axis of an aggregator": lambda one: ms.scan(ms.Sum().aggregator(), X, axis=one),
    "axis and size of window": lambda one: ms.window(ms.Sum(), X, one, axis=one),
    "axis and size of chunks": lambda one: list(ms.chunks(X, one, axis=one)),
    "axis of returns": lambda one: rl.discounted_returns(X, 0.5, X, axis=one),
    "axis of advantages": lambda one: rl.gae(X[:, 1:], 0.5, 0.5, X, axis=one),
    "axis of a filter": lambda one: signal.lfilter([1.0], [1.0, 0.5], X, axis=one),
    "axis of Stream": lambda one: ms.Stream(ms.Sum(), axis=one).push(X),
    "length and axis of loop": lambda one: ms.loop(counted, None, mx.zeros((2,)), length=one, axis=one),
    "events of loop": lambda one: ms.loop(lambda s, x: (s + x, s), X, mx.zeros((3,)), event=one, state_event=(one,)),
    "event of monoid": lambda one: ms.scan(ms.monoid(mx.add, event=one), X),
    "event of each leaf": lambda one: ms.scan(ms.monoid(mx.add, event=(one,)), X),
    "event of aggregator": lambda one: ms.scan(
        ms.aggregator(lambda x: x, ms.monoid(mx.add, event=1), lambda state, x: state, event=one), X
    ),
    "event of Action": lambda one: ms.act(
        ms.monoid(mx.add, event=1, right=ms.Action(lambda s, x: s + x, event=one)), X, mx.zeros((3,))
    ),
    "k of FiniteMap": lambda one: ms.scan(ms.FiniteMap(one), mx.zeros((4, 1), mx.int32)),
}


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
@pytest.mark.parametrize("name", CALLS)
def test_an_integer_of_numpy_is_an_int(name: str, kind: type) -> None:
    given, wanted = CALLS[name](kind(1)), CALLS[name](1)
    for x, y in zip(
        given if isinstance(given, list) else [given], wanted if isinstance(wanted, list) else [wanted], strict=True
    ):
        assert x.tolist() == y.tolist()


@pytest.mark.parametrize(
    ("wrong", "shown"), [(np.int64(-2), "-2"), (np.float32(2), repr(np.float32(2))), (True, "True"), (2.0, "2.0")]
)
def test_a_wrong_length_is_said_with_its_value(wrong: Any, shown: str) -> None:
    with pytest.raises(ms.ScanError) as told:
        ms.loop(counted, None, mx.zeros(()), length=wrong)
    assert str(told.value) == f"[loop] without xs needs length, the number of steps; got {shown}."
