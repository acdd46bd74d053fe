"""The per-user cache of compiled libraries.

A library is built beside its place and renamed into it, so that no process ever sees half
of one. Its checksum lies beside it and is verified before every load: what does not match
is built again. A lock file makes concurrent processes wait for the first instead of
building the same thing; where locks do not work they all build, and the renames still
leave a whole file.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The library called ``name``, built now if the cache does not hold it intact.

    Args:
        name: The file's name, which holds a hash of all it is made from.
        build: Makes the library at the path that it is given.
    """
    found = find(name)
    if found is not None:
        return found
    folder = writable_folder()
    path = folder / name
    with _locked(folder / f"{name}.lock"):
        if not intact(path):
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as scratch:
                made = Path(scratch) / name
                build(made)
                _publish(made, path)
    return path


def find(name: str) -> Path | None:
    """The intact library called ``name``, if the cache holds it."""
    folders = [preferred_folder()]
    if _private_folder.cache_info().currsize:
        folders.append(_private_folder(os.getpid()))
    return next((folder / name for folder in folders if _trusted(folder) and intact(folder / name)), None)


def preferred_folder() -> Path:
    """Where the user wants the cache: ``MONOSCAN_CACHE_DIR``, else the usual place."""
    chosen = os.environ.get("MONOSCAN_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "monoscan"


def writable_folder() -> Path:
    """The preferred folder if we can safely write there, else a private one for this process."""
    folder = preferred_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return _private_folder(os.getpid())
    if _trusted(folder) and _writable(folder):
        return folder
    return _private_folder(os.getpid())


def intact(path: Path) -> bool:
    """Whether the file is there and matches its checksum."""
    try:
        expected = _checksum_path(path).read_text(encoding="ascii", errors="replace").strip()
        return _checksum(path) == expected
    except OSError:
        return False


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _trusted(folder: Path) -> bool:
    """Whether nobody else can put a library there: we are about to run what it holds."""
    try:
        status = folder.stat()
    except OSError:
        return False
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@functools.cache
def _private_folder(process: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="monoscan-"))
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(made: Path, path: Path) -> None:
    beside = made.with_name("checksum")
    beside.write_text(_checksum(made), encoding="ascii")
    os.replace(beside, _checksum_path(path))
    os.replace(made, path)


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        # A file system without locks is no reason to fail: renaming alone is safe.
        with contextlib.suppress(OSError):
            file = stack.enter_context(open(path, "w", encoding="ascii"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
