"""What the machine's registers are like."""

from __future__ import annotations

import functools

from monoscan.lowering.targets.cpu.compiler import cpu_identity


@functools.cache
def vector_bytes() -> int:
    """The width of the vector registers: 64 with AVX-512, 32 with AVX2, else 16."""
    flags = cpu_identity().split()
    return 64 if "avx512f" in flags else 32 if "avx2" in flags else 16
