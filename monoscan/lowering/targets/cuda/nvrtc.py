"""NVRTC, NVIDIA's compiler as a library, through ctypes: it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

OPTIONS = ("--fmad=false", "--std=c++17", "--disable-warnings", "-Xptxas=-v")
"""No contraction: bits depend on the order of combines alone. The log says what registers a thread takes."""

LIBRARIES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")

_REGISTERS = re.compile(r"Used (\d+) registers")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


class NvrtcError(Exception):
    """NVRTC is missing, or refused a text."""


@attrs.frozen
class Cubin:
    """Machine code for one kind of GPU.

    Args:
        code: The code.
        registers: The registers of a thread.
        spilled: The bytes that a thread stores to memory for want of registers.
    """

    code: bytes
    registers: int
    spilled: int


def compile_text(text: str, architecture: str) -> Cubin:
    """Compiles a text.

    Args:
        text: CUDA C++ without includes.
        architecture: As ``sm_90``.

    Raises:
        NvrtcError: There is no NVRTC, or it refuses the text or the architecture.
    """
    options = [f"--gpu-architecture={architecture}", *OPTIONS]
    nvrtc = library()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"monoscan.cu", 0, None, None))
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
        log = _read(program, "ProgramLog").decode()
        if failed:
            raise NvrtcError(log.strip("\0\n") or nvrtc.nvrtcGetErrorString(failed).decode())
        return Cubin(_read(program, "CUBIN"), _found(_REGISTERS, log), _found(_SPILLS, log))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@functools.cache
def library() -> ctypes.CDLL:
    """The library: the one that MLX has loaded, that of NVIDIA's package, or the system's.

    Raises:
        NvrtcError: There is none.
    """
    for path in _candidates():
        try:
            found = ctypes.CDLL(path)
        except OSError:
            continue
        found.nvrtcGetErrorString.restype = ctypes.c_char_p
        return found
    raise NvrtcError("NVRTC was not found: pip install nvidia-cuda-nvrtc")


def version() -> str:
    """The version of the library."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def _candidates() -> Iterator[str]:
    for place in _folders():
        yield from map(str, sorted(place.glob("libnvrtc.so.*")))
    yield from LIBRARIES


def _folders() -> Iterator[Path]:
    package = importlib.util.find_spec("nvidia")
    for root in [] if package is None else package.submodule_search_locations or []:
        yield from (Path(root) / "cu13" / "lib", Path(root) / "cuda_nvrtc" / "lib")


def _read(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, text))
    return text.raw


def _check(failed: int) -> None:
    if failed:
        raise NvrtcError(library().nvrtcGetErrorString(failed).decode())


def _found(pattern: re.Pattern[str], log: str) -> int:
    return max((int(found[1]) for found in pattern.finditer(log)), default=0)
