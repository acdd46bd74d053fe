"""The C++ compiler of this machine: which one, its flags, and one call of it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

SECONDS = 120
"""A compiler that takes longer hangs: the largest kernel takes a few seconds."""

_TELLING = re.compile(r"error|fatal|cannot|undefined|no such|no space|quota|denied|killed", re.IGNORECASE)
_MOST_WORDS = 300


class BridgeUnavailable(RuntimeError):
    """The CPU kernels, or one of them, cannot be used here.

    Args:
        reason: What is missing or failed, and what to do about it.
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
        try:
            stat = os.stat(program)
        except OSError:
            return f"{program}, which is gone"
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

    @contextlib.contextmanager
    def start(self, arguments: Sequence[str | Path], scratch: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        """One run of the compiler, which ends with the block, whatever ends that.

        Args:
            arguments: Those of the compiler.
            scratch: Where it keeps its temporary files.
        """
        command = [*self.command, *(str(argument) for argument in arguments)]
        environment = {**os.environ, "LC_ALL": "C"} | ({} if scratch is None else {"TMPDIR": str(scratch)})
        pipe = subprocess.PIPE
        try:
            # A session of its own, so that the programs which it starts can be stopped with it.
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace", env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise BridgeUnavailable(f"the C++ compiler {self.command[0]} does not start: {error}") from error
        try:
            yield process
        finally:
            _stop(process)

    def run(
        self, arguments: Sequence[str | Path], source: str = "", scratch: Path | None = None, seconds: float = SECONDS
    ) -> str:
        """Runs the compiler to its end and returns its standard output."""
        with self.start(arguments, scratch) as process:
            return finish(process, source, seconds)


def finish(process: subprocess.Popen[str], source: str = "", seconds: float = SECONDS) -> str:
    """Waits for a compiler; its words become the reason when it fails."""
    try:
        output, errors = process.communicate(source, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BridgeUnavailable(f"the C++ compiler had not finished after {seconds:g} s and was stopped") from None
    if process.returncode != 0:
        raise BridgeUnavailable(f"the C++ compiler failed: {_last_words(errors, process.returncode)}")
    return output


def _last_words(errors: str, code: int) -> str:
    lines = errors.splitlines()
    telling = [line for line in lines if _TELLING.search(line)] or lines[-3:]
    words = "; ".join(" ".join(line.split()) for line in telling[:3])
    words = "".join(c for c in words if c.isprintable())
    if len(words) > _MOST_WORDS:
        words = f"{words[:_MOST_WORDS]}..."
    return words or (f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()


def find_compiler() -> Compiler:
    """The compiler of ``$CXX``, else the first of g++, clang++ and c++ on the path.

    Raises:
        BridgeUnavailable: There is none.
    """
    found = _search(os.environ.get("CXX", ""), os.environ.get("PATH"), sanitizers())
    if isinstance(found, str):
        raise BridgeUnavailable(found)
    return found


def sanitizers() -> str:
    """The sanitizers that the environment asks for."""
    return os.environ.get("MONOSCAN_SANITIZE", "")


@functools.lru_cache(maxsize=64)
def _search(cxx: str, path: str | None, sanitize: str) -> Compiler | str:
    """The compiler that the environment names, or why there is none."""
    try:
        wanted = shlex.split(cxx)
    except ValueError as error:
        return f"CXX is {cxx!r}, which is no command line ({error}); unset it or name a C++ compiler"
    for name, *arguments in [wanted] if wanted else [["g++"], ["clang++"], ["c++"]]:
        program = shutil.which(name, path=path)
        if program is not None:
            return Compiler((os.path.abspath(program), *arguments), sanitize)
    if wanted:
        return f"CXX names {wanted[0]!r}, which is not a program; unset it or name a C++ compiler"
    return "no C++ compiler was found: install g++ or clang++, or name one in CXX"


def digest(parts: Iterable[str]) -> str:
    """A key for the cache: a hash of all that the result depends on."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
