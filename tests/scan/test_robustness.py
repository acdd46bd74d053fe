"""Threads, memory and caches."""

from __future__ import annotations

import gc
import itertools
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.cache import Cache

KILOBYTE = 1 << 10
BIG = 1 << 18
"""Items of an array that no test can overlook: a mebibyte of float32."""


def resident() -> int:
    """The most memory that this process has ever held, in bytes."""
    unit = 1 if sys.platform == "darwin" else KILOBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def active() -> int:
    gc.collect()
    return int(mx.get_active_memory())


def affine(left: Any, right: Any) -> Any:
    return right[0] * left[0], right[0] * left[1] + right[1]


# --------------------------------------------------------------------------------------- threads


def test_threads_scan_at_once_each_on_its_own_stream() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-1, 2, (8, 100)), rng.integers(-9, 10, (8, 100))
    strategies = ["auto", "blelloch", "hillis_steele", "brent_kung"]
    start = threading.Barrier(8)

    def work(i: int) -> None:
        stream = mx.new_stream(mx.cpu)
        start.wait()
        for turn in range(40):
            n = 1 + (turn * 7 + i) % 100
            x, y = mx.array(a[i, :n]), mx.array(b[i, :n])
            h = ms.scan(ms.Affine(), (x, y), stream=stream, strategy=strategies[turn % 4])[1]
            total, want = 0, []
            for gate, value in zip(a[i, :n], b[i, :n], strict=True):
                total = gate * total + value
                want.append(total)
            assert h.tolist() == want

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, i) for i in range(8)]:
            done.result(timeout=300)


def test_threads_plan_one_operator_at_once() -> None:
    """All miss the cache together; each must get a plan that works."""
    start = threading.Barrier(8)

    def work(rate: mx.array) -> float:
        operator = ms.monoid(lambda l, r: l + r + 0.125 * l * r, name="fresh")
        start.wait()
        with mx.stream(mx.new_stream(mx.cpu)):
            return float(ms.fold(operator, mx.ones((5,)), strategy="brent_kung").item() + rate.item())

    with ThreadPoolExecutor(8) as pool:
        found = {round(done.result(timeout=300), 5) for done in [pool.submit(work, mx.array(0.0)) for _ in range(8)]}
    want = 1.0
    for _ in range(4):
        want = want + 1 + 0.125 * want
    assert found == {round(want, 5)}


def test_a_plan_of_one_thread_serves_another() -> None:
    """Plans hold no arrays, which in MLX belong to the thread that made them."""
    rate = mx.array(0.5)
    mx.eval(rate)
    operator = ms.monoid(lambda l, r: l + r + rate * l * r, identity=0)
    want = ms.scan(operator, mx.ones((9,)), strategy="blelloch").tolist()

    def work() -> Any:
        with mx.stream(mx.new_stream(mx.cpu)):
            return ms.scan(operator, mx.ones((9,)), strategy="blelloch").tolist()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result(timeout=60) == want


def test_a_cache_never_holds_more_than_its_size_whatever_threads_do() -> None:
    cache: Cache[int] = Cache(10)

    def work(offset: int) -> None:
        for i in range(1000):
            assert cache.get((offset * i) % 37, lambda i=i: i) is not None  # type: ignore[misc]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(cache) <= 10


# ---------------------------------------------------------------------------------------- memory


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "blelloch", "native"])
def test_thousands_of_calls_leave_no_memory_behind(strategy: str) -> None:
    x = mx.ones((256,))
    operator: ms.Monoid = ms.Sum() if strategy == "native" else ms.Affine()
    elems = x if strategy == "native" else (x, x)

    def calls(number: int) -> None:
        for _ in range(number):
            mx.eval(ms.scan(operator, elems, strategy=strategy))

    calls(300)
    before, held = active(), resident()
    calls(10_000 if strategy == "auto" else 1_000)
    assert active() - before < 16 * KILOBYTE
    assert resident() - held < 32 * KILOBYTE * KILOBYTE


@pytest.mark.long
@pytest.mark.parametrize("number", thinned([800, 5_000], [800]))
def test_thousands_of_operators_leave_no_memory_behind(number: int) -> None:
    """Each is new by the scalar that it holds, so that each is traced and planned anew."""
    x = mx.ones((4,))

    def calls(first: int, number: int) -> None:
        for i in range(first, first + number):
            ms.explain(ms.monoid(lambda l, r, k=float(i): l + r * k), x, strategy="hillis_steele")

    calls(0, number)
    before, held = active(), resident()
    calls(number, number)
    assert active() - before < 64 * KILOBYTE
    assert resident() - held < 64 * KILOBYTE * KILOBYTE


def big() -> mx.array:
    """A new array of a mebibyte, that counts as active memory as long as anything holds it."""
    x = mx.ones((BIG,)) * 2
    mx.eval(x)
    return x


@attrs.frozen
class Holds(ms.Semigroup):
    table: mx.array = attrs.field(eq=False)

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right * self.table[0]


class Thing:
    def __init__(self) -> None:
        self.rate = mx.array(0.5)
        self.unused = big()


def in_a_field() -> ms.Semigroup:
    return Holds(big())


def in_a_closure() -> ms.Semigroup:
    table = big()
    return ms.monoid(lambda l, r: l + r * table[0])


def beside_what_is_read() -> ms.Semigroup:
    thing = Thing()
    return ms.monoid(lambda l, r: l + r * thing.rate)


def beside_a_scalar_that_is_read() -> ms.Semigroup:
    thing = Thing()
    thing.rate = 0.5  # type: ignore[assignment]
    return ms.monoid(lambda l, r: l + r * thing.rate)


def in_a_module() -> ms.Semigroup:
    layer = nn.Linear(512, 512)
    mx.eval(layer.parameters())
    return ms.monoid(lambda l, r: l + r * layer.bias[0])


def in_a_dict() -> ms.Semigroup:
    table = {"rate": mx.array(0.5), "other": big()}
    return ms.monoid(lambda l, r: l + r * table["rate"])


def among_the_globals() -> ms.Semigroup:
    return ms.monoid(eval("lambda l, r: l + r * RATE", {"RATE": mx.array(0.5), "OTHER": big()}))


def in_a_default() -> ms.Semigroup:
    return ms.monoid(lambda l, r, table=big(): l + r * table[0])  # noqa: B008


def in_the_class() -> ms.Semigroup:
    table = big()

    @attrs.frozen
    class Reads(ms.Semigroup):
        def combine(self, left: mx.array, right: mx.array) -> mx.array:
            return left + right * table[0]

    return Reads()


def in_the_identity() -> ms.Semigroup:
    table = big()
    return ms.monoid(lambda l, r: l + r, identity=lambda like: (table[0] * 0).astype(like.dtype))


PLACES = [
    in_a_field, in_a_closure, beside_what_is_read, beside_a_scalar_that_is_read, in_a_module, in_a_dict, among_the_globals,
    in_a_default, in_the_identity, in_the_class,
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("place", thinned(PLACES, PLACES[::2]))
def test_no_cache_keeps_an_array_alive(place: Callable[[], ms.Semigroup]) -> None:
    x = mx.ones((5,))
    mx.eval(x)

    def call() -> None:
        operator = place()
        for strategy in ("auto", "hillis_steele"):
            mx.eval(ms.scan(operator, x, strategy=strategy))
            mx.eval(ms.fold(operator, x, strategy=strategy))
            str(ms.explain(operator, x, strategy=strategy))

    call()  # what is made once and kept for good, as compiled kernels are
    before = active()
    for _ in range(3):
        call()
    assert active() - before < 64 * KILOBYTE


def test_no_plan_keeps_an_array_alive() -> None:
    x = mx.ones((5,))
    operator = in_a_closure()
    before = active()
    plan = ms.explain(operator, x, strategy="hillis_steele")
    del operator
    assert before - active() >= 4 * BIG
    assert "captured" in str(plan)


def test_results_do_not_keep_the_elements_alive_once_evaluated() -> None:
    before = active()
    x = big()
    total = ms.fold(ms.Sum(), x)
    mx.eval(total)
    del x
    assert active() - before < 16 * KILOBYTE


def test_associative_scan_keeps_no_array_alive() -> None:
    x = mx.ones((5,))
    mx.eval(x)

    def call() -> None:
        table = big()
        mx.eval(ms.associative_scan(lambda l, r: l + r * table[0], x))

    call()
    before = active()
    for _ in range(3):
        call()
    assert active() - before < 64 * KILOBYTE


def test_an_operator_made_anew_at_each_call_is_planned_once() -> None:
    """A lambda has another identity at each call, and the same code and values."""
    turns = itertools.count()

    def make() -> ms.Semigroup:
        def combine(left: mx.array, right: mx.array) -> mx.array:
            next(turns)
            return left + right

        return ms.monoid(combine)

    for _ in range(5):
        ms.scan(make(), mx.ones((9,)), strategy="hillis_steele")
    assert next(turns) <= 1
