"""Puts the gradient of a scan into MLX's graph: one function with rules for vjp, jvp and vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import mlx.core as mx

from monoscan import dtypes
from monoscan.exported import with_rules
from monoscan.lowering.gradient import adjoint, by_arrays, ruled
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.gradient.ran import Cotangents, Ran, Rescan
from monoscan.lowering.gradient.tangents import dual
from monoscan.lowering.plan import aligned, on_arrays, shapeless
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.strategies.slices import Leaves
from monoscan.mapped import listed, tangents_of, to_front

Forward = Callable[[Arrays, int, int], Leaves]
"""Runs a scan: ``forward(arrays, axis, rank)`` returns results and carries."""


def transformable(
    scan: AlignedScan,
    forward: Forward,
    arrays: Arrays,
    axis: int,
    rank: int,
    backward: adjoint.Backward | None = None,
    rescan: Rescan | None = None,
) -> Leaves:
    """Runs a scan so that ``mx.grad``, ``mx.jvp`` and ``mx.vmap`` follow this library's rules.

    Args:
        scan: The scan.
        forward: How to run it.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        backward: How to run its adjoint. Default: by array operations.
        rescan: How to run other scans that derivatives ask for, likewise.
    """
    pull, again = backward or by_operations, rescan or portable

    @with_rules
    def call(*inputs: mx.array) -> list[mx.array]:
        return forward(inputs, axis, rank)

    @call.vjp
    def call_vjp(primals: Arrays, cotangents: Arrays, outputs: Arrays) -> list[mx.array]:
        return vjp(Ran(scan, listed(primals), listed(outputs), axis, rank), listed(cotangents), pull, again)

    @call.jvp
    def call_jvp(primals: Arrays, tangents: Sequence[mx.array | None]) -> list[mx.array]:
        return jvp(scan, listed(primals), listed(tangents), axis, rank, again)

    @call.vmap
    def call_vmap(inputs: Arrays, axes: Sequence[int | None]) -> tuple[list[mx.array], list[int]]:
        moved = to_front(listed(inputs), listed(axes))
        outputs = transformable(scan, forward, moved, axis + 1, rank + 1, backward, rescan)
        size = max(x.shape[0] for x in moved)
        return [mx.broadcast_to(y, (size, *y.shape[1:])) for y in outputs], [0] * len(outputs)

    return listed(call(*arrays))


def portable(scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """Runs a scan by array operations, with this library's rules for its derivatives."""
    shapeless.refuse("This derivative")
    return transformable(scan, lambda inputs, a, r: on_arrays.run(scan, inputs, a, r), arrays, axis, rank)


def by_operations(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """Runs an adjoint by array operations, with this library's rules for its own derivatives."""
    return backward(adjoint, arrays, axis, rank, partial(by_arrays.backward, adjoint))


def backward(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int, run: Forward) -> Leaves:
    """Runs an adjoint so that its own derivatives follow this library's rules.

    Args:
        adjoint: The adjoint.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes.
        run: How to run it.
    """

    @with_rules
    def call(*inputs: mx.array) -> list[mx.array]:
        return run(inputs, axis, rank)

    def ruled_call(*inputs: mx.array) -> list[mx.array]:
        return by_arrays.backward(adjoint, inputs, axis, rank, ruled.run)

    @call.vjp
    def call_vjp(primals: Arrays, cotangents: Arrays, outputs: Arrays) -> list[mx.array]:
        return list(mx.vjp(ruled_call, listed(primals), listed(cotangents))[1])

    @call.jvp
    def call_jvp(primals: Arrays, tangents: Sequence[mx.array | None]) -> list[mx.array]:
        inputs = listed(primals)
        moved = tangents_of(inputs, tangents)
        return list(mx.jvp(ruled_call, inputs, moved)[1])

    @call.vmap
    def call_vmap(inputs: Arrays, axes: Sequence[int | None]) -> tuple[list[mx.array], list[int]]:
        moved = to_front(listed(inputs), listed(axes))
        outputs = backward(adjoint, moved, axis + 1, rank + 1, run)
        size = max(x.shape[0] for x in moved)
        return [mx.broadcast_to(y, (size, *y.shape[1:])) for y in outputs], [0] * len(outputs)

    return listed(call(*arrays))


def vjp(
    ran: Ran,
    cotangents: Cotangents,
    backward: adjoint.Backward = by_operations,
    rescan: Rescan = portable,
    asked: Sequence[int] | None = None,
) -> list[mx.array]:
    """A cotangent for each array, zeros where nothing reaches it or nobody asked."""
    found = adjoint.vjp(ran, cotangents, backward, rescan, asked)
    return [mx.zeros_like(x) if d is None else d for x, d in zip(ran.arrays, found, strict=True)]


def jvp(
    scan: AlignedScan,
    primals: Arrays,
    tangents: Sequence[mx.array | None],
    axis: int,
    rank: int,
    rescan: Rescan = portable,
) -> list[mx.array]:
    """A tangent for each output, zeros for integers and bools.

    Args:
        scan: The scan.
        primals: Its arrays.
        tangents: One for each array, or ``None``.
        axis: The scan axis.
        rank: The number of batch axes.
        rescan: How to run the scan on dual numbers.
    """
    shapeless.refuse("This derivative")
    both = dual(scan, frozenset(i for i, t in enumerate(tangents) if t is not None))
    found: dict[int, mx.array] = {}
    if both is not None:
        arrays = both.arrays(scan.unpack(primals), scan.unpack(tangents))
        found = both.tangents(rescan(both.scan, [*arrays, *scan.bounds(primals)], axis, rank), scan)
    shapes = aligned.shapes_of(scan, primals, axis, rank)
    return [
        mx.broadcast_to(y, mx.broadcast_shapes(shape, y.shape))  # a kernel yields all rows, of what has fewer too
        if (y := found.get(i)) is not None
        else mx.zeros(shape, dtypes.by_name(name))
        for i, (shape, name) in enumerate(shapes)
    ]
