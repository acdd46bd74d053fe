"""Elements of many lanes: products of matrices, in log space too, and Kalman filters, against both scans of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.model import Arrays, Bar, Case, Problem, Results, Suite, least_of, size_text

STEPS = 2000
BATCH = (200, 512)
LOG_SIZES, FILTERS = (9, 16, 32), (4, 5, 8)


def log_product(left: Any, right: Any) -> Any:
    """The product of matrices of logarithms, each sum shifted by its greatest term."""
    xp = left[0].__array_namespace__()
    terms = left[0][..., :, :, None] + right[0][..., None, :, :]
    top = xp.max(terms, axis=-2)
    return (top + xp.log(xp.sum(xp.exp(terms - top[..., None, :]), axis=-2)),)


def product(left: Any, right: Any) -> Any:
    """Matrix product."""
    return (left[0] @ right[0],)


def best_path(left: Any, right: Any) -> Any:
    """The product of matrices of scores, max for plus and plus for times."""
    xp = left[0].__array_namespace__()
    return (xp.max(left[0][..., :, :, None] + right[0][..., None, :, :], axis=-2),)


def kalman(left: Any, right: Any) -> Any:
    """Two filtering elements (Särkkä and García-Fernández), with one inverse."""
    (a_l, b_l, c_l, eta_l, j_l), (a_r, b_r, c_r, eta_r, j_r) = left, right
    xp = a_l.__array_namespace__()

    def times(matrix: Any, vector: Any) -> Any:
        return (matrix @ vector[..., None])[..., 0]

    inverse = xp.linalg.inv(xp.eye(a_l.shape[-1], dtype=a_l.dtype) + c_l @ j_r)
    forward = a_r @ inverse
    back = xp.matrix_transpose(inverse @ a_l)
    return (
        forward @ a_l,
        times(forward, b_l + times(c_l, eta_r)) + b_r,
        forward @ c_l @ xp.matrix_transpose(a_r) + c_r,
        times(back, eta_r - times(j_r, b_l)) + eta_l,
        back @ j_r @ a_l + j_l,
    )


def _scores(size: int) -> Callable[..., Arrays]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        return (2 * rng.standard_normal((*shape, size, size), dtype=np.float32) - 3,)

    return draw


def _orthogonal(size: int) -> Callable[..., Arrays]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        return (np.linalg.qr(rng.standard_normal((*shape, size, size)))[0].astype(np.float32),)

    return draw


def _filter(size: int) -> Callable[..., Arrays]:
    """The elements of two observations a step of a slowly turning state."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        turning = np.linalg.qr(rng.standard_normal((size, size)))[0] * 0.9
        noise, seen, error = np.eye(size) * 0.1, rng.standard_normal((2, size)), np.eye(2) * 0.5
        gain = noise @ seen.T @ np.linalg.inv(seen @ noise @ seen.T + error)
        kept, weight = np.eye(size) - gain @ seen, (seen @ turning).T @ np.linalg.inv(seen @ noise @ seen.T + error)
        y = rng.standard_normal((*shape, 2))
        fixed = (kept @ turning, kept @ noise, weight @ seen @ turning)
        a, c, j = (np.broadcast_to(x, (*shape, size, size)).astype(np.float32) for x in fixed)
        return a, (y @ gain.T).astype(np.float32), c, (y @ weight.T).astype(np.float32), j

    return draw


SCORES = "normal, mean -3, deviation 2"
LOG = {
    k: Problem(f"log product {k}", SCORES, _scores(k), log_product, "SemiringMatMul", (ms.Log(),)) for k in LOG_SIZES
}
PATH = Problem("best path 16", SCORES, _scores(16), best_path, "SemiringMatMul", (ms.MaxPlus(),))
MATMUL = {k: Problem(f"MatMul {k}", "orthogonal matrices", _orthogonal(k), product, "MatMul") for k in (9, 16)}
KALMAN = {
    n: Problem(f"KalmanFilter {n}", "two observations of a turning state", _filter(n), kalman, "KalmanFilter")
    for n in FILTERS
}


def _case(group: str, problem: Problem, shape: tuple[int, ...]) -> Case:
    racers = (peers.monoscan(problem), peers.jax_scan(problem), peers.jax_combines(problem))
    label = problem.name if len(shape) == 1 else f"{problem.name}, {size_text(shape, 0)}"
    return Case(group, label, shape, 0, problem, racers, peers.JAX_COMBINES)


ONE_ROW = {p.name: _case("one row", p, (STEPS,)) for p in (*LOG.values(), PATH, MATMUL[16], *KALMAN.values())}
ROWS = {p.name: _case("many rows", p, BATCH) for p in (LOG[9], MATMUL[9], KALMAN[4], KALMAN[5])}


def _faster(case: Case, peer: str) -> Callable[[Results], float | None]:
    return lambda results: least_of(results.ratios([case.key], peers.AUTO, peer), 1)


def _against_four(size: int) -> Callable[[Results], float | None]:
    """Time against that of four states, by the cube of their number, which the operations grow with."""

    def measure(results: Results) -> float | None:
        mine, four = (results.median(ONE_ROW[KALMAN[n].name].key, peers.AUTO) for n in (size, 4))
        return None if mine is None or four is None else mine / four / (size / 4) ** 3

    return measure


BARS = (
    *(Bar(f"log product {k} faster than jax associative_scan", 10, _faster(ONE_ROW[p.name], peers.JAX_SCAN)) for k, p in LOG.items()),
    *(
        Bar(f"log product {k} faster than jax lax.scan", least, _faster(ONE_ROW[LOG[k].name], peers.JAX_COMBINES))
        for k, least in zip(LOG_SIZES, (2.5, 6, 6), strict=True)
    ),
    Bar("MatMul 16 faster than jax lax.scan", 2.5, _faster(ONE_ROW["MatMul 16"], peers.JAX_COMBINES)),
    *(Bar(f"KalmanFilter {n} against 4 by operations", 1.5, _against_four(n), at_least=False) for n in (5, 8)),
)  # fmt: skip

WIDE = Suite("wide", "Elements of many lanes", (*ONE_ROW.values(), *ROWS.values()), BARS)
