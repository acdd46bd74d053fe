"""``monoscan bench``: one scan on this machine, against ``mx.cumsum`` and the portable strategies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import quantiles
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.plan.plan import Plan
from monoscan.monoids.base import Semigroup
from monoscan.scan.api import scan
from monoscan.scan.api_explain import explain
from monoscan.tree import Tree

PORTABLE = ("blelloch", "brent_kung", "hillis_steele", "sequential")
LOOP_STEPS = 4096
"""Past this length a loop of Python steps is not worth waiting for."""

WARM_UP, LEAST_RUNS, MOST_RUNS = 2, 5, 1000
_SILENT_FOR = 2.0
Call = Callable[[], Any]


@attrs.define
class Entry:
    """A row of the table.

    Args:
        name: What is timed.
        call: Runs it, lazily; ``None`` where it cannot run.
        note: Why it cannot.
        times: Seconds of each run.
    """

    name: str
    call: Call | None
    note: str = ""
    times: list[float] = attrs.field(factory=list)


@attrs.frozen
class Race:
    """What was timed.

    Args:
        title: What is scanned.
        entries: The rows; ``mx.cumsum`` is the last.
        items: Those of the largest leaf.
    """

    title: str
    entries: tuple[Entry, ...]
    items: int


def race(operator: Semigroup, elems: Tree, seconds: float, **options: Any) -> Race:
    """Times a scan and its rivals.

    Args:
        operator: The operator.
        elems: Its elements.
        seconds: About how long to measure, all rows together.
        options: The other arguments of ``scan``.
    """
    scan(operator, elems, **options)  # builds its kernel: the plan says what is timed, also where that failed
    plan = explain(operator, elems, **options)
    entries = list(_entries(operator, elems, plan, options))
    _race(entries, seconds)
    return Race(plan.summary()[0], tuple(entries), max(leaf.size for leaf in tree.flatten(elems)[0]))


def as_data(race: Race) -> dict[str, Any]:
    """The same for programs: times in seconds, `None` where something cannot run."""
    return {"scan": race.title, "items": race.items, "entries": [_as_data(entry) for entry in race.entries]}


def _as_data(entry: Entry) -> dict[str, Any]:
    low, median, high = _quartiles(entry.times) if entry.times else (None, None, None)
    times = {"median": median, "first_quartile": low, "third_quartile": high, "runs": len(entry.times)}
    return {"name": entry.name, **times, "note": entry.note}


def _entries(operator: Semigroup, elems: Tree, plan: Plan, options: dict[str, Any]) -> Iterator[Entry]:
    asked = options["strategy"]
    yield Entry(f"{asked}: {plan.strategy}" if asked == "auto" else asked, partial(scan, operator, elems, **options))
    for strategy in PORTABLE:
        if strategy not in (asked, plan.strategy):
            yield _forced(operator, elems, options | {"strategy": strategy})
    leaf = max(tree.flatten(elems)[0], key=lambda x: x.size)
    yield Entry("mx.cumsum of one leaf", partial(mx.cumsum, leaf, axis=options["axis"], reverse=options["reverse"]))


def _forced(operator: Semigroup, elems: Tree, options: dict[str, Any]) -> Entry:
    name = options["strategy"]
    try:
        plan = explain(operator, elems, **options)
    except errors.StrategyError:
        return Entry(name, None, "needs an identity")
    loop = any(p.strategy == "sequential" and p.combine != "kernel" for p in (plan, *plan.parts))
    if loop and plan.problem.layout.length > LOOP_STEPS:
        return Entry(name, None, f"a loop in Python; timed up to length {LOOP_STEPS:,}")
    return Entry(name, partial(scan, operator, elems, **options))


def _race(entries: list[Entry], seconds: float) -> None:
    """In turns, so that what else the machine does hits all alike."""
    start, say = time.perf_counter(), _progress()
    running = [entry for entry in entries if entry.call is not None]
    for entry in running:
        for _ in range(WARM_UP):
            say(f"warming up {entry.name}")
            _time(entry)
        entry.times.clear()
    begin = time.perf_counter()
    while running and len(running[0].times) < MOST_RUNS:
        if len(running[0].times) >= LEAST_RUNS and time.perf_counter() - begin > seconds:
            break
        for entry in running:
            say(f"run {len(entry.times) + 1} of {entry.name}")
            _time(entry)
    if time.perf_counter() - start > _SILENT_FOR and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _time(entry: Entry) -> None:
    assert entry.call is not None
    start = time.perf_counter()
    mx.eval(entry.call())
    entry.times.append(time.perf_counter() - start)


def _progress() -> Callable[[str], None]:
    """Says what is being timed after two silent seconds: on one line of a terminal, else once a while."""
    start = time.perf_counter()
    said = start

    def say(what: str) -> None:
        nonlocal said
        now = time.perf_counter()
        terminal = sys.stderr.isatty()
        if now - said < (0.2 if terminal and said > start else _SILENT_FOR):
            return
        said = now
        line = f"[bench] {now - start:.0f} s: {what}"
        print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    return say


def lines(race: Race) -> Iterator[str]:
    """The table, line by line."""
    entries, items = race.entries, race.items
    yield race.title
    yield f"  {'':24}{'median':>12}{'quartiles':>24}{'an item':>12}{'to cumsum':>12}"
    unit = _quartiles(entries[-1].times)[1]
    for entry in entries:
        if entry.call is None:
            yield f"  {entry.name:24}{'—':>12}  {entry.note}"
            continue
        low, median, high = _quartiles(entry.times)
        spread = f"{_seconds(low)} to {_seconds(high)}"
        each = f"{median / items * 1e9:.2f} ns" if items else "—"
        yield f"  {entry.name:24}{_seconds(median):>12}{spread:>24}{each:>12}{f'{median / unit:.2f}x':>12}"
    runs = len(entries[-1].times)
    yield f"  medians of {runs} runs in turns, after {WARM_UP} warm ones; an item is one of the largest leaf"


def _quartiles(times: list[float]) -> tuple[float, float, float]:
    low, median, high = quantiles(times, n=4)
    return low, median, high


def _seconds(time_: float) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if time_ >= unit:
            return f"{time_ / unit:.3g} {name}"
    return f"{time_ / 1e-6:.3g} µs"
