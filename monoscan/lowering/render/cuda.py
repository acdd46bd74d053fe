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

UNFUSED = Dialect('#define UNFUSED\n#include "cuda/unfused.h"\n#include "cuda/prelude.h"', DIALECT.here)
"""For text that MLX compiles, in its own way and within a function of its own."""

NAME = "monoscan_kernel"
"""The name of every kernel's function."""

CLEAR = (gpu.FOLDER / "cuda/clear.h").read_text(encoding="utf-8")
"""The kernel ``monoscan_clear``, which makes flags zero."""


def text(spec: GpuSpec) -> str:
    """All that NVRTC compiles."""
    parameters = ",\n    ".join(f"{kind} {alone}{name}" for kind, alone, name in _parameters(spec))
    bounds = f"__launch_bounds__({spec.threads}, 1)"  # without the 1 some of them spill to keep more threads at work
    return f"""\
{gpu.header(spec, DIALECT)}
extern "C" __global__ void {bounds} {NAME}(
    {parameters}) {{
{gpu.body(spec, DIALECT)}}}
"""


def header(spec: GpuSpec) -> str:
    """What stands before the function that MLX makes."""
    return gpu.header(spec, UNFUSED)


def body(spec: GpuSpec) -> str:
    """What stands in it: its parameters are pointers to MLX's types, by the names that `given` gives."""
    own = [f"  {kind} {name} = ({kind}){given(name)};\n" for kind, _, name in _parameters(spec)]
    return "".join(own) + gpu.body(spec, UNFUSED)


def given(name: str) -> str:
    """What an array is called where it has MLX's type."""
    return f"given_{name}"


def _parameters(spec: GpuSpec) -> list[tuple[str, str, str]]:
    """Of each parameter the type, whether nothing else points there, the name."""
    flags = [("ms::u32*", "", "flags")] if spec.body is Body.LOOK_BACK else []
    return [("const ms::i64*", "__restrict__ ", "sizes"), *flags, *map(_parameter, spec.arrays)]


def _parameter(array: Array) -> tuple[str, str, str]:
    constant = "" if array.written else "const "
    return f"{constant}ms::{ITEMS[array.dtype]}*", "" if array.group == "published" else "__restrict__ ", array.name
