"""What a benchmark is made of: problems, peers, cases, timings, bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import geometric_mean
from typing import Any

import numpy as np
from attrs import define, field, frozen

Arrays = tuple[np.ndarray, ...]
Combine = Callable[[Any, Any], Any]
Call = Callable[[], Any]


@frozen
class Reference:
    """The right answer, in float64: every position of a short input, and the last position of a long one."""

    whole: Callable[[Arrays, int], Arrays]
    last: Callable[[Arrays, int], Arrays] | None = None


@frozen
class Problem:
    """A scan to compute. `combine` is plain arithmetic on tuples of leaves: every peer runs the same formula.

    `operator` is the name of monoscan's operator, which takes `fields`, or a function that makes it of the module.
    """

    name: str
    distribution: str
    draw: Callable[[np.random.Generator, tuple[int, ...], int], Arrays]
    combine: Combine
    operator: str | Callable[[Any], Any]
    fields: tuple[Any, ...] = ()
    event: int = 0

    def made(self, library: Any) -> Any:
        """The operator, of monoscan's module."""
        return self.operator(library) if callable(self.operator) else getattr(library, self.operator)(*self.fields)


@frozen
class Peer:
    """One way to compute a case. `build` prepares its inputs and returns the timed call, which evaluates its result."""

    name: str
    package: str
    evaluates: str
    build: Callable[[Arrays, int], Call]
    reference: Reference | None

    @property
    def on_mlx(self) -> bool:
        """Whether MLX's memory counters see what this peer allocates."""
        return self.package != "jax"


@frozen
class Case:
    """One row of a table: peers that compute the same thing on the same input."""

    group: str
    label: str
    shape: tuple[int, ...]
    axis: int
    problem: Problem
    peers: tuple[Peer, ...]
    against: str
    raised_cache: bool = False

    @property
    def key(self) -> str:
        """The name by which bars and `--filter` find the case."""
        return f"{self.group}: {self.label}" + (" (raised cache)" if self.raised_cache else "")


@frozen
class Timing:
    """What one peer took for one case, in seconds. `status` is `ok`, or why there are no numbers."""

    case: str
    peer: str
    status: str
    cold: float | None = None
    median: float | None = None
    lower: float | None = None
    upper: float | None = None
    runs: int = 0
    peak_bytes: int | None = None
    input_bytes: int = 0


@define
class Results:
    """All timings of one run, by case and peer."""

    timings: list[Timing] = field(factory=list)

    def find(self, case: str, peer: str) -> Timing | None:
        """The timing of `peer` in `case`, if it was measured."""
        return next((t for t in self.timings if (t.case, t.peer) == (case, peer) and t.median is not None), None)

    def median(self, case: str, peer: str) -> float | None:
        """Median seconds, or None where there is no measurement."""
        found = self.find(case, peer)
        return found.median if found else None

    def ratios(self, cases: Iterable[str], peer: str, others: str | Sequence[str]) -> list[float]:
        """Time of the fastest of `others` over the time of `peer`, for each case that has both."""
        return list(self._ratios(cases, peer, (others,) if isinstance(others, str) else others))

    def _ratios(self, cases: Iterable[str], peer: str, others: Sequence[str]) -> Iterator[float]:
        for case in cases:
            mine = self.median(case, peer)
            theirs = [t for t in (self.median(case, other) for other in others) if t is not None]
            if mine is not None and theirs:
                yield min(theirs) / mine


@frozen
class Bar:
    """A requirement on the results: the measured number must be at least, or at most, the required one."""

    name: str
    required: float
    measure: Callable[[Results], float | None]
    at_least: bool = True
    unit: str = "x"

    def requirement(self) -> str:
        """The requirement in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.required:g}{self.unit}"

    def met(self, measured: float) -> bool:
        """Whether the measured number satisfies the bar."""
        return measured >= self.required if self.at_least else measured <= self.required


@frozen
class Suite:
    """Cases that run together, and the bars that their results must pass.

    A `ranked` one is shown as one table, worst case first, and runs only if it is named. What it is `about`
    stands below its title.
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    bars: tuple[Bar, ...] = ()
    ranked: bool = False
    about: str = ""


def mean_of(values: list[float], expected: int) -> float | None:
    """Geometric mean, or None unless every expected measurement is there."""
    return geometric_mean(values) if values and len(values) == expected else None


def least_of(values: list[float], expected: int) -> float | None:
    """Smallest value, or None unless every expected measurement is there."""
    return min(values) if values and len(values) == expected else None


def size_text(shape: tuple[int, ...], axis: int) -> str:
    """A shape as the tables print it, a power of two of 2^20 and more as such."""
    if len(shape) == 1:
        exponent = math.log2(shape[0])
        return f"2^{exponent:.0f}" if exponent >= 20 and exponent.is_integer() else f"({shape[0]},)"
    return f"{shape} axis {axis}"
