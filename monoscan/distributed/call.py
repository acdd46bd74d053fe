"""One call on all ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan.distributed import gradient
from monoscan.distributed.exchange import Link
from monoscan.distributed.group import DEFAULT_TIMEOUT, group_of, seconds
from monoscan.distributed.part import Leaves, Part
from monoscan.distributed.running import Call
from monoscan.tree import unflatten

Outcome = Callable[[Part, Leaves, Leaves], Any]
"""What a call returns of its part, its results and its carry."""


def run(
    name: str, alone: Callable[[], Any], part: Callable[[], Part], outcome: Outcome, shared: Callable[[Link], Any],
    bounds: tuple[Any, ...], group: Any, timeout: float | None, stream: Any,
) -> Any:  # fmt: skip
    """A call on all ranks; one that has no second rank, or no elements on any, is that of one machine.

    Args:
        name: The public call.
        alone: That of one machine.
        part: What this rank holds.
        outcome: What is returned.
        shared: The call where there are ``bounds``.
        bounds: Lengths, a mask and offsets, or ``None`` in their places.
        group: The ranks.
        timeout: Seconds to wait for them.
        stream: Where to run.
    """
    name = f"distributed.{name}"
    ranks = group_of(name, group, timeout)
    if ranks.size() == 1:
        if timeout is not None:
            seconds(name, timeout)
        return alone()
    link, held = Link(ranks, name, DEFAULT_TIMEOUT), None
    with contextlib.ExitStack() as place:
        with link.telling():
            link = Link(ranks, name, seconds(name, timeout))
            if stream is not None:
                place.enter_context(mx.stream(stream))
            if all(each is None for each in bounds):
                held = part()
        if held is None:
            return shared(link)
        running = Call(held, link, held.asked.return_carry or not held.asked.results)
        results, carry = gradient.run(running)
        return outcome(held, results, carry) if running.ranks.holding else alone()


def as_trees(held: Part, results: Leaves, carry: Leaves) -> Any:
    """The results, and the carry where it is wanted."""
    found = unflatten(held.structure, results)
    return (found, unflatten(held.structure, carry)) if held.asked.return_carry else found
