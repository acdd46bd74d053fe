"""What is walked and what is not: changes that are seen, code that is never run, values that are refused."""

from __future__ import annotations

import builtins
import io
import logging
import math
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.trace.reads import captures
from monoscan.lowering.trace.reads.captures import capture
from monoscan.lowering.trace.reads.library import is_library_class, is_library_code, is_library_module

log = logging.getLogger(__name__)


def settled(root: Any) -> Any:
    """The key of a root that has been seen often enough to have a guard."""
    for _ in range(3):
        key = capture(root).key
    return key


def is_guarded(root: Any) -> bool:
    memory = captures._MEMORIES[id(root)]
    return memory.guard is not None and memory.guard(root) is not None


def test_what_does_not_change_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = 0.5
    operator = ms.monoid(lambda l, r: mx.maximum(l, r) * rate)
    key = settled(operator)
    assert is_guarded(operator)
    monkeypatch.setattr(captures, "_walk", None)
    assert capture(operator).key is key


def test_what_is_made_anew_is_compared_with_the_last_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = mx.array(2.0)

    def make(rate: Any, **facts: Any) -> ms.Semigroup:
        return ms.Dual(ms.monoid(lambda l, r, weight=weight: l * weight + r * rate, **facts))

    monkeypatch.setattr(captures, "PROGRAMS", Cache(64))  # every Dual has one form, of which other tests make many
    key = [capture(make(0.5)).key for _ in range(3)][-1]
    monkeypatch.setattr(captures, "_walk", None)
    again = capture(make(0.5))
    assert again.key is key
    assert [array.item() for array in again.arrays] == [2.0]


ALIKE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a cell", {"rate": 0.5}, {"rate": 0.25}),
    ("a default", {"weight": 1}, {"weight": 1.0}),
    ("a keyword default", {"sign": 1}, {"sign": -1}),
    ("an array", {"rate": mx.array(0.5)}, {"rate": mx.array([0.5])}),
    ("a list", {"rate": [0.5]}, {"rate": [0.25]}),
    ("a fact", {"commutative": True}, {"commutative": False}),
    ("event axes", {"event": 1}, {"event": 0}),
    ("an identity", {"identity": 0}, {"identity": 0.0}),
    ("a name", {"name": "one"}, {"name": "two"}),
]


@pytest.mark.parametrize(("one", "two"), [row[1:] for row in ALIKE], ids=[row[0] for row in ALIKE])
@pytest.mark.parametrize("around", [lambda own: own, ms.Dual, lambda own: ms.Tuple(ms.Sum(), own)])
def test_what_is_like_the_last_but_for_one_thing_has_a_key_of_its_own(
    one: dict[str, Any], two: dict[str, Any], around: Callable[[ms.Semigroup], ms.Semigroup]
) -> None:
    def make(rate: Any = 1, weight: Any = 1, sign: Any = 1, **facts: Any) -> ms.Semigroup:
        return around(ms.monoid(lambda l, r, weight=weight, *, sign=sign: (l, r, rate), **facts))

    first = [capture(make(**one)).key for _ in range(4)]
    other = [capture(make(**two)).key for _ in range(4)]
    assert len({*first}) == len({*other}) == 1
    assert first[0] is not other[0]
    assert capture(make(**one)).key is first[0]


def test_arrays_of_what_is_made_anew_are_its_own() -> None:
    def total(a: mx.array, b: mx.array) -> mx.array:
        own = ms.monoid(lambda l, r: l + r + (a + b) * l * r)
        result: mx.array = ms.fold(own, mx.ones((4,)), strategy="hillis_steele")
        return result

    one, two = mx.array(0.125), mx.array(0.375)
    assert [total(one, two).item() for _ in range(4)] == [8.125] * 4
    both = mx.array(0.25)  # in two places
    assert total(both, both).item() == 8.125
    # the total is 4 + 6 v + 4 v^2 + v^3 of v = a + b, whose derivative at 1/2 is 10.75
    assert mx.grad(lambda w: total(w, w))(both).item() == 2 * 10.75
    assert [g.item() for g in mx.grad(total, argnums=(0, 1))(one, two)] == [10.75] * 2


@pytest.mark.parametrize(
    ("one", "two"),
    [(1, 1.0), (1, True), (0.0, -0.0), (0.5, 0.25), ("a", "b"), (mx.float32, mx.float16), ((1, 2), (1, 2.0)), ([1], [1, 1]),
     ({"a": 1}, {"b": 1}), ({1: 1}, {True: 1}), (np.array([1.0]), np.array([2.0])), (np.float32(1), np.float64(1)),
     (max, min), (mx.add, mx.maximum), (np, math), (int, float), (bytearray(b"a"), bytearray(b"b"))],
)  # fmt: skip
def test_a_guard_tells_values_apart(one: Any, two: Any) -> None:
    held = types.SimpleNamespace(value=one)
    operator = ms.monoid(lambda l, r: held.value)
    first = settled(operator)
    held.value = two
    assert capture(operator).key is not first
    second = settled(operator)
    held.value = one
    assert capture(operator).key is first
    held.value = two
    assert capture(operator).key is second


def test_nan_does_not_change() -> None:
    held = types.SimpleNamespace(value=float("nan"))
    operator = ms.monoid(lambda l, r: l * held.value)
    key = settled(operator)
    held.value = -float("nan") * 0
    assert capture(operator).key is key
    assert is_guarded(operator)


def test_numpy_arrays_count_by_content() -> None:
    table = np.array([1.0, 2.0])
    operator = ms.monoid(lambda l, r: l + r * float(table[0]))
    first = settled(operator)
    table[0] = 3.0
    assert capture(operator).key is not first
    table[0] = 1.0
    assert capture(operator).key is first


def test_numpy_arrays_of_objects_count_by_their_objects() -> None:
    table = np.array([types.SimpleNamespace(value=1.0), None])
    operator = ms.monoid(lambda l, r: l + r * table[0].value)
    first = settled(operator)
    table[0].value = 2.0
    assert capture(operator).key is not first


def test_a_global_may_come_to_hide_a_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = ms.monoid(lambda l, r: abs(l) + r)
    first = settled(operator)
    monkeypatch.setitem(globals(), "abs", mx.negative)
    assert capture(operator).key is not first
    monkeypatch.delitem(globals(), "abs")
    assert capture(operator).key is first


def test_a_global_may_go() -> None:
    scope: dict[str, Any] = {"value": 2.0}
    exec("def combine(l, r): return l + value * r", scope)
    builtins.value = 3.0  # type: ignore[attr-defined]
    try:
        first = settled(scope["combine"])
        del scope["value"]
        assert capture(scope["combine"]).key is not first
    finally:
        del builtins.value  # type: ignore[attr-defined]


def test_an_attribute_may_come_to_hide_that_of_the_class() -> None:
    class Held:
        value = 1.0

    class Derived(Held):
        pass

    held = Derived()
    operator = ms.monoid(lambda l, r: l + held.value * r)
    keys = [settled(operator)]
    Derived.value = 2.0
    keys.append(settled(operator))
    held.value = 3.0
    keys.append(settled(operator))
    assert len({*keys}) == 3


def test_an_attribute_may_come_where_code_copes_without() -> None:
    held = types.SimpleNamespace()
    settings = types.ModuleType("settings")

    def tried() -> Any:
        try:
            return settings.value
        except AttributeError:
            return 1.0

    for operator, holder in (
        (ms.monoid(lambda l, r: l + getattr(held, "value", 1.0) * r), held),
        (ms.monoid(lambda l, r: l + tried() * r), settings),
    ):
        first = settled(operator)
        holder.value = 2.0  # type: ignore[attr-defined]
        assert capture(operator).key is not first


def test_new_code_in_an_old_function_is_seen() -> None:
    def combine(l: Any, r: Any) -> Any:
        return l + r

    def other(l: Any, r: Any) -> Any:
        return l * r

    first = settled(combine)
    combine.__code__ = other.__code__
    assert capture(combine).key is not first


def test_a_cell_may_be_filled_later() -> None:
    def make() -> tuple[Callable[..., Any], Callable[[Any], None]]:
        def combine(l: Any, r: Any) -> Any:
            return l + later * r

        def fill(value: Any) -> None:
            nonlocal later
            later = value

        if not make:
            later = None
        return combine, fill

    combine, fill = make()
    first = settled(combine)
    assert is_guarded(combine)
    fill(2.0)
    assert capture(combine).key is not first


def test_an_array_of_another_shape_is_seen() -> None:
    w = mx.zeros((2,))

    def change(new: mx.array) -> None:
        nonlocal w
        w = new

    operator = ms.monoid(lambda l, r: l + w * r)
    first = settled(operator)
    change(mx.ones((2,)))
    assert capture(operator).key is first
    assert [a is w for a in capture(operator).arrays] == [True]
    for other in (mx.zeros((3,)), mx.zeros((2,), mx.float16)):
        change(other)
        assert capture(operator).key is not first


def test_functions_of_one_text_share_a_key_only_where_what_they_read_is_the_same() -> None:
    text = compile("def combine(l, r): return held.op(l, r)", "text", "exec")
    keys = []
    for op in (mx.add, mx.maximum, mx.add):
        scope: dict[str, Any] = {"held": type("Held", (), {"op": staticmethod(op)})}
        exec(text, scope)
        keys.append(capture(scope["combine"]).key)
    assert len({*keys}) == 3

    def scaled(rate: float) -> Callable[..., Any]:
        return lambda l, r: l + rate * r

    same = [capture(scaled(rate)).key for rate in (0.5, 0.5, 0.25)]
    assert same[0] is same[1]
    assert same[0] is not same[2]


def test_an_error_leads_to_its_arguments_and_not_to_where_it_was_raised() -> None:
    error = ValueError("mine", [0.5])

    def combine(l: Any, r: Any) -> Any:
        return l + r * error.args[1][0]

    first = settled(combine)
    file = io.StringIO("among the locals of this frame")
    with pytest.raises(ValueError, match="mine"):
        raise error
    assert not file.closed
    assert capture(combine).key is first
    error.args[1][0] = 2.0
    assert capture(combine).key is not first


def test_whose_code_it_is() -> None:
    def mine() -> None: ...

    class Mine:
        pass

    scope: dict[str, Any] = {}
    exec("class Mine: pass", scope)
    assert not is_library_code(mine.__code__)
    assert not any(map(is_library_class, (Mine, scope["Mine"])))
    assert not is_library_module(types.ModuleType("settings"))
    assert not is_library_module(sys.modules[__name__])
    assert is_library_code(attrs.asdict.__code__)
    assert all(map(is_library_class, (int, mx.array, np.ndarray, attrs.Attribute, logging.Logger, ms.Affine)))
    assert all(map(is_library_module, (mx, mx.random, np, os, sys, time, logging, ms)))
