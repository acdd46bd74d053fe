"""What a kernel of windows computes: everything that its source text depends on."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.lowering.program import nonfinite
from monoscan.lowering.program.alike import Split, split
from monoscan.lowering.program.cost_table import cycles, instructions
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render.scan_spec import mask_bytes, vector_lanes


@attrs.frozen
class WindowSpec:
    """A kernel of windows.

    Args:
        prepare: The program of an element from inputs.
        combine: That of the operator, on elements.
        present: That of outputs from the fold of a window and the inputs at its end.
        stored: The dtype of each input in memory.
        results: That of each output.
        along: A vector holds windows one after the other along a row; else blocks or columns side by side.
        ordinary: For each leaf of an element the infinities that are as good as any value.
        vector_bytes: The width of the machine's registers: 16, 32 or 64.
        flush: Results below the smallest normal number become zero, where the processor is slow with them.
    """

    prepare: Program
    combine: Program
    present: Program
    stored: tuple[str, ...]
    results: tuple[str, ...]
    along: bool = False
    ordinary: tuple[nonfinite.Kinds, ...] = ()
    vector_bytes: int = attrs.field(default=32, validator=attrs.validators.in_((16, 32, 64)))
    flush: bool = True

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """The leaves of inputs."""
        return self.prepare.elements

    @property
    def timed(self) -> tuple[Leaf, ...]:
        """The leaves of what it reads at each step."""
        return self.inputs

    @property
    def captures(self) -> tuple[Leaf, ...]:
        """The leaves of captured arrays, and of what is the same at every step."""
        return self.prepare.captures

    @property
    def state(self) -> tuple[Leaf, ...]:
        """The leaves of an element, and of its folds."""
        return self.prepare.outputs

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each lane of the state."""
        return tuple(leaf.dtype for leaf in self.state for _ in range(leaf.lanes))

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The leaves of outputs."""
        return self.present.outputs

    @cached_property
    def split(self) -> Split:
        """What it runs in parts: what is the same in all folds of as many elements, and the rest."""
        return split(self.prepare, self.combine, self.present)

    @property
    def others(self) -> tuple[int, ...]:
        """The lanes of the state that differ."""
        return self.split.others(len(self.dtypes))

    @property
    def programs(self) -> tuple[Program, ...]:
        """All that it runs, in the order of their numbers in the table."""
        return (self.prepare, self.split.combine.own, self.split.present.own)

    @cached_property
    def watch(self) -> nonfinite.Watch | None:
        """What tells that regrouping broke an answer, lane by lane."""
        kinds = self.ordinary or (frozenset[str](),) * len(self.state)
        lanes = tuple(kinds[i] for i, leaf in enumerate(self.state) for _ in range(leaf.lanes))
        return nonfinite.watch(self.combine, lanes)

    @property
    def reads_inputs(self) -> bool:
        """Whether outputs depend on the inputs at their own position beside the fold."""
        first, end = self.present.arity, self.present.arity + self.present.rights
        return any(first <= i < end for reads in self.present.depends for i in reads)

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero: not beside float64, for one bit of the processor serves both."""
        shared = {dtype for part in (self.split.combine, self.split.present) for dtype in part.shared.dtypes}
        return self.flush and "float64" not in self._values | shared

    @cached_property
    def _values(self) -> frozenset[str]:
        """The dtypes of all that vectors hold."""
        constants = [self.prepare.results[lane] for lane in self.split.lanes]
        held = {self.dtypes[lane] for lane in self.others} | {leaf.dtype for leaf in self.inputs + self.outputs}
        values = {
            dtype
            for program in self.programs
            for value, dtype in enumerate(program.dtypes)
            if value >= program.num_lanes and not (program is self.prepare and value in constants)
        }
        return frozenset(values | held | {leaf.dtype for leaf in self.captures})

    @property
    def mask(self) -> int:
        """Bytes of a mask's lanes."""
        return mask_bytes(self._values)

    @cached_property
    def width(self) -> int:
        """Lanes of a vector: one register of the widest value, and 4 at least."""
        return vector_lanes(self._values, self.vector_bytes)

    @cached_property
    def weight(self) -> int:
        """Vector instructions of a combine, roughly."""
        return instructions(self.split.combine.own)

    @cached_property
    def combine_cycles(self) -> float:
        """Cycles of a combine of vectors, roughly."""
        return cycles(self.split.combine.own, self.width) / 2 + 1
