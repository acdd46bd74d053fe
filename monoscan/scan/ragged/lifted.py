"""A scan of sequences as one of elements with flags, which has the strategies, kernels and gradients of any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.cache import PLANS
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.identity import neutral
from monoscan.lowering.plan.options import Options, changed
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.shapes import remove_axes
from monoscan.scan import call
from monoscan.scan.ragged.axes import Leaves, wide, with_sequences
from monoscan.scan.ragged.given import Aligned
from monoscan.scan.ragged.operator import flagged, lifted
from monoscan.tree import Tree

Found = tuple[Sequence[mx.array | None], Sequence[mx.array | None]]
"""The leaves of results, and those of the carry."""


@attrs.frozen
class Flagged:
    """Elements with flags.

    Args:
        structure: Their tree.
        held: For each of its leaves the number of that of the elements; of flags one from the end.
    """

    structure: tree.Structure
    held: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, number: int, packed: bool) -> Flagged:
        """Those of so many leaves."""
        numbered = tree.unflatten(problem.structure, list(range(number)))
        held, structure = tree.flatten(flagged(problem.operator, [-2, -1] if packed else [-1], numbered))
        return cls(structure, tuple(held))


@attrs.frozen(eq=False)
class Lifted:
    """A scan of sequences as one of elements with flags, all of which have all axes.

    Args:
        problem: What is asked.
        captures: The operator.
        places: The positions.
        leaves: The leaves of the elements, in fold dtypes where the carry is read from results.
        start: Those of ``init``, with the number of sequences, or 1, in the place of the scan axis; ``None`` without.
        several: Whether that is the axis of sequences.
        flags: Elements with flags.
    """

    problem: Problem
    captures: Captures
    places: Places
    leaves: Leaves
    start: Leaves | None
    several: bool
    flags: Flagged

    @classmethod
    def of(
        cls, problem: Problem, captures: Captures, leaves: Leaves, start: Leaves | None, aligned: Aligned,
        several: bool | None = None,
    ) -> Lifted:  # fmt: skip
        """From what is given.

        Args:
            problem: What is asked.
            captures: The operator.
            leaves: The leaves of the elements.
            start: Those of ``init``.
            aligned: Lengths, mask and offsets.
            several: Whether ``init`` has an axis of sequences. Default: where there are offsets.
        """
        layout = problem.layout
        places = aligned.places(layout.length, layout.axis, layout.rank + 1, problem.options.reverse)
        several = places.packed if several is None else several
        xs = [layout.align(x, i) for i, x in enumerate(leaves)]
        if places.packed:  # where carries are read from results, and elements are placed at heads
            xs = [x.astype(dtypes.by_name(name)) for x, name in zip(xs, problem.accumulators, strict=True)]
        if start is not None:
            rows = zip(start, layout.event, problem.accumulators, strict=True)
            start = [
                with_sequences(x, len(event), layout.axis, layout.rank, several).astype(dtypes.by_name(name))
                for x, event, name in rows
            ]
        flags = PLANS.get(("flagged", problem, places.packed), lambda: Flagged.of(problem, len(xs), places.packed))
        return cls(problem, captures, places, xs, start, several, flags)

    @property
    def axis(self) -> int:
        """The scan axis."""
        return self.places.axis

    def run(self) -> Found:
        """The results and the carry, each where it is wanted, as the caller sees them."""
        asked, layout = self.problem.options, self.problem.layout
        if not layout.length:
            return self._nothing()
        if not self.places.packed:
            return self.restored(*self._scan(asked))
        once, shown, totals = changed(asked, results=True, return_carry=False), None, None
        if asked.results:
            shown = totals = self._values(self._scan(once)[0])
        if not asked.results or (asked.return_carry and not asked.inclusive):
            totals = self._values(self._scan(changed(once, inclusive=True))[0])
        folded = asked.return_carry or not asked.results
        last = [self._last(y, i) for i, y in enumerate(totals or [])] if folded else []
        return ([] if shown is None else self._shown(self._started(shown))), last

    def restored(self, found: Sequence[mx.array | None], carry: Sequence[mx.array | None]) -> Found:
        """Results and carry of elements with flags, as the caller sees those of elements."""
        layout = self.problem.layout
        last = enumerate(self._values(carry))
        return self._shown(self._values(found)), [
            c if c is None else layout.restore_carry(c, i, self.several) for i, c in last
        ]

    def _nothing(self) -> Found:
        """No positions: no results, and the carry is what sequences start from."""
        asked, layout, number = self.problem.options, self.problem.layout, len(self.leaves)
        names = [dtypes.by_name(name) for name in self.problem.results]
        ys = [mx.zeros(layout.result_shape(i), names[i]) for i in range(number)] if asked.results else []
        if asked.results and not asked.return_carry:
            return ys, []
        sequences = (self.places.offsets.shape[0] - 1,) if self.places.offsets is not None else ()
        last = []
        for i, x in enumerate(self._blank if self.start is None else self.start):
            x = x if self.start is None or sequences else x.squeeze(self.axis)
            batch = layout.result_batches[i]
            shape = (*batch[: self.axis], *sequences, *batch[self.axis :], *layout.event[i])
            padded = x if self.start is None else remove_axes(x, 0, x.ndim - len(shape))
            last.append(mx.broadcast_to(padded, shape))
        return ys, last

    def plan(self) -> Plan:
        """What runs."""
        asked = self.problem.options
        if self.places.packed:
            asked = changed(asked, results=True, return_carry=False)
        return call.prepare(*self.operands(asked))[0]

    def _scan(self, asked: Options) -> Found:
        """The leaves of results and carry of elements with flags, with all axes."""
        elems, init = self._flat()
        raised = self._raised()
        key = ("flagged plan", self.problem, asked, FAILURES.generation)  # the problem knows all shapes
        plan = PLANS.get(key, lambda: call.prepare(*self._as_trees(asked, raised, elems, init))[0])
        return execute(plan, elems, raised, init)

    def operands(self, asked: Options) -> tuple[Options, Captures, Tree, int, Tree]:
        """The scan of elements with flags: options, operator, elements, axis and ``init``."""
        return self._as_trees(asked, self._raised(), *self._flat())

    def _as_trees(
        self, asked: Options, raised: Captures, elems: Leaves, init: Leaves
    ) -> tuple[Options, Captures, Tree, int, Tree]:
        wanted, structure = None, self.flags.structure
        if asked.inclusive or not raised.root.restarts:  # what stands before heads is put there from all leaves
            shown = asked.wanted or range(len(self.leaves))
            wanted = tuple(place for place, leaf in enumerate(self.flags.held) if leaf in shown)
        asked = changed(asked, call="scan", wanted=wanted)
        return asked, raised, tree.unflatten(structure, elems), self.axis, tree.unflatten(structure, init)

    def _raised(self) -> Captures:
        return capture(lifted(self.captures.root, self.places.packed), "scan")

    def _flat(self) -> tuple[Leaves, Leaves]:
        """The leaves of elements with flags, and those of ``init``."""
        places = self.places
        leaves, valid = self._elements()
        begins = self.start is not None and not places.packed
        start = [x if self.several else x.squeeze(self.axis) for x in self.start or ()] if begins else self._blank
        known = [*leaves, *([places.head] if places.packed else []), valid]
        first = [*start, *([mx.array(False)] if places.packed else []), mx.array(begins)]
        return [known[i] for i in self.flags.held], [first[i] for i in self.flags.held]

    def _values(self, found: Sequence[mx.array | None]) -> list[mx.array | None]:
        """Those of leaves that are no flags, in the order of elements."""
        if not found:
            return []
        return [y for y, i in zip(found, self.flags.held, strict=True) if i >= 0]

    def _elements(self) -> tuple[Leaves, mx.array]:
        """The leaves and which are valid; in front of the first ones of sequences ``init`` is combined."""
        places, valid = self.places, self.places.valid
        leaves = self.leaves
        if self.problem.program is None and self.problem.arrays is None:  # MLX's derivatives let NaN pass a choice
            rows = zip(leaves, self._blank, self.problem.layout.event, strict=True)
            leaves = [mx.where(wide(valid, len(e)), x, blank.astype(x.dtype)) for x, blank, e in rows]
        if self.start is None or not places.packed:
            return leaves, valid
        heads = mx.logical_and(places.head, places.covered)
        rows = zip(leaves, self._first(inclusive=True), self.problem.layout.event, strict=True)
        placed = [mx.where(wide(heads, len(e)), places.each(first), x) for x, first, e in rows]
        return placed, mx.logical_or(valid, heads)

    def _first(self, inclusive: bool) -> Leaves:
        """What a scan shows at the first position of each sequence, with their number in the place of the scan axis."""
        assert self.start is not None, "without it nothing is placed"
        if not inclusive and not self.captures.root.restarts:
            return self.start
        places, axis = self.places, self.axis
        asked = changed(self.problem.options, inclusive=inclusive, results=True, return_carry=False, strategy="auto")
        valid = places.first(places.valid)
        nothing = self._blank if self.captures.root.has_identity else self.start
        events = [len(event) for event in self.problem.layout.event]
        rows = zip(self.leaves, nothing, events, strict=True)  # of which a derivative would know, whatever is chosen
        heads = [mx.where(wide(valid, e), places.first(x), n.astype(x.dtype)) for x, n, e in rows]
        one = self._tree([mx.expand_dims(x, axis) for x in heads])
        plan, leaves, start = call.prepare(
            changed(asked, call="scan", wanted=None), self.captures, one, axis, self._tree(self.start)
        )
        results, _ = execute(plan, leaves, self.captures, start)
        shown = zip(results, self.start, events, strict=True)
        return [mx.where(wide(valid, e), y.squeeze(axis), first) for y, first, e in shown if y is not None]

    def _started(self, ys: Sequence[mx.array | None]) -> Sequence[mx.array | None]:
        """Exclusive results with ``init`` at the heads of sequences."""
        if self.problem.options.inclusive or self.start is None:
            return ys
        heads = mx.logical_and(self.places.head, self.places.covered)
        rows = zip(ys, self._first(inclusive=False), self.problem.layout.event, strict=True)
        return [None if y is None else mx.where(wide(heads, len(e)), self.places.each(s), y) for y, s, e in rows]

    def _last(self, y: mx.array | None, leaf: int) -> mx.array | None:
        """The fold of each sequence."""
        if y is None:
            return None
        empty = wide(self.places.empty, len(self.problem.layout.event[leaf]))
        nothing = self._blank[leaf] if self.start is None else self.start[leaf]
        return self.problem.layout.restore(mx.where(empty, nothing, self.places.last(y)), leaf)

    @property
    def _blank(self) -> Leaves:
        """The leaves of what stands where nothing came before: the identity, else zeros."""
        known, element = self.problem.neutral, self.problem.element
        if known is not None and not any(leaf.shape or leaf.dtype in dtypes.COMPLEX for leaf in element):
            return [dtypes.constant(value, leaf.dtype) for (value,), leaf in zip(known, element, strict=True)]
        if self.captures.root.has_identity:
            return neutral(self.captures.root, self.problem.like)
        return [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in element]

    def _shown(self, ys: Sequence[mx.array | None]) -> list[mx.array | None]:
        names, layout = self.problem.results, self.problem.layout
        rows = enumerate(zip(ys, names, strict=False))
        return [None if y is None else layout.restore(y.astype(dtypes.by_name(name)), i) for i, (y, name) in rows]

    def _tree(self, leaves: Sequence[Any]) -> Tree:
        return tree.unflatten(self.problem.structure, list(leaves))
