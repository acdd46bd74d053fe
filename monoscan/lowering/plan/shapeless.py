"""Whether a function is being traced by ``mx.compile(..., shapeless=True)``.

Such a trace runs again with arrays of other sizes, so nothing may be decided by sizes, nor
hold them. Kernels look at the sizes when they run; MLX's slices hold those of the trace.
"""

from __future__ import annotations

import io

import mlx.core as mx

from monoscan import errors
from monoscan.lowering.targets.cpu import build


def tracing() -> bool:
    """Whether it is."""
    bridge = build.LOADER.bridge
    if bridge is not None:
        return bridge.shapeless()
    # The number of elements is an operation of its own then, where it is a constant else.
    graph = io.StringIO()
    mx.export_to_dot(graph, mx.mean(mx.zeros((1,))))
    return "NumberOfElements" in graph.getvalue()


def refuse(what: str) -> None:
    """Raises in such a trace.

    Raises:
        StrategyError: ``what`` is made of array operations that hold the sizes of the trace.
    """
    if tracing():
        raise errors.StrategyError(
            f"[monoscan] {what} runs by array operations, which hold the sizes that they are traced with: it has no place in "
            "mx.compile(..., shapeless=True). Compile without it."
        )


def sum_to(array: mx.array, like: mx.array, rank: int) -> mx.array:
    """The sum over those of the first ``rank`` axes along which another array has size 1."""
    bridge = build.LOADER.bridge
    if bridge is not None and bridge.shapeless():
        return bridge.fit(array, like, rank=rank)
    axes = [i for i in range(rank) if like.shape[i] == 1 and array.shape[i] != 1]
    return array.sum(axes, keepdims=True) if axes else array
