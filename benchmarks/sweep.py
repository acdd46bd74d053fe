"""A sweep of operators, dtypes, shapes, layouts and options, one of them changed at a time; ranked, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import evolve, frozen

from benchmarks import cliff_problems as problems
from benchmarks import peers, rivals
from benchmarks.model import Arrays, Case, Combine, Problem, Suite, size_text
from benchmarks.options import FORWARD, Options
from benchmarks.peers import Compute, as_mlx
from benchmarks.problems import MAX_SUBARRAY, MOMENTS, SOFTMAX, add


@frozen
class Kind:
    """An operator to sweep: its problem for a dtype, its identity, and the scans of MLX's and NumPy's that do the same."""

    operator: str
    combine: Combine
    identity: tuple[Any, ...]
    own: str | None = None
    numpy: Callable[..., np.ndarray] | None = None
    problem: Problem | None = None

    def of(self, dtype: str) -> Problem:
        """The problem in a dtype."""
        if self.operator == "Affine":
            return problems.affine_of(dtype, dtype)
        return self.problem or problems.single(self.operator, self.combine, dtype)


SUM = Kind("Sum", add, (0,), "cumsum", np.cumsum)
MAX = Kind("Max", problems.maximum, (-np.inf,), "cummax", np.maximum.accumulate)
WHOLE_MAX = evolve(MAX, identity=(-128,))  # of int8; larger integers are drawn above it too
ANY = Kind("Any", problems.either, (False,), "cummax")
LOG_SUM = Kind("LogSumExp", problems.logaddexp, (-np.inf,), "logcumsumexp")
AFFINE = Kind("Affine", problems.affine, (1, 0))
WIDER = (
    Kind("OnlineSoftmax", SOFTMAX.combine, (-1e30, 0), problem=SOFTMAX),
    Kind("Moments", MOMENTS.combine, (1e-30, 0, 0), problem=MOMENTS),
    Kind("MaxSubarray", MAX_SUBARRAY.combine, (0, -1e30, -1e30, -1e30), problem=MAX_SUBARRAY),
)
DTYPES = (
    *product((SUM,), ("int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")),
    *product((WHOLE_MAX,), ("int8", "int16", "int32")),
    *product((MAX,), ("float16", "float32", "float64")),
    (ANY, "bool"),
    *product((LOG_SUM,), ("float16", "float32", "float64")),
    *product((AFFINE,), ("float16", "float32", "float64", "complex64")),
    *product(WIDER, ("float32",)),
)
ROWS, COLUMNS, NARROW = ((509, 1021), 1), ((1021, 509), 0), ((70_001, 3), 0)
SHAPES = (ROWS, COLUMNS, NARROW, ((200_003,), 0), ((31, 257, 67), 1), ((20_000, 7), 1))
INNER = (1, 2, 3, 5, 7, 12, 20, 31, 48)


def transposed(x: np.ndarray) -> mx.array:
    """The same array, laid out with its two last axes swapped."""
    return mx.swapaxes(as_mlx(np.swapaxes(x, -1, -2).copy()), -1, -2) if x.ndim > 1 else as_mlx(x)


def strided(x: np.ndarray) -> mx.array:
    """The same array, every second item of one twice as long."""
    return as_mlx(np.repeat(x, 2, -1))[..., ::2]


def flipped(x: np.ndarray) -> mx.array:
    """The same array, laid out from its last item back."""
    return as_mlx(x[::-1].copy())[::-1]


def spread(x: np.ndarray) -> mx.array:
    """The first row everywhere."""
    return mx.broadcast_to(as_mlx(x[:1]), x.shape)


def _case(
    group: str,
    kind: Kind,
    dtype: str,
    where: tuple[tuple[int, ...], int],
    what: str = "",
    place: Compute = as_mlx,
    options: Options = FORWARD,
) -> Case:
    (shape, axis), problem = where, kind.of(dtype)
    ours = [
        peers.monoscan(problem, strategy, place=place, options=options) for strategy in ("auto", "kernel", "sequential")
    ]
    others = [rivals.jax_loop(problem, kind.identity, options)]
    if kind.numpy is not None and options == FORWARD and dtype != "float16":
        others.append(rivals.numpy_scan(problem, kind.numpy))
    if kind.own is not None:
        others.append(rivals.mlx_own(problem, kind.own, place, options))
        ours.append(peers.monoscan(problem, "native", place=place, options=options))
    label = f"{problem.name}, {size_text(shape, axis)}{what}"
    return Case(group, label, shape, axis, problem, (*ours, *others), peers.AUTO)


def _cases() -> Iterator[Case]:
    for (kind, dtype), where in product(DTYPES, SHAPES):
        yield _case("dtypes", kind, dtype, where)
    for kind, channels in product((AFFINE, SUM, LOG_SUM), INNER):
        yield _case("inner axes", kind, "float32", ((60_001, channels), 0))
    ways = {", reverse": Options(True), ", exclusive": Options(False, False), ", both": Options(True, False)}
    for kind, where, what in product((AFFINE, SUM, LOG_SUM), (ROWS, COLUMNS, NARROW), ways):
        yield _case("options", kind, "float32", where, what, options=ways[what])
    layouts = (transposed, strided, flipped, spread)
    for (kind, dtype), where, place in product(
        ((AFFINE, "float32"), (SUM, "float32"), (WHOLE_MAX, "int8"), (LOG_SUM, "float16")),
        (ROWS, COLUMNS, NARROW),
        layouts,
    ):
        yield _placed(_case("layouts", kind, dtype, where, f", {place.__name__}", place))
    for number, where in product((2, 4, 8, 16), (ROWS, COLUMNS, NARROW)):
        yield _case("leaves", _sums(number), "float32", where)


def _placed(case: Case) -> Case:
    """For an array that is one row everywhere the answers are others: the input is drawn so."""
    if not case.label.endswith(spread.__name__):
        return case
    draw = case.problem.draw

    def drawn(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        return tuple(np.broadcast_to(x[:1], x.shape).copy() for x in draw(rng, shape, axis))

    return evolve(case, problem=evolve(case.problem, draw=drawn))


def _sums(number: int) -> Kind:
    """So many sums at once."""

    def combine(left: Arrays, right: Arrays) -> Arrays:
        return tuple(x + y for x, y in zip(left, right, strict=True))

    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        return tuple(rng.standard_normal(shape, dtype=np.float32) for _ in range(number))

    problem = Problem(f"Tuple of {number} Sum", "normal", draw, combine, lambda ms: ms.Tuple(*[ms.Sum()] * number))
    return Kind("Tuple", combine, (0,) * number, problem=problem)


SWEEP = Suite("sweep", "Sweep", tuple(_cases()), ranked=True)
