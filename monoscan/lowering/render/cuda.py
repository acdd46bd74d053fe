"""The text of a kernel for CUDA."""

from __future__ import annotations

from monoscan.lowering.render import gpu
from monoscan.lowering.render.gpu import ITEMS, Dialect
from monoscan.lowering.render.gpu_arrays import Array
from monoscan.lowering.render.gpu_spec import Body, GpuSpec

DIALECT = Dialect(
    '#include "cuda/prelude.h"',
    ("blockIdx.x + blockIdx.y * gridDim.x", "threadIdx.x", "threadIdx.x % 32", "threadIdx.x / 32"),
)

NAME = "monoscan_kernel"
"""The name of every kernel's function."""

CLEAR = (gpu.FOLDER / "cuda/clear.h").read_text(encoding="utf-8")
"""The kernel ``monoscan_clear``, which makes flags zero."""


def text(spec: GpuSpec) -> str:
    """All that NVRTC compiles."""
    flags = ["ms::u32* flags"] if spec.body is Body.LOOK_BACK else []
    parameters = ",\n    ".join(["const ms::i64* __restrict__ sizes", *flags, *map(_parameter, spec.arrays)])
    bounds = f"__launch_bounds__({spec.threads}, 1)"  # without the 1 some of them spill to keep more threads at work
    return f"""\
{gpu.header(spec, DIALECT)}
extern "C" __global__ void {bounds} {NAME}(
    {parameters}) {{
{gpu.body(spec, DIALECT)}}}
"""


def _parameter(array: Array) -> str:
    constant = "" if array.written else "const "
    alone = "" if array.group == "published" else "__restrict__ "
    return f"{constant}ms::{ITEMS[array.dtype]}* {alone}{array.name}"
