"""Factors of covariances: each is made from others, and never from a difference of covariances."""

from __future__ import annotations

import mlx.core as mx

Factor = mx.array
"""A matrix S that stands for the covariance ``S S'``."""


def square(factor: Factor) -> mx.array:
    """The covariance."""
    return factor @ factor.swapaxes(-1, -2)


def triangular(wide: mx.array) -> Factor:
    """The lower triangular factor of ``wide wide'``: its rows, made orthogonal one after the other."""
    size = wide.shape[0]
    rows = [wide[i] for i in range(size)]
    lower = [[mx.zeros_like(wide[0, 0])] * size for _ in range(size)]
    for i in range(size):
        length = mx.sqrt((rows[i] * rows[i]).sum())
        lower[i][i] = length
        unit = rows[i] * mx.where(length > 0, 1 / mx.where(length > 0, length, 1), 0)
        for j in range(i + 1, size):
            lower[j][i] = (rows[j] * unit).sum()
            rows[j] = rows[j] - lower[j][i] * unit
    return mx.stack([mx.stack(row) for row in lower])


def factor_of(covariance: mx.array) -> Factor:
    """A lower triangular factor of a matrix that is positive semidefinite (Cholesky)."""
    size = covariance.shape[0]
    lower = [[mx.zeros_like(covariance[0, 0])] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = covariance[i, j] - sum((lower[i][k] * lower[j][k] for k in range(j)), 0.0)
            held = lower[j][j] if i > j else rest
            positive = held > 0
            safe = mx.where(positive, held, 1)
            lower[i][j] = mx.where(positive, rest / safe if i > j else mx.sqrt(safe), 0)
    return mx.stack([mx.stack(row) for row in lower])


def over_factor(matrix: mx.array, lower: Factor) -> mx.array:
    """``matrix (L L')^-1`` for a lower triangular L; where a pivot is 0 nothing is to be explained."""
    size = lower.shape[0]
    scales = [mx.where(lower[i, i] > 0, 1 / mx.where(lower[i, i] > 0, lower[i, i], 1), 0) for i in range(size)]
    columns = [matrix[:, i] for i in range(size)]
    for i in range(size):  # times the inverse of L'
        for j in range(i):
            columns[i] = columns[i] - lower[i, j] * columns[j]
        columns[i] = columns[i] * scales[i]
    for i in reversed(range(size)):  # and of L
        for j in range(i + 1, size):
            columns[i] = columns[i] - lower[j, i] * columns[j]
        columns[i] = columns[i] * scales[i]
    return mx.stack(columns, axis=1)
