"""Starts the ranks of a test: processes of their own on free ports of this machine, each bound in time."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECONDS = 300
"""A rank that runs longer ends itself, with a traceback."""
WORKER = Path(__file__).with_name("worker.py")


def run(
    name: str,
    ranks: int,
    *given: Any,
    codes: Sequence[int] | None = None,
    timeout: float = 240,
    stopped: Sequence[int] = (),
) -> list[Any]:
    """What a function of ``worker.py`` returns on each rank; ``None`` of one that ends in another way.

    Args:
        name: The function.
        ranks: How many ranks there are.
        given: What it is called with.
        codes: The exit codes that are expected. Default: 0 of all.
        timeout: The library's timeout in the ranks.
        stopped: Ranks that do not end by themselves; they are killed once the others have ended.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "hosts").write_text(json.dumps(hosts(ranks)))
        (folder / "given").write_bytes(pickle.dumps((name, given)))
        started = [_start(folder, rank, timeout) for rank in range(ranks)]
        try:
            ending = [process for rank, process in enumerate(started) if rank not in stopped]
            said = [process.communicate(timeout=SECONDS + 10)[0] for process in ending]
        finally:
            for process in started:
                process.kill()
                process.wait()
        found = [process.returncode for process in started]
        assert found == list(codes or [0] * ranks), "\n".join(said)
        answers = [folder / f"answer{rank}" for rank in range(ranks)]
        return [pickle.loads(path.read_bytes()) if path.exists() else None for path in answers]


def hosts(ranks: int) -> list[list[str]]:
    """Addresses with ports that are free."""
    held = [socket.socket() for _ in range(ranks)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    addresses = [[f"127.0.0.1:{each.getsockname()[1]}"] for each in held]
    for each in held:
        each.close()
    return addresses


def _start(folder: Path, rank: int, timeout: float) -> subprocess.Popen[str]:
    more = {
        "MLX_RANK": str(rank), "MLX_HOSTFILE": str(folder / "hosts"), "MONOSCAN_DISTRIBUTED_TIMEOUT": str(timeout),
        "PYTHONPATH": os.pathsep.join([str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, str(WORKER), str(folder), str(rank)]
    return subprocess.Popen(
        command, env=os.environ | more, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
