"""The clock: peers take turns in one process, so that noise hits all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import define, field

from benchmarks.model import Arrays, Call, Case, Peer, Timing
from benchmarks.peers import as_numpy

SEED = 20240229
RAISED_CACHE = 1 << 30
WARM_UP_RUNS = 3
MIN_RUNS, MAX_RUNS = 7, 2000
TURN_SECONDS = 2e-3
PRIME_BELOW = 50e-3
SMALL_AXIS, SMALL_BATCH = 131, 3
LARGEST_CHECKED = 1 << 24
SMALL_TOLERANCE, LARGE_TOLERANCE = 1e-5, 1e-3


@define
class Runner:
    """A peer in a race: its call, and what was measured so far."""

    peer: Peer
    call: Call
    cold: float
    peak_bytes: int | None = None
    spent: float = 0.0
    samples: list[float] = field(factory=list)

    def timed(self) -> float:
        """Seconds of one call; its result is dropped after the clock has stopped."""
        start = perf_counter()
        result = self.call()
        elapsed = perf_counter() - start
        del result
        self.spent += elapsed
        return elapsed

    def turn(self) -> None:
        """One untimed call, so that no peer pays for the caches of the one before, then a short burst of timed ones."""
        if not self.samples or self.samples[-1] < PRIME_BELOW:
            self.timed()
        end = self.spent + TURN_SECONDS
        while True:
            self.samples.append(self.timed())
            if self.spent >= end:
                return

    def done(self, share: float) -> bool:
        """Whether the share of the budget is used up, with enough runs for quartiles."""
        return len(self.samples) >= MAX_RUNS or (self.spent >= share and len(self.samples) >= MIN_RUNS)

    def timing(self, case: str, input_bytes: int) -> Timing:
        """Median and quartiles of the samples."""
        lower, median, upper = np.quantile(self.samples, (0.25, 0.5, 0.75)).tolist()
        return Timing(
            case, self.peer.name, "ok", self.cold, median, lower, upper, len(self.samples), self.peak_bytes, input_bytes
        )


def measure(case: Case, budget: float) -> list[Timing]:
    """Time all peers of a case, within about `budget` seconds besides compilation; wrong answers are not timed."""
    arrays = case.problem.draw(np.random.default_rng(SEED), case.shape, case.axis)
    runners, failures = [], {}
    with buffer_cache(case.raised_cache):
        answers: dict[int, Arrays] = {}
        for peer in case.peers:
            prepared = _prepare(peer, case, arrays, answers)
            if isinstance(prepared, Runner):
                runners.append(prepared)
            else:
                failures[peer.name] = prepared
        race(runners, budget)
    input_bytes = sum(x.nbytes for x in arrays)
    timings = {runner.peer.name: runner.timing(case.key, input_bytes) for runner in runners}
    return [timings.get(peer.name) or Timing(case.key, peer.name, failures[peer.name]) for peer in case.peers]


def race(runners: list[Runner], budget: float) -> None:
    """Round robin in a new random order every round, until each has used its share of the budget."""
    order = np.random.default_rng(SEED)
    gc.collect()
    gc.disable()
    try:
        for runner in runners:
            for _ in range(WARM_UP_RUNS):
                runner.timed()
            runner.spent = 0.0
        while waiting := [r for r in runners if not r.done(budget / len(runners))]:
            for i in order.permutation(len(waiting)):
                waiting[i].turn()
    finally:
        gc.enable()


@contextmanager
def buffer_cache(raised: bool) -> Iterator[None]:
    """MLX's buffer cache, empty at first, with its default limit or a raised one."""
    mx.clear_cache()
    previous = mx.set_cache_limit(RAISED_CACHE) if raised else None
    try:
        yield
    finally:
        if previous is not None:
            mx.set_cache_limit(previous)
        mx.clear_cache()


def _prepare(peer: Peer, case: Case, arrays: Arrays, answers: dict[int, Arrays]) -> Runner | str:
    """A checked runner, or the sentence that stands in its place."""
    if find_spec(peer.package) is None:
        return f"absent: {peer.package} is not installed"
    try:
        call = peer.build(arrays, case.axis)
        start = perf_counter()
        result = call()
        runner = Runner(peer, call, perf_counter() - start)
        _check_large(peer, case, arrays, result, answers)
        del result
        _check_small(peer, case)
        runner.peak_bytes = _peak_bytes(call) if peer.on_mlx else None
    except AssertionError as error:
        return f"wrong: {error}"
    except Exception as error:  # a peer that breaks must not take the others' measurements with it
        return f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return runner


def _check_small(peer: Peer, case: Case) -> None:
    """Every position of a small input against the sequential float64 fold."""
    if peer.reference is None:
        return
    shape = tuple(min(n, SMALL_AXIS if i == case.axis else SMALL_BATCH) for i, n in enumerate(case.shape))
    arrays = case.problem.draw(np.random.default_rng(SEED + 1), shape, case.axis)
    expected = peer.reference.whole(arrays, case.axis)
    _compare(as_numpy(peer.build(arrays, case.axis)()), expected, SMALL_TOLERANCE + _spacing(arrays), shape[case.axis])


def _check_large(peer: Peer, case: Case, arrays: Arrays, result: Any, answers: dict[int, Arrays]) -> None:
    """The last position of the timed input against a pairwise float64 fold; folds of one reference are shared."""
    if peer.reference is None or peer.reference.last is None or arrays[0].size > LARGEST_CHECKED:
        return
    key = id(peer.reference)
    if key not in answers:
        answers[key] = peer.reference.last(arrays, case.axis)
    last = (slice(None),) * case.axis + (slice(-1, None),)
    leaves = result if isinstance(result, (tuple, list)) else (result,)
    _compare(
        as_numpy([leaf[last] for leaf in leaves]),
        answers[key],
        LARGE_TOLERANCE + _spacing(arrays),
        case.shape[case.axis],
    )


def _spacing(arrays: Arrays) -> float:
    """What rounding of the inputs' halves, where they are, may do."""
    return 8 * max((float(np.finfo(x.dtype).eps) for x in arrays if x.dtype == np.float16), default=0.0)


def _compare(got: Arrays, expected: Arrays, tolerance: float, length: int) -> None:
    """Equal to `tolerance` relative to the value, or a tenth of it to a sum of `length` values of order one; NaN asks for nothing."""
    assert len(got) == len(expected), f"{len(got)} leaves, {len(expected)} expected"
    for leaf, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert one.shape == other.shape, f"leaf {leaf} has shape {one.shape}, {other.shape} expected"
        one, other = (x.astype(np.float64) if x.dtype.kind in "biu" else x for x in (one, other))
        error = np.where(np.isnan(other), 0, np.abs(one - other) / (np.abs(other) + np.sqrt(length) / 10))
        assert np.all(error <= tolerance), f"leaf {leaf} is off by {np.max(error):.2g} of its size at length {length}"


def _peak_bytes(call: Call) -> int:
    """What one call allocates at its peak, beyond what was there before, by MLX's counters."""
    mx.synchronize()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    result = call()
    peak = mx.get_peak_memory() - before
    del result
    return peak
