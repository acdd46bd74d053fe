"""What one GPU kernel computes: everything that its text depends on."""

from __future__ import annotations

import enum
from functools import cached_property

import attrs

from monoscan.lowering.program import nonfinite
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render import gpu_arrays
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_arrays import Array
from monoscan.lowering.render.gpu_pass import Passed
from monoscan.lowering.render.spec import KernelSpec

WIDTH = 32
"""The lanes of a wave, on every GPU."""


class Body(str, enum.Enum):
    """How threads walk the data."""

    ROWS = "rows"  # a group a row, or a chunk of one
    SHORT = "short_rows"  # a few lanes a row
    COLUMNS = "columns"  # a lane a column
    SEQUENTIAL = "sequential"  # a lane a row, in fold order
    LOOK_BACK = "look_back"  # a group a tile of a row; it waits for those before


class Part(str, enum.Enum):
    """What of a scan a launch does."""

    WHOLE = "whole"  # all of it
    TOTALS = "totals"  # the folds of chunks
    SEEDED = "seeded"  # the results, given what comes before each chunk


@attrs.frozen
class GpuSpec:
    """One kernel.

    Args:
        kernel: What is computed; its loop is not asked for.
        body: How threads walk the data.
        run: The neighbouring elements that a thread folds.
        steps: How many of these runs it holds at a time.
        waves: The waves of a group.
        lanes: The lanes of a row, where several share a wave.
        axes: How many outer axes there are, 1 at least.
        initial: Whether there is an ``init``.
        carry: Whether the last state is wanted.
        part: What of the scan it does.
        anchors: Where groups look back, how many tiles there are from one to the next that leaves the fold of all; a power
            of two, up to the lanes of a wave.
        pulled: Of an adjoint what it computes around the scan of maps; ``kernel`` is that scan.
    """

    kernel: KernelSpec
    body: Body
    run: int
    steps: int
    waves: int
    lanes: int = WIDTH
    axes: int = 1
    initial: bool = False
    carry: bool = False
    part: Part = Part.WHOLE
    anchors: int = WIDTH
    pulled: Pulled | None = None

    @property
    def threads(self) -> int:
        """The threads of a group."""
        return WIDTH * self.waves

    @cached_property
    def around(self) -> Pulled | Passed | None:
        """What makes elements as they are loaded, and stores what follows from results; of an adjoint or an aggregator."""
        return self.pulled or (None if self.kernel.around is None else Passed(self.kernel, self.kernel.around))

    @cached_property
    def tile(self) -> int:
        """The elements of a row that a group holds at a time."""
        match self.body:
            case Body.ROWS | Body.LOOK_BACK:
                return self.run * self.steps * self.threads
            case Body.SHORT:
                return self.run * self.lanes
            case Body.COLUMNS:
                return self.run * self.waves
            case Body.SEQUENTIAL:
                return self.run

    @property
    def places(self) -> int:
        """How many states a group shares: of each wave those of two tiles, of columns each lane's."""
        match self.body:
            case Body.ROWS:
                return 2 * self.waves
            case Body.LOOK_BACK:
                return 2 * self.waves + 2  # of what comes before the tile, and of the last anchor
            case Body.COLUMNS:
                return 2 * self.waves * WIDTH
            case Body.SHORT | Body.SEQUENTIAL:
                return 0

    @property
    def writes(self) -> bool:
        """Whether it yields results."""
        return self.kernel.want_results and self.part is not Part.TOTALS

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of a launch behind the sizes, inputs first."""
        kernel, around, found = self.kernel, self.around, list[Array]()
        found += [*gpu_arrays.elements(kernel), *gpu_arrays.captures(kernel)] if around is None else around.inputs
        found += gpu_arrays.given(kernel, "init") if self.initial else ()
        found += gpu_arrays.states(kernel, "seeds") if self.part is Part.SEEDED else ()
        if self.writes:
            found += gpu_arrays.results(kernel) if around is None else around.results
        found += gpu_arrays.states(kernel, "totals") if self.part is Part.TOTALS else ()
        found += gpu_arrays.states(kernel, "published") if self.body is Body.LOOK_BACK else ()
        if self.carry and self.part is not Part.TOTALS:
            found += gpu_arrays.given(kernel, "carry") if around is None else around.last
        return tuple(found)

    @cached_property
    def guarded(self) -> tuple[tuple[int, nonfinite.Kinds, bool], ...]:
        """The lanes to look at after regrouping: in which ways they may be bad, and whether for ever.

        None in folds of chunks, before which nobody knows what comes; nor where looking does not tell.
        """
        kernel = self.kernel
        found = None if self.part is Part.TOTALS else kernel.watch
        if found is None:
            return ()
        carried = kernel.lanes_of(kernel.carried)
        every = zip(kernel.lanes_of(kernel.tree), found.kinds, found.lasting, strict=True)
        return tuple((lane, kinds, lasting) for lane, kinds, lasting in every if kinds and lane in carried)

    @property
    def numbers(self) -> bytes:
        """The table of numbers that its programs read."""
        if self.around is not None:
            return self.around.numbers
        return b"".join(map(table, self.kernel.programs(self.kernel.tree)))

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The arrays that it reads, behind the sizes."""
        return tuple(array for array in self.arrays if not array.written)

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The arrays that it writes."""
        return tuple(array for array in self.arrays if array.written)
