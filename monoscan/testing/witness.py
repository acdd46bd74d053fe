"""The order witness: one input for each length that proves the order of a scan.

Elements are intervals. Two that touch combine to their union; two that do not give an
error element that absorbs all others. A scan that touches elements only through ``combine``
and by index is right for *every* operator at a length if and only if it is right for this
one (Chong, Donaldson and Ketema, *A sound and complete abstraction for reasoning about
parallel prefix sums*, POPL 2014). It says nothing about native paths, dtypes, broadcasting,
domains or gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import attrs
import mlx.core as mx
import numpy as np

from monoscan.monoids.base import Monoid

LENGTHS = (*range(66), 127, 128, 129, 255, 256, 257, 1023, 1024, 1025)
"""Every short length, and those around powers of two."""

Interval = tuple[mx.array, mx.array, mx.array]
_NEUTRAL, _INTERVAL, _ERROR = 0, 1, 2


class OrderError(AssertionError):
    """A scan combined the wrong elements, or in the wrong order."""


@final
@attrs.frozen
class Intervals(Monoid):
    """Summation intervals, in three int32 leaves: ``(state, start, stop)``.

    ``combine`` of ``[i, j)`` and ``[j, k)`` is ``[i, k)``; of any others it is the error.
    Identity (0, 0, 0).

    Args:
        strict (bool, optional): Whether the identity may only be placed: combined with
            anything it gives the error, too. It tells padding from a guard.
            Default: ``False``.
    """

    strict: bool = False
    template = ("state", "start", "stop")

    def combine(self, left: Interval, right: Interval) -> Interval:
        (s, i, j), (t, k, m) = left, right
        touch = mx.logical_and(mx.logical_and(s == _INTERVAL, t == _INTERVAL), j == k)
        joined = mx.where(touch, _INTERVAL, _ERROR), mx.where(touch, i, 0), mx.where(touch, m, 0)
        if self.strict:
            return joined
        kept = tuple(mx.where(t == _NEUTRAL, x, y) for x, y in zip(left, joined, strict=True))
        state, start, stop = (mx.where(s == _NEUTRAL, x, y) for x, y in zip(right, kept, strict=True))
        return state, start, stop

    def identity(self, like: Interval) -> Interval:
        state, start, stop = (mx.zeros_like(leaf) for leaf in like)
        return state, start, stop


Run = Callable[..., Any]
"""``run(monoid, elems, reverse=..., inclusive=..., init=..., return_carry=True)``, as ``scan``."""


def check_order(
    run: Run, n: int, *, reverse: bool = False, inclusive: bool = True, init: bool = False, strict: bool = False
) -> None:
    """Proves the order of a scan at one length.

    Args:
        run (callable): The scan, with the arguments of ``scan``; it returns result and carry.
        n (int): The length.
        reverse (bool, optional): Check a reversed scan. Default: ``False``.
        inclusive (bool, optional): Check an inclusive scan. Default: ``True``.
        init (bool, optional): Check a scan with ``init``. Default: ``False``.
        strict (bool, optional): Refuse scans that combine anything with an identity, as
            padding does. Default: ``False``.

    Raises:
        OrderError: A position holds another interval; the message says which and what.

    Example:
        >>> from functools import partial
        >>> import monoscan as ms
        >>> from monoscan.testing import check_order
        >>> check_order(partial(ms.scan, strategy="blelloch"), 37)
    """
    first = 1 if init else 0
    steps = np.arange(n)[:: -1 if reverse else 1]
    elems = _intervals(first + steps, first + steps + 1)
    start = tuple(leaf[0] for leaf in _intervals(np.zeros(1, int), np.ones(1, int))) if init else None
    options = {"reverse": reverse, "inclusive": inclusive, "init": start, "return_carry": True}
    result, carry = run(Intervals(strict), elems, **options)
    where = f"n={n}, " + ", ".join(
        f"{name}={value}" for name, value in options.items() if name in ("reverse", "inclusive")
    )
    _compare(f"{where}, init={init}", np.stack([np.array(leaf) for leaf in result]), first + steps + int(inclusive))
    _compare(f"{where}, init={init}, carry", np.array([leaf.item() for leaf in carry])[:, None], np.array([first + n]))


def check_orders(run: Run, lengths: Iterable[int] = LENGTHS, *, strict: bool = False) -> None:
    """Proves the order of a scan at many lengths, in both directions, with every option.

    Args:
        run (callable): As for `check_order`.
        lengths (iterable(int), optional): Default: `LENGTHS`.
        strict (bool, optional): As for `check_order`. Default: ``False``.

    Raises:
        OrderError: As `check_order`.
    """
    for n in lengths:
        for reverse in (False, True):
            for inclusive in (True, False):
                for init in (False, True):
                    check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=strict)


def _intervals(start: Any, stop: Any) -> Interval:
    state = np.full(start.shape, _INTERVAL)
    first, second, third = (mx.array(leaf.astype(np.int32)) for leaf in (state, start, stop))
    return first, second, third


def _compare(where: str, got: Any, stops: Any) -> None:
    """Each position must be [0, stop), or the identity where stop is 0."""
    expected = np.stack([np.where(stops > 0, _INTERVAL, _NEUTRAL), np.zeros_like(stops), stops])
    if got.shape != expected.shape:
        raise OrderError(f"[witness] {where}: expected {expected.shape[1]} elements; got {got.shape[1]}.")
    wrong = np.flatnonzero((got != expected).any(axis=0))
    if wrong.size:
        place = int(wrong[0])
        raise OrderError(
            f"[witness] {where}: position {place} must be {_show(expected[:, place])}; got {_show(got[:, place])} "
            f"({wrong.size} of {got.shape[1]} positions are wrong)."
        )


def _show(element: Any) -> str:
    state, start, stop = (int(value) for value in element)
    return "the identity" if state == _NEUTRAL else f"[{start}, {stop})" if state == _INTERVAL else "the error element"
