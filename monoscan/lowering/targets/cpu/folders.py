"""Where compiled libraries are kept, and what is trusted there.

A library is run, so it is read only where nobody else can have put it: its folder and its
file belong to this user or to root, and no others may write them. Where the folder that the
user wants does not serve, compiled code is kept in a private one beside the system's
temporary files.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs


@attrs.frozen
class Place:
    """A folder for libraries.

    Args:
        folder: The folder.
        unsafe: Why nothing is loaded from it, or ``None``.
    """

    folder: Path
    unsafe: str | None = None


def preferred() -> Path | None:
    """The folder that the user wants: ``MONOSCAN_CACHE_DIR``, else the usual one; ``None`` without a home."""
    chosen = os.environ.get("MONOSCAN_CACHE_DIR")
    if chosen:
        return Path(os.path.realpath(os.path.expanduser(chosen)))
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the standard says to ignore it then
        home = os.path.expanduser("~") if os.environ.get("HOME") != "" else ""
        base = os.path.join(home, ".cache")
    return Path(os.path.realpath(os.path.join(base, "monoscan"))) if os.path.isabs(base) else None


def private() -> Path:
    """This user's own folder beside the system's temporary files, in place of the preferred one.

    Raises:
        OSError: There is no place for temporary files.
    """
    number = zlib.crc32(os.fsencode(preferred() or ""))
    return Path(os.path.realpath(tempfile.gettempdir())) / f"monoscan-{os.geteuid()}-{number:08x}"


def places() -> Iterator[Place]:
    """The folders that may hold libraries, the best first; none is made."""
    for folder in _candidates():
        yield Place(folder, unsafe(folder))


def places_to_keep() -> Iterator[Place]:
    """The same for a library that was just made: the folders are made too, and may be written if they are safe."""
    for folder in _candidates():
        try:
            make(folder)
        except OSError as error:
            yield Place(folder, f"it cannot be made ({error.strerror})")
        else:
            yield Place(folder, unsafe(folder) or (None if writable(folder) else "it cannot be written"))


def _candidates() -> Iterator[Path]:
    wanted = preferred()
    if wanted is not None:
        yield wanted
    yield private()


def make(folder: Path) -> None:
    """Makes a folder and its parents, open to this user alone whatever the umask."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir(0o700)
        except FileExistsError:  # another process was faster
            continue
        path.chmod(0o700)


def writable(folder: Path) -> bool:
    """Whether files can be made there."""
    return os.access(folder, os.W_OK | os.X_OK)


def unsafe(folder: Path) -> str | None:
    """Why nothing is loaded from a folder; ``None`` if nobody else can put a library there."""
    try:
        status = os.lstat(folder)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder"
    return foreign(status)


def foreign(status: os.stat_result) -> str | None:
    """Why somebody else may have written a file or folder; ``None`` if nobody can."""
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user (number {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write it (mode {stat.S_IMODE(status.st_mode):o}; chmod go-w)"
    return None


def read(path: Path) -> bytes:
    """What a file holds.

    Raises:
        OSError: It cannot be read, is no plain file, or others may have written it.
    """
    # Neither a link is followed nor a pipe waited for.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        reason = foreign(status) if stat.S_ISREG(status.st_mode) else "it is no plain file"
        if reason is not None:
            raise PermissionError(f"{path}: {reason}")
        return file.read()


def write(path: Path, data: bytes) -> None:
    """Writes a file beside its place, for this user alone whatever the umask, and renames it into it."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            file.write(data)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
