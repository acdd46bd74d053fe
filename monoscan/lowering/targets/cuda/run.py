"""Starts kernels on NVIDIA GPUs: compiled by NVRTC for the GPU at hand, kept on disk, started by MLX."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import COMPILED
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.render import cuda
from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable, digest
from monoscan.lowering.targets.cuda import nvrtc
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.gpu.launch import Output, grid


def start(spec: GpuSpec, arrays: Arrays, outputs: Sequence[Output], groups: int) -> Leaves:
    """Starts a kernel."""
    across, down = grid(groups)
    made: Leaves = mx.fast.precompiled_cuda_kernel(
        name=cuda.NAME,
        compiled_source=obtain(spec),
        inputs=list(arrays),
        output_shapes=[output.shape for output in outputs],
        output_dtypes=[dtypes.by_name(output.dtype) for output in outputs],
        scalars=[],
        grid=(across * spec.threads, down, 1),
        threadgroup=(spec.threads, 1, 1),
        ensure_row_contiguous=True,
        stream=mx.gpu,
    )
    return made


def obtain(spec: GpuSpec) -> bytes:
    """The machine code of a kernel: from memory, from disk, or compiled now.

    Raises:
        BridgeUnavailable: It cannot be compiled, now or before in this process.
    """
    return COMPILED.get(("cuda", spec, architecture()), lambda: _obtain(spec))


@functools.cache
def architecture() -> str:
    """What NVRTC calls the GPU at hand, as ``sm_90``."""
    return str(mx.device_info()["architecture"])


def _obtain(spec: GpuSpec) -> bytes:
    known = FAILURES.reason("gpu kernel", spec)
    if known is not None:
        raise BridgeUnavailable(known)
    text = cuda.text(spec)

    def build(path: Path) -> None:
        path.write_bytes(nvrtc.compile_text(text, architecture()).code)

    try:
        key = digest([text, architecture(), *nvrtc.OPTIONS, nvrtc.version()])
        return disk.obtain(f"cuda-{key}.cubin", build, Path.read_bytes)
    except nvrtc.NvrtcError as failure:
        FAILURES.record("gpu kernel", spec, str(failure))
        raise BridgeUnavailable(str(failure)) from failure
