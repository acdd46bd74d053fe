"""Starts kernels on Apple GPUs by ``mx.fast.metal_kernel``, which compiles each text once a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import mlx.core as mx

from monoscan.cache import COMPILED
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.render import metal
from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.gpu.launch import Output, start_text


def start(spec: GpuSpec, arrays: Arrays, outputs: Sequence[Output], groups: int) -> Leaves:
    """Starts a kernel."""
    kernel = COMPILED.get(("metal", spec), lambda: _kernel(spec))
    return start_text(kernel, arrays, outputs, spec.threads, groups)


def _kernel(spec: GpuSpec) -> Callable[..., Leaves]:
    made = mx.fast.metal_kernel(
        name=f"monoscan_{spec.body.value}",
        input_names=["sizes", *(array.name for array in spec.inputs)],
        output_names=[array.name for array in spec.outputs],
        header=metal.header(spec),
        source=metal.body(spec),
    )
    return cast(Callable[..., Leaves], made)
