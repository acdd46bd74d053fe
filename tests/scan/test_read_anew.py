"""What operators read is read at every call: numbers, attributes, entries, functions."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np
from recurrence import close, normal
from test_captured_arrays import Holder, by_hand

import monoscan as ms


def test_a_scalar_in_a_closure_is_read_at_every_call() -> None:
    x, rate = normal(7), 0.7
    operator = ms.monoid(lambda l, r: l + r + rate * l * r)
    close(ms.scan(operator, x), by_hand(x, mx.array(0.7)))
    rate = 0.1
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_a_scalar_global_is_read_at_every_call() -> None:
    x, scope = normal(7), {"RATE": 0.7}
    operator = ms.monoid(eval("lambda l, r: l + r + RATE * l * r", scope))
    close(ms.scan(operator, x), by_hand(x, mx.array(0.7)))
    scope["RATE"] = 0.1
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_a_scalar_global_of_a_method_is_read_at_every_call() -> None:
    x = normal(7)
    scope: dict[str, Any] = {"RATE": 0.7, "ms": ms, "attrs": attrs}
    exec(
        "@attrs.frozen\nclass Reads(ms.Semigroup):\n    def combine(self, l, r):\n        return l + r + RATE * l * r",
        scope,
    )
    close(ms.scan(scope["Reads"](), x), by_hand(x, mx.array(0.7)))
    scope["RATE"] = 0.1
    close(ms.scan(scope["Reads"](), x), by_hand(x, mx.array(0.1)))


def test_an_attribute_of_an_object_is_read_at_every_call() -> None:
    x, holder = normal(7), Holder(0.7)  # type: ignore[arg-type]  # a float where arrays are is the point
    for operator in (ms.monoid(holder), ms.monoid(holder.combine), ms.monoid(lambda l, r: l + r + holder.cross(l, r))):
        for rate in (0.7, 0.1):
            holder.rate = rate  # type: ignore[assignment]
            close(ms.scan(operator, x), by_hand(x, mx.array(rate)))


def test_an_entry_of_a_list_or_a_dict_is_read_at_every_call() -> None:
    x, rates = normal(7), {"all": [0.7]}
    operator = ms.monoid(lambda l, r: l + r + rates["all"][0] * l * r)
    close(ms.scan(operator, x), by_hand(x, mx.array(0.7)))
    rates["all"][0] = 0.1
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_a_numpy_array_is_read_at_every_call() -> None:
    x, rate = normal(7), np.array([0.7], np.float32)
    operator = ms.monoid(lambda l, r: l + r + mx.array(rate)[0] * l * r)
    close(ms.scan(operator, x), by_hand(x, mx.array(0.7)))
    rate[0] = 0.1
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_a_function_that_takes_anothers_place_is_called() -> None:
    x, scope = normal(7), {"cross": lambda l, r: 0.7 * l * r}
    operator = ms.monoid(eval("lambda l, r: l + r + cross(l, r)", scope))
    close(ms.scan(operator, x), by_hand(x, mx.array(0.7)))
    scope["cross"] = lambda l, r: 0.1 * l * r
    close(ms.scan(operator, x), by_hand(x, mx.array(0.1)))


def test_operators_that_differ_in_one_field_never_share_a_plan() -> None:
    @attrs.frozen
    class Shift(ms.Semigroup):
        by: Any

        def combine(self, left: mx.array, right: mx.array) -> mx.array:
            return left + right + (5 if isinstance(self.by, str) else 7 if isinstance(self.by, bool) else self.by)

    x = mx.zeros((2,))
    got = {repr(by): ms.scan(Shift(by), x)[1].item() for by in (1, 1.0, True, "1", "1.0", 2, -0.0)}
    assert got == {"1": 1, "1.0": 1, "True": 7, "'1'": 5, "'1.0'": 5, "2": 2, "-0.0": 0}
