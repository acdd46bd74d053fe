"""What guards cost and keep: changes meanwhile, threads, the most that they compare, what is not kept alive."""

from __future__ import annotations

import gc
import threading
import types
import weakref
from typing import Any

import attrs
import mlx.core as mx
import pytest
from test_capture_guards import is_guarded, settled

import monoscan as ms
from monoscan.lowering.trace.reads import captures
from monoscan.lowering.trace.reads.captures import capture
from monoscan.lowering.trace.reads.guards import MAX_SLOTS, guard


def test_a_change_while_the_guard_is_written_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    held = types.SimpleNamespace(value=0.5)
    operator = ms.monoid(lambda l, r: l + r * held.value)
    first = capture(operator).key

    def late(root: Any, names: Any) -> Any:
        held.value = 2.0
        return guard(root, names)

    monkeypatch.setattr(captures, "guard", late)
    capture(operator)
    assert not captures._MEMORIES[id(operator)].guard
    assert capture(operator).key is not first


def test_threads_see_their_own_values() -> None:
    wrong: list[float] = []

    def work(rate: float) -> None:
        held = types.SimpleNamespace(value=rate)
        operator = ms.monoid(lambda l, r: l + r * held.value)
        mine = {}
        for turn in range(200):
            held.value = rate + turn % 3
            key = capture(operator).key
            if mine.setdefault(held.value, key) is not key:
                wrong.append(held.value)
        if len({*mine.values()}) != 3:
            wrong.append(rate)

    threads = [threading.Thread(target=work, args=(10.0 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_more_than_a_guard_compares_is_walked_at_every_call() -> None:
    held = [types.SimpleNamespace(value=float(i)) for i in range(MAX_SLOTS)]
    operator = ms.monoid(lambda l, r: l + held[-1].value * r)
    first = settled(operator)
    assert guard(operator, first.names) is None
    held[-1].value = 0.5
    assert capture(operator).key is not first


def test_a_long_list_of_numbers_is_one_comparison() -> None:
    table = [float(i) for i in range(10 * MAX_SLOTS)]
    operator = ms.monoid(lambda l, r: l + table[-1] * r)
    first = settled(operator)
    assert is_guarded(operator)
    table[-1] = 0.5
    assert capture(operator).key is not first


def test_nothing_that_is_captured_is_kept_alive() -> None:
    @attrs.define
    class Slotted:
        w: Any

    class Held:
        table = mx.array([1.0])

    def make() -> tuple[ms.Semigroup, list[weakref.ref[Any]]]:
        class Local:
            scale = 1.0

        held, slotted = Held(), Slotted(Local())
        held.value, held.slotted = 0.5, slotted
        Local.held = held
        operator = ms.monoid(lambda l, r: l + r * held.value * held.slotted.w.scale * Local.held.value)
        Local.operator = operator
        return operator, [weakref.ref(each) for each in (held, slotted, Local, operator)]

    operator, alive = make()
    settled(operator)
    assert is_guarded(operator)
    number = id(operator)
    del operator
    gc.collect()
    assert [reference() for reference in alive] == [None] * 4
    assert number not in captures._MEMORIES


def test_what_is_dropped_from_a_living_operator_is_not_kept_alive() -> None:
    class Held:
        value = 0.5

    state = types.SimpleNamespace(held=Held())
    operator = ms.monoid(lambda l, r: l + r * state.held.value)
    settled(operator)
    alive = weakref.ref(state.held)
    state.held = types.SimpleNamespace(value=0.5)
    assert alive() is None
