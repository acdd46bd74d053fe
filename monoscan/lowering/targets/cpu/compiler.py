"""The C++ compiler of this machine: which one, its flags, and one call of it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs


class BridgeUnavailable(RuntimeError):
    """The CPU kernels cannot be used here.

    Args:
        reason: What is missing, and what to do about it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.frozen
class Compiler:
    """A C++ compiler and the options that the environment asks for.

    Args:
        command: The program and the arguments that always go with it.
        sanitize: The sanitizers of ``MONOSCAN_SANITIZE``, empty for none.
    """

    command: tuple[str, ...]
    sanitize: str = ""

    @property
    def identity(self) -> str:
        """What changes when the compiler does; reading it starts no program."""
        program = os.path.realpath(self.command[0])
        stat = os.stat(program)
        return f"{program} {stat.st_size} {stat.st_mtime_ns} {self.command[1:]} {self.sanitize}"

    @property
    def gnu(self) -> bool:
        """Whether it is GCC, which has other ways than Clang to compile faster."""
        return sys.platform == "linux" and "clang" not in os.path.basename(os.path.realpath(self.command[0]))

    @property
    def sanitizer_flags(self) -> tuple[str, ...]:
        """The flags for ``sanitize``."""
        if not self.sanitize:
            return ()
        # vptr needs type information of libraries that hide theirs.
        return (
            f"-fsanitize={self.sanitize}",
            "-fno-sanitize=vptr",
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
            "-g",
        )

    def start(self, arguments: Sequence[str | Path]) -> subprocess.Popen[str]:
        """Starts one run of the compiler."""
        command = [*self.command, *(str(argument) for argument in arguments)]
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        except OSError as error:
            raise BridgeUnavailable(f"the C++ compiler {self.command[0]} does not start: {error}") from error

    def run(self, arguments: Sequence[str | Path], source: str = "") -> str:
        """Runs the compiler to its end and returns its standard output."""
        return finish(self.start(arguments), source)


def finish(process: subprocess.Popen[str], source: str = "") -> str:
    """Waits for a compiler; its words become the reason when it fails."""
    output, errors = process.communicate(source)
    if process.returncode != 0:
        words = [line for line in errors.splitlines() if "error" in line] or errors.splitlines()[-3:]
        reason = "; ".join(line.strip() for line in words[:3]) or f"exit status {process.returncode}"
        raise BridgeUnavailable(f"the C++ compiler failed: {reason}")
    return output


def find_compiler() -> Compiler:
    """The compiler of ``$CXX``, else the first of g++, clang++ and c++ on the path.

    Raises:
        BridgeUnavailable: There is none.
    """
    sanitize = os.environ.get("MONOSCAN_SANITIZE", "")
    wanted = shlex.split(os.environ.get("CXX", ""))
    for name, *arguments in [wanted] if wanted else [["g++"], ["clang++"], ["c++"]]:
        program = shutil.which(name)
        if program is not None:
            return Compiler((program, *arguments), sanitize)
    if wanted:
        raise BridgeUnavailable(f"CXX names {wanted[0]!r}, which is not a program; unset it or name a C++ compiler")
    raise BridgeUnavailable("no C++ compiler was found: install g++ or clang++, or name one in CXX")


@functools.cache
def cpu_identity() -> str:
    """What ``-march=native`` depends on."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(8192)
        first = text.split("\n\n")[0].splitlines()
        kept = [line for line in first if line.startswith(("model name", "flags", "Features", "CPU part"))]
        return "\n".join([platform.machine(), *kept])
    return f"{platform.machine()} {platform.processor()} {platform.release()}"


def native_flag() -> str:
    """The flag for all instructions that this machine has."""
    return "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"


def digest(parts: Iterable[str]) -> str:
    """A key for the cache: a hash of all that the result depends on."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
