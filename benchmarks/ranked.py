"""One table of many cases: the plan of `auto` against our best strategy and the best alternative, worst case first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from attrs import frozen

from benchmarks.model import Case, Results
from benchmarks.rivals import ALSO
from benchmarks.text import markdown_table, milliseconds

HEADER = ["case", "auto, ms", "best other strategy", "auto over it", "best alternative", "auto over it"]
NONE = "-"


@frozen
class Best:
    """The fastest of some peers, and how many times its time `auto` takes."""

    peer: str
    seconds: float
    ratio: float


@frozen
class Standing:
    """How `auto` does in a case."""

    case: Case
    auto: float
    strategy: Best | None
    rival: Best | None

    @property
    def worst(self) -> float:
        """How many times the time of the best of all others `auto` takes."""
        return max((best.ratio for best in (self.strategy, self.rival) if best), default=0.0)


def standing(case: Case, results: Results) -> Standing | None:
    """How `auto` does in a case, if it was measured."""
    auto = results.median(case.key, case.against)
    if auto is None:
        return None

    def best(of_ours: bool) -> Best | None:
        names = [
            peer.name
            for peer in case.peers
            if (peer.package == "monoscan") == of_ours and peer.name != case.against and not peer.name.startswith(ALSO)
        ]
        times = [(seconds, name) for name in names if (seconds := results.median(case.key, name)) is not None]
        return Best(min(times)[1], min(times)[0], auto / min(times)[0]) if times else None

    return Standing(case, auto, best(of_ours=True), best(of_ours=False))


def ranked(cases: list[Case], results: Results) -> list[Standing]:
    """The cases that were measured, worst first."""
    found = [one for case in cases if (one := standing(case, results)) is not None]
    return sorted(found, key=lambda one: one.worst, reverse=True)


def ranked_tables(cases: list[Case], results: Results) -> list[str]:
    """A table for each group."""
    parts = []
    for group, members in groupby(cases, key=lambda case: case.group):
        lines = [_line(one) for one in ranked(list(members), results)]
        parts.append(markdown_table([group, *HEADER[1:]], lines))
    return parts


def _line(one: Standing) -> list[str]:
    line = [one.case.label, milliseconds(one.auto)]
    for best in (one.strategy, one.rival):
        line += [f"{best.peer}, {milliseconds(best.seconds)}", f"{best.ratio:.2g}"] if best else [NONE, NONE]
    return line


def worst(cases: list[Case], of_ours: bool) -> Callable[[Results], float | None]:
    """The worst ratio to our best strategy, or to the best alternative."""

    def measure(results: Results) -> float | None:
        bests = [one.strategy if of_ours else one.rival for one in ranked(cases, results)]
        return max((best.ratio for best in bests if best), default=None)

    return measure
