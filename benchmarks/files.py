"""A sequence in a file that is folded chunk by chunk: the memory that it takes, and its speed against the same in memory.

    python -m benchmarks.files --gib 2

The file is written first, so that the page cache holds it. All is one process: the file comes first, while nothing else
has raised the peak, then passes over file and array in turn.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms

CHUNK = 1 << 22
"""Items of a chunk: 16 MiB of float32."""
ROUNDS = 3
MEMORY_BAR, SPEED_BAR = 100 * 1024, 0.7
"""KiB beyond two chunks, and the share of the speed in memory."""


def written(path: Path, items: int) -> None:
    """A file of so many numbers, chunk by chunk."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (items,)})
        for start in range(0, items, CHUNK):
            random.random(min(CHUNK, items - start), np.float32).tofile(file)


def last_of(source: Any) -> float:
    """The last total of a scan of all chunks, whose results are folded and let go."""
    stream = ms.Stream(ms.Sum())
    highest = -np.inf
    for totals in stream.over(ms.chunks(source, CHUNK)):
        highest = max(highest, mx.max(totals).item())
    return float(highest)


def seconds(call: Callable[[], float], right: float) -> float:
    """The time of a pass, once its answer is checked."""
    start = time.perf_counter()
    found = call()
    taken = time.perf_counter() - start
    assert abs(found / right - 1) < 1e-3, (found, right)
    return taken


def peak() -> int:
    """The most memory that this process has held, in KiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


def main() -> int:
    """Exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0, help="the size of the file (2)")
    parser.add_argument("--folder", type=Path, default=None, help="where it is written (a temporary one)")
    options = parser.parse_args()
    mx.set_default_device(mx.cpu)
    items = int(options.gib * (1 << 28))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, right = Path(folder) / "numbers.npy", items / 2
        warm = last_of(np.ones(2 * CHUNK, np.float32))
        assert warm == 2 * CHUNK, "compiled, and right"
        written(path, items)
        base = peak()
        seconds(lambda: last_of(path), right)
        more = peak() - base
        array = np.load(path)
        pairs = [(seconds(lambda: last_of(path), right), seconds(lambda: last_of(array), right)) for _ in range(ROUNDS)]
    two = 2 * CHUNK * 4 // 1024
    share = statistics.median(held / read for read, held in pairs)
    read, held = (min(each) for each in zip(*pairs, strict=True))
    print(f"{options.gib:g} GiB in chunks of {CHUNK * 4 >> 20} MiB: file {read:.2f} s, memory {held:.2f} s")
    print(f"  speed   {share:.0%} of memory's, bar {SPEED_BAR:.0%}")
    print(f"  memory  {more / 1024:.0f} MiB above {base / 1024:.0f}, bar {(two + MEMORY_BAR) / 1024:.0f}")
    return int(share < SPEED_BAR or more > two + MEMORY_BAR)


if __name__ == "__main__":
    sys.exit(main())
