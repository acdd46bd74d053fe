"""A scan on aligned arrays: what kernels run, and what gradients are taken of.

The arrays come in one order everywhere: the leaves of the elements, the captured arrays,
the leaves of ``init``, or of the state of an act, if there is one. All have ``rank`` batch axes, of full size or 1,
and then their event axes; captured arrays and ``init`` have size 1 along the scan axis.
The rank is an argument of every function, for under ``mx.vmap`` it grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.identity import Scalars
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.strategies.slices import steps_of

Arrays = Sequence[mx.array]

Item = TypeVar("Item")


@attrs.frozen
class Reached:
    """The leaves that a leaf of the state depends on: of elements, and of the first state."""

    elements: tuple[int, ...]
    states: tuple[int, ...]


@attrs.frozen
class Part:
    """What is carried of a leaf of the state.

    Args:
        shape: The shape of all of it.
        lanes: The lanes that are carried, ascending.
    """

    shape: tuple[int, ...]
    lanes: tuple[int, ...]


@attrs.frozen(cache_hash=True)
class AlignedScan:
    """A traced scan, free of the caller's tree and shapes.

    Args:
        program: The step from one state to the next: the ``combine``, or how elements act on states.
        emit: The state leaves that are wanted, ascending: as results, and in the carry.
        results: The dtype of each result; none for a fold, fewer than wanted leaves where the last of them are
            wanted in the carry alone.
        reverse: Fold from the last element back.
        inclusive: Each position includes its own element.
        want_results: False for a fold.
        want_carry: The last state of every leaf is wanted too.
        identity: A constant for each state lane, where an exclusive scan without ``init`` starts.
        strategy: The portable strategy that stands for it.
        action: The step is an action: states are no elements.
        combine: Of an act, the operator's ``combine``, by which trees run; none runs without.
        begin: Of an act without a first state, the program of the one that a first element begins.
        parts: Of an act, for each leaf of the state what is carried of it, ``None`` where that is all; none where all leaves
            are whole.
        lengths: Behind its arrays stands how many steps of each row, or sequence, count.
        offsets: Behind them stands where sequences begin.
        outputs: How many of the first leaves are what steps put out and no states: zero where nothing counts.
        rolled: The step as loops over arrays, where its derivative is too long to be written out.
    """

    program: Program | ArrayProgram
    emit: tuple[int, ...]
    results: tuple[str, ...]
    reverse: bool = False
    inclusive: bool = True
    want_results: bool = True
    want_carry: bool = False
    identity: Scalars | None = None
    strategy: str = "brent_kung"
    action: bool = False
    combine: Program | None = None
    begin: Program | ArrayProgram | None = None
    parts: tuple[Part | None, ...] = ()
    lengths: bool = False
    offsets: bool = False
    outputs: int = 0
    rolled: ArrayProgram | None = None

    @property
    def bounded(self) -> bool:
        """Whether not every row is one sequence, all of whose steps count."""
        return self.lengths or self.offsets

    @property
    def begun(self) -> Program | None:
        """The program of the first state, where states have few lanes."""
        assert not isinstance(self.begin, ArrayProgram), "array programs have rules of their own"
        return self.begin

    @property
    def scalar(self) -> Program:
        """The program of an operator whose elements have few lanes."""
        assert isinstance(self.program, Program), "array programs have rules of their own"
        return self.program

    @property
    def state(self) -> tuple[Leaf, ...]:
        """The leaves of the state."""
        return self.program.outputs

    @property
    def shown(self) -> tuple[int, ...]:
        """The state leaves of which there are results."""
        return self.emit[: len(self.results)]

    @property
    def events(self) -> list[tuple[int, ...]]:
        """The event shape of each state leaf."""
        return [leaf.shape for leaf in self.state]

    def unpack(self, arrays: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item], Sequence[Item]]:
        """Elements, captures and init."""
        k, c, end = self.program.rights, len(self.program.captures), len(arrays) - self.lengths - self.offsets
        return arrays[:k], arrays[k : k + c], arrays[k + c : end]

    def bounds(self, arrays: Sequence[Item]) -> Sequence[Item]:
        """The lengths and the offsets, those that there are."""
        return arrays[len(arrays) - self.lengths - self.offsets :]

    def carry_axis(self, arrays: Sequence[mx.array], axis: int) -> tuple[int, ...]:
        """What a carry has in the place of the scan axis: the sequences, or nothing."""
        return (arrays[-1].shape[axis] - 1,) if self.offsets else ()

    def depends(self) -> tuple[Reached, ...]:
        """For each state leaf, all the leaves that it depends on."""
        return tuple(self._reached(leaf) for leaf in range(self.program.arity))

    def _reached(self, leaf: int) -> Reached:
        if not self.action:
            leaves = self.program.carried((leaf,), parts=True)
            return Reached(leaves, leaves)
        states = self.program.carried((leaf,))
        read = frozenset[int]().union(*(self.program.reads[i][1] for i in states))
        if self.begin is not None:
            read |= frozenset[int]().union(*(self.begin.reads[i][1] for i in states))
        products = tuple(sorted(read)) if self.combine is None else self.combine.carried(read, parts=True)
        return Reached(products, states)


def in_groups(arrays: Sequence[Item], sizes: Iterable[int]) -> list[Sequence[Item]]:
    """So many arrays at a time, and last what is left."""
    groups, start = [], 0
    for size in sizes:
        groups.append(arrays[start : start + size])
        start += size
    return [*groups, arrays[start:]]


def aligned_scan(problem: Problem, strategy: str) -> AlignedScan | None:
    """The scan of a traced problem; ``None`` if it was not traced or its identity is not constant."""
    if problem.acts is not None:
        return _aligned_act(problem, problem.acts, strategy)
    constants = problem.neutral if problem.needs_identity(strategy) else ()
    if problem.program is None or constants is None:
        return None
    options = problem.options
    return AlignedScan(
        program=problem.program,
        emit=tuple(range(len(problem.stored))),
        results=tuple(map(dtypes.lane, problem.results)) if options.results else (),
        reverse=options.reverse,
        inclusive=options.inclusive,
        want_results=options.results,
        want_carry=options.return_carry or not options.results,
        identity=tuple(c for leaf in constants for c in leaf) or None,
        strategy=strategy,
    )


def _aligned_act(problem: Problem, acts: Acts, strategy: str) -> AlignedScan | None:
    known = problem.program is not None or strategy == "sequential"  # which makes no products
    if not acts.traced or acts.act.program is None or not known:
        return None
    return AlignedScan(
        program=acts.act.program,
        emit=acts.wanted(problem.options.return_carry),
        results=tuple(map(dtypes.lane, acts.results)),
        reverse=problem.options.reverse,
        inclusive=problem.options.inclusive,
        want_carry=problem.options.return_carry,
        strategy=strategy,
        action=True,
        outputs=len(acts.results) if acts.ordered else 0,
        combine=problem.program,
        begin=acts.begun,
        lengths=_has_lengths(problem),
        offsets=problem.sequences is not None,
    )


def _has_lengths(problem: Problem) -> bool:
    return problem.bounds is not None and problem.bounds.lengths is not None


def array_act(problem: Problem, acts: Acts) -> AlignedScan | None:
    """An act on states of many lanes, in order; ``None`` where there are no array programs."""
    if acts.arrays is None:
        return None
    step, begin = acts.arrays
    return AlignedScan(
        program=step,
        emit=acts.wanted(problem.options.return_carry),
        results=tuple(map(dtypes.lane, acts.results)),
        reverse=problem.options.reverse,
        inclusive=problem.options.inclusive,
        want_carry=problem.options.return_carry,
        strategy="sequential",
        action=True,
        outputs=len(acts.results) if acts.ordered else 0,
        begin=begin,
        lengths=_has_lengths(problem),
        offsets=problem.sequences is not None,
    )


def leads_of(scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> list[tuple[int, ...]]:
    """The batch shape, scan axis included, of each state leaf: that of all that it depends on."""
    elements, captures, init = scan.unpack(arrays)
    own = [tuple(x.shape[:rank]) for x in elements]
    shared = [tuple(c.shape[:rank]) for c in captures] + [without(x.shape[:rank], axis) for x in scan.bounds(arrays)]
    steps = steps_of(elements, axis)
    leads = []
    for each in scan.depends():
        shapes = [own[j] for j in each.elements] + [without(init[j].shape[:rank], axis) for j in each.states if init]
        shapes.append((*(1,) * axis, steps, *(1,) * (rank - axis - 1)))  # a count, and what is the same at every step
        leads.append(tuple(mx.broadcast_shapes(*shapes, *shared, shapes[0])))
    return leads


def shapes_of(scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> list[tuple[tuple[int, ...], str]]:
    """The shape and the dtype of each output that `run` yields."""
    leads = leads_of(scan, arrays, axis, rank)
    shapes = [(leads[i] + scan.state[i].shape, name) for i, name in zip(scan.emit, scan.results, strict=False)]
    if scan.want_carry:
        rows = zip(leads, scan.state, strict=True)
        behind = scan.carry_axis(arrays, axis)
        shapes += [((*lead[:axis], *behind, *lead[axis + 1 :], *leaf.shape), leaf.dtype) for lead, leaf in rows]
    return shapes


def full_lead(arrays: Arrays, rank: int) -> tuple[int, ...]:
    """The batch shape of everything together."""
    return tuple(mx.broadcast_shapes(*(a.shape[:rank] for a in arrays), arrays[0].shape[:rank]))


def lead_of(arrays: Arrays, timed: int, axis: int, rank: int) -> tuple[int, ...]:
    """The same where the first arrays alone have the scan axis, and others may have that of sequences in its place."""
    shapes = [x.shape[:rank] if i < timed else without(x.shape[:rank], axis) for i, x in enumerate(arrays)]
    return tuple(mx.broadcast_shapes(*shapes, shapes[0]))


def without(lead: Sequence[int], axis: int) -> tuple[int, ...]:
    """A batch shape of size 1 along the scan axis."""
    return (*lead[:axis], 1, *lead[axis + 1 :])
