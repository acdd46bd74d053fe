"""This machine's processor: what compiled code depends on, and the flags that ask for all of it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys

_SYSCTLS = ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features")
"""What macOS says of a processor; Apple's own have a name alone."""


@functools.cache
def cpu_identity() -> str:
    """What ``-march=native`` depends on; the names of instruction sets in small letters, as Linux has them."""
    if sys.platform == "darwin":
        return " ".join([platform.machine(), *(_sysctl(name).lower() for name in _SYSCTLS)])
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        first = file.read(8192).split("\n\n")[0].splitlines()
        kept = [line for line in first if line.startswith(("model name", "flags", "Features", "CPU part"))]
        return "\n".join([platform.machine(), *kept])
    return f"{platform.machine()} {platform.processor()} {platform.release()}"


def native_flags() -> tuple[str, ...]:
    """The flags for all instructions that this machine has.

    On macOS also for the architecture of this Python: under Rosetta it is not that of the machine, for which Clang would
    compile.
    """
    arm = platform.machine() in ("arm64", "aarch64")
    native = "-mcpu=native" if arm else "-march=native"
    return ("-arch", platform.machine(), native) if sys.platform == "darwin" else (native,)


def architecture_flags() -> tuple[str, ...]:
    """The flags without which Clang on macOS might compile for another architecture than this Python's."""
    return ("-arch", platform.machine()) if sys.platform == "darwin" else ()


def _sysctl(name: str) -> str:
    """A string that the kernel of macOS knows, or nothing."""
    library, size = ctypes.CDLL(None), ctypes.c_size_t(0)
    if library.sysctlbyname(name.encode(), None, ctypes.byref(size), None, ctypes.c_size_t(0)):
        return ""
    text = ctypes.create_string_buffer(size.value)
    failed = library.sysctlbyname(name.encode(), text, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else text.value.decode(errors="replace")
