"""The text of a kernel for Metal: MLX puts its own utilities in front and the function around it."""

from __future__ import annotations

from monoscan.lowering.render import gpu
from monoscan.lowering.render.gpu import Dialect
from monoscan.lowering.render.gpu_spec import GpuSpec

DIALECT = Dialect(
    '#include "metal/prelude.h"',
    # MLX looks for these words in the body, and makes parameters of those that it finds.
    (
        "threadgroup_position_in_grid.x + threadgroup_position_in_grid.y * threadgroups_per_grid.x",
        "thread_index_in_threadgroup",
        "thread_index_in_simdgroup",
        "simdgroup_index_in_threadgroup",
    ),
)


def header(spec: GpuSpec) -> str:
    """What stands before the function."""
    return gpu.header(spec, DIALECT)


def body(spec: GpuSpec) -> str:
    """What stands in it."""
    return gpu.body(spec, DIALECT)


def text(spec: GpuSpec) -> str:
    """Both, as people read them."""
    return f"{header(spec)}\n// the body of the kernel\n{body(spec)}"
