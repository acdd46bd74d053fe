"""The per-user cache of compiled libraries.

A library is built in a scratch folder, written beside its place and renamed into it, so that
no process ever sees half of one. Its checksum lies beside it and is verified before every
load: what does not match is built again. A lock file makes concurrent processes wait for the
first instead of building the same thing; where locks do not work they all build, and the
renames still leave a whole file. What is kept for how long stands in `pruning`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from monoscan.lowering.targets.cpu import folders, pruning
from monoscan.lowering.targets.cpu.compiler import SECONDS, BridgeUnavailable
from monoscan.lowering.targets.failures import FAILURES

Loaded = TypeVar("Loaded")


def obtain(name: str, build: Callable[[Path], None], load: Callable[[Path], Loaded]) -> Loaded:
    """The library called ``name``, loaded; built now if the cache does not hold it intact.

    Args:
        name: The file's name, which holds a hash of all it is made from.
        build: Makes the library at the path that it is given, in a folder of its own.
        load: Loads it; an ``OSError`` says that it does not load from there.

    Raises:
        BridgeUnavailable: It cannot be built, or what was built does not load.
    """
    found = kept(name, load)
    if found is not None:
        return found
    try:
        with _locked(f"{name}.lock"), scratch() as folder:
            found = kept(name, load)  # another process may have built it meanwhile
            if found is not None:
                return found
            useless = _held_everywhere(name)
            if useless is not None:
                return load(useless)  # which says why it does not load; building it again would take as long to say so
            made = folder / name
            build(made)
            if not made.is_file():
                raise BridgeUnavailable("the C++ compiler reported success and wrote nothing")
            return _keep(made, load)
    except OSError as error:
        raise BridgeUnavailable(f"there is no folder for compiled code: {error}") from error


def kept(pattern: str, load: Callable[[Path], Loaded]) -> Loaded | None:
    """The first library of a name or pattern that the cache holds intact and that loads."""
    for path in _intact(pattern):
        with contextlib.suppress(OSError):  # from a disk without exec permission, say
            loaded = load(path)
            pruning.mark_used(path)
            return loaded
    return None


def find(pattern: str) -> Path | None:
    """The intact library of this name or pattern, if the cache holds it."""
    return next(_intact(pattern), None)


def intact(path: Path) -> bool:
    """Whether the file is there, matches its checksum, and nobody else can have written either."""
    try:
        expected = folders.read(_checksum_path(path))
        return _checksum(folders.read(path)) == expected.strip()
    except OSError:
        return False


def _intact(pattern: str) -> Iterator[Path]:
    """The newest of a folder first."""
    with contextlib.suppress(OSError):
        for place in folders.places():
            if place.unsafe is None:
                found = place.folder.glob(pattern) if "*" in pattern else [place.folder / pattern]
                yield from filter(intact, sorted(found, key=_age))


def _held_everywhere(name: str) -> Path | None:
    """One of the intact libraries, if there is one wherever it could be kept."""
    path = None
    for place in folders.places_to_keep():
        if place.unsafe is None:
            path = place.folder / name
            if not intact(path):
                return None
    return path


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder to build in, gone at the end of the block."""
    with _temporary_folder() as folder:
        os.chmod(folder, 0o700)  # whatever the umask
        yield Path(folder)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Among the system's temporary files, or where libraries are kept if there is no place for those."""
    try:
        return tempfile.TemporaryDirectory(prefix="monoscan-build-", ignore_cleanup_errors=True)
    except OSError:
        place = next((place for place in folders.places_to_keep() if place.unsafe is None), None)
        if place is None:
            raise
        return tempfile.TemporaryDirectory(prefix="build-", dir=place.folder, ignore_cleanup_errors=True)


def _keep(made: Path, load: Callable[[Path], Loaded]) -> Loaded:
    """Puts a library where it can be kept and loaded, at worst nowhere: then it is loaded as it lies."""
    refused = ""
    for place in folders.places_to_keep():
        reason = place.unsafe
        if reason is None:
            try:
                loaded = load(_publish(made, place.folder))
            except OSError as error:
                reason = str(error)
            else:
                pruning.prune(place.folder)
                if refused:
                    FAILURES.say("folder", f"compiled code is kept in {place.folder}, {refused}")
                return loaded
        refused = refused or f"not in {place.folder}: {reason}"
    try:
        loaded = load(made)
    except OSError as error:
        raise BridgeUnavailable(f"what the C++ compiler made does not load: {error}") from error
    FAILURES.say("folder", f"compiled code is kept for this process alone, {refused}")
    return loaded


def _publish(made: Path, folder: Path) -> Path:
    data = made.read_bytes()
    path = folder / made.name
    folders.write(_checksum_path(path), _checksum(data))
    folders.write(path, data)
    return path


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        # A file system without locks is no reason to fail: renaming alone is safe.
        with contextlib.suppress(OSError):
            place = next((place for place in folders.places_to_keep() if place.unsafe is None), None)
            if place is not None:
                handle = os.open(place.folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, handle)
                os.fchmod(handle, 0o600)  # whatever the umask
                _wait_for(handle)
        yield


def _wait_for(handle: int) -> None:
    """Takes the lock; a holder that was stopped keeps nobody waiting for ever."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
