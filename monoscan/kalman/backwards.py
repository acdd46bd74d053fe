"""`smooth` and `sample`: from the last step back, by what each step leaves open once the next one is known."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan.arguments import random_key
from monoscan.kalman.factors import Factor, factor_of, over_factor, square, triangular
from monoscan.kalman.forwards import Moments, forwards
from monoscan.kalman.model import Model, Smoothed, checked, over_steps
from monoscan.scan.ragged.given import of_samples, with_samples


def smooth(model: Model, y: mx.array, *, inputs: mx.array | None = None, lengths: mx.array | None = None) -> Smoothed:
    """What all observations say of the state at each step.

    Args:
        model (Model): The model.
        y (array): As in `filter`.
        inputs (array, optional): As in `filter`. Default: ``None``.
        lengths (array, optional): As in `filter`. Default: ``None``.

    Returns:
        Smoothed: Means, covariances and the log-likelihood; zeros behind the end of a padded row.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import kalman
        >>> one = mx.ones((1, 1))
        >>> level = kalman.Model(one, one, one, one, mx.zeros((1,)), one)
        >>> kalman.smooth(level, mx.array([[1.0], [mx.nan], [3.0]])).means[:, 0]
        array([0.857143, 1.57143, 2.28571], dtype=float32)
    """
    model, y, onwards, lengths = checked("smooth", model, y, inputs, lengths)
    means, factors, totals = forwards(model, y, onwards, lengths)
    transition, drive = model.transition, factor_of(model.process)

    def step(state: tuple[Moments, mx.array], belief: Any) -> tuple[Any, Moments]:
        (mean, factor), last = state
        here, spread, after = belief
        gain, rest = _gain(transition, drive, spread, last)
        mean = here + gain @ (mean - after)
        factor = triangular(mx.concatenate([rest, gain @ factor], axis=1))
        return ((mean, factor), mx.zeros_like(last)), (mean, factor)

    start = (mx.zeros_like(model.mean), mx.zeros_like(model.covariance)), mx.array(True)
    beliefs = means, factors, means @ transition.T + onwards
    found, spread = over_steps(step, beliefs, (1, 2, 1), start, (1, 2, 0), lengths, reverse=True)
    return Smoothed(found, square(spread), totals.sum(-1))


def sample(
    model: Model,
    y: mx.array,
    *,
    samples: int | None = None,
    key: mx.array | None = None,
    inputs: mx.array | None = None,
    lengths: mx.array | None = None,
) -> mx.array:
    """Sequences of states drawn from what all observations say of them: filtered forwards, sampled backwards.

    Source: Fruhwirth-Schnatter, *Data Augmentation and Dynamic Linear Models* (1994).

    Args:
        model (Model): The model.
        y (array): As in `filter`.
        samples (int, optional): How many sequences to draw. Default: ``None``, one, without an axis for it.
        key (array, optional): A key of ``mx.random``. Default: ``None``, where MLX's own state is used.
        inputs (array, optional): As in `filter`. Default: ``None``.
        lengths (array, optional): As in `filter`. Default: ``None``.

    Returns:
        array: The states, of shape ``(..., T, n)``, or ``(samples, ..., T, n)``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import kalman
        >>> one = mx.ones((1, 1))
        >>> level = kalman.Model(one, one, one, one, mx.zeros((1,)), one)
        >>> kalman.sample(level, mx.ones((6, 1)), samples=4, key=mx.random.key(0)).shape
        (4, 6, 1)
    """
    model, y, onwards, lengths = checked("sample", model, y, inputs, lengths)
    means, factors, _ = forwards(model, y, onwards, lengths)
    transition, drive = model.transition, factor_of(model.process)
    shape = with_samples("[sample]", (*means.shape[:-1], 2 * means.shape[-1]), samples)
    noise = mx.random.normal(shape, key=random_key("sample", key)).astype(means.dtype)

    def step(state: tuple[mx.array, mx.array], belief: Any) -> tuple[Any, mx.array]:
        (x, last), (here, spread, after, drawn) = state, belief
        gain, rest = _gain(transition, drive, spread, last)
        x = here + gain @ (x - after) + rest @ drawn
        return (x, mx.zeros_like(last)), x

    beliefs = means, factors, means @ transition.T + onwards, noise
    start, ends = (mx.zeros_like(model.mean), mx.array(True)), of_samples("[sample]", lengths, samples)
    found: mx.array = over_steps(step, beliefs, (1, 2, 1, 1), start, (1, 0), ends, reverse=True)
    return found


def _gain(transition: mx.array, drive: Factor, factor: Factor, last: mx.array) -> tuple[mx.array, Factor]:
    """How much a state moves with the next one, and a factor of what that leaves open; of the last state nothing moves."""
    reach = transition @ factor
    lower = triangular(mx.concatenate([reach, drive], axis=1))
    gain = over_factor(factor @ reach.T, lower)
    gain = mx.where(last, 0, gain)
    return gain, mx.concatenate([factor - gain @ reach, gain @ drive], axis=1)
