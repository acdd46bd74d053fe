"""Launches of compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monoscan import dtypes
from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.kernels import Kernel

Shapes = Sequence[Shape]

EXPORTED_BY = "(export_it_within_ms.exporting())"
"""Behind the names of kernels, which MLX cannot write: its error, which shows a name up to a blank, says what to do."""


def of_kernel(
    name: str,
    kernel: Kernel,
    axis: int,
    rank: int,
    elements: Shapes,
    captures: Shapes,
    inits: Shapes = (),
    *,
    lengths: bool = False,
    offsets: bool = False,
    outputs: Sequence[Leaf],
    carries: Sequence[Leaf] = (),
    **options: Any,
) -> Launch:
    """What `Bridge.Launch` makes of a kernel whose inputs have these event shapes.

    Args:
        name: The name in drawn graphs.
        kernel: The kernel.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        elements: The events of the element leaves.
        captures: Those of the captured arrays.
        inits: Those of the initial state.
        lengths: Whether lengths stand behind these.
        offsets: Whether offsets stand behind all.
        outputs: The outputs.
        carries: The carries.
        options: The rest, as they stand there.
    """
    return build.load().Launch(
        name + EXPORTED_BY,
        schedule=kernel.schedule,
        task=kernel.task,
        axis=axis,
        rank=rank,
        elements=len(elements),
        captures=len(captures),
        inits=len(inits),
        lengths=lengths,
        offsets=offsets,
        events=[*elements, *captures, *inits, *[()] * (lengths + offsets)],
        outputs=[(dtypes.by_name(leaf.dtype), leaf.shape) for leaf in outputs],
        carries=[(dtypes.by_name(leaf.dtype), leaf.shape) for leaf in carries],
        **options,
    )
