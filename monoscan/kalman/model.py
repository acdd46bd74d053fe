"""A model, what is found by it, and the checks that all calls share."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from monoscan import arguments, errors
from monoscan.held import floats
from monoscan.scan.api_states import loop
from monoscan.scan.ragged.given import lengths_of


class Model(NamedTuple):
    """A model of n states and m observed components, the same at every step.

    Args:
        transition (array): Of shape ``(n, n)``.
        process (array): The covariance of what drives the state, of shape ``(n, n)``; it may be singular.
        emission (array): Of shape ``(m, n)``.
        noise (array): The covariance of the noise, of shape ``(m, m)``, or its diagonal, of shape ``(m,)``.
        mean (array): The mean of the first state, of shape ``(n,)``.
        covariance (array): Its covariance, of shape ``(n, n)``.
    """

    transition: mx.array
    process: mx.array
    emission: mx.array
    noise: mx.array
    mean: mx.array
    covariance: mx.array


class Filtered(NamedTuple):
    """What the observations up to each step say of its state.

    Args:
        means (array): Of shape ``(..., T, n)``.
        covariances (array): Of shape ``(..., T, n, n)``.
        log_likelihood (array): That of all observations that are there, of shape ``(...)``.
    """

    means: mx.array
    covariances: mx.array
    log_likelihood: mx.array


class Smoothed(NamedTuple):
    """What all observations say of the state at each step.

    Args:
        means (array): Of shape ``(..., T, n)``.
        covariances (array): Of shape ``(..., T, n, n)``.
        log_likelihood (array): As in `Filtered`.
    """

    means: mx.array
    covariances: mx.array
    log_likelihood: mx.array


def over_steps(
    step: Any,
    xs: tuple[mx.array, ...],
    event: tuple[int, ...],
    state: Any,
    state_event: Any,
    lengths: mx.array | None,
    *,
    reverse: bool = False,
) -> Any:
    """A loop over the steps, the axis before the event axes of each input; batch axes are aligned at the right."""
    front = max(x.ndim - own for x, own in zip(xs, event, strict=True))  # the batch, and time
    alike = tuple(x.reshape((1,) * (front + own - x.ndim) + x.shape) for x, own in zip(xs, event, strict=True))
    return loop(step, alike, state, front - 1, event=event, state_event=state_event, reverse=reverse, lengths=lengths)


def checked(
    call: str, model: Model, y: Any, inputs: Any, lengths: Any
) -> tuple[Model, mx.array, mx.array, mx.array | None]:
    """The model, the observations, what is added to the state on the way from each step to the next, and the lengths."""
    if not isinstance(model, tuple) or len(model) != len(Model._fields):
        raise errors.ScanTypeError(f"[{call}] model is a kalman.Model({', '.join(Model._fields)}); got {model!r:.60}.")
    model = Model(*(floats(f"[{call}] {name}", x) for name, x in zip(Model._fields, model, strict=True)))
    y = floats(f"[{call}] y", y)
    states, seen = model.mean.shape[-1] if model.mean.ndim == 1 else 0, y.shape[-1] if y.ndim > 1 else 0
    shapes = {
        "transition": (states, states), "process": (states, states), "emission": (seen, states), "mean": (states,),
        "covariance": (states, states),
    }  # fmt: skip
    wrong = [name for name, shape in shapes.items() if getattr(model, name).shape != shape]
    wrong += [] if model.noise.shape in ((seen, seen), (seen,)) else ["noise"]
    if wrong or not seen or not states:
        got = ", ".join(f"{name} {x.shape}" for name, x in zip(Model._fields, model, strict=True))
        raise errors.ScanError(
            f"[{call}] expects transition, process, covariance (n, n), emission (m, n), noise (m, m) or (m,), mean (n,) and y "
            f"(..., T, m); got {got} and y {y.shape}."
        )
    if inputs is None:
        onwards = mx.broadcast_to(mx.zeros((), y.dtype), (*(1,) * (y.ndim - 2), y.shape[-2], states))
        return model, y, onwards, lengths_of(f"[{call}]", lengths, y.shape[:-2])
    added = floats(f"[{call}] inputs", inputs)
    if added.shape[-2:] != (y.shape[-2], states):
        raise errors.ScanError(
            f"[{call}] inputs must have the shape (..., {y.shape[-2]}, {states}), a state for each step of y; got {added.shape} "
            f"for y of shape {y.shape}."
        )
    batch = arguments.batch(call, "all but the last two", y=y.shape[:-2], inputs=added.shape[:-2])
    onwards = mx.concatenate([added[..., 1:, :], mx.zeros_like(added[..., :1, :])], axis=-2)
    whole = mx.broadcast_to(y, (*batch, *y.shape[-2:]))  # covariances too have all batch axes
    return model, whole, onwards, lengths_of(f"[{call}]", lengths, batch)
