"""The selective scan written by hand in C++, built where it is measured."""

from __future__ import annotations

import ctypes
import functools
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.model import Arrays, Call
from monoscan.lowering.render.headers import expand
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.compiler import find_compiler
from monoscan.lowering.targets.cpu.kernels import kernel_flags
from monoscan.lowering.targets.cpu.registers import vector_bytes

MOST_THREADS = 16


class _Arrays(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_longlong) for name in ("batch", "time", "channels")) + tuple(
        (name, ctypes.c_void_p) for name in ("delta", "a", "b", "c", "x", "y")
    )


@functools.cache
def _library() -> ctypes.CDLL:
    lanes = vector_bytes() // 4
    text = Path(__file__).with_name("selective_scan.cpp").read_text(encoding="utf-8")
    source = expand(f"#define MS_WIDTH {lanes}\n#define MS_MASK i32\n#define MS_FLUSH 1\n{text}")
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "selective_scan.so"
        compiler.run(
            [*kernel_flags(compiler), "-O2", "-shared", "-x", "c++", "-", "-o", path, "-lstdc++"], source, path.parent
        )
        return ctypes.CDLL(str(path))


def _address(x: mx.array) -> int:
    """Where an evaluated array stands: where MLX put it."""
    return int(np.array(x, copy=False).ctypes.data)


def selective_scan(arrays: Arrays, axis: int) -> Call:
    """A call on MLX's own arrays, by as many threads as monoscan's kernels have.

    The loop takes whole vectors of channels: others, as of the small check, are filled up with zeros.
    """
    library, threads = _library(), min(build.load().threads(), MOST_THREADS)
    delta, a, b, c, x = arrays
    channels = x.shape[-1]
    missing = -channels % (vector_bytes() // 4)
    if missing:
        delta, x = (np.pad(each, ((0, 0), (0, 0), (0, missing))) for each in (delta, x))
        a = np.pad(a, ((0, missing), (0, 0)))
    held = [mx.array(each) for each in (delta, a, b, c, x, np.zeros_like(x))]  # alive as long as the call is
    mx.eval(held)
    given = _Arrays(*x.shape, *map(_address, held))

    def call() -> Any:
        library.run(ctypes.byref(given), threads)
        return held[-1][..., :channels] if missing else held[-1]

    return call
