"""What ranks tell one another: a frame from each in every call, by one all-gather, and nothing that was not checked.

MLX checks nothing: another shape, dtype or order on one rank is silent garbage there. Here all ranks see all frames, so
they agree on what is wrong, and the group can be used afterwards.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from monoscan.distributed.frame import FRAME, ROOM, Frame, digest, failure
from monoscan.distributed.guard import GUARD
from monoscan.errors import DistributedError

_LOCK = threading.RLock()


class _Count:
    """The calls of this process."""

    number = 0

    def next(self) -> int:
        """The number of a call."""
        self.number += 1
        return self.number - 1


_CALLS = _Count()


@attrs.frozen(eq=False)
class Link:
    """The ranks of one call.

    Args:
        group: The group.
        call: The public call, for messages.
        seconds: How long this rank waits for the others.
    """

    group: Any
    call: str
    seconds: float

    @property
    def rank(self) -> int:
        """This rank."""
        return int(self.group.rank())

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.group.size())

    def report(self, error: Exception) -> None:
        """Tells the other ranks that this one failed, in the place of what they wait for."""
        with _LOCK:
            self._gather(failure(_CALLS.next(), f"{type(error).__name__}: {error}").pack())

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Reports an error inside."""
        try:
            yield
        except Exception as error:
            self.report(error)
            raise

    def swap(self, leaves: Sequence[mx.array], what: str, length: int = 0) -> tuple[list[mx.array], list[int]]:
        """The leaves of all ranks, each with an axis of ranks in front, and the lengths of all.

        Args:
            leaves: This rank's.
            what: What it does, the same on every rank but for lengths.
            length: How many elements it holds.

        Raises:
            DistributedError: Ranks do not do the same, one failed, or one does not answer.
        """
        what += ", sending " + ", ".join(f"{x.dtype}{list(x.shape)}".removeprefix("mlx.core.") for x in leaves)
        with self.telling():
            own = self._bytes(leaves)
        with _LOCK:
            frame = Frame(_CALLS.next(), False, length, len(own), digest(what), own)
            frames = self._agreed(self._gather(frame.pack()), what)
            size = len(own)
            bodies = [each.body for each in frames] if size <= ROOM else self._gather(own)
        return _arrays(bodies, leaves), [each.length for each in frames]

    def _bytes(self, leaves: Sequence[mx.array]) -> bytes:
        try:
            mx.eval(*leaves)
        except ValueError as error:
            if "eval" not in str(error):
                raise
            raise DistributedError(
                f"[{self.call}] ranks talk in the call, and mx.compile and mx.vmap have no values then. Call it outside of them; "
                "mx.grad is fine."
            ) from error
        return b"".join(np.array(x).tobytes() for x in leaves)

    def _gather(self, own: bytes) -> list[bytes]:
        """The bytes of all ranks, of one size."""
        GUARD.check()
        sent = mx.array(np.frombuffer(own, np.uint8))[None]
        got = mx.distributed.all_gather(sent, group=self.group)
        GUARD.evaluate(got, self.seconds)
        return [row.tobytes() for row in np.array(got)]

    def _agreed(self, gathered: Sequence[bytes], what: str) -> list[Frame]:
        frames = [Frame.unpack(data) for data in gathered]
        strange = [rank for rank, frame in enumerate(frames) if frame is None]
        if strange:
            raise DistributedError(
                f"[{self.call}] {_ranks(strange)} sent something else: another collective of mx.distributed ran there in the "
                "place of this call. All ranks make the same calls in the same order, from one thread."
            )
        known = [frame for frame in frames if frame is not None]
        failed = [rank for rank, frame in enumerate(known) if frame.failed]
        if failed:
            said = "; ".join(f"rank {rank}: {known[rank].body.decode(errors='replace')}" for rank in failed)
            raise DistributedError(f"[{self.call}] failed on {_ranks(failed)}, so on all. {said}")
        if len({(frame.number, frame.key) for frame in known}) > 1:
            raise self._differing(known, what)
        return known

    def _differing(self, frames: Sequence[Frame], what: str) -> DistributedError:
        """All ranks know that they differ, so each says once more what it does; they count alike from here on."""
        _CALLS.number = max(frame.number for frame in frames) + 1
        own = f"call {frames[self.rank].number}, {what}".encode()[:FRAME]
        said = [data.rstrip(b"\0").decode(errors="replace") for data in self._gather(own + bytes(FRAME - len(own)))]
        sides = {text: [rank for rank, each in enumerate(said) if each == text] for text in said}
        listed = "\n".join(f"  {_ranks(ranks)}: {text}" for text, ranks in sides.items())
        return DistributedError(
            f"[{self.call}] ranks do not make the same call:\n{listed}\nAll ranks call the same operator, with the same options, "
            "dtypes and shapes but for the length, in the same order."
        )


def _arrays(bodies: Sequence[bytes], like: Sequence[mx.array]) -> list[mx.array]:
    found, at = [], 0
    for x in like:
        kind = np.array(mx.zeros((), x.dtype)).dtype
        rows = [np.frombuffer(body, kind, x.size, at).reshape(x.shape) for body in bodies]
        found.append(mx.array(np.stack(rows), x.dtype))
        at += x.nbytes
    return found


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
