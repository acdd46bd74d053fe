"""How ``scan``, ``fold`` and ``linear_recurrence`` run on sequences as they come.

By a kernel that knows lengths and offsets, where there is one; a mask is a leaf of its elements. Else by the scan of an
operator on elements with flags, which has the strategies, the kernels and the gradients of any other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.cache import PLANS
from monoscan.lowering.execute import execute
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.identity import neutral
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Options, Problem
from monoscan.lowering.planner import plan_bounded
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.monoids.shapes import insert_axes, remove_axes
from monoscan.scan import call, elements
from monoscan.scan.leaves import arrays_of
from monoscan.scan.passes import without_sequences
from monoscan.scan.question import Question, not_an_operator
from monoscan.scan.ragged.given import Aligned, Given, align, batch_of, check_reach, given
from monoscan.scan.ragged.operator import flagged, lifted
from monoscan.tree import Tree

Leaves = list[mx.array]
Raw = tuple[Any, Any, Any]
"""Lengths, mask and offsets, as a call is given them."""
Found = tuple[Sequence[mx.array | None], Sequence[mx.array | None]]
"""The leaves of results, and those of the carry."""


@functools.lru_cache(maxsize=1024)
def options(asked: Options, **changes: Any) -> Options:
    """The same options but for these: always the same object."""
    return attrs.evolve(asked, **changes)


def run(asked: Options, operator: Semigroup, elems: Tree, axis: int, init: Tree | None, raw: Raw) -> tuple[Tree, Tree]:
    """The results and the carry, each where it is wanted, as trees."""
    scan = opened(asked, operator, elems, axis, init, raw)
    results, carry = scan.run()
    structure = scan.problem.structure
    if not asked.results:
        rounded = zip(carry, scan.problem.results, strict=True)
        carry = [c if c is None else c.astype(dtypes.by_name(name)) for c, name in rounded]
    return (
        tree.unflatten(structure, results) if asked.results else None,
        tree.unflatten(structure, carry) if carry else None,
    )


def opened(asked: Options, operator: Semigroup, elems: Tree, axis: int, init: Tree | None, raw: Raw) -> RaggedScan:
    """A scan of sequences, checked.

    Raises:
        ScanError: Something does not fit.
    """
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    leaves, structure = tree.flatten(elems)
    question = Question(asked, captures, structure)
    refuse_shapeless(question.where)
    axis = elements.axis_number(question, axis)
    leaves = arrays_of(question, elems, leaves, axis)
    shapes, stored = tuple([x.shape for x in leaves]), tuple([dtypes.name_of(x.dtype) for x in leaves])
    axis, events = elements.event_shapes(question, shapes, axis)
    found = given(question.where, *raw)
    check_reach(question.where, raw[2], shapes[0][axis])
    start = starts = None
    if init is not None:
        start = elements.init_leaves(question, init, stored)
        numbers = [len(event) for event in events]
        starts = first_shapes(question.where, question.starts, start, numbers, axis, found.sequences)
    key = ("ragged", captures.key, structure, shapes, stored, axis, starts, asked, found.typed, FAILURES.generation)
    problem: Problem = PLANS.get(
        key, lambda: _posed(question, found, call.pose(question, shapes, stored, axis, starts))
    )
    aligned = align_given(question.where, found, problem.layout)
    return RaggedScan(problem, captures, leaves, start, aligned)


def refuse_shapeless(where: str) -> None:
    """Says that there is no plan for every size.

    Raises:
        StrategyError: One is asked for.
    """
    if shapeless.tracing():
        raise errors.StrategyError(
            f"{where} with lengths, mask or offsets has no plan that fits every size, as mx.compile(..., shapeless=True) asks. "
            "Compile without shapeless=True: each shape is traced anew then."
        )


def first_shapes(
    where: str, names: Sequence[str], start: Sequence[mx.array], events: Sequence[int], axis: int, sequences: int | None
) -> tuple[Shape, ...]:
    """The shapes of the leaves of what sequences start from, without the axis of sequences.

    Raises:
        ScanError: One has no such axis.
    """
    pairs = list(zip(start, events, strict=True))
    batches = tuple(tuple(x.shape[: x.ndim - event]) for x, event in pairs)
    if sequences is not None:
        batches = without_sequences(where, names, batches, axis, sequences)
    return tuple(batch + tuple(x.shape[x.ndim - event :]) for batch, (x, event) in zip(batches, pairs, strict=True))


def align_given(where: str, found: Given, layout: Layout) -> Aligned:
    """Lengths, mask and offsets, aligned with elements of this geometry."""
    batch = tuple(mx.broadcast_shapes(*layout.batch, ()))
    return align(where, found, layout.axis, layout.length, batch, layout.rank)


def _posed(question: Question, found: Given, problem: Problem) -> Problem:
    """The problem of sequences, from that of the whole axis."""
    _check_identity(question, found, problem)
    layout, given_arrays = problem.layout, align_given(question.where, found, problem.layout)
    layout = attrs.evolve(layout, bounds=bounds_batch(given_arrays, layout))
    return attrs.evolve(problem, layout=layout).kept()


def bounds_batch(aligned: Aligned, layout: Layout) -> Shape:
    """The batch axes on which it depends which positions are valid."""
    return batch_of([x.shape for x in (aligned.lengths, aligned.mask) if x is not None], layout.axis)


def _check_identity(question: Question, found: Given, problem: Problem) -> None:
    asked = problem.options
    if problem.operator.has_identity or problem.layout.init is not None:
        return
    why = [name for name in ("mask", "lengths") if getattr(found, name) is not None]
    folded = asked.return_carry or not asked.results
    if not why and (not asked.inclusive or folded):
        why = [
            "offsets and " + ("inclusive=False" if not asked.inclusive else "the fold of a sequence that may be empty")
        ]
    if why:
        raise errors.IdentityError(
            f"{question.where} has no identity, which {' and '.join(why)} may show. Give init=, or Maybe({question.operator.name}), "
            "which adjoins one."
        )


@attrs.frozen(eq=False)
class RaggedScan:
    """A scan of sequences.

    Args:
        problem: What is asked; its layout tells nothing of the axis of sequences.
        captures: The operator.
        leaves: The leaves of the elements, as given.
        start: Those of ``init``, as given, with the axis of sequences where there are several; ``None`` without.
        aligned: Lengths, mask and offsets.
    """

    problem: Problem
    captures: Captures
    leaves: Leaves
    start: Leaves | None
    aligned: Aligned

    def run(self) -> Found:
        """The results and the carry, each where it is wanted, in the dtypes of the plain scan."""
        found = by_kernel(self.problem, self.captures, self.leaves, self.start, self.aligned)
        return Lifted.of(self).run() if found is None else found

    def plan(self) -> Plan:
        """What runs."""
        plan = kernel_plan(self.problem, self.captures, self.leaves, self.aligned)
        return Lifted.of(self).plan() if isinstance(plan, str) else plan


def by_kernel(
    problem: Problem, captures: Captures, leaves: Leaves, start: Leaves | None, aligned: Aligned
) -> Found | None:
    """The results and the carry by a kernel that knows lengths and offsets; ``None`` where there is none."""
    plan = kernel_plan(problem, captures, leaves, aligned)
    if isinstance(plan, str):
        return None
    try:
        return execute(plan, leaves, captures, start, *aligned.arrays)
    except BridgeUnavailable:  # said and remembered where it failed
        return None


def kernel_plan(problem: Problem, captures: Captures, leaves: Leaves, aligned: Aligned) -> Plan | str:
    """The plan by such a kernel, or why there is none."""
    bounds = aligned.bounds
    if bounds is None or aligned.mask is not None:
        return "a mask is a leaf of the elements"
    acts = None if problem.acts is None else (problem.acts.structure, problem.acts.leaves, problem.acts.given)
    typed = tuple(x.dtype for x in leaves)
    key = ("bounded", captures.key, problem.structure, problem.layout, acts, typed, bounds, problem.options)
    asked = attrs.evolve(problem, bounds=bounds, captures=captures)
    plan: Plan | str = PLANS.get((*key, FAILURES.generation), lambda: plan_bounded(asked))
    return plan


@attrs.frozen(eq=False)
class Lifted:
    """A scan of sequences as one of elements with flags, all of which have all axes.

    Args:
        problem: What is asked.
        captures: The operator.
        places: The positions.
        leaves: The leaves of the elements, in fold dtypes where the carry is read from results.
        start: Those of ``init``, with the number of sequences, or 1, in the place of the scan axis; ``None`` without.
    """

    problem: Problem
    captures: Captures
    places: Places
    leaves: Leaves
    start: Leaves | None

    @classmethod
    def of(cls, scan: RaggedScan) -> Lifted:
        """From what is given."""
        problem, layout = scan.problem, scan.problem.layout
        places = scan.aligned.places(layout.length, layout.axis, layout.rank + 1, problem.options.reverse)
        leaves = [layout.align(x, i) for i, x in enumerate(scan.leaves)]
        if places.packed:  # where carries are read from results, and elements are placed at heads
            leaves = [x.astype(dtypes.by_name(name)) for x, name in zip(leaves, problem.accumulators, strict=True)]
        start = None
        if scan.start is not None:
            rows = zip(scan.start, problem.layout.event, problem.accumulators, strict=True)
            start = [
                with_sequences(x, len(event), layout.axis, layout.rank, places.packed).astype(dtypes.by_name(name))
                for x, event, name in rows
            ]
        return cls(problem, scan.captures, places, leaves, start)

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
            ys, last = self._scan(asked)
            return self._shown(ys), [c if c is None else layout.restore_carry(c, i) for i, c in enumerate(last)]
        once, shown, totals = options(asked, results=True, return_carry=False), None, None
        if asked.results:
            shown = totals = self._scan(once)[0]
        if not asked.results or (asked.return_carry and not asked.inclusive):
            totals = self._scan(options(once, inclusive=True))[0]
        folded = asked.return_carry or not asked.results
        last = [self._last(y, i) for i, y in enumerate(totals or [])] if folded else []
        return ([] if shown is None else self._shown(self._started(shown))), last

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
            asked = options(asked, results=True, return_carry=False)
        return call.prepare(*self._operands(asked))[0]

    def _scan(self, asked: Options) -> Found:
        """The leaves of results and carry with all axes."""
        scan = self._operands(asked)
        plan, leaves, start = call.prepare(*scan)
        results, carry = execute(plan, leaves, scan[1], start)
        return self._values(results), self._values(carry)

    def _operands(self, asked: Options) -> tuple[Options, Captures, Tree, int, Tree]:
        """The scan of elements with flags: options, operator, elements, axis and ``init``."""
        operator, places = self.problem.operator, self.places
        raised = lifted(self.captures.root, places.packed)
        leaves, valid = self._elements()
        flags = [places.head, valid] if places.packed else [valid]
        off = [mx.array(False)] * (len(flags) - 1)
        if self.start is None or places.packed:
            init = flagged(operator, [*off, mx.array(False)], self._tree(self._blank))
        else:
            init = flagged(operator, [*off, mx.array(True)], self._tree([x.squeeze(self.axis) for x in self.start]))
        wanted = None
        if asked.inclusive or not raised.restarts:  # what stands before heads is put there from all leaves
            wanted = tuple(p for p, i in enumerate(self._held) if i in (asked.wanted or range(len(leaves))))
        asked = options(asked, call="scan", wanted=wanted)
        return asked, capture(raised, asked.call), flagged(operator, flags, self._tree(leaves)), self.axis, init

    def _values(self, found: Sequence[mx.array | None]) -> list[mx.array | None]:
        """Those of leaves that are no flags, in the order of elements."""
        if not found:
            return []
        return [y for y, i in zip(found, self._held, strict=True) if i >= 0]

    @property
    def _held(self) -> list[int]:
        """Which leaf of the elements each leaf of elements with flags is; -1 for flags."""
        flags = [-1, -1] if self.places.packed else [-1]
        return tree.flatten(flagged(self.problem.operator, flags, self._tree(range(len(self.leaves)))))[0]

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
        asked = options(self.problem.options, inclusive=inclusive, results=True, return_carry=False, strategy="auto")
        one = self._tree([mx.expand_dims(places.first(x), axis) for x in self.leaves])
        plan, leaves, start = call.prepare(
            options(asked, call="scan", wanted=None), self.captures, one, axis, self._tree(self.start)
        )
        results, _ = execute(plan, leaves, self.captures, start)
        valid = places.first(places.valid)
        rows = zip(results, self.start, self.problem.layout.event, strict=True)
        return [mx.where(wide(valid, len(e)), y.squeeze(axis), first) for y, first, e in rows if y is not None]

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
        if self.captures.root.has_identity:
            return neutral(self.captures.root, self.problem.like)
        return [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in self.problem.element]

    def _shown(self, ys: Sequence[mx.array | None]) -> list[mx.array | None]:
        names, layout = self.problem.results, self.problem.layout
        rows = enumerate(zip(ys, names, strict=False))
        return [None if y is None else layout.restore(y.astype(dtypes.by_name(name)), i) for i, (y, name) in rows]

    def _tree(self, leaves: Sequence[Any]) -> Tree:
        return tree.unflatten(self.problem.structure, list(leaves))


def with_sequences(x: mx.array, event: int, axis: int, rank: int, packed: bool) -> mx.array:
    """A leaf of what sequences start from with all axes: their number, or 1, in the place of the scan axis."""
    free = x.ndim - event
    if not packed or not free:
        return mx.expand_dims(insert_axes(x, 0, rank - free), axis)
    front = mx.moveaxis(x, axis, 0)
    return mx.moveaxis(insert_axes(front, 1, rank + 1 - free), 0, axis)


def wide(condition: mx.array, event: int) -> mx.array:
    """A condition with event axes."""
    return insert_axes(condition, condition.ndim, event)
