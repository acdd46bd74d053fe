"""What the machine's registers are like, and what they do with subnormal numbers."""

from __future__ import annotations

import functools
import os

from monoscan import errors
from monoscan.lowering.targets.cpu.machine import cpu_identity


@functools.cache
def vector_bytes() -> int:
    """The width of the vector registers: 64 with AVX-512, 32 with AVX2, else 16."""
    flags = cpu_identity().split()
    return 64 if "avx512f" in flags else 32 if "avx2" in flags else 16


@functools.cache
def flush() -> bool:
    """Whether kernels may flush subnormal results to zero; the environment is asked once a process.

    Raises:
        ScanError: ``MONOSCAN_SUBNORMALS`` is set to something unknown.
    """
    setting = os.environ.get("MONOSCAN_SUBNORMALS", "")
    if setting not in ("", "keep"):
        raise errors.ScanError(f"[monoscan] MONOSCAN_SUBNORMALS is {setting!r:.60}; set it to keep, or unset it.")
    return not setting
