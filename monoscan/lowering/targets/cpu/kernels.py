"""Kernels: C++ text in, the addresses of its two functions out."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
from collections.abc import Hashable
from pathlib import Path
from threading import Lock

import attrs

from monoscan.cache import COMPILED
from monoscan.lowering.render.headers import driver, expand, uses_driver
from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.compiler import (
    SECONDS,
    BridgeUnavailable,
    Compiler,
    digest,
    find_compiler,
    sanitizers,
)
from monoscan.lowering.targets.cpu.machine import cpu_identity, native_flags
from monoscan.lowering.targets.failures import FAILURES

_FLAGS = (
    "-std=c++17", *native_flags(), "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-exceptions",
    "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fvisibility=hidden", "-fPIC", "-pipe",
)  # fmt: skip
# Expensive: it is also what clears the upper halves of the registers on the way out.
_GNU_LEVEL = ("-O1", "-fstrict-aliasing", "-fexpensive-optimizations", "-fschedule-insns2", "-falign-loops")

_NOTHING = """
MS_EXPORT void ms_schedule(const ms_launch*, ms_schedule*) {}
MS_EXPORT void ms_task(const ms_launch*, ms_int, ms_int) {}
"""
_CHECK_SECONDS = 20
_CHECKING = Lock()


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
    """Compiles a kernel with the headers that it includes, or finds it in memory or on disk.

    Args:
        source: C++ that defines ``ms_schedule`` and ``ms_task``; ``contract.h`` is included.

    Raises:
        BridgeUnavailable: There is no compiler, or it failed, and no cache holds this kernel.
    """
    return COMPILED.get(source, lambda: _compile(source))


def unavailable(source: str) -> str | None:
    """Why there is no such kernel, as far as failures have shown it in this process."""
    if not FAILURES.generation or COMPILED.find(source) is not None:
        return None
    compiler, pattern = _compiler_and_file(source)
    failed, broken = FAILURES.reason("kernel", source), FAILURES.reason("compiler", compiler)
    return failed or (None if broken is None or disk.find(pattern) else broken)


def check_compiler() -> None:
    """Compiles a kernel that does nothing, past all caches; again only after another failure.

    Raises:
        BridgeUnavailable: That fails too. From then on nothing is compiled in this process.
    """
    with _CHECKING:
        try:
            _check(find_compiler(), FAILURES.generation)
        except BridgeUnavailable as failure:
            FAILURES.record("compiler", _compiler_and_file()[0], failure.reason)
            raise


@functools.lru_cache(maxsize=16)
def _check(compiler: Compiler, generation: int) -> None:
    _check_memory("compiler", compiler)
    try:
        with disk.scratch() as folder:
            _run(compiler, _NOTHING, folder / "nothing.so", _CHECK_SECONDS)
    except OSError as error:
        raise BridgeUnavailable(f"no folder to compile in: {error}") from error


def kernel_flags(compiler: Compiler) -> tuple[str, ...]:
    """The flags of every kernel.

    No fast-math and no contraction, so that kernels agree bit for bit with eager MLX;
    errno and traps, which nobody reads, would only keep loops from being vector code.
    """
    return (*_FLAGS, *_level(compiler), *compiler.sanitizer_flags)


def _level(compiler: Compiler) -> tuple[str, ...]:
    """For GCC what O2 adds and a kernel gains from, at two thirds of its compile time."""
    if compiler.sanitize:
        return ("-O1",)
    if not compiler.gnu:
        return ("-O2",)
    return _GNU_LEVEL


def _libraries(compiler: Compiler) -> tuple[str, ...]:
    """A kernel calls libm at most: not looking for the rest of C++ links it three times as fast."""
    return ("-nostdlib", "-lm", "-lc") if compiler.gnu and not compiler.sanitize else ()


def _stem(source: str) -> str:
    """The file's name without the compiler: what the kernel does, on this kind of machine."""
    parts = [expand(source), driver(), cpu_identity(), sanitizers(), *_FLAGS, *_GNU_LEVEL]
    return f"kernel-{digest(parts)}"


def _name(source: str, compiler: Compiler) -> str:
    return f"{_stem(source)}-{digest([compiler.identity, *kernel_flags(compiler)])[:8]}.so"


def _compiler_and_file(source: str = "") -> tuple[Hashable, str]:
    """The compiler, or why there is none, and which files would serve."""
    try:
        compiler = find_compiler()
    except BridgeUnavailable as missing:
        return missing.reason, f"{_stem(source)}-*"
    return compiler, _name(source, compiler)


def _compile(source: str) -> Kernel:
    _check_memory("kernel", source)
    try:
        return _obtain(source)
    except BridgeUnavailable as failure:
        FAILURES.record("kernel", source, failure.reason)
        with contextlib.suppress(BridgeUnavailable):
            check_compiler()  # does it fail for this kernel, or for every one?
        announce(failure.reason)
        raise


def announce(reason: str) -> None:
    """Says once why a scan is slow."""
    FAILURES.say("kernel", f"a scan without its kernel runs as slower MLX array operations: {reason}")


def _obtain(source: str) -> Kernel:
    try:
        compiler = find_compiler()
    except BridgeUnavailable:
        kernel = disk.kept(f"{_stem(source)}-*", _load)  # as a compiler made it that is gone
        if kernel is None:
            raise
        return kernel

    def build(path: Path) -> None:
        _check_memory("kernel", source)  # another thread may have tried meanwhile
        _check_memory("compiler", compiler)
        try:
            _run(compiler, source, path)
        except BridgeUnavailable as failure:
            FAILURES.record("kernel", source, failure.reason)  # before the next in line is let in
            raise

    return disk.obtain(_name(source, compiler), build, _load)


def _check_memory(kind: str, key: Hashable) -> None:
    reason = FAILURES.reason(kind, key)
    if reason is not None:
        raise BridgeUnavailable(reason)


def _run(compiler: Compiler, source: str, path: Path, seconds: float = SECONDS) -> None:
    arguments: list[str | Path] = [*kernel_flags(compiler), "-shared", "-x", "c++", "-", "-o", path]
    if uses_driver(source):
        arguments += ["-x", "none", _driver(compiler, path.parent)]
    arguments += _libraries(compiler)
    compiler.run(arguments, expand(source), path.parent, seconds)


def _driver(compiler: Compiler, folder: Path) -> Path:
    """The object that kernels are linked with: what is the same for all is compiled once, and copied into this folder."""
    flags = kernel_flags(compiler)

    def build(path: Path) -> None:
        compiler.run([*flags, "-c", "-x", "c++", "-", "-o", path], driver(), path.parent)

    name = f"driver-{digest([driver(), cpu_identity(), compiler.identity, *flags])}.o"
    return disk.obtain(name, build, lambda path: Path(shutil.copy(path, folder)))


def _load(path: Path) -> Kernel:
    library = ctypes.CDLL(os.fspath(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    try:
        return Kernel(path, _address(library, "ms_schedule"), _address(library, "ms_task"))
    except AttributeError as error:
        raise OSError(f"{path} is no kernel: {error}") from error


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    if address is None:
        raise AttributeError(f"{name} has no address")
    return address
