"""Times the forms of each scan of a package, and says which is the fastest, and what to write in `gpu_launches`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from .clock import seconds_of
from .driver import Cuda
from .package import Case
from .peers import copied
from .scans import Code, Scan, expected_of, verdict

WORTH = 1.03
"""A form is to be preferred from so many times the speed of the planner's on."""


@dataclass(frozen=True)
class Found:
    """A form that was timed.

    Args:
        case: Its case.
        registers: Of a thread, in the kernel that is launched last.
        seconds: Of one scan.
        copy: Of a copy of as many bytes.
    """

    case: Case
    registers: int
    seconds: float
    copy: float

    @property
    def words(self) -> str:
        """The form in words."""
        return ", ".join([self.case.body, *(f"{name} {number}" for name, number in self.case.form.items())])


def run(
    cuda: Cuda, code: Code, architecture: str, stored: dict[str, np.ndarray], budget: float, say: Callable[[str], Any]
) -> tuple[list[list[Found]], dict[str, str]]:
    """The forms of each scan, those of the planner first, and what came out wrong, by case.

    Args:
        cuda: The GPU.
        code: The kernels.
        architecture: What of them runs there.
        stored: The arrays of the package.
        budget: The seconds for which a form is timed.
        say: Says how far it is.
    """
    every: list[list[Found]] = []
    wrong: dict[str, str] = {}
    for group, of_group in groupby(code.manifest.cases, key=lambda case: case.group):
        cases, values, found = list(of_group), None, list[Found]()
        if 2 * sum(buffer.size for buffer in cases[0].buffers) > cuda.available():
            say(f"left out for want of memory: {group}")
            continue
        copy = _seconds_of_a_copy(cuda, cases[0].bytes, budget)
        for number, case in enumerate(cases, 1):
            say(f"{group} [{number}/{len(cases)}] {case.name}")
            with Scan(code, case, stored) as scan:
                values = expected_of(scan, stored) if values is None else values
                failed = verdict(scan, values)
                if failed:
                    wrong[case.name] = failed
                    continue
                registers = code.manifest.kernels[case.launches[-1].kernel].registers[architecture]
                found.append(Found(case, registers, seconds_of(scan, cuda.wait, budget), copy))
        every.append(found)
    return every, wrong


def _seconds_of_a_copy(cuda: Cuda, size: int, budget: float) -> float:
    racer = copied(cuda, size)
    try:
        return seconds_of(racer.call, racer.wait, budget)
    finally:
        racer.close()


def text(every: Iterable[Sequence[Found]], best: int = 5) -> str:
    """The fastest forms of each scan, and what the planner should do otherwise, in Markdown."""
    timed = [found for found in every if found]
    return "\n".join([*(_table(found, best) for found in timed), *_advice(timed)]) + "\n"


def _table(found: Sequence[Found], best: int) -> str:
    ranked = sorted(found, key=lambda each: each.seconds)
    shown = [*ranked[:best], *(each for each in ranked[best:] if each.case.planned)]
    lines = [f"#### {found[0].case.group}", "", "| form | registers | ms | GB/s | of a copy |", "|---|---|---|---|---|"]
    for each in shown:
        speed, mark = each.case.bytes / each.seconds / 1e9, " (as planned)" if each.case.planned else ""
        numbers = f"{each.registers} | {1e3 * each.seconds:.3g} | {speed:,.0f} | {100 * each.copy / each.seconds:.0f} %"
        lines.append(f"| {each.words}{mark} | {numbers} |")
    return "\n".join([*lines, ""])


def _advice(timed: Sequence[Sequence[Found]]) -> list[str]:
    lines = []
    for found in timed:
        fastest = min(found, key=lambda each: each.seconds)
        planned = next((each for each in found if each.case.planned), None)
        if planned is not None and planned.seconds > WORTH * fastest.seconds:
            gain = planned.seconds / fastest.seconds
            lines.append(
                f"- {found[0].case.group} ({found[0].case.state} registers a state): {fastest.words} is {gain:.2f} times as fast "
                f"as {planned.words}."
            )
    if not lines:
        return ["The planner's forms are the fastest, within 3 %."]
    where = "`REGISTERS`, `WAVES`, `PARTS`, `_shaped` and `looking_back` in monoscan/lowering/plan/gpu_launches.py"
    return [f"What to change in {where}, and `anchors` in render/gpu_spec.py:", "", *lines]
