"""What machine code says of itself: an ELF file, whose section ``.nv.info`` holds attributes of its functions."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SECTIONS, SHAPE = 40, 58
"""Where a header says where the sections are described, and how large, how many, and which one holds their names."""

REGISTERS = bytes((0x04, 0x2F, 8, 0))
"""An attribute of a function: 8 bytes, its symbol and the registers of a thread."""


def registers(code: bytes) -> int | None:
    """The registers of a thread, or ``None`` where the code does not say."""
    for name, content in _sections(code):
        place = content.find(REGISTERS)
        if name == b".nv.info" and place >= 0:
            return int(struct.unpack_from("<I", content, place + 8)[0])
    return None


def _sections(code: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents."""
    if code[:4] != b"\x7fELF":
        return
    (start,) = struct.unpack_from("<Q", code, SECTIONS)
    size, number, names = struct.unpack_from("<HHH", code, SHAPE)
    described = [struct.unpack_from("<IIQQQQ", code, start + i * size) for i in range(number)]
    for name, _, _, _, offset, length in described:
        first = described[names][4] + name
        yield code[first : code.index(b"\0", first)], code[offset : offset + length]
