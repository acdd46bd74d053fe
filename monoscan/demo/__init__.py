"""The main job on real data: what ``monoscan demo`` shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monoscan.demo import custom, nile, plot, recurrence
from monoscan.errors import ScanError

DAM = 1899


def run(out: Path | None = None) -> None:
    """Shows the Nile, a long recurrence and a custom operator.

    Args:
        out (Path, optional): A PNG file for the picture, which needs matplotlib. Default: ``None``, where it is
            drawn in characters.

    Raises:
        ScanError: There is to be a file, and no matplotlib.
    """
    if out is not None and not plot.has_matplotlib():
        raise ScanError('[demo] --out needs matplotlib: pip install "monoscan[docs]", or leave it out.')
    start = time.perf_counter()
    _nile(out)
    _recurrence()
    _custom()
    print(f"\nAll of it took {time.perf_counter() - start:.1f} s.")


def _title(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Says what takes a while before it does, and how long it took."""
    print(f"{what} ...", end=" ", flush=True)
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:.2f} s", flush=True)


def _nile(picture: Path | None) -> None:
    _title("1. The Nile at Aswan, 1871 to 1970: Kalman filter and smoother as parallel scans")
    years, flows = nile.load()
    with _doing(f"Maximum likelihood: {nile.ROUNDS} scans, each of {nile.CANDIDATES} filters at once"):
        found = nile.fit(flows)
    with _doing("Filter and smoother with these variances"):
        levels = nile.levels(flows, found.noise, found.process)
    known = nile.PUBLISHED
    print(f"\n{'':34}{'monoscan':>12}{'published':>12}")
    print(f"{'  variance of an observation':34}{found.noise:12.1f}{known['noise']:12.0f}")
    print(f"{'  variance of a step of the level':34}{found.process:12.1f}{known['process']:12.1f}")
    print(f"{'  diffuse log-likelihood':34}{found.log_likelihood:12.3f}{known['log_likelihood']:12.2f}")
    print("  published: Durbin & Koopman, Time Series Analysis by State Space Methods\n")
    if picture is not None:
        with _doing(f"Drawing {picture}"):
            plot.png(picture, years, flows, levels)
    else:
        print(plot.text(years, flows, levels))


def _recurrence() -> None:
    _title(f"2. A linear recurrence of {recurrence.STEPS:,} steps: scan(Affine(), (a, b))")
    recurrence.first()  # builds the bridge where there is none yet, and says so on a line of its own
    with _doing("Scan and loops"):
        race = recurrence.race()
    print(f"\n{race.plan}\n")
    for name, seconds, steps in (
        ("scan", race.scan, recurrence.STEPS),
        ("Python loop over Python floats", race.floats, recurrence.STEPS),
        ("Python loop over MLX arrays", race.arrays, recurrence.LOOP_STEPS),
    ):
        print(f"  {name:<41}{seconds * 1e3:10.2f} ms for {steps:6,} steps")
    print(f"  greatest difference to the float64 loop  {race.error:10.1e}    of the largest state")


def _custom() -> None:
    _title("3. An operator of your own: the deepest fall from a peak to a later trough")
    print(custom.source())
    with _doing("Checking its laws"):
        verdict = custom.laws()
    print("\n" + "\n".join(f"  {line}" for line in verdict.splitlines()) + "\n")
    deepest, year, before, since = custom.deepest(*nile.load(), dam=DAM)
    print(f"Scanned over the Nile, in 10^8 m³ a year: the deepest fall was {deepest:.0f}, reached in {year:.0f}.")
    print(f"Started anew by Segmented(Drawdown()) with the dam of {DAM}: {before:.0f} before it, {since:.0f} since.")
