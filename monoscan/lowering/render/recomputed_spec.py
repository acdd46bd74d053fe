"""What a kernel is made from that walks back and makes states again."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.dtypes import HALF
from monoscan.lowering.gradient.recomputed import Recomputed
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import MAX_LANES, Leaf
from monoscan.lowering.render import emit
from monoscan.lowering.render.scan_spec import vector_lanes

LONGEST = 4000
"""Instructions of a step ahead and back, beyond which the compiler takes a second and more."""


@attrs.frozen
class RecomputedSpec:
    """One such kernel.

    Args:
        walk: What it computes.
        weights: The storage dtype of each of its `weights`.
        captures: The storage dtype of each captured array.
        alike: For each element and then for each captured array whether all columns have the same.
        spread: For each of them whether rows share it.
        vector_bytes: The width of the machine's registers; 0 for scalar code, a column at a time.
        flush: As of a `KernelSpec`.
    """

    walk: Recomputed
    weights: tuple[str, ...]
    captures: tuple[str, ...]
    alike: tuple[bool, ...]
    spread: tuple[bool, ...]
    vector_bytes: int
    flush: bool = True

    @property
    def scalar(self) -> bool:
        """Whether there are too few columns for vectors."""
        return self.vector_bytes == 0

    @cached_property
    def width(self) -> int:
        """Lanes of a vector."""
        used = {leaf.dtype for leaf in (*self.walk.program.inputs, *self.walk.program.outputs)}
        for program in self.walk.programs:
            used |= set(program.dtypes)
        return vector_lanes(used, self.vector_bytes)

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero."""
        return self.flush and all("float64" not in program.dtypes for program in self.walk.programs)

    @property
    def pointed(self) -> tuple[bool, ...]:
        """For each element whether it is read where it is used: what all columns share, as it is stored."""
        rows = zip(self.walk.stored, self.walk.program.elements, self.alike, strict=False)
        return tuple(alike and name == leaf.dtype and name in emit.FLOATS for name, leaf, alike in rows)

    @property
    def summed(self) -> tuple[bool, ...]:
        """For each cotangent whether it is a sum over columns or rows, or over all steps."""
        elements = len(self.walk.stored)
        timed = [self.alike[i] or self.spread[i] for i in self.walk.gradients]
        assert elements + len(self.captures) == len(self.alike)
        return (*timed, *(True for _ in self.walk.captured))

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The cotangents: sums in full, others as their array is stored."""
        names = [*(self.walk.stored[i] for i in self.walk.gradients), *(None for _ in self.walk.captured)]
        rows = zip(self.walk.outputs, names, self.summed, strict=True)
        return tuple(leaf if s or name is None else Leaf(name, leaf.shape) for leaf, name, s in rows)


def can_recompute(spec: RecomputedSpec) -> bool:
    """Whether there is code for all that it computes and holds, and not too much of it."""
    walk = spec.walk
    names = (*spec.weights, *spec.captures, *walk.stored)
    if any(map(emit.missing, walk.programs)) or set(names) - {*emit.TYPES, *HALF}:
        return False
    lanes = sum(leaf.lanes for leaf in (*walk.program.inputs, *walk.program.outputs))
    return lanes <= 4 * MAX_LANES and sum(map(instructions, walk.programs)) <= LONGEST
