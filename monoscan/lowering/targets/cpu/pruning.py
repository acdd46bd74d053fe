"""What is thrown out of the cache of compiled libraries, and when.

A library goes once nobody has used it for long, or when all of them together are too large, the
least recently used first. None goes that was used within a day, so what another process is about
to load is there. What a process has loaded it keeps: the file loses its name and no more. One that
finds a library gone builds it again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from monoscan.lowering.targets.cpu import folders

DAY = 24 * 3600
MAX_DAYS = 60
"""Days without use after which a library goes."""

MAX_BYTES = 256 << 20
"""Bytes of a folder's libraries beyond which those go that were not used for longest: some 5,000 kernels."""

_LIBRARIES = ("kernel-", "driver-", "bridge-", "cuda-")
_UNFINISHED = (".new-", "build-")  # what an interrupted process left


@attrs.frozen
class Entry:
    """A library, with its checksum and its lock.

    Args:
        files: The files.
        bytes: Their size.
        used: When it was last used, in seconds since 1970.
    """

    files: tuple[Path, ...]
    bytes: int
    used: float

    @property
    def finished(self) -> bool:
        """Whether it is a library; else somebody is at it, or was interrupted."""
        return not self.files[0].name.startswith(_UNFINISHED)

    def remove(self) -> None:
        """Removes it; what another process removes at the same time, or holds, is no matter."""
        for path in self.files:
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def mark_used(path: Path) -> None:
    """Notes that a library was loaded, once a day."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > DAY:
            os.utime(path)


def entries(folder: Path) -> list[Entry]:
    """What a folder holds of this library's, the most recently used first."""
    found: dict[str, list[tuple[Path, os.stat_result]]] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if file.name.startswith((*_LIBRARIES, *_UNFINISHED)):
                with contextlib.suppress(OSError):  # gone by now
                    status = file.stat(follow_symlinks=False)
                    name = file.name.removesuffix(".sha256").removesuffix(".lock")
                    found.setdefault(name, []).append((Path(file.path), status))
    return sorted(map(_entry, found.values()), key=lambda entry: -entry.used)


def _entry(files: list[tuple[Path, os.stat_result]]) -> Entry:
    plain = [status for _, status in files if stat.S_ISREG(status.st_mode)]
    used = max(status.st_mtime for _, status in files)
    return Entry(tuple(path for path, _ in files), sum(status.st_size for status in plain), used)


def prune(folder: Path) -> None:
    """Removes what is too old, and what is too much."""
    now, total = time.time(), 0
    for entry in entries(folder):
        total += entry.bytes
        unused = now - entry.used
        limit = MAX_DAYS * DAY if entry.finished and total <= MAX_BYTES else DAY
        if unused > limit:
            entry.remove()


def size_of(found: Iterable[Entry]) -> str:
    """How many libraries these are, and how large, in words."""
    libraries = [entry for entry in found if entry.finished and entry.bytes]
    count, mebibytes = len(libraries), sum(entry.bytes for entry in libraries) / (1 << 20)
    return f"{count:,} {'library' if count == 1 else 'libraries'}, {mebibytes:.1f} MiB"


def clear() -> list[tuple[Path, str]]:
    """Removes every library of this user's folders; returns what was removed from each."""
    cleared = []
    for place in folders.places():
        found = [entry for entry in entries(place.folder) if entry.finished] if place.unsafe is None else []
        for entry in found:
            entry.remove()
        if found:
            cleared.append((place.folder, size_of(found)))
    return cleared
