"""Chunks of a long sequence: read while the last one is computed, and out of memory once they are done."""

from __future__ import annotations

import mmap
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx
from monoscan.monoids import domain

Item = TypeVar("Item")

_DONE = object()
_SILENT_FOR, _EVERY = 2.0, 0.2
"""Seconds before progress shows on a terminal, and between its steps."""


def run(source: Any, size: int, axis: int, progress: bool) -> Iterator[mx.array]:
    """What `chunks` returns."""
    array = _mapped(source) if isinstance(source, (str, Path)) else source
    if not isinstance(array, (np.ndarray, mx.array)):
        raise errors.ScanTypeError(f"[chunks] expects a file or an array; got {tree.shown(source)}.")
    size = domain.whole(size)
    if type(size) is not int or size < 1:
        raise errors.ScanError(f"[chunks] size must be an int of at least 1; got {tree.shown(size)}.")
    if not -array.ndim <= axis < array.ndim:
        raise errors.ScanError(f"[chunks] axis {axis} is out of bounds for an array of shape {tuple(array.shape)}.")
    return _cut(array, size, axis % array.ndim, _progress(array.shape[axis]) if progress else None)


def _cut(array: Any, size: int, axis: int, bar: Any) -> Iterator[mx.array]:
    before = (slice(None),) * axis
    for start in range(0, array.shape[axis], size):
        part = array[(*before, slice(start, start + size))]
        yield part if isinstance(part, mx.array) else _copied(part)
        _forget(array)
        if bar is not None:
            bar(min(start + size, array.shape[axis]))


def _copied(part: np.ndarray[Any, Any]) -> mx.array:
    """In the dtype that it has, where MLX has it."""
    if part.dtype.name not in dtypes.NAMES:
        raise errors.ScanTypeError(f"[chunks] there are no arrays of {part.dtype.name} in MLX. Cast it with .astype.")
    copied: mx.array = to_mlx("[chunks] the source", part)
    return copied


def _mapped(path: str | Path) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise errors.ScanError(f"[chunks] {path} is no file .npy that can be mapped: {error}") from error
    return array


def _forget(array: Any) -> None:
    """Lets pages go that have been read: mapped, they count as this process's memory."""
    pages = getattr(array, "_mmap", None)
    if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        with suppress(ValueError, OSError):  # a map that was closed holds none
            pages.madvise(mmap.MADV_DONTNEED)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, of which the next one is fetched in a thread while the last one is in use.

    An error there is raised here, in its turn.
    """
    fetched: Queue[Any] = Queue(maxsize=1)
    stop = threading.Event()

    def fetch() -> None:
        try:
            for item in items:
                fetched.put((item, None))
                if stop.is_set():
                    return
            fetched.put((_DONE, None))
        except BaseException as error:
            fetched.put((_DONE, error))

    thread = threading.Thread(target=fetch, name="monoscan chunks", daemon=True)
    thread.start()
    try:
        while True:
            item, error = fetched.get()
            if error is not None:
                raise error
            if item is _DONE:
                return
            yield item
    finally:
        stop.set()
        with suppress(Empty):
            fetched.get_nowait()


def _progress(total: int) -> Any:
    """Writes how far it is, on a terminal and nowhere else."""
    start = last = time.monotonic()
    if sys.stderr is None or not sys.stderr.isatty():
        return None

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - start < _SILENT_FOR or (now - last < _EVERY and done < total):
            return
        last = now
        filled = "#" * (30 * done // total)
        left = (now - start) * (total - done) / done
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r[{filled:30}] {100 * done // total:3} %, {left:,.0f} s left {end}")
        sys.stderr.flush()

    return show
