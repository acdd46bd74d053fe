"""Captures: which arrays are found, which operators share a key, and what a rebuilt operator computes."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.bytecode import names_of
from monoscan.lowering.trace.reads.captures import capture

W, V = mx.array(2.0), mx.array([3.0])


class Thing:
    def __init__(self, w: Any, unused: Any = None) -> None:
        self.w, self.unused, self.k = w, unused, 2

    @property
    def doubled(self) -> Any:
        return self.w * 2

    @staticmethod
    def still(x: Any) -> Any:
        return x

    def inner(self, x: Any) -> Any:
        return self.still(x) * self.doubled * self.k

    def __call__(self, x: Any) -> Any:
        return self.inner(x)


@attrs.frozen
class Field:
    w: Any

    def __call__(self, x: Any) -> Any:
        return self.w * x


def closure(w: Any) -> Callable[[Any], Any]:
    return lambda x: w * x


def recursive(w: Any) -> Callable[[Any], Any]:
    def call(x: Any, depth: int = 2) -> Any:
        return w * x if depth == 0 else call(x, depth - 1)

    return call


HOLDERS: list[Callable[[Any], Callable[[Any], Any]]] = [
    closure,
    Field,
    recursive,
    Thing,
    lambda w: Thing(w).inner,
    lambda w: functools.partial(lambda w, x: w * x, w),
    lambda w: functools.partial(lambda x, w: w * x, w=w),
    lambda w: lambda x: [w, x][0] * x,
    lambda w: (lambda table: lambda x: table["w"][0] * x)({"w": (w,)}),
    lambda w: (lambda thing: lambda x: thing.inner(x))(Thing(w)),
    lambda w: (lambda things: lambda x: things[0].doubled * x)([Thing(w)]),
]


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_array_is_found_once(holder: Callable[[Any], Any]) -> None:
    assert [x is W for x in capture(holder(W)).arrays] == [True]


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_rebuilt_computes_with_the_other_array(holder: Callable[[Any], Any]) -> None:
    original = holder(W)
    before = original(mx.array(5.0)).item()
    rebuilt = capture(original).rebuild([mx.array(7.0)])
    assert rebuilt(mx.array(5.0)).item() == pytest.approx(before * 3.5)
    assert original(mx.array(5.0)).item() == before


@pytest.mark.parametrize("holder", HOLDERS)
def test_arrays_count_by_shape_and_dtype_in_the_key(holder: Callable[[Any], Any]) -> None:
    thing = holder(W)
    assert hash(capture(thing).key) == hash(capture(thing).key)
    assert capture(thing).key == capture(thing).key
    if not isinstance(thing, Thing) and "Thing" not in repr(capture(thing).key):
        assert capture(holder(mx.array(9.0))).key != capture(holder(V)).key


@pytest.mark.parametrize("holder", [closure, Field, recursive])
def test_equal_code_with_equal_shapes_shares_a_key(holder: Callable[[Any], Any]) -> None:
    assert capture(holder(mx.array(1.0))).key == capture(holder(mx.array(2.0))).key


@pytest.mark.parametrize(
    ("one", "two"),
    [(1, 2), (1, 1.0), (1, True), (1.0, "1.0"), (0.0, -0.0), ("a", b"a"), (None, 0), (mx.float32, mx.float16), ((1,), [1]),
     ({"a": 1}, {"a": 2}), (np.array([1]), np.array([2])), (np.float32(1), np.float64(1)), (max, min), (int, float)],
)  # fmt: skip
def test_different_values_have_different_keys(one: Any, two: Any) -> None:
    assert capture(closure(one)).key != capture(closure(two)).key
    assert capture(Field(one)).key != capture(Field(two)).key
    assert capture(closure(one)).key == capture(closure(one)).key


def test_nan_is_the_same_value_as_nan() -> None:
    assert capture(closure(float("nan"))).key == capture(closure(float("nan"))).key


def test_two_names_of_one_array_are_one_input() -> None:
    def both(a: Any, b: Any) -> Callable[[Any], Any]:
        return lambda x: a * x + b

    assert len(capture(both(W, W)).arrays) == 1
    assert len(capture(both(W, V)).arrays) == 2
    assert capture(both(W, W)).key != capture(both(W, mx.array(2.0))).key


def test_one_object_read_by_two_functions_under_different_names() -> None:
    thing = Thing(W, unused=V)
    first, second = (lambda: thing.w), (lambda: thing.unused)
    found = capture(lambda x: first() * x + second())
    assert {id(x) for x in found.arrays} == {id(W), id(V)}
    rebuilt = found.rebuild([x * 10 for x in found.arrays])
    assert rebuilt(mx.array(1.0)).item() == 50


def test_attributes_that_no_code_names_are_not_inputs() -> None:
    thing = Thing(W, unused=V)
    assert [x is W for x in capture(lambda x: thing.w * x).arrays] == [True]


def test_names_come_from_nested_code_too() -> None:
    def outer() -> Any:
        def inner() -> Any:
            return mx.eval

        return inner

    names = names_of(outer.__code__)
    assert "mx" in names.scope
    assert "eval" in names.attributes
    assert ("mx", "eval") in names.chains


def test_methods_lead_to_further_names() -> None:
    thing = Thing(W)
    assert [array is W for array in capture(lambda x: thing.inner(x)).arrays] == [True]


def test_a_plan_can_keep_what_is_stripped() -> None:
    stripped = capture(closure(V)).stripped()
    assert stripped.arrays == (Leaf("float32", (1,)),)
    assert stripped.key == capture(closure(V)).key


def test_keys_keep_no_object_alive() -> None:
    def made() -> tuple[Any, weakref.ref[Thing]]:
        thing = Thing(W)
        return capture(lambda x: thing.w * x).key, weakref.ref(thing)

    key, alive = made()
    gc.collect()
    assert alive() is None
    assert isinstance(hash(key), int)


def test_the_key_of_a_dead_object_equals_no_other() -> None:
    def key_of(thing: Thing) -> Any:
        return capture(thing).key

    dead = key_of(Thing(W))
    gc.collect()
    assert all(key_of(Thing(W)) != dead for _ in range(50))


def test_cycles_end() -> None:
    things: list[Any] = [W]
    things.append(things)
    found = capture(lambda x: things[0] * x)
    assert len(found.arrays) == 1
    assert found.rebuild([mx.array(3.0)])(mx.array(2.0)).item() == 6


def test_a_class_with_an_init_of_its_own_is_refused() -> None:
    class Own(ms.Semigroup):
        def __init__(self) -> None: ...

        def combine(self, left: Any, right: Any) -> Any:
            return left

    with pytest.raises(ms.ScanError, match="own __init__"):
        capture(Own())


def test_an_unset_cell_is_no_trouble() -> None:
    def outer() -> Any:
        def call(x: Any) -> Any:
            return later * x

        if not outer:
            later = 1
        return call

    assert capture(outer()).arrays == ()
