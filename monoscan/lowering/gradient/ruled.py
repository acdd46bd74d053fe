"""A program on arrays, differentiated by this library's rules and not by MLX's.

MLX's rule for ``where`` multiplies by a mask, which lets NaN through from a branch that was
not taken. Whatever runs a program where MLX may differentiate it runs it by `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import PROGRAMS
from monoscan.exported import with_rules
from monoscan.lowering.program.derivative import forward, transposed
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Program
from monoscan.lowering.strategies.combine import trim
from monoscan.lowering.strategies.slices import Combine, Leaves
from monoscan.mapped import listed, tangents_of, to_front

_transposed = PROGRAMS.memoised(transposed)
_forward = PROGRAMS.memoised(forward)


Run = Callable[[Program, Sequence[mx.array]], list[mx.array]]
"""Yields the output lanes of a program, all of the shape that the input lanes broadcast to."""


def plain(program: Program, lanes: Sequence[mx.array]) -> list[mx.array]:
    """Runs a program where nobody differentiates it, or as MLX does."""
    shape = mx.broadcast_shapes(*{x.shape for x in lanes}, lanes[0].shape)
    return [mx.broadcast_to(y, shape) for y in evaluate(program, lanes, ARRAYS)]


def run(program: Program, lanes: Sequence[mx.array]) -> list[mx.array]:
    """Runs a program so that it is differentiated by this library's rules."""
    if not program.results:  # MLX crashes on a custom function that returns nothing
        return []
    shapes = [x.shape for x in lanes]
    shape = mx.broadcast_shapes(*set(shapes), shapes[0])
    return _same_shapes(
        program, [x if own == shape else mx.broadcast_to(x, shape) for x, own in zip(lanes, shapes, strict=True)]
    )


def combine(program: Program, constants: Sequence[mx.array] = (), run: Run = run) -> Combine:
    """A traced ``combine`` on lanes of elements.

    Args:
        program: The program.
        constants: The lanes of the captured arrays.
        run: How it runs.
    """

    def on_lanes(left: Leaves, right: Leaves) -> Leaves:
        shapes = [tuple(mx.broadcast_shapes(a.shape, b.shape)) for a, b in zip(left, right, strict=True)]
        results = run(program, [*left, *right, *constants])
        return [trim(y, shape) for y, shape in zip(results, shapes, strict=True)]

    return on_lanes


def _same_shapes(program: Program, lanes: Sequence[mx.array]) -> list[mx.array]:
    inputs = [name in dtypes.FLOATS for name in program.dtypes[: program.num_lanes]]
    outputs = [program.dtypes[value] in dtypes.FLOATS for value in program.results]

    @with_rules
    def call(*xs: mx.array) -> list[mx.array]:
        results = evaluate(program, list(xs), ARRAYS)
        return [mx.broadcast_to(y, xs[0].shape) for y in results]

    @call.vjp
    def call_vjp(primals: Any, cotangents: Any, _: Any) -> list[mx.array]:
        xs = listed(primals)
        found = iter(run(_transposed(program), [*xs, *_kept(listed(cotangents), outputs)]))
        return [next(found) if active else mx.zeros_like(x) for x, active in zip(xs, inputs, strict=True)]

    @call.jvp
    def call_jvp(primals: Any, tangents: Any) -> list[mx.array]:
        xs = listed(primals)
        moved = tangents_of(xs, tangents)
        found = run(_forward(program), [*xs, *_kept(moved, inputs)])
        number = len(outputs)
        rest = iter(found[number:])
        return [next(rest) if active else mx.zeros_like(y) for y, active in zip(found[:number], outputs, strict=True)]

    @call.vmap
    def call_vmap(xs: Any, axes: Any) -> tuple[list[mx.array], list[int]]:
        return run(program, to_front(listed(xs), listed(axes))), [0] * len(outputs)

    return listed(call(*lanes))


def _kept(arrays: list[mx.array], active: list[bool]) -> list[mx.array]:
    return [x for x, keep in zip(arrays, active, strict=True) if keep]
