"""The Nile at Aswan: a local level model, filtered and smoothed in parallel over time."""

from __future__ import annotations

from importlib import resources
from math import log, pi
from typing import Literal

import attrs
import mlx.core as mx
import numpy as np
import numpy.typing as npt

from monoscan.monoids.filtering import KalmanFilter, KalmanSmoother
from monoscan.scan.api import scan

Series = npt.NDArray[np.float64]

PUBLISHED = {"noise": 15099.0, "process": 1469.1, "log_likelihood": -632.54}
"""Durbin and Koopman, *Time Series Analysis by State Space Methods* (2012), section 2.10."""

PARALLEL: Literal["blelloch"] = "blelloch"
"""A fused CPU kernel walks through time in order; the tree is what runs in parallel over it."""

CANDIDATES = 65
ROUNDS = 7


@attrs.frozen(eq=False)
class Fit:
    """A fitted local level model.

    Args:
        noise: The variance of an observation.
        process: The variance of a step of the level.
        log_likelihood: The diffuse log-likelihood of both.
    """

    noise: float
    process: float
    log_likelihood: float


@attrs.frozen(eq=False)
class Levels:
    """The level of each year: means and variances, filtered and smoothed."""

    filtered: Series
    filtered_variance: Series
    smoothed: Series
    smoothed_variance: Series


def load() -> tuple[Series, Series]:
    """The years and the flows."""
    text = resources.files("monoscan.demo").joinpath("nile.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line[:1].isdigit()]
    table = np.array(rows, dtype=np.float64)
    return table[:, 0], table[:, 1]


def kalman(y: mx.array, noise: mx.array, process: mx.array) -> tuple[mx.array, mx.array]:
    """Filtered means and variances of the level, for each of K models at once.

    Args:
        y (array): Observations, shape ``(n,)``.
        noise (array): The variances of the observations, shape ``(K,)``.
        process (array): The variances of the steps, shape ``(K,)``.

    Returns:
        tuple(array, array): Means and variances, shape ``(n, K)``. Before the first
        observation nothing is known, so the level starts at that: mean ``y[0]``, variance
        ``noise``.
    """
    level = KalmanFilter()
    one = mx.ones((1, 1), y.dtype)
    noises, steps = noise[None, :, None, None], process[None, :, None, None]
    series = mx.broadcast_to(y[:, None, None], (y.size, noise.size, 1))
    elements = level.embed(series[1:], transition=one, process=steps, emission=one, noise=noises)
    start = level.prior(series[0], noises[0])
    mean, variance = level.project(scan(level, elements, init=start, strategy=PARALLEL))
    means = mx.concatenate([start[1][None], mean])
    variances = mx.concatenate([start[2][None], variance])
    return means[..., 0], variances[..., 0, 0]


def log_likelihoods(y: mx.array, ratios: mx.array) -> tuple[mx.array, mx.array]:
    """The diffuse log-likelihood of each ratio process / noise, and the noise that is best for it."""
    mean, variance = kalman(y, mx.ones_like(ratios), ratios)
    predicted = variance[:-1] + ratios + 1
    errors = y[1:, None] - mean[:-1]
    count = y.size - 1
    noise = (errors * errors / predicted).sum(axis=0) / count
    return -0.5 * (count * (log(2 * pi) + 1 + mx.log(noise)) + mx.log(predicted).sum(axis=0)), noise


def fit(flows: Series) -> Fit:
    """The model of greatest likelihood, by a search in which each scan tries all candidates."""
    with mx.stream(mx.cpu):  # float64
        y = mx.array(flows, dtype=mx.float64)
        low, high = -12.0, 12.0
        for _ in range(ROUNDS):
            grid = np.linspace(low, high, CANDIDATES)
            ratios = np.exp(grid)  # MLX's exp of float64 has the precision of float32
            values, noises = log_likelihoods(y, mx.array(ratios, dtype=mx.float64))
            best = int(np.argmax(np.array(values)))
            low, high = grid[max(best - 1, 0)], grid[min(best + 1, CANDIDATES - 1)]
        noise = float(np.array(noises)[best])
        return Fit(noise, noise * float(ratios[best]), float(np.array(values)[best]))


def levels(flows: Series, noise: float, process: float) -> Levels:
    """The level in each year, from the flows so far and from all flows."""
    with mx.stream(mx.cpu):
        y = mx.array(flows, dtype=mx.float64)
        one, step = mx.ones((1, 1), mx.float64), mx.full((1, 1), process, mx.float64)
        mean, variance = kalman(y, mx.array([noise], mx.float64), step[0])
        smoother = KalmanSmoother()
        elements = smoother.embed(mean, variance[..., None], transition=one, process=step)
        smooth, smooth_variance = smoother.project(scan(smoother, elements, reverse=True, strategy=PARALLEL))
        parts = (mean, variance, smooth, smooth_variance)
        return Levels(*(np.array(part).reshape(-1) for part in parts))
