"""What is captured runs no code of the user's; what nothing tells the change of is refused by name."""

from __future__ import annotations

import ctypes
import datetime
import importlib
import io
import logging
import math
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.lowering.trace.reads import captures
from monoscan.lowering.trace.reads.captures import capture

log = logging.getLogger(__name__)


def settled(root: Any) -> Any:
    """The key of a root that has been seen often enough to have a guard."""
    for _ in range(3):
        key = capture(root).key
    return key


def is_guarded(root: Any) -> bool:
    memory = captures._MEMORIES[id(root)]
    return memory.guard is not None and memory.guard(root) is not None


class Trap:
    """Everything of this that may run, runs into an error."""

    value = 0.5

    def __getattribute__(self, name: str) -> Any:
        raise KeyError(name)

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    @property
    def made(self) -> Any:
        raise ValueError

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise ValueError

    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __hash__(self) -> int:
        raise ValueError

    def __len__(self) -> int:
        raise ValueError

    def __iter__(self) -> Any:
        raise ValueError

    def __bool__(self) -> bool:
        raise ValueError

    def __call__(self) -> Any:
        raise ValueError


class ListTrap(Trap, list[Any]):
    pass


class MetaTrap(type):
    def __getattribute__(cls, name: str) -> Any:
        raise KeyError(name)


def test_no_code_of_the_users_is_run() -> None:
    class Caught(metaclass=MetaTrap):
        value = 1

    lazy = ListTrap()
    list.append(lazy, 0.5)
    for trap in (Trap(), lazy, Caught, object.__new__(Caught)):

        def combine(l: Any, r: Any, trap: Any = trap) -> Any:
            return l + trap.value * r + trap.made

        settled(combine)
        assert is_guarded(combine)
    list.append(lazy, 0.25)


def test_a_getattr_that_raises_another_error_is_no_trouble() -> None:
    class Config:
        def __init__(self) -> None:
            self.values = {"rate": 0.5}

        def __getattr__(self, name: str) -> Any:
            return self.__dict__["values"][name]

    config = Config()
    operator = ms.monoid(lambda l, r: l + r + config.rate * l * r)
    x = mx.ones((3,))
    assert ms.scan(operator, x, strategy="hillis_steele").tolist() == [1, 2.5, 4.75]
    config.values["rate"] = 2.0
    assert ms.scan(operator, x, strategy="hillis_steele").tolist() == [1, 4, 13]


class Failing:
    """A callable whose own look-up fails."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    def __call__(self, *operands: Any) -> Any:
        left, right = operands
        return left + right


class Getting(dict[str, Any]):
    """A callable with the entries of a dict as attributes."""

    __getattr__ = dict.get

    def __call__(self, *operands: Any) -> Any:
        left, right = operands
        return left + right


@pytest.mark.parametrize("kind", [Failing, Getting])
def test_messages_call_a_callable_by_its_class(kind: type) -> None:
    x, function, name = mx.ones((3,)), kind(), kind.__name__
    assert ms.associative_scan(function, x).tolist() == [1, 2, 3]
    assert ms.scan(ms.monoid(function), x, strategy="hillis_steele").tolist() == [1, 2, 3]
    assert ms.explain(ms.monoid(function), x).problem.operator.name == name
    with pytest.raises(ms.ScanTypeError, match=f"got the function '{name}'"):
        ms.scan(function, x)


def generate() -> Any:
    yield 1.0


GENERATOR, RANDOM, ENVIRONMENT = generate(), random.Random(0), os.environ


POINTER = ctypes.pointer(ctypes.c_double(0.5))
NUMPY, STREAM = np.random.default_rng(0), io.StringIO("0.5")


def imports() -> Any:
    from time import perf_counter

    return perf_counter()


def reads_a_file() -> Any:
    with open("settings") as file:
        return float(file.read())


@pytest.mark.parametrize(
    ("read", "name"),
    [(lambda: next(GENERATOR), "a Python generator"), (lambda: RANDOM.random(), "a random generator"),
     (lambda: random.random(), "random.random"), (lambda: NUMPY.normal(), "a random generator"),
     (lambda: np.random.rand(), "np.random.rand"), (lambda: float(os.environ["RATE"]), "os.environ"),
     (lambda: ENVIRONMENT["RATE"], "the environment"), (lambda: os.getenv("RATE"), "os.getenv"),
     (lambda: time.time(), "a clock"), (imports, "time.perf_counter"), (lambda: datetime.datetime.now().second, "a clock"),
     (lambda: sys.modules["settings"].rate, "sys.modules"), (lambda: __import__("settings").rate, "__import__"),
     (lambda: importlib.import_module("settings").rate, "a module by name"), (lambda: mx.load("rate.npy"), "mx.load"),
     (lambda: np.load("rate.npy"), "np.load"), (lambda: os.path.getmtime("settings"), "a file"),
     (lambda: time.localtime().tm_sec, "a clock"), (lambda: POINTER.contents.value, "a pointer"),
     (lambda: sys._getframe(1).f_lineno, "frames"), (reads_a_file, "a file (open)"), (lambda: STREAM.read(), "a file"), (lambda: eval("RATE"), "eval")],
)  # fmt: skip
def test_what_nothing_tells_the_change_of_is_refused_by_name(read: Callable[[], Any], name: str) -> None:
    operator = ms.monoid(lambda l, r: l + r * read(), name="mine")
    with pytest.raises(ms.TraceError, match=r"\[scan\] mine: combine reads") as caught:
        ms.scan(operator, mx.ones((3,)))
    assert name in str(caught.value)
    assert "Read it before the call" in str(caught.value)


def test_what_is_only_near_is_not_refused() -> None:
    class Config:
        instance: Any = None

        def __init__(self, path: str) -> None:
            with open(path) as file:
                self.rate = float(file.read())

    config = object.__new__(Config)
    config.rate = 0.5
    Config.instance = config

    def combine(l: Any, r: Any) -> Any:
        log.debug("at %s", time.strftime)
        return l + r + Config.instance.rate * l * r * math.pi

    assert settled(combine) is capture(combine).key
    assert is_guarded(combine)
