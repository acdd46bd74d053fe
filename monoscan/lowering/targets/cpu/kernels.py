"""Kernels: C++ text in, the addresses of its two functions out."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import attrs

from monoscan.lowering.targets.cpu import cache
from monoscan.lowering.targets.cpu.compiler import Compiler, cpu_identity, digest, find_compiler, native_flag

CONTRACT = Path(__file__).with_name("kernel.h")


@attrs.frozen
class Kernel:
    """A compiled kernel, which stays loaded for the life of the process.

    Args:
        path: The shared library.
        schedule: The address of its ``ms_schedule``.
        task: The address of its ``ms_task``.
    """

    path: Path
    schedule: int
    task: int


def compile_kernel(source: str) -> Kernel:
    """Compiles a kernel against ``kernel.h``, or finds it in memory or on disk.

    Args:
        source: C++ that defines ``ms_schedule`` and ``ms_task``; ``kernel.h`` is included.

    Raises:
        BridgeUnavailable: There is no compiler, or it failed.
    """
    return _compile(source, find_compiler())


def kernel_flags(compiler: Compiler) -> tuple[str, ...]:
    """The flags of every kernel.

    No fast-math and no contraction, so that kernels agree bit for bit with eager MLX;
    errno and traps, which nobody reads, would only keep loops from being vector code.
    """
    return (
        "-std=c++17", *_level(compiler), native_flag(), "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
        "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fvisibility=hidden", "-fPIC", "-shared",
        "-pipe", *compiler.sanitizer_flags,
    )  # fmt: skip


def _level(compiler: Compiler) -> tuple[str, ...]:
    """For GCC what O2 adds and a kernel gains from, at two thirds of its compile time."""
    if compiler.sanitize:
        return ("-O1",)
    if not compiler.gnu:
        return ("-O2",)
    # Expensive: it is also what clears the upper halves of the registers on the way out.
    return ("-O1", "-fstrict-aliasing", "-fexpensive-optimizations", "-fschedule-insns2", "-falign-loops")


def _libraries(compiler: Compiler) -> tuple[str, ...]:
    """A kernel calls libm at most: not looking for the rest of C++ links it three times as fast."""
    return ("-nostdlib", "-lm", "-lc") if compiler.gnu and not compiler.sanitize else ()


@functools.cache
def _contract() -> str:
    return CONTRACT.read_text(encoding="utf-8")


@functools.lru_cache(maxsize=1024)
def _compile(source: str, compiler: Compiler) -> Kernel:
    flags = kernel_flags(compiler)

    def build(path: Path) -> None:
        compiler.run([*flags, "-include", CONTRACT, "-x", "c++", "-", "-o", path, *_libraries(compiler)], source)

    key = digest([source, _contract(), compiler.identity, cpu_identity(), *flags])
    return _load(cache.cached(f"kernel-{key}.so", build))


def _load(path: Path) -> Kernel:
    library = ctypes.CDLL(os.fspath(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    return Kernel(path, _address(library, "ms_schedule"), _address(library, "ms_task"))


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    if address is None:
        raise AttributeError(f"{name} has no address")
    return address
