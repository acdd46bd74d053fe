"""Says on a terminal what a call waits for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from threading import Timer

from monoscan.lowering.targets.failures import say

SECONDS = 1.0
"""How long a call waits without a word."""


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A block that may take long: a line on stderr after a second, if that is a terminal.

    Args:
        what: What is waited for.
    """
    if sys.stderr is None or sys.stderr.closed or not sys.stderr.isatty():
        yield
        return
    timer = Timer(SECONDS, say, [f"compiling {what}, which is kept for later runs"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
