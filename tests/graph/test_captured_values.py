"""Whatever a ``combine`` reads, and wherever it reads it: results follow a change, and arrays get gradients."""

from __future__ import annotations

import contextvars

import attrs
import mlx.core as mx
import pytest
from capture_places import NUMBERS_ONLY, PLACES, Place

import monoscan as ms

X = mx.ones((4,))
AT = {0.5: [1.0, 2.5, 4.75, 8.125], 2.0: [1.0, 4.0, 13.0, 40.0]}
"""Results for each value, by hand: y -> y + 1 + value * y."""


def run(operator: ms.Semigroup) -> list[float]:
    result: list[float] = ms.scan(operator, X, strategy="hillis_steele").tolist()
    return result


@pytest.mark.parametrize("place", PLACES + NUMBERS_ONLY)
def test_a_change_of_a_number_is_seen(place: Place) -> None:
    operator, change = place(0.5)
    assert [run(operator) for _ in range(3)] == [AT[0.5]] * 3
    change(2.0)
    assert [run(operator) for _ in range(3)] == [AT[2.0]] * 3
    change(0.5)
    assert run(operator) == AT[0.5]


@pytest.mark.parametrize("place", PLACES)
def test_a_change_of_an_array_is_seen(place: Place) -> None:
    operator, change = place(mx.array(0.5))
    assert [run(operator) for _ in range(3)] == [AT[0.5]] * 3
    change(mx.array(2.0))
    assert run(operator) == AT[2.0]


@pytest.mark.parametrize("place", PLACES)
def test_a_number_may_become_an_array(place: Place) -> None:
    operator, change = place(0.5)
    assert [run(operator) for _ in range(3)] == [AT[0.5]] * 3
    change(mx.array(2.0))
    assert run(operator) == AT[2.0]


@pytest.mark.parametrize("place", PLACES)
def test_an_array_gets_its_gradient(place: Place) -> None:
    operator, change = place(mx.array(0.5))

    def total(value: mx.array) -> mx.array:
        change(value)
        result: mx.array = ms.fold(operator, X, strategy="hillis_steele")
        return result

    # the total is 4 + 6 v + 4 v^2 + v^3, whose derivative is 6 + 8 v + 3 v^2
    assert [mx.grad(total)(mx.array(at)).item() for at in (0.5, 0.5, 2.0)] == [10.75, 10.75, 34.0]


@pytest.mark.parametrize("method", ["before", "after"])
def test_what_an_exclusive_scan_shows_follows_what_it_reads(method: str) -> None:
    scale = 1.0
    fields = {
        "combine": lambda self, left, right: left + right,
        "identity": lambda self, like: mx.zeros_like(like),
        method: lambda self, one, other: (one if method == "before" else other) * scale,
    }
    own = type("Own", (ms.Monoid,), fields)()
    operator = own if method == "before" else ms.Dual(own)

    def exclusive() -> list[float]:
        result: list[float] = ms.scan(operator, X, inclusive=False, strategy="blelloch").tolist()
        return result

    assert [exclusive() for _ in range(3)] == [[0.0, 1.0, 2.0, 3.0]] * 3
    scale = 3.0
    assert exclusive() == [0.0, 3.0, 6.0, 9.0]


def test_a_context_variable_that_was_never_set_holds_its_default() -> None:
    half = mx.array(0.5)
    scale = contextvars.ContextVar("scale", default=half)
    unset: contextvars.ContextVar[mx.array] = contextvars.ContextVar("unset")
    operator = ms.monoid(lambda l, r: l + r + scale.get() * l * r + unset.get(0.0))
    assert [run(operator) for _ in range(3)] == [AT[0.5]] * 3
    token = scale.set(mx.array(2.0))
    assert run(operator) == AT[2.0]
    scale.reset(token)
    assert run(operator) == AT[0.5]


def test_an_array_that_is_written_to_is_read_again() -> None:
    w = mx.array([0.5])
    operator = ms.monoid(lambda l, r: l + r + w[0] * l * r)
    assert [run(operator) for _ in range(3)] == [AT[0.5]] * 3
    w[0] = 2.0
    assert run(operator) == AT[2.0]


def test_kernels_of_captured_functions_are_compiled_after_planning() -> None:
    """A plan holds no functions, so that all that compiling asks of them is known by then."""
    rate = 0.5
    own = ms.monoid(lambda l, r: l + r + rate * l * r, identity=lambda like: like * 0)
    product = ms.Tuple(own, ms.Max())
    plan = ms.explain(product, (X, X), inclusive=False)
    assert own.function not in attrs.astuple(plan.problem.operator.parts[0], recurse=False)
    assert ms.scan(product, (X, X), inclusive=False)[0].tolist() == [0.0, 1.0, 2.5, 4.75]
    assert ms.scan(own, X, inclusive=False).tolist() == [0.0, 1.0, 2.5, 4.75]
