"""Files that a command writes: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from monoscan import errors


def write(call: str, path: Path, text: str) -> None:
    """Writes a text beside its place, then puts it there.

    Args:
        call: The command, for messages.
        path: The file.
        text: The text.

    Raises:
        ScanError: The file cannot be written; what was there stays as it was.
    """
    if path.is_dir():
        raise errors.ScanError(f"[{call}] {path} is a folder; name a file in it, as {path / 'scan.svg'}.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise errors.ScanError(f"[{call}] cannot write {path}: {_reason(error, path.parent)}.") from error
    beside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except OSError as error:
        raise errors.ScanError(f"[{call}] cannot write {path}: {_reason(error, path)}.") from error
    finally:
        beside.unlink(missing_ok=True)


def _reason(error: OSError, folder: Path) -> str:
    missing = isinstance(error, FileNotFoundError)
    return f"there is no folder {folder}" if missing else (error.strerror or str(error)).lower()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
