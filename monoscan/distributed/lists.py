"""Derivatives of functions that take and give lists of arrays."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from monoscan.distributed.part import Leaves


def pulled(function: Callable[..., Leaves], given: tuple[Leaves, ...], cotangents: Leaves) -> tuple[Leaves, ...]:
    """The cotangents of lists of arrays; zeros where the function gives nothing."""
    flat, counts = [x for each in given for x in each], [len(each) for each in given]
    if not cotangents or not flat:
        return tuple([mx.zeros_like(x) for x in each] for each in given)
    found = mx.vjp(lambda *xs: function(*parted(list(xs), *counts[:-1])), flat, cotangents)[1]
    return parted(list(found), *counts[:-1])


def pushed(
    function: Callable[..., Leaves], given: tuple[Leaves, ...], tangents: tuple[Leaves, ...]
) -> tuple[Leaves, Leaves]:
    """What a function of lists of arrays gives, and its tangents."""
    flat, counts = [x for each in given for x in each], [len(each) for each in given]
    moved = [x for each in tangents for x in each]
    if not flat:
        return function(*given), []
    found, moved = mx.jvp(lambda *xs: function(*parted(list(xs), *counts[:-1])), flat, moved)
    return list(found), list(moved)


def parted(arrays: Leaves, *counts: int) -> tuple[Leaves, ...]:
    """Lists of these lengths, and the rest."""
    found, at = [], 0
    for count in counts:
        found.append(arrays[at : at + count])
        at += count
    return (*found, arrays[at:])


def added(xs: Leaves, ys: Leaves) -> Leaves:
    """Sums, one by one."""
    return [x + y for x, y in zip(xs, ys, strict=True)]


def nothing(arrays: Leaves) -> mx.array:
    """A zero that hangs on arrays: what is made of it has derivatives of another order with respect to them."""
    return sum((mx.where(mx.array(True), 0, x.reshape(-1)[:1]).sum() for x in arrays), mx.array(0.0))
