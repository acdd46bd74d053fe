"""What the kernel of a gradient of windows computes: everything that its source text depends on."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.lowering.program.alike import BackSplit, split_back
from monoscan.lowering.program.cost_table import cycles, instructions
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render.scan_spec import mask_bytes, vector_lanes


@attrs.frozen
class WindowBackSpec:
    """A kernel of the gradient of windows, on the leaves of a state that derivatives read.

    Args:
        prepare: The program of these leaves from inputs.
        combine: That of the operator, on them.
        back: That of the cotangents of its left and its right operand, from both and that of the result.
        weigh: That of the cotangents of a fold, from it and those of outputs.
        give: That of the cotangents of inputs, from them and those of elements.
        stored: The dtype of each input in memory.
        weights: That of the cotangent of each output.
        results: That of the cotangent of each input.
        vector_bytes: The width of the machine's registers: 16, 32 or 64.
        flush: Results below the smallest normal number become zero, where the processor is slow with them.
    """

    prepare: Program
    combine: Program
    back: Program
    weigh: Program
    give: Program
    stored: tuple[str, ...]
    weights: tuple[str, ...]
    results: tuple[str, ...]
    vector_bytes: int = attrs.field(default=32, validator=attrs.validators.in_((16, 32, 64)))
    flush: bool = True

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """The leaves of inputs that are read."""
        return self.prepare.elements

    @property
    def cotangents(self) -> tuple[Leaf, ...]:
        """Those of outputs."""
        return self.weigh.captures

    @property
    def timed(self) -> tuple[Leaf, ...]:
        """The leaves of what it reads at each step."""
        return (*self.inputs, *self.cotangents)

    @property
    def captures(self) -> tuple[Leaf, ...]:
        """None: what is captured has gradients, too."""
        return ()

    @property
    def gradients(self) -> tuple[Leaf, ...]:
        """The leaves of elements that have cotangents."""
        return self.give.captures

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The leaves of cotangents of inputs."""
        return self.give.outputs

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each lane of the state."""
        return tuple(leaf.dtype for leaf in self.prepare.outputs for _ in range(leaf.lanes))

    @cached_property
    def split(self) -> BackSplit:
        """What it runs in parts: what is the same in all folds of as many elements, and the rest."""
        return split_back(self.prepare, self.combine, self.back, self.weigh)

    @property
    def others(self) -> tuple[int, ...]:
        """The lanes of the state that differ."""
        return tuple(lane for lane in range(len(self.dtypes)) if lane not in self.split.lanes)

    @property
    def programs(self) -> tuple[Program, ...]:
        """All that it runs, in the order of their numbers in the table."""
        return (self.prepare, self.split.combine.own, self.split.back.own, self.split.weigh.own, self.give)

    @property
    def shared(self) -> tuple[Program, ...]:
        """What it runs in scalars."""
        return (self.split.combine.shared, self.split.back.shared, self.split.weigh.shared)

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero: not beside float64, for one bit of the processor serves both."""
        return self.flush and "float64" not in self._values.union(*(part.dtypes for part in self.shared))

    @cached_property
    def _values(self) -> frozenset[str]:
        """The dtypes of all that vectors hold."""
        alike = [self.prepare.results[lane] for lane in self.split.lanes]
        held = {self.dtypes[lane] for lane in self.others}
        held |= {leaf.dtype for leaf in (*self.inputs, *self.cotangents, *self.gradients, *self.outputs)}
        code = {
            program.dtypes[value]
            for program in self.programs
            for value in range(program.num_lanes, len(program.dtypes))
            if not (program is self.prepare and value in alike)
        }
        return frozenset(held | code)

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
        """Vector instructions of a combine and of its way back, roughly."""
        return instructions(self.split.combine.own) + instructions(self.split.back.own)

    @cached_property
    def cycles(self) -> float:
        """Cycles of a step of vectors, roughly: two scans, with a combine and a way back for each and for both."""
        each = cycles(self.split.combine.own, self.width) + cycles(self.split.back.own, self.width)
        return 2 * each + cycles(self.give, self.width) + 10
