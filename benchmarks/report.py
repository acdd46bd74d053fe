"""Results as Markdown tables and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.model import Case, Results, Suite, Timing
from benchmarks.ranked import ranked_tables
from benchmarks.text import markdown_table, milliseconds

PACKAGES = ("mlx", "mlx-scan", "jax", "numpy", "scipy")
MISSING = "-"
METHOD = """\
# Benchmarks

Written by `python -m benchmarks`; `--help` lists the suites and options. All peers of a table run in one process
and take turns in a random order: one untimed call, then a burst of timed ones, until each has used its share of the
time. Before that, every peer's answer is compared with a float64 fold (every position of a short input, the last
position of the timed one); wrong answers are not timed. float32; inputs are evaluated beforehand; no input leads to
subnormal numbers unless its table says so. MLX, mlx-scan and monoscan run under `mx.compile` unless marked eager,
and end with `mx.eval` of what is listed below each table; JAX peers are jitted and end with `block_until_ready`.
Large shapes appear with MLX's default buffer cache (above it, every call faults its memory in afresh) and with
`mx.set_cache_limit(1 << 30)`.

Cells: median (first to third quartile) in milliseconds, then how many times faster than the peer in bold. Cold: the
first call, with tracing and compilation; peers run it in the order listed, so a later one finds what an earlier one
compiled, and MLX keeps compiled code on disk between processes."""


@frozen
class Row:
    """A bar and what was measured for it."""

    suite: str
    name: str
    required: str
    measured: float | None
    met: bool | None


def cpu_model() -> str:
    """The CPU's own name, the only name of the machine that a report gives."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        return names[0] if names else platform.machine()
    if platform.system() == "Darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or platform.machine()


def environment() -> dict[str, str]:
    """CPU model and versions."""
    versions = {"monoscan": import_module("monoscan").__version__ if find_spec("monoscan") else "absent"}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {"cpu": cpu_model(), "system": platform.system(), "python": platform.python_version(), **versions}


def load_average() -> str:
    """How busy the machine is: numbers taken beside other work are not to be trusted."""
    return f"{os.getloadavg()[0]:.1f}"


def judge(suite: Suite, results: Results) -> list[Row]:
    """Every bar of a suite with its measurement; unmeasured ones are neither met nor missed."""
    rows = []
    for bar in suite.bars:
        measured = bar.measure(results)
        met = None if measured is None else bar.met(measured)
        rows.append(Row(suite.name, bar.name, bar.requirement(), measured, met))
    return rows


def to_json(settings: dict[str, Any], results: Results, rows: list[Row]) -> str:
    """Everything measured, in seconds and bytes."""
    content = {
        "environment": environment(),
        "settings": settings,
        "timings": [asdict(timing) for timing in results.timings],
        "bars": [asdict(row) for row in rows],
    }
    return json.dumps(content, indent=1) + "\n"


def to_markdown(suites: list[Suite], results: Results, rows: list[Row], load: str) -> str:
    """All tables of a run."""
    parts = [METHOD, machine_line(environment(), load)]
    for suite in suites:
        parts += section(suite, results, rows)
    return "\n\n".join(parts) + "\n"


def machine_line(facts: dict[str, str], load: str) -> str:
    """What a run ran on."""
    versions = ", ".join(f"{name} {value}" for name, value in facts.items() if name != "cpu")
    return f"{facts['cpu']}; {versions}. {load}."


def section(suite: Suite, results: Results, rows: list[Row]) -> list[str]:
    """The title of a suite, what it is about, its tables, its bars and what was not timed."""
    measured = {timing.case for timing in results.timings}
    cases = [case for case in suite.cases if case.key in measured]
    parts = [f"## {suite.title}", *([suite.about] if suite.about else [])]
    parts += ranked_tables(cases, results) if suite.ranked else _all_tables(cases, results)
    if suite.bars:
        parts.append(_bars_table([row for row in rows if row.suite == suite.name]))
    keys = {case.key for case in suite.cases}
    notes = _failures(Results([timing for timing in results.timings if timing.case in keys]))
    return [*parts, notes] if notes else parts


def _all_tables(cases: list[Case], results: Results) -> list[str]:
    groups = groupby(cases, key=lambda case: case.group)
    return [part for group, members in groups for part in _group_tables(group, list(members), results)]


def _group_tables(group: str, cases: list[Case], results: Results) -> list[str]:
    """Warm times and cold times of cases that share peers, the longer list downwards."""
    timings = {(t.case, t.peer): t for t in results.timings}
    peers = list(dict.fromkeys(peer.name for case in cases for peer in case.peers))
    columns = [case.label + (", raised cache" if case.raised_cache else "") for case in cases]

    def table(cell: Any) -> str:
        lines = [[cell(timings.get((case.key, peer)), case) for case in cases] for peer in peers]
        if len(cases) <= len(peers):
            return markdown_table(
                [group, *columns], [[_bold(p, cases), *line] for p, line in zip(peers, lines, strict=True)]
            )
        flipped = [[column, *line] for column, line in zip(columns, zip(*lines, strict=True), strict=True)]
        return markdown_table([group, *(_bold(peer, cases) for peer in peers)], flipped)

    warm = table(lambda timing, case: _warm(timing, results.median(case.key, case.against)))
    return [warm, "Cold, ms:", table(lambda timing, case: _cold(timing)), _notes(cases)]


def _notes(cases: list[Case]) -> str:
    """What the inputs are, and what each peer evaluates."""
    inputs = dict.fromkeys(f"{case.problem.name}: {case.problem.distribution}" for case in cases)
    evaluated: dict[str, list[str]] = {}
    for peer in dict.fromkeys((peer.name, peer.evaluates) for case in cases for peer in case.peers):
        evaluated.setdefault(peer[1], []).append(peer[0])
    by_peer = "; ".join(f"{what} by {', '.join(peers)}" for what, peers in evaluated.items())
    return f"Inputs: {'; '.join(inputs)}. Evaluated: {by_peer}."


def _bold(peer: str, cases: list[Case]) -> str:
    return f"**{peer}**" if any(case.against == peer for case in cases) else peer


def _warm(timing: Timing | None, baseline: float | None) -> str:
    if timing is None:
        return MISSING
    if timing.median is None or timing.lower is None or timing.upper is None:
        return timing.status.split(":")[0]
    ratio = f" {baseline / timing.median:.2g}x" if baseline else ""
    return f"{milliseconds(timing.median)} ({milliseconds(timing.lower)} to {milliseconds(timing.upper)}){ratio}"


def _cold(timing: Timing | None) -> str:
    return MISSING if timing is None or timing.cold is None else milliseconds(timing.cold)


def _bars_table(rows: list[Row]) -> str:
    words = {True: "met", False: "**not met**", None: "not measured"}
    lines = [
        [row.name, row.required, MISSING if row.measured is None else f"{row.measured:.3g}", words[row.met]]
        for row in rows
    ]
    return markdown_table(["bar", "required", "measured", "result"], lines)


def _failures(results: Results) -> str:
    """What was not timed, and why, each reason once."""
    reasons = dict.fromkeys((t.peer, t.status) for t in results.timings if t.median is None)
    return "\n".join(f"- {peer}: {status}" for peer, status in reasons)
