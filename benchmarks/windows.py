"""Moving maxima, sums, means and variances of one long row, against bottleneck, pandas and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, Suite, least_of

ITEMS = 1_000_000
SIZES = (2, 10, 100, 10_000, 100_000)
WINDOW, BOTTLENECK, PANDAS, SCIPY = "monoscan window", "bottleneck", "pandas rolling", "scipy maximum_filter1d"
Fold = Callable[[np.ndarray], Any]
FOLDS: dict[str, tuple[Any, Fold]] = {
    "max": (ms.Max(), np.max),
    "sum": (ms.Sum(), np.sum),
    "mean": (ms.aggregators.Mean(), np.mean),
    "var": (ms.aggregators.Variance(), np.var),
}


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("windows are no scan")


def _drawn(dtype: type) -> Callable[..., Arrays]:
    return lambda rng, shape, axis: (rng.standard_normal(shape).astype(dtype),)


def _reference(fold: Fold, size: int) -> Reference:
    """Folds of each window in float64."""

    def whole(arrays: Arrays, axis: int) -> Arrays:
        rows = np.moveaxis(arrays[0].astype(np.float64), axis, 0)
        found = [np.apply_along_axis(fold, 0, rows[max(0, i - size + 1) : i + 1]) for i in range(len(rows))]
        return (np.moveaxis(np.array(found), 0, axis),)

    def last(arrays: Arrays, axis: int) -> Arrays:
        rows = np.moveaxis(arrays[0].astype(np.float64), axis, 0)
        return (np.moveaxis(np.apply_along_axis(fold, 0, rows[-size:])[None], 0, axis),)

    return Reference(whole, last)


def _window(name: str, size: int) -> Peer:
    operator, fold = FOLDS[name]

    def build(arrays: Arrays, axis: int) -> Call:
        return peers.mlx_call(lambda x: ms.window(operator, x, size, axis), arrays, False)

    return Peer(WINDOW, "monoscan", "outputs", build, _reference(fold, size))


def _peer(name: str, package: str, fold: Fold, size: int, run: Callable[[np.ndarray, int, int], Any]) -> Peer:
    """A peer of NumPy arrays, which takes no window longer than the row."""

    def build(arrays: Arrays, axis: int) -> Call:
        return lambda: run(arrays[0], min(size, arrays[0].shape[axis]), axis)

    return Peer(name, package, "outputs", build, _reference(fold, size))


def _bottleneck(name: str, size: int) -> Peer:
    def run(x: np.ndarray, size: int, axis: int) -> Any:
        return getattr(import_module("bottleneck"), f"move_{name}")(x, size, min_count=1, axis=axis)

    return _peer(BOTTLENECK, "bottleneck", FOLDS[name][1], size, run)


def _pandas(name: str, size: int) -> Peer:
    given = {"ddof": 0} if name == "var" else {}

    def run(x: np.ndarray, size: int, axis: int) -> Any:
        pandas = import_module("pandas")
        rows = pandas.Series(x) if x.ndim == 1 else pandas.DataFrame(np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1))
        found = getattr(rows.rolling(size, min_periods=1), name)(**given).to_numpy()
        return found if x.ndim == 1 else np.moveaxis(found.reshape(np.moveaxis(x, axis, 0).shape), 0, axis)

    return _peer(PANDAS, "pandas", FOLDS[name][1], size, run)


def _scipy(size: int) -> Peer:
    def run(x: np.ndarray, size: int, axis: int) -> Any:
        images = import_module("scipy.ndimage")
        return images.maximum_filter1d(x, size, axis, mode="constant", cval=-np.inf, origin=(size - 1) // 2)

    return _peer(SCIPY, "scipy", np.max, size, run)


def _case(name: str, dtype: type, size: int) -> Case:
    problem = Problem(f"{name} of {dtype.__name__}", "standard normal", _drawn(dtype), _combine, "window")
    others = (_bottleneck(name, size), _pandas(name, size), *([_scipy(size)] if name == "max" else []))
    return Case(
        f"window {problem.name}", f"size {size}", (ITEMS,), 0, problem, (_window(name, size), *others), BOTTLENECK
    )


CASES = {
    (name, dtype, size): _case(name, dtype, size)
    for name in FOLDS
    for dtype in (np.float32, np.float64)
    for size in SIZES
}


def _faster(name: str, dtype: type, other: str) -> Callable[[Results], float | None]:
    return lambda results: least_of(results.ratios([CASES[name, dtype, 100].key], WINDOW, other), 1)


def _widest(results: Results) -> float | None:
    """The longest time of a window of any size over that of 100."""
    found = []
    for (name, dtype, _), case in CASES.items():
        times = [results.median(each.key, WINDOW) for each in (case, CASES[name, dtype, 100])]
        if times[0] is not None and times[1] is not None:
            found.append(times[0] / times[1])
    return max(found) if len(found) == len(CASES) else None


BARS = (
    *(
        Bar(f"{name} of {dtype.__name__}, size 100, faster than {other}", required, _faster(name, dtype, other))
        for name, dtype, other, required in (
            ("max", np.float32, PANDAS, 15), ("max", np.float32, BOTTLENECK, 8), ("max", np.float64, PANDAS, 5),
            ("max", np.float64, BOTTLENECK, 2), ("sum", np.float32, BOTTLENECK, 1.2), ("sum", np.float64, BOTTLENECK, 1.2),
            ("mean", np.float32, BOTTLENECK, 1.2), ("mean", np.float64, BOTTLENECK, 1.2), ("var", np.float32, BOTTLENECK, 1),
            ("var", np.float64, BOTTLENECK, 1),
        )
    ),
    Bar("windows of any size over those of 100", 2, _widest, at_least=False),
)  # fmt: skip

WINDOWS = Suite("windows", "Windows", tuple(CASES.values()), BARS)
