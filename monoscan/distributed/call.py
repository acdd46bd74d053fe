"""One call on all ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan.distributed import gradient
from monoscan.distributed.exchange import Link
from monoscan.distributed.group import DEFAULT_TIMEOUT, group_of, seconds
from monoscan.distributed.part import Part
from monoscan.distributed.running import Call


def run(
    name: str, alone: Callable[[], Any], part: Callable[[], Part], outcome: Callable[..., Any],
    group: Any, timeout: float | None, stream: Any,
) -> Any:  # fmt: skip
    """A call on all ranks; one that has no second rank, or no elements on any, is that of one machine."""
    name = f"distributed.{name}"
    ranks = group_of(name, group, timeout)
    if ranks.size() == 1:
        return alone()
    link = Link(ranks, name, DEFAULT_TIMEOUT)
    try:
        link = Link(ranks, name, seconds(name, timeout))
        with contextlib.nullcontext() if stream is None else mx.stream(stream):
            held = part()
    except Exception as error:
        link.report(error)
        raise
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        running = Call(held, link, held.asked.return_carry or not held.asked.results)
        results, carry = gradient.run(running)
        return outcome(held, results, carry) if running.ranks.holding else alone()


def run_ragged(
    name: str, alone: Callable[[], Any], shared: Callable[[Link], Any], group: Any, timeout: float | None, stream: Any
) -> Any:
    """A call on lengths, a mask or offsets, on all ranks; that of one machine where there is no second rank."""
    name = f"distributed.{name}"
    ranks = group_of(name, group, timeout)
    if ranks.size() == 1:
        return alone()
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        return shared(Link(ranks, name, seconds(name, timeout)))
