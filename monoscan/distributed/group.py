"""The group of a call, and how long its ranks wait for one another."""

from __future__ import annotations

import faulthandler
import os
import sys
from typing import Any

import mlx.core as mx

from monoscan import errors, tree

TIMEOUT = "MONOSCAN_DISTRIBUTED_TIMEOUT"
"""The variable of the environment that says it, in seconds."""
DEFAULT_TIMEOUT = 600.0

_DEFAULT: list[Any] = []
"""The default group, once it was asked for: to ask takes 40 us (measured)."""


def group_of(call: str, given: Any, timeout: Any) -> Any:
    """The group that is given, or the default one.

    Raises:
        ScanTypeError: It is no group.
    """
    if given is None:
        if not _DEFAULT:
            _DEFAULT.append(_connected(seconds(call, timeout)))
        return _DEFAULT[0]
    if not isinstance(given, mx.distributed.Group):
        raise errors.ScanTypeError(
            f"[{call}] group must be a group of mx.distributed, or None for the default one; got {tree.shown(given)}."
        )
    return given


def _connected(limit: float) -> Any:
    """The default group. MLX waits for neighbours with Python's lock held, so a timer in C ends a wait that is too long."""
    if "MLX_RANK" not in os.environ:  # nobody to wait for
        return mx.distributed.init()
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(limit, exit=True, file=_written(sys.stderr) or nowhere)
        try:
            return mx.distributed.init()
        finally:
            faulthandler.cancel_dump_traceback_later()


def _written(stream: Any) -> Any:
    """A stream, if it is a file of the system: not so in notebooks, and where output is caught."""
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return stream


def seconds(call: str, timeout: Any) -> float:
    """How long a rank waits for the others.

    Raises:
        ScanError: It is no positive number.
    """
    given = os.environ.get(TIMEOUT, DEFAULT_TIMEOUT) if timeout is None else timeout
    where = f"the environment's {TIMEOUT}" if timeout is None else "timeout"
    try:
        limit = float(given)
    except (TypeError, ValueError):
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise errors.ScanError(f"[{call}] {where} must be a positive number of seconds; got {given!r:.60}.")
    return limit
