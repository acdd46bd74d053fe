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
from monoscan.lowering.render.gpu_spec import Body, GpuSpec
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable, digest
from monoscan.lowering.targets.cuda import by_text, cubin, nvrtc
from monoscan.lowering.targets.cuda.by_text import CLEARING
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.gpu.hidden import hidden
from monoscan.lowering.targets.gpu.launch import Output, grid


def start(spec: GpuSpec, arrays: Arrays, outputs: Sequence[Output], groups: int) -> Leaves:
    """Starts a kernel."""
    if not takes_code():
        return by_text.start(spec, arrays, outputs, groups)
    across, down = grid(groups)
    given = list(arrays)
    if spec.body is Body.LOOK_BACK:
        given.insert(1, _flags(groups + 1, given[1]))
    made: Leaves = mx.fast.precompiled_cuda_kernel(
        name=cuda.NAME,
        compiled_source=obtain(spec),
        inputs=given,
        output_shapes=[output.shape for output in outputs],
        output_dtypes=[dtypes.by_name(output.dtype) for output in outputs],
        scalars=[],
        grid=(across * spec.threads, down, 1),
        threadgroup=(spec.threads, 1, 1),
        ensure_row_contiguous=True,
        stream=mx.gpu,
    )
    return hidden(made, given)


def takes_code() -> bool:
    """Whether MLX starts machine code, by a function that it calls experimental; else it compiles text."""
    return hasattr(mx.fast, "precompiled_cuda_kernel")


def prepare(spec: GpuSpec) -> None:
    """Compiles a kernel, unless MLX does it.

    Raises:
        BridgeUnavailable: It cannot be compiled.
    """
    if takes_code():
        obtain(spec)


def registers(spec: GpuSpec) -> int | None:
    """The registers of a thread of a kernel that was compiled, or ``None`` where that is not known."""
    code = COMPILED.find(("cuda", spec, architecture()))
    return None if code is None else cubin.registers(code)


def _flags(count: int, follows: mx.array) -> mx.array:
    """Flags that are zero, of this launch alone: a kernel that reads nothing of a trace might run once for many."""
    made: Leaves = mx.fast.precompiled_cuda_kernel(
        name="monoscan_clear",
        compiled_source=_clear(),
        inputs=[follows],
        output_shapes=[(count,)],
        output_dtypes=[mx.uint32],
        scalars=[count],
        grid=(-(-count // CLEARING) * CLEARING, 1, 1),
        threadgroup=(CLEARING, 1, 1),
        stream=mx.gpu,
    )
    return hidden(made, [follows])[0]


def _clear() -> bytes:
    return COMPILED.get(("cuda", cuda.CLEAR, architecture()), lambda: _compiled(cuda.CLEAR))


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
    try:
        if spec.body is Body.LOOK_BACK:
            _clear()
        return _compiled(cuda.text(spec))
    except nvrtc.NvrtcError as failure:
        FAILURES.record("gpu kernel", spec, str(failure))
        raise BridgeUnavailable(str(failure)) from failure


def _compiled(text: str) -> bytes:
    def build(path: Path) -> None:
        path.write_bytes(nvrtc.compile_text(text, architecture()).code)

    key = digest([text, architecture(), *nvrtc.OPTIONS, nvrtc.version()])
    return disk.obtain(f"cuda-{key}.cubin", build, Path.read_bytes)
