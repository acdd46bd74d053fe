"""The frame that each rank sends in a call: of one size whatever happens, so that ranks that disagree find it out."""

from __future__ import annotations

import hashlib
import struct

import attrs

FRAME = 4096
"""Bytes of a frame: it costs what 64 bytes cost (measured on the ring over loopback)."""
_HEAD = struct.Struct("<8sQ?7xqQ16s")
_MAGIC = b"monoscan"
ROOM = FRAME - _HEAD.size
"""Bytes of state that a frame has room for."""


def digest(text: str) -> bytes:
    """What stands for a description in a frame."""
    return hashlib.sha256(text.encode()).digest()[:16]


@attrs.frozen
class Frame:
    """What one rank says.

    Args:
        number: Which call of its process this is, counted from 0.
        failed: Whether the rank failed before it; the body then says how.
        length: How many elements the rank holds.
        size: The bytes of its state, which follow in a second gather where they have no room here.
        key: The digest of what it calls.
        body: Its state, or a message.
    """

    number: int
    failed: bool
    length: int
    size: int
    key: bytes
    body: bytes

    def pack(self) -> bytes:
        """The bytes of the frame."""
        head = _HEAD.pack(_MAGIC, self.number, self.failed, self.length, self.size, self.key)
        body = self.body if len(self.body) <= ROOM else b""
        return head + body + bytes(ROOM - len(body))

    @classmethod
    def unpack(cls, data: bytes) -> Frame | None:
        """The frame of these bytes; ``None`` where they are none."""
        magic, number, failed, length, size, key = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            return None
        return cls(number, failed, length, size, key, data[_HEAD.size : _HEAD.size + min(size, ROOM)])


def failure(number: int, message: str) -> Frame:
    """The frame of a rank that failed before it had a state to send."""
    body = message.encode()[:ROOM]
    return Frame(number, True, 0, len(body), bytes(16), body)
