"""The places where a plan may fall off: whatever operator, dtype and shape, `auto` is to be near the best.

Each case runs `auto`, our other strategies that may win, and the best obvious alternatives; the table
ranks the cases by how far `auto` is from the best of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import evolve

from benchmarks import cliff_problems as problems
from benchmarks import composites, grad, peers, rivals, tangents, wide
from benchmarks.kernels import slowest_against
from benchmarks.model import Arrays, Bar, Case, Peer, Problem, Reference, Suite, size_text
from benchmarks.problems import AFFINE, SOFTMAX, WHOLE_DECAY, add, sequential
from benchmarks.ranked import worst

Shape = tuple[int, ...]
NEAR_ONE, FLOAT32, BY_HAND = (rivals.ALSO + name for name in ("gates near 1", "float32", "the formula by hand"))
KERNELS = ("kernel", "sequential")
SMALL = (2048, 16)
"""Takes no longer than MLX takes for a call."""


def _case(group: str, problem: Problem, shape: Shape, axis: int, racers: tuple[Peer, ...], what: str = "") -> Case:
    label = f"{problem.name}, {size_text(shape, axis)}{what}"
    return Case(group, label, shape, axis, problem, racers, racers[0].name, raised_cache=True)


def _ours(problem: Problem, strategies: tuple[str, ...] = KERNELS) -> tuple[Peer, ...]:
    return (peers.monoscan(problem), *(peers.monoscan(problem, strategy) for strategy in strategies))


def _near_one(arrays: Arrays) -> Arrays:
    """The gates pulled to one, so that no product of them underflows."""
    gates, updates = arrays
    return gates ** np.float32(min(1.0, WHOLE_DECAY / len(gates) / np.log(2))), updates


def _subnormals() -> list[Case]:
    made, problem = [], problems.UNDERFLOWING
    for shape in (SMALL, (512, 1024), (100_000, 32)):
        both = (*_ours(problem), rivals.jax_loop(problem, (1, 0)))
        alone = (peers.monoscan_recurrence(), peers.jax_loop())
        back = tuple(peer for peer in grad.RACERS if peer.name in (grad.RECURRENCE, grad.JAX_LOOP))
        for what, racers in (("", both), (", h alone", alone), (", gradient", back)):
            also = [rivals.other_inputs(racers[0], "gates near 1", _near_one)]
            if shape == SMALL and what != ", gradient":
                also.append(rivals.one_addition())
            made.append(_case("subnormals", problem, shape, 0, (*racers, *also), what))
    fading = problems.FADING
    others = (rivals.jax_loop(fading, (np.eye(2), 0)), rivals.scipy_filter(fading))
    made.append(_case("subnormals", fading, (10_000, 8), 0, (*_ours(fading), *others)))
    return made


def _real(arrays: Arrays) -> Arrays:
    return tuple(x.real.astype(np.float32) for x in arrays)


def _complexes() -> list[Case]:
    made = []
    for shape, axis in (((8, 1024, 128), 1), ((100_000, 32), 0)):
        for dtypes in (("complex64", "complex64"), ("float32", "complex64"), ("complex64", "float32")):
            problem = problems.affine_of(*dtypes)
            racers = (*_ours(problem), rivals.jax_loop(problem, (1, 0)))
            real = rivals.other_inputs(peers.monoscan(AFFINE), "float32", _real)
            made.append(_case("complex", problem, shape, axis, (*racers, real)))
    for problem, own, one in (
        (problems.single("Sum", add, "complex64"), "cumsum", 0),
        (problems.TURNS, "cumprod", 1),
    ):
        others = (rivals.mlx_own(problem, own), rivals.jax_loop(problem, (one,)))
        for shape, axis in (((8, 1024, 128), 1), ((512, 1024), 1)):
            made.append(_case("complex", problem, shape, axis, (*_ours(problem), *others)))
    return made


def _few_rows() -> list[Case]:
    identities: dict[Problem, tuple[Any, ...]] = {
        problems.FADING: (np.eye(2), 0),
        problems.QUATERNION: (np.array([1, 0, 0, 0]),),
        problems.RIGID: (np.array([1, 0, 0, 0]), 0),
        problems.SHARED: (1, 0),
        AFFINE: (1, 0),
    }
    shapes: list[tuple[Problem, Shape, int]] = [
        (problems.FADING, (480_000,), 0),
        (problems.FADING, (480_000, 2), 0),
        (problems.QUATERNION, (100_000,), 0),
        (problems.RIGID, (100_000,), 0),
        (problems.SHARED, (480_000, 2), 0),
        (problems.SHARED, (100_000, 4), 0),
        (AFFINE, (500_000, 2), 1),
        (AFFINE, (200_000, 5), 1),
        (AFFINE, (50_000, 20), 1),
    ]
    made = [
        _case("few rows", problem, shape, axis, (*_ours(problem), rivals.jax_loop(problem, identities[problem])))
        for problem, shape, axis in shapes
    ]
    filters = (evolve(case, peers=(*case.peers, rivals.scipy_filter(case.problem))) for case in made[:2])
    return [*filters, *made[2:], _case("few rows", SOFTMAX, (50_000, 20), 1, _ours(SOFTMAX))]


def _wide() -> list[Case]:
    """Those of the suite `wide`; of JAX's two scans of Kalman filters only the one that does not compile for a minute."""
    made = []
    for case in wide.ONE_ROW.values():
        slow = case.problem.operator == "KalmanFilter"
        racers = tuple(peer for peer in case.peers if not (slow and peer.name == peers.JAX_SCAN))
        made.append(evolve(case, group="wide elements", against=peers.AUTO, peers=racers))
    return made


def _gradients_of_layers(arrays: Arrays, axis: int) -> Arrays:
    """Of half the sum of squares of what is seen down to each layer."""
    through, seen = sequential(problems.semidirect, arrays, axis)
    passed, colours = (x.astype(np.float64) for x in arrays)
    later = np.flip(np.cumsum(np.flip(seen, axis), axis), axis)
    before = through / passed
    below = np.flip(np.cumsum(np.flip(colours * before * later, axis), axis), axis) - colours * before * later
    return below / passed, before * later


def _by_mlx(a: Any, b: Any, axis: int) -> Any:
    """What is seen by running products and sums of MLX's own."""
    return mx.cumsum(b * mx.cumprod(a, axis=axis, inclusive=False), axis=axis)


def _composites() -> list[Case]:
    problem = problems.LAYERS

    def of_operator(ms: Any, axis: int) -> Callable[..., Any]:
        return lambda a, b: ms.scan(problem.made(ms), (a, b), axis=axis)[1]

    def by_hand(ms: Any, axis: int) -> Callable[..., Any]:
        operator = ms.monoid(problems.semidirect, identity=(1.0, 0.0))
        return lambda a, b: ms.scan(operator, (a, b), axis=axis)[1]

    def by_mlx(_: Any, axis: int) -> Callable[..., Any]:
        return lambda a, b: _by_mlx(a, b, axis)

    def by_jax(a: Any, b: Any, axis: int) -> Any:
        return rivals.jax_states(problem, (1, 0), (a, b), axis)[1]

    builds = {
        peers.AUTO: ("monoscan", grad.on_mlx(of_operator)),
        BY_HAND: ("monoscan", grad.on_mlx(by_hand)),
        "mx.cumprod, mx.cumsum": ("mlx", grad.on_mlx(by_mlx)),
        rivals.JAX_LOOP: ("jax", grad.on_jax(by_jax)),
    }
    reference = Reference(_gradients_of_layers)
    racers = tuple(
        Peer(name, package, "both gradients", lambda arrays, axis, build=build: build(arrays, axis, ""), reference)
        for name, (package, build) in builds.items()
    )
    shapes = (((100_000, 32), 0), ((4096, 128), 1), ((64, 8192), 1))
    return [_case("composites", problem, shape, axis, racers, ", gradient") for shape, axis in shapes]


def _sizes() -> list[Case]:
    made = []
    singles: tuple[tuple[str, Any, str, Callable[..., np.ndarray] | None, float], ...] = (
        ("Sum", add, "cumsum", np.cumsum, 0),
        ("Max", problems.maximum, "cummax", np.maximum.accumulate, -128),
    )
    shapes: tuple[tuple[Shape, int], ...] = (((1024, 1023), 1), ((1023, 1024), 0), ((100_000, 3), 0))
    for dtype in ("int8", "int32", "float16", "float32", "float64"):
        for operator, combine, own, scan, one in singles:
            problem = problems.single(operator, combine, dtype)
            mlx = rivals.mlx_own(problem, own)
            others = (mlx, rivals.jax_loop(problem, (one if dtype == "int8" or not one else -np.inf,)))
            if dtype == "int32" and one:
                others = (mlx, rivals.jax_loop(problem, (-(2**31),)))
            if scan is not None and dtype != "float16":
                others = (*others, rivals.numpy_scan(problem, scan))
            made += [_case("sizes", problem, shape, axis, (*_ours(problem), *others)) for shape, axis in shapes]
    either = problems.single("Any", problems.either, "bool")
    logs = [problems.single("LogSumExp", problems.logaddexp, dtype) for dtype in ("float16", "float32", "float64")]
    for shape, axis in shapes:
        racers = (*_ours(either), rivals.mlx_own(either, "cummax"), rivals.jax_loop(either, (False,)))
        made.append(_case("sizes", either, shape, axis, racers))
        for problem in logs:
            racers = (*_ours(problem), rivals.mlx_own(problem, "logcumsumexp"), rivals.jax_loop(problem, (-np.inf,)))
            made.append(_case("sizes", problem, shape, axis, racers))
    for channels in (1, 2, 3, 5, 7):
        racers = (*_ours(AFFINE), rivals.jax_loop(AFFINE, (1, 0)))
        made.append(_case("sizes", AFFINE, (100_001, channels), 0, racers))
    return made


CASES = (
    *_subnormals(), *_complexes(), *_few_rows(), *_wide(), *_composites(), *composites.cases(), *tangents.cases(), *_sizes(),
)  # fmt: skip


def _over(other: str, required: float) -> tuple[Bar, ...]:
    """For each case that runs `other` too: at most so many times its time."""
    what = other.removeprefix(rivals.ALSO)
    return tuple(
        Bar(f"{case.label}: over {what}", required, slowest_against([case.key], case.against, other), False)
        for case in CASES
        if other in [peer.name for peer in case.peers]
    )


def _bars() -> tuple[Bar, ...]:
    bars = []
    for group in dict.fromkeys(case.group for case in CASES):
        cases = [case for case in CASES if case.group == group]
        bars.append(Bar(f"{group}: auto over our best strategy, worst", 1.3, worst(cases, of_ours=True), False))
        bars.append(Bar(f"{group}: auto over the best alternative, worst", 1, worst(cases, of_ours=False), False))
    over = ((NEAR_ONE, 1.15), (FLOAT32, 2.5), (BY_HAND, 1.3), (tangents.DUAL, 2), (rivals.ADDITION, 1.1))
    return (*bars, *(bar for other, required in over for bar in _over(other, required)))


ABOUT = """\
Where a plan may fall off (`python -m benchmarks cliffs`): underflowing gates, complex numbers, few rows, wide elements,
gradients of composites, tangents, and operators by dtype and size. Each row is a case; the ranking is by how far `auto`
is from the better of our best other strategy and the best alternative, so that 1 is the best that is known. "jax
lax.scan" is jitted and starts from the identity; "NumPy" is `np.cumsum` and `np.maximum.accumulate`; "SciPy" is
`scipy.signal.lfilter`. JAX adds halves up in float32 here, as we do; MLX's buffer cache is raised, so that faults of
fresh memory do not count; scans of MLX whose rounding errors are too large to pass the check are not timed. Where `auto`
and `kernel` are the same plan, as `explain` shows, the ratio of the two is noise. Complex numbers are twice the bytes:
at (8, 1024, 128) float32 arrays stay in the third-level cache and complex64 ones do not; a float32 scan of as many bytes,
(8, 1024, 256), takes 2.1 to 2.5 times, and the complex one 0.9 to 1.1 times that. `python -m benchmarks sweep` runs some
260 cases more: dtypes, inner axes, options, layouts of memory and numbers of leaves, one changed at a time. What is as
small as (2048, 16) takes as long as MLX takes to wake the thread that evaluates, whatever it computes; a bar holds it
against one addition of arrays of that size by MLX."""

CLIFFS = Suite("cliffs", "Cliffs", CASES, _bars(), ranked=True, about=ABOUT)
