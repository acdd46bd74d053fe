"""The way of a scan: from which end, and whether each position holds its own element."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from benchmarks.model import Arrays, Reference


@frozen
class Options:
    """`reverse` and `inclusive` of a scan."""

    reverse: bool = False
    inclusive: bool = True

    def of_scan(self) -> dict[str, Any]:
        """As `monoscan.scan` and the scans of MLX take them."""
        return {"reverse": self.reverse, "inclusive": self.inclusive}

    def answer(self, plain: Reference) -> Reference:
        """The right answer of a scan this way, from that of the plain one; NaN where it is not compared."""
        if self == FORWARD:
            return plain

        def whole(arrays: Arrays, axis: int) -> Arrays:
            leaves = plain.whole(tuple(np.flip(x, axis) for x in arrays) if self.reverse else arrays, axis)
            if not self.inclusive:
                leaves = tuple(_one_later(x, axis) for x in leaves)
            return tuple(np.flip(x, axis) for x in leaves) if self.reverse else leaves

        return Reference(whole)


FORWARD = Options()


def _one_later(leaf: np.ndarray, axis: int) -> np.ndarray:
    moved = np.roll(leaf if leaf.dtype.kind == "c" else leaf.astype(np.float64), 1, axis)
    moved[(slice(None),) * axis + (0,)] = np.nan
    return moved
