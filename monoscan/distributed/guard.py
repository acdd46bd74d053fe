"""Evaluates collectives within a time: one that has no answer by then ends in an error, on this rank and its neighbours.

A rank that is dead or stopped keeps the others waiting for ever. While MLX waits it leaves Python's lock free, so a
thread can watch the clock; it shuts the sockets of the ring, at which the wait ends with an error, here and next door.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time

import mlx.core as mx

from monoscan.errors import DistributedError

TICK = 0.1
"""Seconds between two looks at the clock."""
ABANDONED = 70
"""The exit code of a process whose collective cannot be ended otherwise."""


class Guard:
    """The watch of one process. A group that broke once is not touched again: it might hang."""

    def __init__(self) -> None:
        self.broken: str | None = None
        self._deadline: float | None = None
        self._seconds = 0.0
        self._watching = False
        self._addresses: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raises if the group is broken.

        Raises:
            DistributedError: It is.
        """
        if self.broken is not None:
            raise DistributedError(
                f"[distributed] the group cannot be used any more: {self.broken}. Start all ranks again."
            )

    def evaluate(self, array: mx.array, seconds: float) -> None:
        """Evaluates a collective.

        Args:
            array: What it gives.
            seconds: How long it may take.

        Raises:
            DistributedError: A rank is lost, or did not answer in time.
        """
        self.check()
        self._watch()
        self._seconds, self._deadline = seconds, time.monotonic() + seconds
        try:
            mx.eval(array)
        except RuntimeError as error:
            self._break(str(error))
        finally:
            self._deadline = None
        self.check()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._addresses = ring_addresses()  # while the file that names them is there
            threading.Thread(target=self._look, name="monoscan-distributed", daemon=True).start()

    def _look(self) -> None:
        while self.broken is None:
            time.sleep(TICK)
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._break(f"a rank did not answer within {self._seconds:g} s")

    def _break(self, why: str) -> None:
        self.broken = self.broken or why
        sockets = ring_sockets(self._addresses)
        if not sockets and self._deadline is not None and "did not answer" in why:
            sys.stderr.write(f"[distributed] {why}, and its wait cannot be ended: this process stops.\n")
            sys.stderr.flush()
            os._exit(ABANDONED)
        for number in sockets:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as each:  # closed in the meantime
                each.shutdown(socket.SHUT_RDWR)


def ring_addresses() -> frozenset[str]:
    """The addresses of the ring's ranks; none where another engine runs, or nothing says them."""
    path = os.environ.get("MLX_HOSTFILE", "")
    if not os.path.isfile(path):
        return frozenset()
    with open(path) as file:
        return frozenset(address for addresses in json.load(file) for address in addresses)


def ring_sockets(addresses: frozenset[str]) -> list[int]:
    """The sockets of this process whose own or other end is one of these."""
    found = []
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as each:  # no socket, or not connected
            if {_text(each.getsockname()), _text(each.getpeername())} & addresses:
                found.append(number)
    return found


def _text(address: object) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


GUARD = Guard()
