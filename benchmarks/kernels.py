"""The bars of the fused CPU kernels: float32, one process, medians."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchmarks import peers
from benchmarks.model import Bar, Case, Problem, Results, Suite, least_of, mean_of, size_text
from benchmarks.problems import AFFINE, MATMUL, MAX_SUBARRAY, MOMENTS, SOFTMAX
from benchmarks.tables import AFFINE_RACERS, cache_settings

SEVEN = [
    ((8192,), 0),
    ((65536,), 0),
    ((1 << 20,), 0),
    ((128, 256), 1),
    ((512, 1024), 0),
    ((512, 1024), 1),
    ((1, 2048, 256, 16), 1),
]
LONG = ((100_000, 32), 0)
SMALL = [16, 64, 256, 1024]
EXPONENTS = range(10, 27, 2)
LARGE = 1 << 20
LENGTH_OF_OPERATORS = 65536
OPERATORS = (SOFTMAX, MOMENTS, MATMUL, MAX_SUBARRAY)
MLX_SCAN = (peers.HILLIS_STEELE, peers.BLELLOCH)
PORTABLE = tuple(f"{peers.AUTO} {strategy}" for strategy in peers.STRATEGIES)
CUSTOM, FUNCTION = f"{peers.AUTO} custom monoid", f"{peers.AUTO} associative_scan"
PLAN = f"{peers.AUTO} explain"


def _case(
    group: str, problem: Problem, shape: tuple[int, ...], axis: int, racers: tuple, against: str, raised: bool = False
) -> Case:
    return Case(group, size_text(shape, axis), shape, axis, problem, racers, against, raised)


def _affine_cases() -> list[Case]:
    same_formula = (peers.monoscan_custom(AFFINE, (1.0, 0.0)), peers.monoscan_function(AFFINE))
    racers = (*AFFINE_RACERS, peers.jax_loop(both=True), *same_formula, peers.copy())
    return [
        _case("affine", AFFINE, shape, axis, racers, peers.AUTO, raised)
        for shape, axis in [*SEVEN, LONG]
        for raised in cache_settings(shape)
    ]


def _small_cases() -> list[Case]:
    racers = tuple(
        peer
        for compiled in (True, False)
        for peer in (peers.monoscan(AFFINE, compiled=compiled), peers.cumsum(1, compiled))
    )
    return [_case("small", AFFINE, (n,), 0, racers, peers.AUTO) for n in SMALL]


def _length_cases() -> list[Case]:
    racers = (peers.monoscan(AFFINE), peers.monoscan_recurrence(), peers.cumsum(1), peers.copy())
    return [
        _case("length", AFFINE, (1 << exponent,), 0, racers, peers.AUTO, raised)
        for exponent in EXPONENTS
        for raised in cache_settings((1 << exponent,))
    ]


def _operator_cases() -> list[Case]:
    made = []
    for problem in OPERATORS:
        racers = (peers.monoscan(problem), *(peers.monoscan(problem, strategy) for strategy in peers.STRATEGIES))
        shape = (LENGTH_OF_OPERATORS,)
        made.append(Case("operators", problem.name, shape, 0, problem, racers, peers.AUTO))
    return made


AFFINE_CASES, SMALL_CASES, LENGTH_CASES, OPERATOR_CASES = (
    _affine_cases(),
    _small_cases(),
    _length_cases(),
    _operator_cases(),
)
PLAN_CASE = _case("call to plan", AFFINE, (1024,), 0, (peers.monoscan_plan(AFFINE),), PLAN)


def _keys(cases: list[Case], keep: Callable[[Case], bool]) -> list[str]:
    return [case.key for case in cases if keep(case)]


def _size(case: Case) -> int:
    return math.prod(case.shape)


def _is_seven(case: Case) -> bool:
    return (case.shape, case.axis) in SEVEN and not case.raised_cache


SEVEN_KEYS = _keys(AFFINE_CASES, _is_seven)
SEVEN_RAISED_KEYS = _keys(
    AFFINE_CASES,
    lambda case: (case.shape, case.axis) in SEVEN and case.raised_cache == (len(cache_settings(case.shape)) > 1),
)
LONG_KEYS = _keys(AFFINE_CASES, lambda case: (case.shape, case.axis) == LONG)
ALL_KEYS = _keys(AFFINE_CASES + LENGTH_CASES, lambda case: True)
LARGE_KEYS = _keys(AFFINE_CASES + LENGTH_CASES, lambda case: _size(case) >= LARGE)
LINEAR_KEYS = _keys(LENGTH_CASES, lambda case: case.raised_cache == (len(cache_settings(case.shape)) > 1))


def mean_ratio(
    keys: list[str], other: str | tuple[str, ...], mine: str = peers.AUTO
) -> Callable[[Results], float | None]:
    """Geometric mean of the speed-up over the better of others."""
    return lambda results: mean_of(results.ratios(keys, mine, other), len(keys))


def least_ratio(
    keys: list[str], other: str | tuple[str, ...], mine: str = peers.AUTO
) -> Callable[[Results], float | None]:
    """Smallest speed-up over the better of others."""
    return lambda results: least_of(results.ratios(keys, mine, other), len(keys))


def slowest_against(keys: list[str], mine: str, other: str, factor: float = 1.0) -> Callable[[Results], float | None]:
    """Largest ratio of my time to `factor` times the other's."""

    def measure(results: Results) -> float | None:
        least = least_of(results.ratios(keys, mine, other), len(keys))
        return None if least is None else 1 / (least * factor)

    return measure


def mean_against(keys: list[str], mine: str, other: str) -> Callable[[Results], float | None]:
    """Geometric mean of the ratio of my time to the other's; unlike the worst, noise does not push it up."""

    def measure(results: Results) -> float | None:
        mean = mean_of(results.ratios(keys, mine, other), len(keys))
        return None if mean is None else 1 / mean

    return measure


def growth(results: Results) -> float | None:
    """Exponent of the power law that fits time against length from 2^16 on, where the dispatch no longer shows."""
    points = [
        (exponent, results.median(key, peers.AUTO))
        for exponent, key in zip(EXPONENTS, LINEAR_KEYS, strict=True)
        if exponent >= 16
    ]
    if any(seconds is None for _, seconds in points):
        return None
    return float(np.polyfit([e for e, _ in points], [math.log2(seconds) for _, seconds in points], 1)[0])


def plan_microseconds(results: Results) -> float | None:
    """Median time of a repeated `explain`."""
    seconds = results.median(PLAN_CASE.key, PLAN)
    return None if seconds is None else seconds * 1e6


EAGER = " (eager)"
SMALL_KEYS = [case.key for case in SMALL_CASES]
BARS = (
    Bar("faster than jax associative_scan, mean of 7", 6, mean_ratio(SEVEN_KEYS, peers.JAX_SCAN)),
    Bar("the same, cache raised where large", 6, mean_ratio(SEVEN_RAISED_KEYS, peers.JAX_SCAN)),
    Bar("faster than jax associative_scan, worst of 7", 1, least_ratio(SEVEN_KEYS, peers.JAX_SCAN)),
    Bar("faster than jax lax.scan of the states alone, mean of 7", 3, mean_ratio(SEVEN_KEYS, peers.JAX_LOOP)),
    Bar(
        "linear_recurrence faster than jax lax.scan, mean of 7",
        3,
        mean_ratio(SEVEN_KEYS, peers.JAX_LOOP, peers.RECURRENCE),
    ),
    Bar("faster than jax lax.scan of both leaves, mean of 7", 3, mean_ratio(SEVEN_KEYS, peers.JAX_LOOP_PAIRS)),
    Bar("faster than the better mlx-scan, mean of 7", 13, mean_ratio(SEVEN_KEYS, MLX_SCAN)),
    Bar("faster than the better mlx-scan, worst of 7", 8, least_ratio(SEVEN_KEYS, MLX_SCAN)),
    Bar("time per byte against mx.cumsum, worst", 1, slowest_against(ALL_KEYS, peers.AUTO, "mx.cumsum", 2), False),
    Bar("16 to 1024 against mx.cumsum, worst", 1.3, slowest_against(SMALL_KEYS, peers.AUTO, "mx.cumsum"), False),
    Bar(
        "the same, both eager",
        1.3,
        slowest_against(SMALL_KEYS, peers.AUTO + EAGER, "mx.cumsum" + EAGER),
        at_least=False,
    ),
    Bar("2^20 and more against a copy, worst", 1.5, slowest_against(LARGE_KEYS, peers.AUTO, peers.COPY), False),
    *(
        Bar(f"{name} against Affine, {kind} of 7", 1.1, measure(SEVEN_KEYS, mine, peers.AUTO), at_least=False)
        for name, mine in (("custom monoid", CUSTOM), ("associative_scan", FUNCTION))
        for kind, measure in (("mean", mean_against), ("worst", slowest_against))
    ),
    *(
        Bar(f"{case.label} against the best portable strategy at 65536", 5, least_ratio([case.key], PORTABLE))
        for case in OPERATOR_CASES
    ),
    Bar(
        "linear_recurrence against Affine at 2^20 and more, worst",
        0.8,
        slowest_against(LARGE_KEYS, peers.RECURRENCE, peers.AUTO),
        at_least=False,
    ),
    Bar("(100000, 32) axis 0 faster than jax lax.scan", 1, least_ratio(LONG_KEYS, peers.JAX_LOOP)),
    Bar("exponent of time in length, 2^16 to 2^26", 1.1, growth, at_least=False, unit=""),
    Bar("call to plan", 10, plan_microseconds, at_least=False, unit=" us"),
)

KERNELS = Suite(
    "kernels",
    "Fused CPU kernels",
    (*AFFINE_CASES, *SMALL_CASES, *LENGTH_CASES, *OPERATOR_CASES, PLAN_CASE),
    BARS,
)
