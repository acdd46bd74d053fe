"""What is asked: everything that planning knows about a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import attrs

from monoscan import dtypes, tree
from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.plan.identity import Like, Scalars, identity_constants
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.options import Options, of_leaves
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Leaf, Program, Shape, closure
from monoscan.lowering.program.nonfinite import Kinds, infinities
from monoscan.lowering.trace.before import trace_before
from monoscan.lowering.trace.combine import Traced, trace_combine
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.monoids.facts import Facts


@attrs.frozen
class Traces:
    """What an operator was traced to.

    Args:
        number: The number of leaves.
        combine: The program of ``combine``, or why there is none.
        before: That of ``before``, where an exclusive scan has to ask it.
    """

    number: int
    combine: Traced
    before: Traced | None = None

    @property
    def depends(self) -> tuple[tuple[int, ...], ...]:
        """What each leaf depends on: all leaves, where one could not be traced."""
        programs = [each.program or each.arrays for each in (self.combine, self.before) if each is not None]
        known = [program.reads for program in programs if program is not None]
        if len(known) < len(programs):
            return (tuple(range(self.number)),) * self.number
        return closure(
            [frozenset[int]().union(*(side for both in each for side in both)) for each in zip(*known, strict=True)]
        )


@attrs.frozen(eq=False)
class Problem:
    """One scan to plan: operator, element type, geometry, program, options.

    Args:
        captures: The operator; in a plan, with a `Leaf` in place of each array that it captures.
        structure: The tree of an element.
        stored: The dtype of each leaf as given.
        layout: The geometry.
        traces: The programs, or why there are none.
        options: The options.
        slices: ``combine`` takes whole slices along the axis, as JAX's does.
        acts: The states, where elements act on some.
        bounds: Where sequences begin and end, if they are not the whole axis.
    """

    captures: Captures
    structure: tree.Structure
    stored: tuple[str, ...]
    layout: Layout
    traces: Traces
    options: Options
    slices: bool = False
    acts: Acts | None = None
    bounds: Bounds | None = None

    @property
    def trivial(self) -> bool:
        """Whether at most one combine is all there is to do; of an act, nothing."""
        layout = self.layout
        return layout.trivial if self.acts is None else layout.length == 0 or self.acts.layout.empty

    @property
    def sequences(self) -> int | None:
        """How many sequences the scan axis holds; ``None`` where it is one."""
        return None if self.bounds is None else self.bounds.sequences

    @property
    def operator(self) -> Semigroup:
        """The operator."""
        operator: Semigroup = self.captures.root
        return operator

    @property
    def whole(self) -> bool:
        """``combine`` runs on whole slices alone, which may be of any length: as JAX cuts them, or not at all."""
        return self.slices and self.program is None

    @property
    def traced(self) -> Traced:
        """The program of ``combine``, or why there is none."""
        return self.traces.combine

    @property
    def before(self) -> Traced | None:
        """What ``before`` traces to, where an exclusive scan has to ask it."""
        return self.traces.before

    @property
    def program(self) -> Program | None:
        """The traced program, if there is one."""
        return self.traced.program

    @property
    def arrays(self) -> ArrayProgram | None:
        """The array program, if an element has many lanes."""
        return self.traced.arrays

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The dtype of each result leaf."""
        return self.operator.promote(self.stored)

    @property
    def real(self) -> tuple[int, ...]:
        """The leaves that are real as given and complex in what they are combined with."""
        types = enumerate(zip(self.stored, self.results, strict=True))
        return tuple(i for i, (own, result) in types if result in dtypes.COMPLEX and own not in dtypes.COMPLEX)

    @cached_property
    def accumulators(self) -> tuple[str, ...]:
        """The dtype in which each leaf is combined, and that of the carry."""
        return accumulators(self.operator, self.stored)

    @property
    def joint(self) -> Layout:
        """The geometry of all that goes in: of an act that of the state too."""
        return self.layout if self.acts is None else self.acts.joint

    @property
    def outcome(self) -> Layout:
        """The geometry of results."""
        return self.layout if self.acts is None else self.acts.layout

    @property
    def rounded(self) -> tuple[str, ...]:
        """The dtype of each leaf of the results: of an act those of states."""
        return self.results if self.acts is None else self.acts.results

    @cached_property
    def carried(self) -> tuple[str, ...]:
        """The dtype of each leaf of the carry."""
        return self.accumulators if self.acts is None else tuple(leaf.dtype for leaf in self.acts.leaves)

    @cached_property
    def facts(self) -> Facts:
        """The operator's facts at these dtypes."""
        return self.operator.facts(self.accumulators)

    @cached_property
    def element(self) -> tuple[Leaf, ...]:
        """The leaves of one element, in the accumulation dtype."""
        return element(self.operator, self.stored, self.layout.event)

    @property
    def like(self) -> Like:
        """What an identity is asked for."""
        return Like(self.options.call, self.structure, self.element)

    def needs_identity(self, strategy: str = "kernel") -> bool:
        """Whether the identity stands in the results, or in the tree that the strategy walks."""
        if self.layout.init is not None:
            return False
        placed = not self.options.inclusive or strategy == "blelloch"
        return self.bounds is not None or (self.options.results and placed)

    @cached_property
    def neutral(self) -> tuple[Scalars, ...] | None:
        """For each leaf the identity's lanes; ``None`` if there is none, or they are not constants."""
        return identity_constants(self.captures, self.like) if self.operator.has_identity else None

    @cached_property
    def ordinary(self) -> tuple[Kinds, ...]:
        """For each leaf the infinities that its identity holds, and so any element may."""
        return usual(lambda: None if self.program is None else self.neutral, len(self.stored))

    def kept(self, told: bool = False) -> Problem:
        """The same for a plan: it holds neither arrays nor functions, and remembers what the operator said.

        Args:
            told: Its identity too, whether results show it or not.
        """
        kept = attrs.evolve(self, captures=self.captures.stripped())
        wanted = self.needs_identity() or self.options.shapeless
        known = ("neutral",) if told or ((self.program or self.arrays) is not None and wanted) else ()
        for name in ("results", "accumulators", "facts", "element", "ordinary", *known):
            object.__setattr__(kept, name, getattr(self, name))
        object.__setattr__(kept, "parts", tuple(part.kept() for part in self.parts))
        return kept

    @cached_property
    def parts(self) -> tuple[Problem, ...]:
        """The problems of a product's parts, each on its own leaves; none for any other operator."""
        return tuple(self._part(i) for i in range(len(self.operator.parts) if self.acts is None else 0))

    def _part(self, number: int) -> Problem:
        """The problem of a product's part, on its own leaves."""
        structures = self.structure[-1]
        start = sum(tree.count(structure) for structure in structures[:number])
        stop = start + tree.count(structures[number])
        captures, stored = capture(self.operator.parts[number]), self.stored[start:stop]
        asked = self.options if self.options.wanted is None else of_leaves(self.options, start, stop)
        leaves = element(captures.root, stored, self.layout.event[start:stop])
        traces = trace(captures, structures[number], leaves, asked)
        layout = attrs.evolve(
            self.layout,
            batch=self.layout.batch[start:stop],
            init=None if self.layout.init is None else self.layout.init[start:stop],
            event=self.layout.event[start:stop],
            depends=traces.depends,
        )
        return Problem(captures, structures[number], stored, layout, traces, asked)


def usual(neutral: Callable[[], tuple[Scalars, ...] | None], number: int) -> tuple[Kinds, ...]:
    """For each of so many leaves the infinities that an identity holds; none where there is no identity."""
    try:
        found = neutral()
    except Exception:  # what is wrong with an identity is said where it is needed
        found = None
    return tuple(infinities(lanes) for lanes in found or ((),) * number)


def accumulators(operator: Semigroup, stored: tuple[str, ...]) -> tuple[str, ...]:
    """The dtypes in which leaves of these dtypes are combined."""
    return tuple(dtypes.accumulation(name) for name in operator.promote(stored))


def element(operator: Semigroup, stored: tuple[str, ...], events: tuple[Shape, ...]) -> tuple[Leaf, ...]:
    """The leaves of one element, in the accumulation dtype."""
    return tuple(Leaf(*each) for each in zip(accumulators(operator, stored), events, strict=True))


def trace(captures: Captures, structure: tree.Structure, leaves: tuple[Leaf, ...], asked: Options) -> Traces:
    """Traces what a scan of these elements runs.

    Args:
        captures: The operator.
        structure: The tree of an element.
        leaves: The leaves of one element.
        asked: The options.
    """
    before, key = None, ("before", captures.key, structure, leaves)
    if captures.root.restarts and asked.results and not asked.inclusive:
        before = PROGRAMS.get(key, lambda: trace_before(captures, structure, leaves, asked.call))
    return attrs.evolve(trace_alone(captures, structure, leaves, asked), before=before)


def trace_alone(captures: Captures, structure: tree.Structure, leaves: tuple[Leaf, ...], asked: Options) -> Traces:
    """Traces ``combine``, and nothing of what an exclusive scan shows at heads."""
    key = ("combine", captures.key, structure, leaves)
    combine = PROGRAMS.get(key, lambda: trace_combine(captures.root, structure, leaves, captures, asked.call))
    return Traces(len(leaves), combine)
