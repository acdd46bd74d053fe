"""Aggregators of few rows on a GPU: one kernel that scans elements which it makes as it loads inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import mlx.core as mx

from monoscan import tree
from monoscan.exported import with_rules
from monoscan.lowering.plan.options import Options, changed
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.trace.reads.captures import capture
from monoscan.mapped import listed, tangents_of
from monoscan.scan.fuse import Fusion
from monoscan.scan.passes import Pass
from monoscan.tree import Tree

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel

Found = tuple[Tree | None, Tree | None]
"""Outputs and the last state, each where it is wanted."""


def run(fusion: Fusion, kernel: GpuKernel, passes: Callable[[Pass, Options], Found]) -> Found | None:
    """What the kernel finds; ``None`` where it cannot be built. Its derivatives are those of passes of their own.

    Args:
        fusion: The pass and its kernel.
        kernel: The kernel.
        passes: Outputs and the last state by passes of their own.
    """
    over, asked = fusion.over, changed(fusion.asked, strategy="auto")
    given = [x for x in over.inputs if isinstance(x, mx.array)]
    arrays, form = [*given, *over.captures.arrays, *over.leaves], tree.LEAF

    def flat(found: Found) -> list[mx.array]:
        nonlocal form
        leaves, form = tree.flatten(tuple(each for each in found if each is not None))
        return leaves

    def apart(*xs: mx.array) -> list[mx.array]:
        return flat(passes(_on(over, xs, len(given)), asked))

    @with_rules
    def call(*xs: mx.array) -> list[mx.array]:
        found = attrs.evolve(fusion, over=_on(over, xs, len(given))).launched(kernel)
        return flat(found)

    @call.vjp
    def call_vjp(primals: Any, cotangents: Any, outputs: Any) -> list[mx.array]:
        return list(mx.vjp(apart, listed(primals), listed(cotangents))[1])

    @call.jvp
    def call_jvp(primals: Any, tangents: Any) -> list[mx.array]:
        inputs = listed(primals)
        return list(mx.jvp(apart, inputs, tangents_of(inputs, tangents))[1])

    @call.vmap
    def call_vmap(inputs: Any, axes: Any) -> tuple[list[mx.array], list[int]]:
        found = mx.vmap(apart, in_axes=tuple(listed(axes)))(*listed(inputs))
        return found, [0] * len(found)

    try:
        leaves = listed(call(*arrays))
    except BridgeUnavailable:  # said and remembered where it failed
        return None
    found = iter(tree.unflatten(form, leaves))
    return next(found) if asked.results else None, next(found) if fusion.carried else None


def _on(over: Pass, arrays: Sequence[mx.array], inputs: int) -> Pass:
    """A pass over other arrays: inputs, captured arrays, states."""
    captured = inputs + len(over.captures.arrays)
    aggregator = over.captures.rebuild(arrays[inputs:captured])
    given = iter(arrays[:inputs])
    return attrs.evolve(
        over,
        aggregator=aggregator,
        captures=capture(aggregator, ""),
        inputs=[next(given) if isinstance(x, mx.array) else x for x in over.inputs],
        leaves=list(arrays[captured:]),
    )
