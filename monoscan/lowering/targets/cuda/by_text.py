"""Starts kernels on NVIDIA GPUs by ``mx.fast.cuda_kernel``, which compiles each text once a process, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import mlx.core as mx

from monoscan.cache import COMPILED
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.render import cuda
from monoscan.lowering.render.gpu_spec import Body, GpuSpec
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.gpu.hidden import hidden
from monoscan.lowering.targets.gpu.launch import Output, start_text

CLEARING = 256
"""The threads of a group that makes flags zero."""

CLEAR = """\
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count[0]) flags[i] = 0;
"""


def start(spec: GpuSpec, arrays: Arrays, outputs: Sequence[Output], groups: int) -> Leaves:
    """Starts a kernel."""
    kernel = COMPILED.get(("cuda text", spec), lambda: _kernel(spec))
    inputs = list(arrays)
    if spec.body is Body.LOOK_BACK:
        inputs.insert(1, _flags(groups + 1, inputs[1]))
    return start_text(kernel, inputs, outputs, spec.threads, groups)


def _kernel(spec: GpuSpec) -> Callable[..., Leaves]:
    flags = ["flags"] if spec.body is Body.LOOK_BACK else []
    made = mx.fast.cuda_kernel(
        name=f"monoscan_{spec.body.value}",
        input_names=[*map(cuda.given, ["sizes", *flags, *(array.name for array in spec.inputs)])],
        output_names=[cuda.given(array.name) for array in spec.outputs],
        header=cuda.header(spec),
        source=cuda.body(spec),
    )
    return cast(Callable[..., Leaves], made)


def _flags(count: int, follows: mx.array) -> mx.array:
    """Flags that are zero, of this launch alone: a kernel that reads nothing of a trace might run once for many."""
    kernel, inputs = COMPILED.get("cuda text of flags", _clearing), [follows, mx.array([count], mx.int32)]
    made: Leaves = kernel(
        inputs=inputs,
        output_shapes=[(count,)],
        output_dtypes=[mx.uint32],
        grid=(-(-count // CLEARING) * CLEARING, 1, 1),
        threadgroup=(CLEARING, 1, 1),
        stream=mx.gpu,
    )
    return hidden(made, inputs)[0]


def _clearing() -> Callable[..., Leaves]:
    names = ["follows", "count"]
    made = mx.fast.cuda_kernel(name="monoscan_clear", input_names=names, output_names=["flags"], source=CLEAR)
    return cast(Callable[..., Leaves], made)
