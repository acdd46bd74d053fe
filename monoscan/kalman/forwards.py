"""`filter`: observations come in one after the other, component by component."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx

from monoscan.kalman.factors import Factor, factor_of, square, triangular
from monoscan.kalman.model import Filtered, Model, checked, over_steps

Moments = tuple[mx.array, Factor]


def filter(model: Model, y: mx.array, *, inputs: mx.array | None = None, lengths: mx.array | None = None) -> Filtered:
    """What the observations up to each step say of its state.

    Args:
        model (Model): The model.
        y (array): The observations, of shape ``(..., T, m)``; NaN where one is missing.
        inputs (array, optional): What is added to the state on the way to each step, of shape ``(..., T, n)``; the first is
            not read. Default: ``None``.
        lengths (array, optional): How many steps of each row count. Default: ``None``, all.

    Returns:
        Filtered: Means, covariances and the log-likelihood; zeros behind the end of a padded row.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import kalman
        >>> one = mx.ones((1, 1))
        >>> level = kalman.Model(one, one, one, one, mx.zeros((1,)), one)
        >>> kalman.filter(level, mx.array([[1.0], [mx.nan], [3.0]])).means[:, 0]
        array([0.5, 0.5, 2.28571], dtype=float32)
    """
    means, factors, totals = forwards(*checked("filter", model, y, inputs, lengths))
    return Filtered(means, square(factors), totals.sum(-1))


def forwards(
    model: Model, y: mx.array, onwards: mx.array, lengths: mx.array | None
) -> tuple[mx.array, Factor, mx.array]:
    """Means and factors after each observation, and the logarithms of how likely it was."""
    transition, emission, noise = model.transition, model.emission, model.noise
    drive = factor_of(model.process)

    def step(predicted: Moments, x: tuple[mx.array, mx.array]) -> tuple[Moments, Any]:
        seen, added = x
        mean, factor, total = _observed(*predicted, seen, emission, noise)
        factor_ = triangular(mx.concatenate([transition @ factor, drive], axis=1))
        return (transition @ mean + added, factor_), (mean, factor, total)

    start = model.mean, factor_of(model.covariance)
    found: tuple[mx.array, Factor, mx.array] = over_steps(step, (y, onwards), (1, 1), start, (1, 2), lengths)
    return found


def _observed(mean: mx.array, factor: Factor, y: mx.array, emission: mx.array, noise: mx.array) -> Any:
    """A belief after an observation, one component after the other, and the logarithm of how likely it was."""
    seen = y == y
    y, rows = mx.where(seen, y, 0), mx.where(seen[:, None], emission, 0)
    y, rows, variances = _decorrelated(y, rows, noise, seen)
    total = mx.zeros_like(mean[0])
    for i in range(y.shape[0]):
        row, variance = rows[i], variances[i]
        reach = row @ factor  # how much each column of the factor moves what is seen
        spread = (reach * reach).sum() + variance
        error = y[i] - (row * mean).sum()
        moved = factor @ reach
        mean = mean + moved * (error / spread)
        factor = factor - moved[:, None] * reach[None, :] / (spread + mx.sqrt(variance * spread))
        surprise = error * error / spread + mx.log(spread) + math.log(2 * math.pi)
        total = total - mx.where(seen[i], surprise / 2, 0)
    return mean, factor, total


def _decorrelated(y: mx.array, rows: mx.array, noise: mx.array, seen: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """Observations whose noises are independent, as what is seen determines them, and their variances."""
    if noise.ndim == 1:
        return y, rows, mx.where(seen, noise, 1)
    size = y.shape[0]
    both = seen[:, None] & seen[None, :]
    matrix = mx.where(both, noise, mx.eye(size, dtype=noise.dtype))
    ys, rest, variances = [y[i] for i in range(size)], [rows[i] for i in range(size)], []
    for i in range(size):
        pivot = matrix[i, i]
        variances.append(pivot)
        for j in range(i + 1, size):
            share = mx.where(pivot > 0, matrix[j, i] / mx.where(pivot > 0, pivot, 1), 0)
            ys[j], rest[j] = ys[j] - share * ys[i], rest[j] - share * rest[i]
            row = mx.arange(size) == j
            matrix = mx.where(row[:, None], matrix - share * matrix[i], matrix)
    return mx.stack(ys), mx.stack(rest), mx.stack(variances)
