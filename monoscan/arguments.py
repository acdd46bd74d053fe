"""What recipes and layers are given, looked at before the scans within them are: messages name the call and the argument."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.monoids import domain

Shape = tuple[int, ...]

_MOST = (1 << 31) - 1


def whole(call: str, name: str, given: Any, least: int = 0, most: int = _MOST) -> int:
    """A whole number within bounds.

    Raises:
        ScanError: It is none.
    """
    number = domain.whole(given)
    if type(number) is not int or not least <= number <= most:
        bounds = f"of {least} or more" if most == _MOST else f"from {least} to {most}"
        raise errors.ScanError(f"[{call}] {name} must be a whole number {bounds}; got {given!r:.40}.")
    return number


def sizes(call: str, **given: Any) -> tuple[int, ...]:
    """Whole numbers of 1 or more.

    Raises:
        ScanError: One is none.
    """
    return tuple(whole(call, name, each, 1) for name, each in given.items())


def real(call: str, name: str, given: Any) -> float:
    """A number, and not NaN.

    Raises:
        ScanTypeError: It is none.
    """
    number = dtypes.number(given)
    if type(number) not in (int, float) or number != number:
        raise errors.ScanTypeError(f"[{call}] {name} must be a number; got {given!r:.40}.")
    return float(number)


def steps_from(call: str, dt_min: Any, dt_max: Any) -> None:
    """Refuses step sizes that are not above 0, or fall.

    Raises:
        ScanError: They are.
    """
    if not 0 < real(call, "dt_min", dt_min) <= real(call, "dt_max", dt_max):
        raise errors.ScanError(
            f"[{call}] step sizes go from dt_min to dt_max, above 0; got {dt_min!r:.20} and {dt_max!r:.20}."
        )


def flag(call: str, name: str, given: Any) -> bool:
    """True or False.

    Raises:
        ScanTypeError: It is neither.
    """
    if not isinstance(given, (bool, np.bool_)):
        raise errors.ScanTypeError(f"[{call}] {name} must be True or False; got {tree.shown(given)}.")
    return bool(given)


def random_key(call: str, key: Any) -> mx.array | None:
    """A key of ``mx.random``, or ``None`` for MLX's own state.

    Raises:
        ScanTypeError: It is neither.
    """
    if key is None or (isinstance(key, mx.array) and key.dtype == mx.uint32 and key.shape == (2,)):
        return key
    raise errors.ScanTypeError(f"[{call}] key must be one of mx.random, as mx.random.key(0), or None; got {key!r:.60}.")


def batch(call: str, told: str, **shapes: Shape) -> Shape:
    """The batch axes that arguments have together.

    Args:
        call: The public call.
        told: Which axes these are, for the message.
        shapes: The batch axes of each argument.

    Raises:
        ScanError: They do not broadcast.
    """
    try:
        return tuple(mx.broadcast_shapes((), *shapes.values()))
    except ValueError as error:
        got = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise errors.ScanError(
            f"[{call}] batch axes ({told}) must broadcast, each size equal or 1 from the right; got {got}."
        ) from error
