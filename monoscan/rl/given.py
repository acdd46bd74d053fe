"""What the functions are given: arrays of steps and numbers, aligned with one another."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from monoscan import arguments, dtypes, errors
from monoscan.held import floats, to_mlx
from monoscan.monoids import domain
from monoscan.monoids.inputs import fixed

Steps = Any
"""An array of T steps, or a number, which is the same at every step."""
BESIDE = "all but that of time"
"""What messages say of batch axes."""


def array_of(call: str, name: str, given: Any) -> mx.array:
    """An array of floats; halves as float32, whatever stands beside them."""
    return domain.accumulating(floats(f"[{call}] {name}", given, cast=True))


def steps_of(call: str, name: str, given: Any) -> Any:
    """An array of T steps, or what is the same at every step: a number, or an array without axes."""
    number = dtypes.number(given)
    if isinstance(number, (bool, int, float)):
        return fixed(float(number))
    steps = array_of(call, name, given)
    return steps if steps.ndim else fixed(steps)


def ended(call: str, dones: Any) -> mx.array | None:
    """Whether the episode ended with each step, if that is given."""
    if dones is None:
        return None
    ends = to_mlx(f"[{call}] dones", dones)
    if not isinstance(ends, mx.array) or ends.dtype != mx.bool_:
        raise errors.ScanTypeError(f"[{call}] dones must be an array of bool; got {dones!r:.60}.")
    return ends


def aligned(call: str, axis: int, **given: Any) -> tuple[int, ...]:
    """The batch axes of arrays that have as many steps as one another."""
    arrays = {name: x for name, x in given.items() if isinstance(x, mx.array)}
    axes = {name: domain.axis_of(call, name, x, axis) for name, x in arrays.items()}
    told = ", ".join(f"{name} has {x.shape[axes[name]]} (shape {x.shape})" for name, x in arrays.items())
    if len({x.shape[axes[name]] for name, x in arrays.items()}) > 1:
        raise errors.ScanError(f"[{call}] steps must be as many along axis {axis} everywhere; {told}.")
    if len(set(axes.values())) > 1:
        raise errors.ScanError(
            f"[{call}] axis {axis} counts from the end, which needs as many axes everywhere; {told}. Count it from the front."
        )
    return arguments.batch(
        call, BESIDE, **{name: x.shape[: axes[name]] + x.shape[axes[name] + 1 :] for name, x in arrays.items()}
    )


def last_of(call: str, v_t: mx.array, axis: int) -> mx.array:
    """The values after the last step."""
    at = domain.axis_of(call, "v_t", v_t, axis)
    if not v_t.shape[at]:
        raise errors.ScanError(f"[{call}] v_t is empty along axis {axis}: there is no value after the last step.")
    return v_t[(slice(None),) * at + (-1,)]
