"""Elements of many lanes for tests: operators, folds in order in float64, and what must run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

import monoscan as ms

Arrays = tuple[np.ndarray, ...]
Combine = Callable[[Arrays, Arrays], Arrays]


def log_product(left: Arrays, right: Arrays) -> Arrays:
    terms = left[0][..., :, :, None] + right[0][..., None, :, :]
    with np.errstate(all="ignore"):
        return (np.logaddexp.reduce(terms, axis=-2),)


def affine(left: Arrays, right: Arrays) -> Arrays:
    return right[0] @ left[0], (right[0] @ left[1][..., None])[..., 0] + right[1]


def kalman(left: Arrays, right: Arrays) -> Arrays:
    (a_l, b_l, c_l, eta_l, j_l), (a_r, b_r, c_r, eta_r, j_r) = left, right

    def turned(x: np.ndarray) -> np.ndarray:
        return np.swapaxes(x, -1, -2)

    def times(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y[..., None])[..., 0]

    g = np.linalg.inv(np.eye(c_l.shape[-1]) + c_l @ j_r)
    return (
        a_r @ g @ a_l,
        times(a_r @ g, b_l + times(c_l, eta_r)) + b_r,
        a_r @ g @ c_l @ turned(a_r) + c_r,
        times(turned(g @ a_l), eta_r - times(j_r, b_l)) + eta_l,
        turned(g @ a_l) @ j_r @ a_l + j_l,
    )


PRODUCTS: dict[str, tuple[ms.Monoid, Combine]] = {
    "matmul": (ms.MatMul(), lambda x, y: (x[0] @ y[0],)),
    "log": (ms.SemiringMatMul(ms.Log()), log_product),
    "max.plus": (
        ms.SemiringMatMul(ms.MaxPlus()), lambda x, y: ((x[0][..., :, :, None] + y[0][..., None, :, :]).max(axis=-2),)
    ),
    "min.plus": (
        ms.SemiringMatMul(ms.MinPlus()), lambda x, y: ((x[0][..., :, :, None] + y[0][..., None, :, :]).min(axis=-2),)
    ),
}  # fmt: skip


def folded(combine: Combine, elements: Arrays, axis: int, init: Arrays | None = None) -> list[np.ndarray]:
    """All values of the fold in order."""
    rows = [
        tuple(np.moveaxis(x, axis, 0)[t].astype(np.float64) for x in elements) for t in range(elements[0].shape[axis])
    ]
    state = None if init is None else tuple(x.astype(np.float64) for x in init)
    found = []
    for row in rows:
        state = row if state is None else combine(state, row)
        found.append(state)
    return [np.moveaxis(np.stack(each), 0, axis) for each in zip(*found, strict=True)]


def matrices(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def close(found: mx.array, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    got = np.array(found.astype(mx.float32) if found.dtype == mx.bfloat16 else found)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0))))  # fmt: skip


def runs_a_kernel(operator: ms.Monoid, *args: object, **options: object) -> None:
    plan = ms.explain(operator, *args, **options)  # type: ignore[arg-type]
    assert plan.strategy == "kernel", str(plan)
    assert "loop events" in str(plan)


def elements_of_a_filter(n: int, length: int) -> tuple[mx.array, ...]:
    rng = np.random.default_rng(n)
    model = [rng.normal(size=(length, 2)), np.linalg.qr(rng.normal(size=(n, n)))[0] * 0.9, np.eye(n) * 0.1,
             rng.normal(size=(2, n)), np.eye(2) * 0.5]  # fmt: skip
    return ms.KalmanFilter().embed(*(mx.array(x.astype(np.float32)) for x in model))


def numeric(
    loss: Callable[[list[np.ndarray]], float], arrays: list[np.ndarray], place: int, count: int = 12
) -> list[tuple[tuple[int, ...], float]]:
    """Derivatives by central differences in float64, at some places of one array."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        at = tuple(int(rng.integers(size)) for size in arrays[place].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved_arrays = [x.astype(np.float64).copy() for x in arrays]
            moved_arrays[place][at] += step
            ends.append(loss(moved_arrays))
        found.append((at, (ends[0] - ends[1]) / 2e-5))
    return found
