"""What a function of the user's raises passes unchanged; what MLX refuses in it is told with the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

X = mx.arange(6).astype(mx.float32)


def plus(left: Any, right: Any) -> Any:
    return left + right


def monoid(function: Callable[..., Any], **options: Any) -> ms.Semigroup:
    return ms.monoid(function, name="mine", **options)


def wrong_message(kind: type[Exception], words: str, call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    missing = [word for word in words.split(" | ") if word not in message]
    assert not missing, f"{message!r} lacks {missing}"
    return message


CALLS = ["scan", "fold", "associative_scan", "identity"]


class Own(Exception):
    """An exception of the caller's."""


def raised_by(function: Callable[..., Any], call: str) -> Callable[[], Any]:
    """A call that runs the function as ``combine``, as the function of slices or as ``identity``."""
    if call == "associative_scan":
        return lambda: ms.associative_scan(function, X)
    if call == "identity":
        return lambda: ms.scan(ms.monoid(plus, identity=lambda like: function(like, like)), X, inclusive=False)
    return lambda: getattr(ms, call)(monoid(function), X)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), ValueError("[mine] in brackets"), RuntimeError("[mine]"), KeyError("gate"), TypeError("no"),
     IndexError("[mine]"), StopIteration("end"), NotImplementedError("[mine]"), Own("mine"), Own("[mine]")],
    ids=lambda error: f"{type(error).__name__} {error}",
)  # fmt: skip
def test_errors_that_a_function_raises_pass_unchanged(call: str, error: Exception) -> None:
    def function(left: Any, right: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        raised_by(function, call)()
    assert caught.value is error


@pytest.mark.parametrize("call", CALLS)
def test_errors_of_python_in_a_function_pass_unchanged(call: str) -> None:
    with pytest.raises(ZeroDivisionError):
        raised_by(lambda l, r: l * (1 / 0), call)()
    with pytest.raises(AttributeError, match="nothing"):
        raised_by(lambda l, r: l.nothing, call)()
    with pytest.raises(KeyError, match="gate"):
        raised_by(lambda l, r: {}["gate"], call)()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda l, r: mx.reshape(l, (7,)), "[reshape]"),
        (lambda l, r: mx.concatenate([l, r], axis=4), "[concatenate] Axis 4"),
        (lambda l, r: l[0, 0, 0, 0], "Too many indices for array"),
        (lambda l, r: l.sum(axis=3), "Invalid axis 3"),
        (lambda l, r: mx.linalg.inv(l.reshape(1, -1, 1, 1, 2), stream=mx.cpu), "["),
    ],
    ids=["reshape", "concatenate", "index", "axis", "linalg"],
)
def test_what_an_operation_of_mlx_refuses_names_the_call_and_what_the_function_got(
    call: str, function: Callable[..., Any], words: str
) -> None:
    part = "identity" if call == "identity" else "combine"
    given = f"slices float32({X.shape[0] // 2},)" if call == "associative_scan" else "one element, float32()"
    where = "scan" if call == "identity" else call
    wrong_message(ms.ScanError, f"[{where}] | : {part} fails on {given}: {words}", raised_by(function, call))


def test_a_function_of_slices_that_returns_others_is_told_about_slices() -> None:
    message = wrong_message(
        ms.ScanError, "[associative_scan] | must keep the shape of slices; leaf x has shape | combine returned",
        lambda: ms.associative_scan(lambda l, r: (l + r)[:1], mx.zeros((9, 2))),
    )  # fmt: skip
    assert "event" not in message


def test_a_scan_within_a_function_is_named() -> None:
    inner = ms.monoid(lambda l, r: l + ms.fold(ms.Affine(), (r, r))[1] * 0 + r, event=1)
    x = mx.ones((6, 4))
    plan = ms.explain(inner, x)
    assert ("it runs a scan of its own" in str(plan)) or plan.device != "cpu"
    np.testing.assert_allclose(np.array(ms.scan(inner, x)), np.cumsum(np.ones((6, 4)), 0))


ARITIES: dict[str, tuple[str, Callable[[], Any]]] = {
    "loop": (
        "[loop] <lambda>: step is called with a state, float32(), and float32(), but | takes 1 positional argument but 2 "
        "were given. It is step(state, x) and returns a pair (state, output).",
        lambda: ms.loop(lambda s: (s, s), X, mx.array(0.0)),
    ),
    "more": (
        "missing 1 required positional argument: 'y'. It is",
        lambda: ms.loop(lambda s, x, y: (s, y), X, mx.array(0.0)),
    ),
    "combine": (
        "[scan] mine: combine is called with one element, float32(), but | It is combine(left, right), each of them one element.",
        lambda: ms.scan(monoid(lambda a: a), X),
    ),
    "slices": (
        "[associative_scan] <lambda>: combine is called with slices",
        lambda: ms.associative_scan(lambda a: a, X),
    ),
    "prepare": (
        "[scan] <lambda>: prepare is called with float32(), but",
        lambda: ms.scan(ms.aggregator(lambda: 1, ms.Sum(), lambda s, x: s), X),
    ),
    "present": (
        "[scan] <lambda>: present is called with a state float32() and float32(), but",
        lambda: ms.scan(ms.aggregator(lambda x: x, ms.Sum(), lambda s: s), X),
    ),
}


@pytest.mark.parametrize("name", ARITIES)
def test_a_function_of_the_wrong_arity_is_told_what_it_gets(name: str) -> None:
    wrong_message(ms.ScanTypeError, *ARITIES[name])


def test_a_call_of_the_wrong_arity_inside_a_function_passes_unchanged() -> None:
    def step(state: Any, x: Any) -> Any:
        return state, plus(x)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^plus\(\) missing 1 required"):
        ms.loop(step, X, mx.array(0.0))
    with pytest.raises(TypeError, match=r"^plus\(\) missing 1 required"):
        ms.scan(monoid(lambda a, b: plus(a)), X)  # type: ignore[call-arg]


def test_messages_of_loop_speak_of_its_own_axis() -> None:
    def step(state: Any, x: Any) -> Any:
        return state + x, state

    def both(state: Any, x: Any) -> Any:
        return state + x[0] + x[1], state

    zero = mx.array(0.0)
    wrong_message(ms.ScanError, "no loop axis: | a loop takes", lambda: ms.loop(step, zero, zero))
    wrong_message(ms.TreeError, "needs the state before the first step", lambda: ms.loop(step, mx.ones((4, 3)), None))
    wrong_message(ms.ScanError, "needs length, the number of steps", lambda: ms.loop(step, None, zero, length=10**20))
    wrong_message(ms.ScanError, "(the loop axis and", lambda: ms.loop(both, (mx.ones((4, 3)), mx.ones((4, 2))), zero))
    wrong_message(ms.ScanError, "(the loop axis and", lambda: ms.loop(step, mx.ones((4, 3)), mx.ones((2,))))
    wrong_message(ms.ScanError, "The loop axis is 0.", lambda: ms.loop(step, mx.ones((4, 3)), zero, 1, event=1))
