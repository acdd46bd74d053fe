"""A linear recurrence of 65,536 steps: the plan, the time, and a Python loop's."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import attrs
import mlx.core as mx
import numpy as np
import numpy.typing as npt

from monoscan.lowering.plan.plan import Plan
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan
from monoscan.scan.api_explain import explain

STEPS = 65_536
LOOP_STEPS = 2_048
REPEATS = 7


@attrs.frozen(eq=False)
class Race:
    """What was measured.

    Args:
        plan: What the scan ran.
        scan: Seconds, the median of some runs after a first one.
        floats: Seconds of a Python loop over Python floats, all steps.
        arrays: Seconds of a Python loop over MLX arrays, ``LOOP_STEPS`` steps.
        error: The greatest relative difference to the loop in float64.
    """

    plan: Plan
    scan: float
    floats: float
    arrays: float
    error: float


def first() -> None:
    """The first scan, which builds and compiles."""
    mx.eval(scan(Affine(), tuple(map(mx.array, _inputs()))))


def race() -> Race:
    """Runs h_t = a_t h_(t-1) + b_t as a scan and as loops."""
    a, b = _inputs()
    pair = mx.array(a), mx.array(b)
    states = np.array(scan(Affine(), pair)[1], dtype=np.float64)
    start = time.perf_counter()
    expected = _loop(a.tolist(), b.tolist())
    floats = time.perf_counter() - start
    error = float(np.max(np.abs(states - expected)) / np.max(np.abs(expected)))
    arrays = _seconds(lambda: mx.eval(_loop_of_arrays(*pair)), 1)
    seconds = _seconds(lambda: mx.eval(scan(Affine(), pair)), REPEATS)
    return Race(explain(Affine(), pair), seconds, floats, arrays, error)


def _inputs() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return rng.uniform(0.9, 1.0, STEPS).astype(np.float32), rng.normal(size=STEPS).astype(np.float32)


def _seconds(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def _loop(a: list[float], b: list[float]) -> npt.NDArray[np.float64]:
    states, h = [], 0.0
    for gate, step in zip(a, b, strict=True):
        h = gate * h + step
        states.append(h)
    return np.array(states)


def _loop_of_arrays(a: mx.array, b: mx.array) -> mx.array:
    states, h = [], mx.zeros(())
    for i in range(LOOP_STEPS):
        h = a[i] * h + b[i]
        states.append(h)
    return mx.stack(states)
