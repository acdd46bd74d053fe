"""A function of one element on arrays of elements, by ``mx.vmap`` over each axis in front."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.exported import with_rules

Leaves = list[mx.array]

Function = Callable[..., Sequence[mx.array]]
"""Takes an array for each operand of one element, and returns arrays."""


def run(function: Function, arrays: Sequence[mx.array], rank: int) -> Leaves:
    """The function on every element.

    Args:
        function: The function.
        arrays: Its operands, each with ``rank`` axes of elements in front, of full size or 1. Those of integers
            and truth values are mapped along all of them, for MLX's bit operations need it.
        rank: The number of axes of elements.

    Returns:
        list: What it returns, with all axes of elements in full size.
    """
    leads = [x.shape[:rank] for x in arrays]
    lead = tuple(mx.broadcast_shapes(*leads))
    pairs = zip(arrays, leads, strict=True)
    arrays = [
        mx.broadcast_to(x, lead + x.shape[rank:]) if whole(dtypes.name_of(x.dtype)) and own != lead else x
        for x, own in pairs
    ]
    leads = [x.shape[:rank] for x in arrays]
    axes = [axis for axis in range(rank) if lead[axis] != 1]
    for axis in reversed(axes):
        function = mx.vmap(function, in_axes=tuple(None if own[axis] == 1 else 0 for own in leads))
    narrow = [  # no squeeze of several axes: mx.vmap of its gradient loses the axis that it maps
        x.reshape([*(size for size in own if size != 1), *x.shape[rank:]]) for x, own in zip(arrays, leads, strict=True)
    ]
    return [y.reshape((*lead, *y.shape[len(axes) :])) for y in function(*narrow)]


def along(function: Function, arrays: Sequence[mx.array], axis: int) -> Leaves:
    """A function of arrays without an axis, mapped along it; arrays of size 1 there are the same for all."""
    mapped = [x.shape[axis] > 1 for x in arrays]
    given = [x if of_each else x.squeeze(axis) for x, of_each in zip(arrays, mapped, strict=True)]
    found = mx.vmap(function, in_axes=tuple(axis if of_each else None for of_each in mapped))(*given)
    return [mx.moveaxis(y, 0, axis) for y in found]


def whole(dtype: str) -> bool:
    """Whether arrays of this dtype are mapped along every axis."""
    return dtype not in dtypes.FLOATS | dtypes.COMPLEX


def ruled(function: Function, arrays: Sequence[mx.array], rank: int) -> Leaves:
    """`run` for a function that holds one with derivatives of its own, which ``mx.vmap`` would drop.

    So it is differentiated before it is mapped, one element at a time, and that again is.
    """
    number = len(arrays)
    active = [i for i, x in enumerate(arrays) if dtypes.name_of(x.dtype) in dtypes.FLOATS | dtypes.COMPLEX]

    @with_rules
    def call(*xs: mx.array) -> Leaves:
        return run(function, xs, rank)

    @call.vjp
    def call_vjp(primals: Any, cotangents: Any, _: Any) -> Leaves:
        def pull(*both: mx.array) -> Leaves:
            return pulled(function, both[:number], active, both[number:])

        xs = listed(primals)
        with _refusing_depends():
            found = dict(zip(active, ruled(pull, [*xs, *listed(cotangents)], rank), strict=True))
        return [_narrowed(found[i], x) if i in found else mx.zeros_like(x) for i, x in enumerate(xs)]

    @call.jvp
    def call_jvp(primals: Any, tangents: Any) -> Leaves:
        def push(*both: mx.array) -> Leaves:
            return pushed(function, both[:number], active, both[number:])

        xs, given = listed(primals), listed(tangents)
        moved = [mx.zeros_like(xs[i]) if given[i] is None else given[i] for i in active]
        return ruled(push, [*xs, *moved], rank)

    @call.vmap
    def call_vmap(xs: Any, axes: Any) -> tuple[Leaves, list[int]]:
        outputs = ruled(function, to_front(listed(xs), listed(axes)), rank + 1)
        return outputs, [0] * len(outputs)

    return listed(call(*arrays))


@contextlib.contextmanager
def _refusing_depends() -> Iterator[None]:
    """Says what to do about what ``mx.checkpoint`` is made of, which MLX does not map."""
    try:
        yield
    except ValueError as error:
        if "Not implemented for Depends" not in str(error):
            raise
        raise errors.TraceError(
            "[scan] combine holds mx.checkpoint, or a rule of a custom function holds mx.depends, and MLX cannot map the "
            "gradient of that over elements. Leave the checkpoint out, for a scan keeps no more than its elements and "
            "results; or use associative_scan, whose function gets whole slices."
        ) from error


def pulled(
    function: Function, arrays: Sequence[mx.array], some: Sequence[int], cotangents: Sequence[mx.array]
) -> Leaves:
    """The cotangents of some of a function's arrays, as MLX finds them."""
    return list(mx.vjp(_of_some(function, arrays, some), [arrays[i] for i in some], list(cotangents))[1])


def pushed(function: Function, arrays: Sequence[mx.array], some: Sequence[int], tangents: Sequence[mx.array]) -> Leaves:
    """The tangents of what a function returns, from those of some of its arrays, as MLX finds them."""
    return list(mx.jvp(_of_some(function, arrays, some), [arrays[i] for i in some], list(tangents))[1])


def _of_some(function: Function, given: Sequence[mx.array], some: Sequence[int]) -> Callable[..., Leaves]:
    def of_some(*chosen: mx.array) -> Leaves:
        arrays = list(given)
        for i, x in zip(some, chosen, strict=True):
            arrays[i] = x
        return list(function(*arrays))

    return of_some


def _narrowed(d: mx.array, like: mx.array) -> mx.array:
    """The sum over the axes along which an operand was the same for all elements."""
    axes = [i for i, size in enumerate(like.shape) if size == 1 and d.shape[i] != 1]
    return d.sum(axes, keepdims=True) if axes else d


def listed(given: Any) -> list[Any]:
    """MLX hands over a bare array where there is one."""
    return list(given) if isinstance(given, (list, tuple)) else [given]


def tangents_of(primals: Sequence[mx.array], tangents: Any) -> list[mx.array]:
    """A tangent for each primal, zeros where MLX hands over none."""
    return [mx.zeros_like(x) if t is None else t for x, t in zip(primals, listed(tangents), strict=True)]


def to_front(arrays: Sequence[mx.array], axes: Sequence[int | None]) -> list[mx.array]:
    """Mapped axes in front; an axis of size 1 where an array is not mapped."""
    pairs = zip(arrays, axes, strict=True)
    return [x[None] if axis is None or axis < 0 else mx.moveaxis(x, axis, 0) for x, axis in pairs]
