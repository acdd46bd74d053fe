"""What one kernel in straight-line code computes: everything that its source text depends on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program import nonfinite
from monoscan.lowering.program.ir import COMPARISONS, Leaf, Op, Program
from monoscan.lowering.render.around import Around
from monoscan.lowering.render.scan_spec import SIZES, Loop, ScanSpec, vector_lanes

_CLOSED = COMPARISONS | {
    Op.CONST, Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.AND, Op.OR, Op.XOR, Op.NOT, Op.MIN, Op.MAX, Op.SELECT,
}  # fmt: skip
"""Operations on integers that need no more bits than their operands have."""

_RING = frozenset({Op.CONST, Op.ADD, Op.SUB, Op.MUL, Op.NEG, Op.AND, Op.OR, Op.XOR, Op.NOT})
"""Operations on integers of which the lower bits follow from the lower bits of their operands."""


@attrs.frozen
class Parts:
    """What a loop over runs of a row knows of products of elements.

    Args:
        gates: The leaves whose products depend on themselves alone, and which on the left no other leaf reads.
        fixed: The leaves that are the same at every step.
        kinds: For each lane of an element the ways in which a product may be bad.
        states: The same of a state that a product was acted on.
    """

    gates: tuple[int, ...]
    fixed: tuple[int, ...]
    kinds: tuple[nonfinite.Kinds, ...]
    states: tuple[nonfinite.Kinds, ...]

    @property
    def steady(self) -> bool:
        """Whether the product of the gates is the same in every run."""
        return bool(self.gates) and set(self.gates) <= set(self.fixed)


@attrs.frozen(cache_hash=True)
class KernelSpec(ScanSpec[Program]):
    """A kernel in straight-line code.

    Args:
        loop: The loop.
        ordinary: For each leaf of the state the infinities that are as good as any value; empty for none.
        compose: Of an action by runs the combine of elements; None of all others.
        parts: Of an action by runs what may go wrong with products and states.
        narrow: Lanes are of `narrow_bytes`, and not of 4 at least.
        around: Along rows what makes elements of what is read, and results of states.
    """

    loop: Loop = attrs.field(default=Loop.ROWS, converter=Loop)
    ordinary: tuple[nonfinite.Kinds, ...] = ()
    compose: Program | None = None
    parts: Parts | None = None
    narrow: bool = False
    around: Around | None = None

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero: not beside float64, for one bit of the processor serves both."""
        programs = (self.combine, *(self.around.programs if self.around else ()))
        return self.flush and not any("float64" in program.dtypes for program in programs)

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        return self.element if self.around is None else self.around.prepare.elements

    @property
    def shown(self) -> tuple[Leaf, ...]:
        return super().shown if self.around is None else self.around.outputs

    @property
    def starts(self) -> tuple[Leaf, ...]:
        return (*(self.around.outputs if self.around else ()), *super().starts)

    @property
    def apart(self) -> bool:
        return self.action or self.around is not None

    @cached_property
    def tree(self) -> tuple[int, ...]:
        """The leaves that a reassociating loop must hold: partial folds stand on the right too."""
        return self.carried if self.action else self.combine.carried(self.emit, parts=True)

    @property
    def computed(self) -> tuple[int, ...]:
        """The leaves that combine computes in this loop."""
        return self.carried if self.loop is Loop.SEQUENTIAL else self.tree

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The leaves that a walk reads: in fold order also those that make the first state, in runs all."""
        if self.around is not None:
            return self.around.read
        if self.compose is not None:
            return tuple(range(len(self.element)))
        right = frozenset[int]().union(*(self.combine.reads[leaf][1] for leaf in self.carried))
        first = frozenset() if self.action else frozenset(self.carried)
        if self.begin is not None:
            first = frozenset().union(*(self.begin.reads[leaf][1] for leaf in self.carried))
        return tuple(sorted(right | first))

    @cached_property
    def watch(self) -> nonfinite.Watch | None:
        """What tells that regrouping broke an answer, lane by lane of `tree`; ``None`` if nothing does for sure."""
        if self.action:
            return None
        ordinary = self.ordinary or (frozenset[str](),) * len(self.state)
        kinds = tuple(ordinary[leaf] for leaf in self.tree for _ in range(self.state[leaf].lanes))
        found = nonfinite.watch(self.program(self.tree), kinds)
        # Lanes of partial folds alone are no results, and no carry holds them.
        return None if found is None or (found.whole and self.tree != self.carried) else found

    @property
    def can_part(self) -> bool:
        """Whether a row may be cut: where a part can be told to have gone wrong, and the order need not be kept."""
        told = self.watch is not None or self.parts is not None
        return told and self.loop not in (Loop.SEQUENTIAL, Loop.SHORT)

    @cached_property
    def lanes(self) -> tuple[range, ...]:
        """The state lanes of each leaf, counted over all leaves."""
        return _lanes(self.state)

    @cached_property
    def element_lanes(self) -> tuple[range, ...]:
        """The same of an element."""
        return _lanes(self.element)

    @cached_property
    def input_lanes(self) -> tuple[range, ...]:
        """The same of what is read."""
        return _lanes(self.inputs)

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each state lane."""
        return tuple(leaf.dtype for leaf in self.state for _ in range(leaf.lanes))

    def lanes_of(self, leaves: Iterable[int]) -> tuple[int, ...]:
        """The lanes of some leaves, in order."""
        return tuple(lane for leaf in leaves for lane in self.lanes[leaf])

    def program(self, leaves: tuple[int, ...]) -> Program:
        """The combine, cut down to some of its outputs."""
        return _selected(self.combine, leaves)

    def functions(self, leaves: tuple[int, ...]) -> dict[str, Program]:
        """All that a loop runs which computes some of the leaves, by name."""
        begin = None if self.begin is None else _selected(self.begin, leaves)
        found = {"combine": self.program(leaves), "begin": begin, "compose": self.compose}
        if self.around is not None:
            found |= {"prepare": self.around.prepare, "present": self.around.present}
        return {name: program for name, program in found.items() if program is not None}

    def programs(self, leaves: tuple[int, ...]) -> tuple[Program, ...]:
        """The same without their names."""
        return tuple(self.functions(leaves).values())

    @cached_property
    def values(self) -> frozenset[str]:
        """The dtypes of every value that a reassociating loop holds."""
        used = {instr.dtype for program in self.programs(self.tree) for instr in program.code}
        held = {self.state[leaf].dtype for leaf in self.tree} | {c.dtype for c in self.combine.captures}
        read = {self.inputs[leaf].dtype for leaf in self.read} if self.apart else set[str]()
        return frozenset(used | held | read | ({leaf.dtype for leaf in self.element} if self.compose else set()))

    @cached_property
    def width(self) -> int:
        """Lanes of a vector: one register of the widest value, and 4 at least."""
        return self.vector_bytes // self.narrow_bytes if self.narrow else vector_lanes(self.values, self.vector_bytes)

    @cached_property
    def narrow_bytes(self) -> int:
        """Bytes of an item where one or two hold every value and wrap as they should; 0 elsewhere."""
        stored = {SIZES[name] for name in (*self.elements, *self.results, *self.capture_dtypes, *self.dtypes)}
        held = {SIZES[name] for name in self.values if name != "bool"}
        closed = all(instr.op in _CLOSED for instr in self.program(self.tree).code)
        size = max(stored, default=4)
        return size if size < 4 and stored | held == {size} and closed and not self.apart else 0

    @cached_property
    def wrapped_by_stores(self) -> bool:
        """Whether what lies above the bits of small integers reaches none of these: their ring, and nothing else."""
        held = self.values.union(self.elements, self.results, self.capture_dtypes)
        ring = all(instr.op in _RING for program in self.programs(self.tree) for instr in program.code)
        return ring and len(held) == 1 and held <= {"int8", "uint8", "int16", "uint16"}

    @cached_property
    def columns(self) -> int:
        """The most columns that the loop takes beside each other; 0 for any number."""
        return {Loop.ROWS: 1, Loop.SHORT: 1, Loop.RUNS: 1, Loop.NARROW: self.width - 1}.get(self.loop, 0)

    @property
    def uneven(self) -> bool:
        """Whether columns beside each other may end apart: a loop that keeps the order goes on from any step, on some."""
        return self.loop in (Loop.SWEEP, Loop.PANELS, Loop.SHORT, Loop.SEQUENTIAL)

    @property
    def strided(self) -> bool:
        """Whether the loop reads columns that stand any distance apart."""
        return self.loop in (Loop.SWEEP, Loop.PANELS, Loop.NARROW, Loop.SEQUENTIAL)


def _lanes(leaves: Iterable[Leaf]) -> tuple[range, ...]:
    ends = [0]
    for leaf in leaves:
        ends.append(ends[-1] + leaf.lanes)
    return tuple(range(a, b) for a, b in pairwise(ends))


@PROGRAMS.memoised
def _selected(program: Program, leaves: tuple[int, ...]) -> Program:
    """Some outputs of a program: many ask for the same."""
    return program.select(leaves)
