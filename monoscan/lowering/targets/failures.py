"""What could not be built in this process: tried once, remembered, and said once on stderr.

Plans follow from it, so the keys of plans hold ``FAILURES.generation``, which every new failure
changes: what was planned before is planned again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Hashable
from threading import Lock

import attrs


@attrs.define
class Failures:
    """The failures of one process.

    Attributes:
        generation: How many there were so far.
    """

    generation: int = 0
    _reasons: dict[tuple[str, Hashable], str] = attrs.field(factory=dict)
    _said: set[str] = attrs.field(factory=set)
    _lock: Lock = attrs.field(factory=Lock)

    def record(self, kind: str, key: Hashable, reason: str) -> None:
        """Remembers why something could not be built; the first reason stands."""
        with self._lock:
            if (kind, key) not in self._reasons:
                self._reasons[kind, key] = reason
                self.generation += 1

    def reason(self, kind: str, key: Hashable) -> str | None:
        """Why something could not be built, or ``None`` if nothing is known against it."""
        return self._reasons.get((kind, key))

    def reasons(self, kind: str) -> list[str]:
        """All that is known of a kind, the oldest first."""
        with self._lock:
            return [reason for (each, _), reason in self._reasons.items() if each == kind]

    def say(self, kind: str, text: str) -> None:
        """Prints one line on stderr, the first time for each kind."""
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        say(text)


FAILURES = Failures()


def say(text: str) -> None:
    """Prints one line on stderr, if the process has one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            print(f"monoscan: {' '.join(text.split())}", file=sys.stderr, flush=True)
