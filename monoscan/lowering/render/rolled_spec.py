"""What a kernel of wide elements is made from."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.log_factors import factored
from monoscan.lowering.render.places import Vectors
from monoscan.lowering.render.scan_spec import Loop, ScanSpec, mask_bytes, vector_lanes


@attrs.frozen(cache_hash=True)
class RolledSpec(ScanSpec[ArrayProgram]):
    """A kernel that runs an array program by loops.

    Args:
        loop: `Loop.EVENTS` or `Loop.BATCH`.
        shared: The leaves of elements and, behind them, the captured arrays that all columns share, if they are whole
            vectors.
    """

    loop: Loop = attrs.field(default=Loop.EVENTS, converter=Loop)
    shared: tuple[int, ...] = ()
    columns = 0
    """Any number of columns beside each other."""
    strided = False
    uneven = False
    """Columns that stand apart are copied first."""

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The element leaves that a step reads."""
        programs = (self.combine,) if self.begin is None else (self.combine, self.begin)
        reads = (program.reads[leaf][1] for program in programs for leaf in self.carried)
        return tuple(sorted(frozenset[int]().union(*reads)))

    @cached_property
    def program(self) -> ArrayProgram:
        """The combine, cut down to what is carried."""
        return factored(self.combine.select(self.carried))

    @cached_property
    def beginning(self) -> ArrayProgram | None:
        """The program of the state that a first element begins, likewise."""
        return None if self.begin is None else self.begin.select(self.carried)

    @property
    def all_programs(self) -> tuple[ArrayProgram, ...]:
        """Both."""
        return (self.program,) if self.beginning is None else (self.program, self.beginning)

    @property
    def shared_inputs(self) -> tuple[int, ...]:
        """The inputs of which a vector of rows holds one."""
        return tuple(self.combine.arity + i for i in self.shared) if self.loop is Loop.BATCH else ()

    @cached_property
    def vectors(self) -> Vectors:
        """What vectors hold."""
        return vectors_of(self.program, self.loop, self.vector_bytes)

    @property
    def width(self) -> int:
        """Lanes of a vector."""
        return self.vectors.width


def vectors_of(program: ArrayProgram, loop: Loop, vector_bytes: int) -> Vectors:
    """What the vectors of a loop hold: of one element as many lanes as its longest rows fill; one register at most."""
    most = vector_lanes((leaf.dtype for leaf in program.values), vector_bytes)
    if loop is Loop.BATCH:
        return Vectors(1, most)
    longest = max((leaf.shape[-1] for leaf in program.values if leaf.shape), default=1)
    return Vectors(next((width for width in (4, 8) if longest <= width <= most), most))


def flushes(program: ArrayProgram, flush: bool) -> bool:
    """Whether subnormal results may become zero, where they may at all: not beside float64."""
    return flush and all(leaf.dtype != "float64" for leaf in program.values)


def masks_of(program: ArrayProgram) -> int:
    """The bits of a mask's lanes."""
    return 8 * mask_bytes(leaf.dtype for leaf in program.values)
