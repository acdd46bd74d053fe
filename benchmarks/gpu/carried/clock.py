"""The clock: many calls are asked for, then waited for once, as in a program that keeps its GPU busy."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

REPEATS = 5


def seconds_of(call: Callable[[], object], wait: Callable[[], object], budget: float = 0.3) -> float:
    """The seconds of a call, of several bursts the median.

    Args:
        call: Asks for the work.
        wait: Returns when it is done.
        budget: The seconds of all bursts together, about.
    """
    call()
    wait()
    number = 1
    taken = _burst(call, wait, number)
    while taken < budget / REPEATS / 2 and number < 1 << 12:
        number *= 2
        taken = _burst(call, wait, number)
    return median(_burst(call, wait, number) for _ in range(REPEATS)) / number


def _burst(call: Callable[[], object], wait: Callable[[], object], number: int) -> float:
    start = perf_counter()
    for _ in range(number):
        call()
    wait()
    return perf_counter() - start
