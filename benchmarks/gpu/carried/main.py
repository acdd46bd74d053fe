"""Checks and times the kernels of a package on the NVIDIA GPU of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import peers, sweep
from .clock import seconds_of
from .driver import Cuda, DriverError, Unavailable
from .package import Case, Manifest, arrays, read
from .peers import Racer
from .report import Report, Row
from .scans import Code, Scan, difference, expected_of, verdict

RIGHT, WRONG, NOTHING = 0, 1, 2
"""Exit statuses."""

FORMS = 6
"""A form is timed for a sixth of the time, for there are many."""


def main(folder: Path, library: Any = None, budget: float = 0.3) -> int:
    """Prints the report; returns the exit status.

    Args:
        folder: The package.
        library: What answers in the place of the driver's library.
        budget: The seconds for which each peer of a case is timed.
    """
    manifest = read(folder)
    try:
        cuda = Cuda(library)
        architecture = manifest.architecture(cuda.architecture)
        if architecture is None:
            own = ", ".join(manifest.architectures)
            raise Unavailable(f"{cuda.name} is {cuda.architecture}; the package holds code for {own}")
    except Unavailable as error:
        print(f"Nothing was run: {error}.")
        return NOTHING
    code = Code(cuda, manifest, folder, architecture)
    if any(case.group for case in manifest.cases):
        return _swept(cuda, code, architecture, arrays(folder), budget / FORMS)
    found = run(cuda, code, folder, budget)
    print(found.text())
    return WRONG if found.wrong else RIGHT


def run(cuda: Cuda, code: Code, folder: Path, budget: float) -> Report:
    """Checks all cases, then times those that are timed."""
    manifest, stored = code.manifest, arrays(folder)
    report = Report(_machine(cuda, manifest))
    for number, case in enumerate(manifest.cases, 1):
        _say(f"[{number}/{len(manifest.cases)}] {case.name}")
        if 2 * sum(buffer.size for buffer in case.buffers) > cuda.available():
            report.notes.append(f"left out for want of memory: {case.name}")
            continue
        report.checked += 1
        with Scan(code, case, stored) as scan:
            wrong = verdict(scan, expected_of(scan, stored))
            if wrong:
                report.wrong[case.name] = wrong
            elif case.formula:
                report.rows.append(_timed(cuda, scan, folder, budget))
    if report.rows:
        report.notes += [f"not there: {name}" for name in peers.missing(folder)]
    return report


def _swept(cuda: Cuda, code: Code, architecture: str, stored: dict[str, np.ndarray], budget: float) -> int:
    """Times all forms and prints which are the fastest; returns the exit status."""
    found, wrong = sweep.run(cuda, code, architecture, stored, budget, _say)
    report = Report(_machine(cuda, code.manifest), wrong, len(code.manifest.cases))
    print(f"{report.text()}\n{sweep.text(found)}")
    return WRONG if wrong else RIGHT


def _machine(cuda: Cuda, manifest: Manifest) -> dict[str, str]:
    made = ", ".join(f"{name} {version}" for name, version in manifest.made_by.items())
    return {"GPU": f"{cuda.name} ({cuda.architecture})", "driver": cuda.driver, "kernels made by": made}


def _timed(cuda: Cuda, scan: Scan, folder: Path, budget: float) -> Row:
    case = scan.case
    row = Row(case.name, case.bytes, seconds_of(scan, cuda.wait, budget))
    own = [scan.output(each) for each in case.expected]
    for make in peers.racers(cuda, scan, folder):
        _raced(row, make, own, case, budget)
    return row


def _raced(row: Row, make: Callable[[], Racer], own: list[np.ndarray], case: Case, budget: float) -> None:
    """Times a peer, which may be broken or short of memory: then the row says so, and the others go on."""
    racer = None
    try:
        racer = make()
        row.peers[racer.name] = seconds_of(racer.call, racer.wait, budget)
        if racer.result is not None and _differs(racer.result(), own, case):
            row.peers[racer.name] = "wrong"
    except (DriverError, ImportError, MemoryError, RuntimeError, OSError, TypeError, ValueError) as error:
        name = racer.name if racer is not None else "a peer that did not start"
        row.peers[name] = f"failed: {type(error).__name__}"
        _say(f"{name}: {error}")
    finally:
        if racer is not None:
            racer.close()


def _differs(found: list[np.ndarray], own: list[np.ndarray], case: Case) -> bool:
    pairs = zip(case.expected, found, own, strict=True)
    return any(difference(a, b, False, 10 * expected.tolerance) for expected, a, b in pairs)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
