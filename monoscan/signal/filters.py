"""`lfilter` and `sosfilt`: digital filters, with their states in and out as in SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors
from monoscan.held import floats, to_mlx
from monoscan.scan.api_states import loop
from monoscan.signal.values import along

Coefficients = Any
"""Numbers, or an MLX array, to which gradients go."""
Section = tuple[Sequence[Any], Sequence[Any]]
_NUMBERS = dtypes.FLOATS | dtypes.COMPLEX


def lfilter(
    b: Coefficients, a: Coefficients, x: mx.array, axis: int = -1, zi: mx.array | None = None
) -> mx.array | tuple[mx.array, mx.array]:
    """A sequence through a digital filter: ``a[0] y[t] = sum_i b[i] x[t-i] - sum_j a[j] y[t-j]``.

    Direct form II, transposed, as in SciPy, in one loop over time whatever the order; with gradients by ``x``, ``zi``, and
    coefficients that are MLX arrays.

    Source: Oppenheim and Schafer, *Discrete-Time Signal Processing* (2010), section 6.3; the arguments are those of
    ``scipy.signal.lfilter``.

    Args:
        b (sequence or array): The coefficients of the numerator.
        a (sequence or array): Those of the denominator; the first is not 0.
        x (array): The signal; integers become float32.
        axis (int, optional): The axis of time. Default: ``-1``.
        zi (array, optional): The state before the first sample, with ``max(len(a), len(b)) - 1`` items along ``axis`` and
            the other axes of ``x``. Default: ``None``, at rest.

    Returns:
        array or tuple: The filtered signal; with ``zi`` a pair of it and the last state, which is the next call's ``zi``.

    Raises:
        ScanError: A coefficient list is empty, ``a[0]`` is 0, or shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.lfilter([1.0], [1.0, -0.5], mx.array([1.0, 0.0, 0.0, 0.0]))
        array([1, 0.5, 0.25, 0.125], dtype=float32)
    """
    x, axis = along("lfilter", x, axis, _NUMBERS)
    over, under = _numbers("lfilter", "b", b), _numbers("lfilter", "a", a)
    order = max(len(over), len(under)) - 1
    section = _normed("lfilter", over, under, order)
    start = None if zi is None else _states("lfilter", zi, x, axis, order)
    y, last = _run((section,), x, axis, None if start is None else (_split(start, axis),))
    return y if zi is None else (y, _joined(last[0], axis, start))


def sosfilt(
    sos: Coefficients, x: mx.array, axis: int = -1, zi: mx.array | None = None
) -> mx.array | tuple[mx.array, mx.array]:
    """A sequence through a filter of second-order sections, all of them in one loop over time.

    Source: Oppenheim and Schafer, *Discrete-Time Signal Processing* (2010), section 6.3; the arguments are those of
    ``scipy.signal.sosfilt``.

    Args:
        sos (array): The sections, of shape ``(sections, 6)``: three coefficients of the numerator, three of the denominator.
        x (array): The signal.
        axis (int, optional): The axis of time. Default: ``-1``.
        zi (array, optional): The states before the first sample, of shape ``(sections, ..., 2, ...)``, where 2 stands in the
            place of time. Default: ``None``, at rest.

    Returns:
        array or tuple: The filtered signal; with ``zi`` a pair of it and the last states.

    Raises:
        ScanError: ``sos`` has another shape, a section has no ``a[0]``, or shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import signal
        >>> signal.sosfilt([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]] * 2, mx.array([1.0, 0.0, 0.0, 0.0]))
        array([1, 1, 0.75, 0.5], dtype=float32)
    """
    x, axis = along("sosfilt", x, axis, _NUMBERS)
    rows = sos if isinstance(sos, mx.array) else _array("sosfilt", "sos", sos)
    if rows.ndim != 2 or rows.shape[1] != 6 or not rows.shape[0]:
        raise errors.ScanError(f"[sosfilt] sos has the shape (sections, 6); got {tuple(rows.shape)}.")
    given = [_numbers("sosfilt", "sos", row) for row in rows]
    sections = tuple(_normed("sosfilt", row[:3], row[3:], 2) for row in given)
    start = None
    if zi is not None:
        held = to_mlx("[sosfilt] zi", zi)
        if not isinstance(held, mx.array) or held.ndim != x.ndim + 1 or held.shape[0] != len(sections):
            raise errors.ScanError(
                f"[sosfilt] zi must have {len(sections)} sections in front of the states of each, one axis more than x of shape "
                f"{x.shape}; got {getattr(held, 'shape', zi)!r:.60}."
            )
        start = [_states("sosfilt", each, x, axis, 2) for each in held]
    y, last = _run(sections, x, axis, None if start is None else tuple(_split(each, axis) for each in start))
    if start is None:
        return y
    return y, mx.stack([_joined(each, axis, own) for each, own in zip(last, start, strict=True)])


def _run(sections: tuple[Section, ...], x: mx.array, axis: int, start: Any) -> tuple[mx.array, Any]:
    """One loop through all sections; a section without states is a factor."""

    def step(states: Any, sample: mx.array) -> tuple[Any, mx.array]:
        after = []
        for (over, under), state in zip(sections, states, strict=True):
            given, sample = sample, over[0] * sample + (state[0] if state else 0)
            later = (*state[1:], 0)
            after.append(
                tuple(
                    numerator * given - denominator * sample + rest
                    for numerator, denominator, rest in zip(over[1:], under[1:], later, strict=bool(state))
                )
            )
        return tuple(after), sample

    if start is None:
        start = tuple(tuple(mx.zeros((), x.dtype) for _ in over[1:]) for over, _ in sections)
    if not any(start):
        return step(start, x)[1], start
    found: tuple[mx.array, Any] = loop(step, x, start, axis, return_carry=True)
    return found


def _numbers(call: str, name: str, given: Coefficients) -> list[Any]:
    """The coefficients one by one: Python numbers, or items of an array."""
    if isinstance(given, mx.array):
        found = [given[i] for i in range(given.shape[0])] if given.ndim == 1 else []
    else:
        values = np.atleast_1d(_array(call, name, given))
        found = values.tolist() if values.ndim == 1 else []
    if not found:
        raise errors.ScanError(f"[{call}] {name} has one coefficient at least, along one axis; got {given!r:.60}.")
    return found


def _array(call: str, name: str, given: Coefficients) -> np.ndarray[Any, Any]:
    """What is no array of MLX, as one of NumPy."""
    try:
        found = np.asarray(given)
    except ValueError as error:
        raise errors.ScanError(f"[{call}] {name} cannot be read as coefficients: {error}") from error
    if found.dtype.kind not in "biufc":
        raise errors.ScanTypeError(f"[{call}] {name} must be numbers; got {found.dtype}: {given!r:.60}.")
    return found


def _normed(call: str, over: list[Any], under: list[Any], order: int) -> Section:
    """Both lists divided by the first of the denominator, as long as one another."""
    first = under[0]
    if not isinstance(first, mx.array) and first == 0:
        raise errors.ScanError(f"[{call}] the first coefficient of the denominator is 0.")
    one = not isinstance(first, mx.array) and first == 1
    longer = [[*each, *[0.0] * (order + 1 - len(each))] for each in (over, under)]
    return (longer[0], longer[1]) if one else ([c / first for c in longer[0]], [c / first for c in longer[1]])


def _states(call: str, given: Any, x: mx.array, axis: int, order: int) -> mx.array:
    zi = floats(f"[{call}] zi", given, kinds=_NUMBERS, cast=True)
    if dtypes.name_of(zi.dtype) in dtypes.COMPLEX and dtypes.name_of(x.dtype) not in dtypes.COMPLEX:
        raise errors.ScanTypeError(
            f"[{call}] zi is complex and x is {dtypes.name_of(x.dtype)}: its imaginary parts would be lost. Give "
            "x.astype(mx.complex64)."
        )
    shape = (*x.shape[:axis], order, *x.shape[axis + 1 :])
    fits = zi.ndim == len(shape)
    if not fits or any(a not in (1, b) for a, b in zip(zi.shape, shape, strict=True)) or zi.shape[axis] != order:
        raise errors.ScanError(
            f"[{call}] zi must have the shape {shape} for x of shape {x.shape}, {order} states in the place of time; got {zi.shape}."
        )
    found: mx.array = mx.broadcast_to(zi, shape).astype(x.dtype)
    return found


def _split(states: mx.array, axis: int) -> tuple[mx.array, ...]:
    return tuple(states[(slice(None),) * axis + (i,)] for i in range(states.shape[axis]))


def _joined(states: tuple[mx.array, ...], axis: int, like: mx.array | None) -> mx.array:
    """The states in the place of time."""
    assert like is not None, "asked for where there was a state"
    return mx.stack(list(states), axis) if states else like
