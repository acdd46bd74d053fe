"""Arrays that ``combine`` captures: differentiated and mapped, wherever they stand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import mlx.nn as nn
import pytest
from recurrence import close, normal, recurrence

import monoscan as ms

GLOBAL_RATE = mx.array(0.7)


GLOBAL_TABLE = {"rate": mx.array(0.7), "other": mx.array(5.0)}


def decay(left: Any, right: Any, rate: mx.array) -> Any:
    """Affine with a gate that is the same at each step: associative on (power, value)."""
    return left[0] * right[0], left[1] * right[0] * rate / rate + right[1]


@attrs.frozen
class Scaled(ms.Semigroup):
    """``l + r + rate * l * r``: associative for every rate."""

    rate: mx.array = attrs.field(eq=False)

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + self.rate * left * right


@attrs.frozen
class Nested(ms.Semigroup):
    inner: Scaled

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return self.inner.combine(left, right)


@attrs.frozen
class ReadsAGlobal(ms.Semigroup):
    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + GLOBAL_RATE * left * right


@attrs.frozen
class CallsItsMethod(ms.Semigroup):
    rate: mx.array = attrs.field(eq=False)

    def cross(self, left: mx.array, right: mx.array) -> mx.array:
        return self.rate * left * right

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + self.cross(left, right)


class Holder:
    def __init__(self, rate: mx.array) -> None:
        self.rate = rate

    def cross(self, left: mx.array, right: mx.array) -> mx.array:
        return self.rate * left * right

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + self.rate * left * right

    def __call__(self, left: mx.array, right: mx.array) -> mx.array:
        return self.combine(left, right)


class Layer(nn.Module):
    def __init__(self, rate: mx.array) -> None:
        super().__init__()
        self.rate = rate
        self.unused = mx.zeros((3,))

    def __call__(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + self.rate * left * right


class Outer(nn.Module):
    def __init__(self, rate: mx.array) -> None:
        super().__init__()
        self.layers = [Layer(rate)]

    def __call__(self, left: mx.array, right: mx.array) -> mx.array:
        return self.layers[0](left, right)


def in_a_field(rate: mx.array) -> ms.Semigroup:
    return Scaled(rate)


def in_a_nested_field(rate: mx.array) -> ms.Semigroup:
    return Nested(Scaled(rate))


def in_a_combinator(rate: mx.array) -> ms.Semigroup:
    return ms.Dual(Scaled(rate))


def in_a_field_read_by_a_method(rate: mx.array) -> ms.Semigroup:
    return CallsItsMethod(rate)


def in_a_closure(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(lambda l, r: l + r + rate * l * r)


def in_a_closure_of_a_closure(rate: mx.array) -> ms.Semigroup:
    def cross(l: mx.array, r: mx.array) -> mx.array:
        return rate * l * r

    return ms.monoid(lambda l, r: l + r + cross(l, r))


def in_a_nested_function(rate: mx.array) -> ms.Semigroup:
    def combine(l: mx.array, r: mx.array) -> mx.array:
        def cross() -> mx.array:
            return rate * l * r

        return l + r + cross()

    return ms.monoid(combine)


def in_a_default(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(lambda l, r, rate=rate: l + r + rate * l * r)


def in_a_keyword_default(rate: mx.array) -> ms.Semigroup:
    def combine(l: mx.array, r: mx.array, *, rate: mx.array = rate) -> mx.array:
        return l + r + rate * l * r

    return ms.monoid(combine)


def in_a_partial(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(functools.partial(lambda rate, l, r: l + r + rate * l * r, rate))


def in_a_partials_keyword(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(functools.partial(lambda l, r, rate: l + r + rate * l * r, rate=rate))


def in_a_bound_method(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(Holder(rate).combine)


def in_a_callable_object(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(Holder(rate))


def in_an_object_of_a_closure(rate: mx.array) -> ms.Semigroup:
    holder = Holder(rate)
    return ms.monoid(lambda l, r: l + r + holder.rate * l * r)


def in_an_object_read_by_its_method(rate: mx.array) -> ms.Semigroup:
    holder = Holder(rate)
    return ms.monoid(lambda l, r: l + r + holder.cross(l, r))


def in_a_list_and_a_dict(rate: mx.array) -> ms.Semigroup:
    table = {"rates": [mx.array(9.0), rate]}
    return ms.monoid(lambda l, r: l + r + table["rates"][1] * l * r)


def in_a_module(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(Layer(rate))


def in_a_module_of_modules(rate: mx.array) -> ms.Semigroup:
    module = Outer(rate)
    return ms.monoid(lambda l, r: module(l, r))


def in_a_global(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(eval("lambda l, r: l + r + RATE * l * r", {"RATE": rate}))


def in_a_global_of_a_called_function(rate: mx.array) -> ms.Semigroup:
    scope: dict[str, Any] = {"RATE": rate}
    exec("def cross(l, r):\n    return RATE * l * r\ndef combine(l, r):\n    return l + r + cross(l, r)", scope)
    return ms.monoid(scope["combine"])


def in_a_global_dict(rate: mx.array) -> ms.Semigroup:
    return ms.monoid(eval("lambda l, r: l + r + TABLE['rate'] * l * r", {"TABLE": {"rate": rate}}))


def in_a_method_of_a_class(rate: mx.array) -> ms.Semigroup:
    scope: dict[str, Any] = {"RATE": rate, "ms": ms, "attrs": attrs}
    body = "    def combine(self, l, r):\n        return l + r + RATE * l * r"
    exec(f"@attrs.frozen\nclass Reads(ms.Semigroup):\n{body}", scope)
    return scope["Reads"]()  # type: ignore[no-any-return]


def in_two_places(rate: mx.array) -> ms.Semigroup:
    other = rate
    return ms.monoid(lambda l, r: l + r + 0.5 * rate * l * r + 0.5 * other * l * r)


PLACES = [
    in_a_field, in_a_nested_field, in_a_combinator, in_a_field_read_by_a_method, in_a_closure, in_a_closure_of_a_closure,
    in_a_nested_function, in_a_default, in_a_keyword_default, in_a_partial, in_a_partials_keyword, in_a_bound_method,
    in_a_callable_object, in_an_object_of_a_closure, in_an_object_read_by_its_method, in_a_list_and_a_dict, in_a_module,
    in_a_module_of_modules, in_a_global, in_a_global_of_a_called_function, in_a_global_dict, in_a_method_of_a_class, in_two_places,
]  # fmt: skip


def by_hand(x: mx.array, rate: mx.array) -> mx.array:
    total, states = x[0], [x[0]]
    for t in range(1, x.shape[0]):
        total = total + x[t] + rate * total * x[t]
        states.append(total)
    return mx.stack(states)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "sequential"])
def test_the_gradient_of_an_array_captured(place: Callable[[mx.array], ms.Semigroup], strategy: str) -> None:
    x, rate = normal(7), mx.array(0.7)
    want = mx.grad(lambda x, rate: (by_hand(x, rate) ** 2).sum(), argnums=(0, 1))(x, rate)
    got = mx.grad(lambda x, rate: (ms.scan(place(rate), x, strategy=strategy) ** 2).sum(), argnums=(0, 1))(x, rate)
    for g, w in zip(got, want, strict=True):
        close(g, w)
    assert abs(got[1].item()) > 0


@pytest.mark.parametrize("place", PLACES)
def test_a_new_value_of_an_array_captured(place: Callable[[mx.array], ms.Semigroup]) -> None:
    x = normal(7)
    for rate in (0.7, -0.2, 0.0):
        close(ms.scan(place(mx.array(rate)), x), by_hand(x, mx.array(rate)))


@pytest.mark.parametrize("place", PLACES)
def test_compile_and_vmap_over_an_array_captured(place: Callable[[mx.array], ms.Semigroup]) -> None:
    x, rates = normal(7), mx.array([0.7, -0.2])
    got = mx.compile(mx.vmap(lambda rate: ms.scan(place(rate), x)))(rates)
    close(got, mx.stack([by_hand(x, rate) for rate in rates]))


def test_a_captured_array_of_another_shape_or_dtype_is_another_trace() -> None:
    x = normal(4, 3)
    for rate in (mx.array(0.5), mx.array([0.5, 0.1, 0.2]), mx.array([0.5], mx.float16), mx.array(0.5)):
        result = ms.scan(ms.monoid(lambda l, r, k=rate: l + r + k.astype(mx.float32) * l * r, event=1), x)
        close(result, by_hand(x, rate.astype(mx.float32)))


def test_the_parameters_of_a_module_are_differentiated_by_value_and_grad() -> None:
    layer, x = Layer(mx.array(0.7)), normal(7)
    _, grads = nn.value_and_grad(layer, lambda: (ms.scan(ms.monoid(layer), x) ** 2).sum())()
    close(grads["rate"], mx.grad(lambda rate: (by_hand(x, rate) ** 2).sum())(mx.array(0.7)))
    assert grads["unused"].tolist() == [0, 0, 0]


def test_a_parameter_updated_in_place_is_read_anew() -> None:
    layer, x = Layer(mx.array(0.7)), normal(7)
    operator = ms.monoid(layer)
    ms.scan(operator, x)
    layer.rate = mx.array(0.1)
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_a_captured_array_of_a_whole_event_is_differentiated() -> None:
    w, x = normal(3, 3), normal(5, 3, 3)

    def product(w: mx.array) -> ms.Semigroup:
        return ms.monoid(lambda l, r: l @ w @ r, event=2)

    def hand(w: mx.array) -> mx.array:
        total = x[0]
        for t in range(1, 5):
            total = total @ w @ x[t]
        return (total**2).sum()

    close(mx.grad(lambda w: (ms.fold(product(w), x) ** 2).sum())(w), mx.grad(hand)(w))


def test_a_large_captured_array_is_an_input_too() -> None:
    table, x = normal(1000), normal(5)
    operator = ms.monoid(lambda l, r: l + r + table[3] * l * r)
    for strategy in ("auto", "hillis_steele", "sequential"):
        close(ms.scan(operator, x, strategy=strategy), by_hand(x, table[3]))


def test_captures_of_the_parts_of_a_tuple_are_differentiated() -> None:
    x = normal(6)

    def loss(rate: mx.array, other: mx.array) -> mx.array:
        y, z = ms.scan(ms.Tuple(Scaled(rate), Scaled(other)), (x, x))
        return (y**2).sum() + (z**3).sum()

    got = mx.grad(loss, argnums=(0, 1))(mx.array(0.7), mx.array(0.2))
    close(got[0], mx.grad(lambda k: (by_hand(x, k) ** 2).sum())(mx.array(0.7)))
    close(got[1], mx.grad(lambda k: (by_hand(x, k) ** 3).sum())(mx.array(0.2)))


def test_associative_scan_differentiates_what_its_function_captures() -> None:
    x = normal(6)
    got = mx.grad(lambda k: (ms.associative_scan(lambda l, r: l + r + k * l * r, x) ** 2).sum())(mx.array(0.7))
    close(got, mx.grad(lambda k: (by_hand(x, k) ** 2).sum())(mx.array(0.7)))


def test_associative_scan_transforms() -> None:
    a, b = normal(3, 6), normal(3, 6)

    def states(a: mx.array, b: mx.array) -> mx.array:
        return ms.associative_scan(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (a, b))[1]

    close(mx.compile(mx.vmap(states))(a, b), mx.stack([recurrence(a[i], b[i]) for i in range(3)]))
    got = mx.grad(lambda a: (states(a, b[0]) ** 2).sum())(a[0])
    close(got, mx.grad(lambda a: (recurrence(a, b[0]) ** 2).sum())(a[0]))
