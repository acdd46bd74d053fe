"""What one GPU kernel computes: everything that its text depends on."""

from __future__ import annotations

import enum
from functools import cached_property

import attrs

from monoscan.lowering.render.spec import KernelSpec

WIDTH = 32
"""The lanes of a wave, on every GPU."""


class Body(str, enum.Enum):
    """How threads walk the data."""

    ROWS = "rows"  # a group a row, or a chunk of one
    SHORT = "short_rows"  # a few lanes a row
    COLUMNS = "columns"  # a lane a column
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

    @property
    def threads(self) -> int:
        """The threads of a group."""
        return WIDTH * self.waves

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

    @property
    def writes(self) -> bool:
        """Whether it yields results."""
        return self.kernel.want_results and self.part is not Part.TOTALS

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of a launch behind the sizes, inputs first."""
        kernel, state = self.kernel, self.kernel.state
        pairs = [
            ("x", "elements", name, i, leaf.shape)
            for i, (name, leaf) in enumerate(zip(kernel.elements, state, strict=True))
        ]
        captured = zip(kernel.capture_dtypes, kernel.combine.captures, strict=True)
        pairs += [("c", "captures", name, i, leaf.shape) for i, (name, leaf) in enumerate(captured)]
        own = [(leaf.dtype, i, leaf.shape) for i, leaf in enumerate(state)]
        if self.initial:
            pairs += [("i", "init", *each) for each in own]
        if self.part is Part.SEEDED:
            pairs += [("e", "seeds", *each) for each in own]
        if self.writes:
            results = zip(kernel.results, kernel.emit, strict=True)
            pairs += [("y", "results", name, i, state[leaf].shape) for i, (name, leaf) in enumerate(results)]
        if self.part is Part.TOTALS:
            pairs += [("t", "totals", *each) for each in own]
        if self.body is Body.LOOK_BACK:
            pairs += [("p", "published", *each) for each in own]
        if self.carry and self.part is not Part.TOTALS:
            pairs += [("z", "carry", *each) for each in own]
        return tuple(Array(f"{letter}{i}", group, dtype, i, event) for letter, group, dtype, i, event in pairs)

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The arrays that it reads, behind the sizes."""
        return tuple(array for array in self.arrays if array.group not in OUTPUTS)

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The arrays that it writes."""
        return tuple(array for array in self.arrays if array.group in OUTPUTS)


OUTPUTS = ("results", "totals", "published", "carry")
"""The groups of arrays that a launch writes; what is published, other groups of threads read."""


@attrs.frozen
class Array:
    """An array of a launch.

    Args:
        name: Its name in the text.
        group: What it holds: elements, captures, init, seeds, results, totals, published or carry.
        dtype: Its dtype.
        number: Which of its group it is.
        event: The event shape.
    """

    name: str
    group: str
    dtype: str
    number: int
    event: tuple[int, ...]
