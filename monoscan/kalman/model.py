"""A model, what is found by it, and the checks that all calls share."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.held import to_mlx
from monoscan.scan.api_states import loop


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
    state: Any,
    lengths: mx.array | None,
    state_event: Any,
    *,
    reverse: bool = False,
) -> Any:
    """A loop over the steps, which are the axis before the events of each input; batch axes are aligned at the right."""
    events = tuple(2 if i == 1 and len(xs) > 2 else 1 for i in range(len(xs)))
    batch = max(x.ndim - event for x, event in zip(xs, events, strict=True))
    alike = tuple(x.reshape((1,) * (batch + event - x.ndim) + x.shape) for x, event in zip(xs, events, strict=True))
    return loop(step, alike, state, batch - 1, event=events, state_event=state_event, reverse=reverse, lengths=lengths)


def checked(call: str, model: Model, y: Any, inputs: Any) -> tuple[Model, mx.array, mx.array]:
    """The model, the observations and what is added to the state, as arrays of one dtype."""
    model = Model(*(_floats(call, name, x) for name, x in zip(Model._fields, model, strict=True)))
    y = _floats(call, "y", y)
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
        return model, y, mx.broadcast_to(mx.zeros((), y.dtype), (*(1,) * (y.ndim - 2), y.shape[-2], states))
    added = _floats(call, "inputs", inputs)
    if added.shape[-2:] != (y.shape[-2], states):
        raise errors.ScanError(f"[{call}] inputs has the shape (..., {y.shape[-2]}, {states}); got {added.shape}.")
    return model, y, added


def _floats(call: str, name: str, given: Any) -> mx.array:
    x: Any = to_mlx(f"[{call}] {name}", given)
    if not isinstance(x, mx.array) or dtypes.name_of(x.dtype) not in dtypes.FLOATS:
        raise errors.ScanTypeError(f"[{call}] {name} must be an array of floats; got {given!r:.60}.")
    found: mx.array = x
    return found
