"""What a kernel of wide elements is made from."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.render.spec import Loop, ScanSpec, mask_bytes, vector_lanes


@attrs.frozen
class RolledSpec(ScanSpec[ArrayProgram]):
    """A kernel that runs an array program by loops."""

    loop = Loop.EVENTS
    columns = 0
    """Any number of columns beside each other."""

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The element leaves that a step reads."""
        return tuple(sorted(frozenset[int]().union(*(self.combine.reads[leaf][1] for leaf in self.carried))))

    @cached_property
    def program(self) -> ArrayProgram:
        """The combine, cut down to what is carried."""
        return self.combine.select(self.carried)

    @property
    def width(self) -> int:
        """Lanes of a vector."""
        return vectors_of(self.program, self.vector_bytes)


def vectors_of(program: ArrayProgram, vector_bytes: int) -> int:
    """Lanes of a vector: as many as the longest rows fill, of one register at most."""
    longest = max((leaf.shape[-1] for leaf in program.values if leaf.shape), default=1)
    most = vector_lanes((leaf.dtype for leaf in program.values), vector_bytes)
    return next((width for width in (4, 8) if longest <= width <= most), most)


def flushes(program: ArrayProgram, flush: bool) -> bool:
    """Whether subnormal results may become zero, where they may at all: not beside float64."""
    return flush and all(leaf.dtype != "float64" for leaf in program.values)


def masks_of(program: ArrayProgram) -> int:
    """The bits of a mask's lanes."""
    return 8 * mask_bytes(leaf.dtype for leaf in program.values)
