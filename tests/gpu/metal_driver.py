"""The final text for Metal, as MLX would compile it: recorded, checked by Clang, run on the machine of fibres."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from shim_driver import NUMPY, Fault, as_array, as_numpy, part, poison

from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.compiler import digest, find_compiler
from monoscan.lowering.targets.gpu import launch
from monoscan.lowering.targets.gpu.launch import Output
from monoscan.lowering.targets.metal.run import start

PRELUDE = Path(__file__).parent / "metal_prelude.h"
CLANG = next(filter(None, map(shutil.which, ("clang", "clang-19", "clang-18", "clang-17", "clang-16"))), None)
needs_clang = pytest.mark.skipif(CLANG is None, reason="no clang, which reads text for Metal as C++ for OpenCL")
FLAGS = [
    "-x", "cl", "-cl-std=clc++2021", "-Xclang", "-cl-ext=+cl_khr_fp16", "-ffp-contract=off", "-Werror",
    "-Wno-unknown-pragmas", "-Wno-unknown-attributes", "-Wno-unused", "-include", str(PRELUDE), "-",
]  # fmt: skip
OWN = ["-mf16c"] if platform.machine() == "x86_64" else []
"""Contraction is off as ``#pragma METAL fp contract(off)`` has it, which Clang does not know."""


@attrs.frozen
class Recorded:
    """A launch as MLX records it.

    Args:
        name: The name of the kernel.
        text: All that is compiled behind MLX's utilities.
        grid: Threads along each axis.
        threads: Threads of a group.
    """

    name: str
    text: str
    grid: tuple[int, int]
    threads: int


def recorded(function: Any, *arrays: mx.array) -> list[Recorded]:
    """What MLX would launch: each custom kernel in a trace."""
    found: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:  # MLX records operations of its own alone
        patch.setattr(launch, "hidden", lambda outputs, inputs: outputs)
        mx.export_function(found.append, function, *arrays)
    kernels = [each["arguments"] for each in found if each["type"] == "primitive" and each["name"] == "CustomKernel"]
    return [Recorded(name, text, tuple(numbers[:2]), numbers[3]) for name, text, *numbers in kernels]


def check(text: str) -> str:
    """What Clang has against a text, in types and address spaces."""
    return _clang(text, "--target=spir64", "-fsyntax-only")


@attrs.define
class MetalShim:
    """Starts the final text for Metal on the machine; a ``Start``.

    Args:
        seed: Of the random schedule.
        faulty: Text in place of other text.
    """

    seed: int = 1
    faulty: tuple[str, str] = ("", "")

    def __call__(
        self, spec: GpuSpec, arrays: Sequence[mx.array], outputs: Sequence[Output], groups: int
    ) -> list[mx.array]:
        (kernel,) = recorded(lambda *xs: start(spec, xs, outputs, groups), *arrays)
        made = [np.full(y.shape, poison(y.dtype), NUMPY.get(y.dtype, y.dtype)) for y in outputs]
        guarded = [_Guarded(x) for x in (*map(as_numpy, arrays), *made)]
        pointers = (ctypes.c_void_p * len(guarded))(*(each.address for each in guarded))
        across, down = kernel.grid[0] // kernel.threads, kernel.grid[1]
        library = _compiled(kernel.text.replace(*self.faulty) if self.faulty[0] else kernel.text)
        library.run.restype = ctypes.c_char_p
        failed = library.run(pointers, across, across * down, kernel.threads, ctypes.c_ulonglong(self.seed))
        if failed:
            raise Fault(failed.decode())
        if not all(each.whole for each in guarded):
            raise Fault("a write out of bounds")
        return [as_array(each.inside, y.dtype) for each, y in zip(guarded[len(arrays) :], outputs, strict=True)]


GUARD = 4096
"""Bytes on each side of an array that nothing may change; read as a float they are no number."""


class _Guarded:
    """A copy of an array between bytes that are looked at afterwards."""

    def __init__(self, x: Any) -> None:
        self._bytes = np.full(x.nbytes + 2 * GUARD, 0xFF, np.uint8)
        self.inside = self._bytes[GUARD : GUARD + x.nbytes].view(x.dtype).reshape(x.shape)
        self.inside[...] = x
        self.address = self._bytes.ctypes.data + GUARD

    @property
    def whole(self) -> bool:
        return bool((self._bytes[:GUARD] == 0xFF).all() and (self._bytes[-GUARD:] == 0xFF).all())


PLACES = {
    "threadgroup_position_in_grid": "(uint3)(group % across, group / across, 0)",
    "threadgroups_per_grid": "(uint3)(across, 1, 1)",
    "thread_index_in_threadgroup": "thread_number",
    "thread_index_in_simdgroup": "thread_number % 32",
    "simdgroup_index_in_threadgroup": "thread_number / 32",
}
_SIGNATURE = re.compile(r"\[\[kernel\]\] void (\w+)\((.*?)\) \{", re.DOTALL)
_PARAMETER = re.compile(r"\s*(.*?)(\w+) \[\[(\w+)(?:\((\d+)\))?\]\]")


def _caller(text: str) -> str:
    """A function that calls the kernel, by the signature that MLX gave it."""
    found = _SIGNATURE.search(text)
    assert found is not None
    given = []
    for parameter in found[2].split(",\n"):
        kind, _, attribute, number = _PARAMETER.fullmatch(parameter).groups()  # type: ignore[union-attr]
        given.append(f"({kind})arrays[{number}]" if attribute == "buffer" else PLACES[attribute])
    return f"""
extern "C" void call(const __global ulong* arrays, uint group, uint thread_number, uint across) {{
  {found[1]}({", ".join(given)});
}}
"""


@functools.cache
def _compiled(text: str) -> ctypes.CDLL:
    compiler, parts = find_compiler(), [part("machine.cpp"), part("metal.cpp")]
    key = digest([text, PRELUDE.read_text(), CLANG, *FLAGS, *(each.name for each in parts)])

    def build(path: Path) -> None:
        kernel = path.with_suffix(".o")
        failed = _clang(text, *OWN, "-O1", "-fPIC", "-c", "-o", os.fspath(kernel))
        if failed:
            raise AssertionError(failed)
        compiler.run(["-shared", kernel, *parts, "-lm", "-o", path], "", path.parent)

    return disk.obtain(f"metal-{key}.so", build, lambda path: ctypes.CDLL(os.fspath(path)))


def _clang(text: str, *options: str) -> str:
    assert CLANG is not None
    source = text.replace("[[kernel]]", "__kernel") + _caller(text)
    done = subprocess.run([CLANG, *FLAGS, *options], input=source, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""
