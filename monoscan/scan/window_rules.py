"""The derivatives of windows that a kernel finds: by a kernel where there is one, else by two scans and a combine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import COMPILED
from monoscan.exported import with_rules
from monoscan.lowering.plan.fused_window import FusedWindow
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.targets.cpu import windows
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.windows import Pull, Windows
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.graph import promoted, restored
from monoscan.mapped import listed, tangents_of

Function = Callable[..., list[mx.array]]


def attached(run: Function, composed: Function, back: Callable[[], Function | None] = lambda: None) -> Function:
    """What ``run`` finds, with the derivatives of ``composed``; under ``mx.vmap`` likewise.

    Args:
        run: Takes arrays, and MLX knows no derivative of it.
        composed: The same, by operations that MLX differentiates.
        back: What finds the cotangents of the arrays, from them and those of the results, if anything does.
    """

    @with_rules
    def call(*arrays: mx.array) -> list[mx.array]:
        return run(*arrays)

    @call.vjp
    def call_vjp(primals: Any, cotangents: Any, outputs: Any) -> list[mx.array]:
        number = len(listed(primals))

        def pulled(*both: mx.array) -> list[mx.array]:
            return list(mx.vjp(composed, list(both[:number]), list(both[number:]))[1])

        found = back()
        return (pulled if found is None else attached(found, pulled))(*listed(primals), *listed(cotangents))

    @call.jvp
    def call_jvp(primals: Any, tangents: Any) -> list[mx.array]:
        inputs = listed(primals)
        return list(mx.jvp(composed, inputs, tangents_of(inputs, tangents))[1])

    @call.vmap
    def call_vmap(inputs: Any, axes: Any) -> tuple[list[mx.array], list[int]]:
        mapped = tuple(listed(axes))
        functions = mx.vmap(run, in_axes=mapped), mx.vmap(composed, in_axes=mapped)
        found = attached(*functions, lambda: _mapped(back(), mapped))(*listed(inputs))
        return found, [0] * len(found)

    return lambda *arrays: listed(call(*arrays))


def _mapped(back: Function | None, axes: tuple[int | None, ...]) -> Function | None:
    """The way back of what is mapped along these axes; what all share gets the sum."""
    if back is None:
        return None

    def pulled(*both: mx.array) -> list[mx.array]:
        found = mx.vmap(back, in_axes=(*axes, *[0] * (len(both) - len(axes))))(*both)
        return [x.sum(0) if axis is None else mx.moveaxis(x, 0, axis) for x, axis in zip(found, axes, strict=True)]

    return pulled


def pull_of(kernel: FusedWindow, size: int, axis: int, rank: int, name: str) -> Pull | None:
    """The kernel of the gradient of a kernel's windows, if there is one."""
    key = ("gradient of windows", kernel, size, axis, rank, FAILURES.generation)
    try:
        pull = COMPILED.get(key, lambda: windows.pull_of(kernel, size, axis, rank, name))
    except BridgeUnavailable:  # said and remembered where it failed
        return None
    return pull if isinstance(pull, Pull) else None


def back_of_products(kernel: Windows, size: int) -> Function | None:
    """What finds the cotangents of elements from those of their windows."""
    problem, layout = kernel.problem, kernel.problem.layout
    kernels = [each for each, _, _ in kernel.launches]
    pulls = [pull_of(each, size, layout.axis, layout.rank + 1, problem.operator.name) for each in kernels]
    if None in pulls or dtypes.COMPLEX.intersection(problem.stored):
        return None

    def aligned(x: mx.array, leaf: int) -> mx.array:
        return promoted(problem, layout.align(x, leaf), leaf)

    def back(*arrays: mx.array) -> list[mx.array]:
        leaves, cotangents = arrays[: len(problem.stored)], arrays[len(problem.stored) :]
        totals: dict[int, mx.array] = {}
        for each, pull in zip(kernels, pulls, strict=True):
            assert pull is not None
            weights = [_widened(problem, leaf, cotangents[leaf]) for leaf in each.shown]
            found = pull.run([aligned(leaves[leaf], leaf) for leaf in each.leaves], weights)
            for place, d in found.items():
                leaf = each.leaves[place]
                d = shrunk(functools.partial(aligned, leaf=leaf), leaves[leaf], d)
                totals[leaf] = totals[leaf] + d if leaf in totals else d
        return [totals[i] if i in totals else mx.zeros_like(x) for i, x in enumerate(leaves)]

    return back


def shrunk(aligned: Callable[[mx.array], mx.array], x: mx.array, cotangent: mx.array) -> mx.array:
    """The cotangent of an array from that of what it was aligned and spread to."""
    return mx.vjp(lambda x: mx.broadcast_to(aligned(x), cotangent.shape), [x], [cotangent])[1][0]


def _widened(problem: Problem, leaf: int, cotangent: mx.array) -> mx.array:
    """The cotangent of a result with all axes."""
    whole = mx.zeros(problem.layout.aligned_shape(leaf, problem.layout.length), cotangent.dtype)
    return mx.vjp(lambda y: restored(problem, y, leaf), [whole], [cotangent])[1][0]
