"""The command line: run suites, print tables, write JSON."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter

import mlx.core as mx

from benchmarks.aggregators import AGGREGATORS
from benchmarks.cliffs import CLIFFS
from benchmarks.grad import GRAD
from benchmarks.kernels import KERNELS
from benchmarks.model import Results, Suite
from benchmarks.page import read, rewrite
from benchmarks.recipes import RECIPES
from benchmarks.report import Row, environment, judge, load_average, section, to_json, to_markdown
from benchmarks.sequences import SEQUENCES
from benchmarks.steps import STEPWISE
from benchmarks.sweep import SWEEP
from benchmarks.tables import ADD, AFFINE_TABLE, MAMBA
from benchmarks.timing import measure
from benchmarks.wide import WIDE
from benchmarks.windows import WINDOWS

SUITES = {
    suite.name: suite
    for suite in (
        ADD,
        AFFINE_TABLE,
        MAMBA,
        KERNELS,
        GRAD,
        WIDE,
        STEPWISE,
        AGGREGATORS,
        SEQUENCES,
        WINDOWS,
        RECIPES,
        CLIFFS,
        SWEEP,
    )
}
BROKEN = ("wrong", "failed")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time monoscan and its peers.")
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="suite",
        help=f"any of {', '.join(SUITES)}; all but the ranked ones if none is named",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page of tables to FILE too")
    parser.add_argument("--read", type=Path, metavar="FILE", help="run nothing: take the measurements from such a FILE")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the sections of these suites on the page FILE anew, no others"
    )
    parser.add_argument(
        "--budget", type=float, default=4.0, metavar="SECONDS", help="time for each case, shared by its peers (4)"
    )
    parser.add_argument("--filter", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where MLX runs (cpu)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite named {unknown[0]}; there are {', '.join(SUITES)}")
    return options


def run(suites: list[Suite], budget: float, text: str) -> Results:
    """Measure all cases whose name contains `text`, saying so as it goes."""
    results = Results()
    chosen = [case for suite in suites for case in suite.cases if text in case.key]
    for done, case in enumerate(chosen, 1):
        start = perf_counter()
        print(f"[{done}/{len(chosen)}] {case.key} ...", end=" ", file=sys.stderr, flush=True)
        results.timings += measure(case, budget)
        print(f"{perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    return results


def reread(options: argparse.Namespace) -> int:
    """The sections or the tables of a run that was kept."""
    content, results = read(options.read)
    for name in options.suites or content["settings"]["suites"]:
        if options.page:
            rewrite(options.page, content, SUITES[name], results)
        else:
            print("\n\n".join(section(SUITES[name], results, judge(SUITES[name], results))))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 if any peer gave wrong answers or broke; missed bars are reported, not fatal."""
    options = parse(arguments)
    if options.read:
        return reread(options)
    if options.device == "cpu":
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    mx.set_default_device(mx.cpu if options.device == "cpu" else mx.gpu)
    suites = [SUITES[name] for name in options.suites] or [suite for suite in SUITES.values() if not suite.ranked]
    before = load_average()
    results = run(suites, options.budget, options.filter)
    rows: list[Row] = [row for suite in suites for row in judge(suite, results)]
    load = f"Load average before the run {before}, after it {load_average()}"
    tables = to_markdown(suites, results, rows, load)
    print(tables)
    if options.markdown:
        options.markdown.write_text(tables)
    if options.page:
        content = {"environment": environment(), "settings": {"load": load}}
        for suite in suites:
            rewrite(options.page, content, suite, results)
    if options.json:
        settings = {
            "suites": [suite.name for suite in suites],
            "budget": options.budget,
            "device": options.device,
            "load": load,
        }
        options.json.write_text(to_json(settings, results, rows))
    return int(any(timing.status.startswith(BROKEN) for timing in results.timings))


if __name__ == "__main__":
    sys.exit(main())
