"""This rank's part of a sequence: its total, what comes before it, and its results from there."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

import monoscan
from monoscan import dtypes, errors, tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.cost_table import cycles
from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.nonfinite import HIGH, LOW
from monoscan.lowering.render.places import Vectors
from monoscan.lowering.render.rolled_estimates import cycles_of_step
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.scan import call, states
from monoscan.scan.act import start_of
from monoscan.scan.fixed_leaves import spread
from monoscan.scan.question import not_an_operator
from monoscan.tree import Tree

Leaves = list[mx.array]


@functools.lru_cache(maxsize=1024)
def _asking(asked: Options, results: bool, last: bool) -> Options:
    """The same options with these outcomes: always the same object."""
    return attrs.evolve(asked, results=results, return_carry=last)


@functools.lru_cache(maxsize=1024)
def _walking(asked: Options, results: bool) -> Options:
    """The same options with the last state, all leaves of it."""
    return attrs.evolve(asked, results=results, return_carry=True, wanted=None)


@functools.lru_cache(maxsize=1024)
def _of_totals(asked: Options, acting: bool) -> Options:
    """The options of a fold of totals."""
    return call.options(asked.call, reverse=asked.reverse, return_carry=True, results=acting)


@attrs.frozen(eq=False)
class Part:
    """What one rank holds of a sequence, and what is asked of the whole.

    Args:
        asked: The options; results are those of this rank.
        captures: The operator.
        plan: What gives this rank's results, were it alone.
        leaves: The elements.
        start: The leaves of ``init`` or of ``state``, if there is one.
    """

    asked: Options
    captures: Captures
    plan: Plan
    leaves: Leaves
    start: Leaves | None

    @property
    def problem(self) -> Problem:
        """What is asked of this rank alone."""
        return self.plan.problem

    @property
    def acting(self) -> bool:
        """Whether elements act on states."""
        return self.problem.acts is not None

    @property
    def length(self) -> int:
        """How many elements this rank holds."""
        return self.problem.layout.length

    @cached_property
    def whole(self) -> Layout:
        """The geometry of elements alone."""
        return attrs.evolve(self.problem.layout, init=None)

    @property
    def structure(self) -> tree.Structure:
        """The tree of what is started from, and of the carry."""
        acts = self.problem.acts
        return self.problem.structure if acts is None else acts.structure

    @property
    def wanted(self) -> tuple[int, ...]:
        """The leaves of the results that are wanted."""
        asked = self.problem.options.wanted
        number = len(self.problem.rounded) if asked is None else 0
        if not self.asked.results:
            return ()
        return tuple(range(number)) if asked is None else asked

    def total(self, leaves: Sequence[mx.array], captures: Captures) -> Leaves:
        """The fold of the elements, in the dtypes that they add up in; zeros where there are none."""
        layout, names = self.whole, self.problem.accumulators
        if not layout.length:
            return [mx.zeros(layout.carry_shape(i), dtypes.by_name(name)) for i, name in enumerate(names)]
        asked = call.options(self.asked.call, reverse=self.asked.reverse, results=False, strategy=self.asked.strategy)
        elems = tree.unflatten(self.problem.structure, leaves)
        plan, arrays, _ = call.prepare(asked, captures, elems, layout.axis)
        return [x for x in execute(plan, arrays, captures, None)[1] if x is not None]

    def before(
        self, totals: Sequence[mx.array], ranks: Sequence[int], start: Sequence[mx.array] | None, captures: Captures
    ) -> Leaves | None:
        """The start, with the totals of these ranks behind it; ``None`` where there is neither."""
        given = None if start is None else [self._exact(x, i) for i, x in enumerate(start)]
        if not ranks:
            return given
        axis = self.whole.axis
        rows = [mx.moveaxis(x[mx.array(list(ranks))], 0, axis) for x in totals]
        asked = _of_totals(self.asked, self.acting)
        elems = tree.unflatten(self.problem.structure, rows)
        plan, arrays, first = self._prepare(asked, captures, elems, given)
        return [x for x in execute(plan, arrays, captures, first)[1] if x is not None]

    def results(self, leaves: Sequence[mx.array], start: Sequence[mx.array] | None, captures: Captures) -> Leaves:
        """The results of this rank, from what comes before it."""
        elems = tree.unflatten(self.problem.structure, leaves)
        plan, arrays, first = self._prepare(_asking(self.problem.options, True, False), captures, elems, start)
        return self._results(execute(plan, arrays, captures, first)[0])

    def _results(self, found: Sequence[mx.array | None]) -> Leaves:
        names = self.problem.rounded
        return [x.astype(dtypes.by_name(names[i])) for i, x in enumerate(found) if x is not None and i in self.wanted]

    def walk(
        self, leaves: Sequence[mx.array], start: Sequence[mx.array] | None, captures: Captures
    ) -> tuple[Leaves, Leaves]:
        """The results of this rank, and the state after its last element, from what comes before it."""
        elems = tree.unflatten(self.problem.structure, leaves)
        asked = _walking(self.problem.options, self.asked.results or self.acting)
        plan, arrays, first = self._prepare(asked, captures, elems, start)
        found, last = execute(plan, arrays, captures, first)
        return self._results(found), [x for x in last if x is not None]

    def is_relayed(self, ranks: int) -> bool:
        """Whether states go from rank to rank: as fast as by products, where these cost more than so many ranks gain.

        It hangs on programs alone, so that all ranks say the same.
        """
        return self.problem.acts is not None and ranks < 1 + self._products(self.problem.acts)

    def _products(self, acts: Acts) -> float:
        """What a product of elements costs against an act; 0 where that is not known."""
        pairs = ((self.problem.program, acts.act.program), (self.problem.arrays, acts.act.arrays))
        both = next(((a, b) for a, b in pairs if a is not None and b is not None), None)
        if both is None:
            return 0.0
        element, state = (sum(leaf.lanes for leaf in leaves) for leaves in (self.problem.element, acts.leaves))
        return (_cycles(both[0]) + element) / (_cycles(both[1]) + element + state)

    @property
    def last(self) -> list[tuple[tuple[int, ...], mx.Dtype]]:
        """The shape and the dtype of each leaf of the state after all elements."""
        layout, names = self.problem.outcome, self.problem.carried
        return [(layout.carry_shape(i), dtypes.by_name(name)) for i, name in enumerate(names)]

    def is_broken(self, total: np.ndarray[Any, Any], leaf: int) -> bool:
        """Whether a leaf of totals holds NaN, or an infinity that its elements do not hold ordinarily."""
        if total.dtype.kind not in "fc":
            return False
        usual = self.problem.ordinary[leaf]
        fine = np.isfinite(total)
        if total.dtype.kind == "f":
            fine |= ((total == np.inf) & (HIGH in usual)) | ((total == -np.inf) & (LOW in usual))
        return not fine.all()

    def rounded(self, carry: Sequence[mx.array]) -> Leaves:
        """A carry in the dtypes of results."""
        return [x.astype(dtypes.by_name(name)) for x, name in zip(carry, self.problem.results, strict=True)]

    def _exact(self, x: mx.array, leaf: int) -> mx.array:
        name = dtypes.accumulation(dtypes.name_of(x.dtype)) if self.acting else self.problem.accumulators[leaf]
        return x.astype(dtypes.by_name(name))

    def _prepare(
        self, asked: Options, captures: Captures, elems: Tree, start: Sequence[mx.array] | None
    ) -> call.Prepared:
        given = None if start is None else tree.unflatten(self.structure, list(start))
        if self.acting:
            return call.prepare(asked, captures, elems, self.whole.axis, given, states.pose, start_of)
        return call.prepare(asked, captures, elems, self.whole.axis, given)

    def said(self) -> str:
        """What is done, in words that are the same on every rank, but for the length."""
        problem, layout, options = self.problem, self.problem.layout, self.asked
        leaves = ", ".join(
            f"{name}{list(layout.with_length(batch, -1) + event)}".replace("-1", "n")
            for name, batch, event in zip(problem.stored, layout.batch, layout.event, strict=True)
        )
        direction = ("reverse " if options.reverse else "") + ("" if options.inclusive else "exclusive ")
        start = "nothing" if self.start is None else ", ".join(f"{x.dtype}{list(x.shape)}" for x in self.start)
        carry = " with carry" if options.return_carry and options.results else ""
        return (
            f"{direction}{options.call}{carry} of {problem.operator.name} (program {self._program()}) over {leaves}, axis "
            f"{layout.axis}, from {start.replace('mlx.core.', '')}"
        )

    def _program(self) -> str:
        """What the operator computes, in a few letters; of one that is not traced, what it is called."""
        problem = self.problem
        traced = [problem.traced] + ([] if problem.acts is None else [problem.acts.act])
        programs = [str(each.program or each.arrays or type(problem.operator).__qualname__) for each in traced]
        kind = tree.show(problem.structure), tree.show(self.structure), problem.captures.leaves, monoscan.__version__
        return hashlib.sha256(repr((programs, kind)).encode()).hexdigest()[:8]


def _cycles(program: Program | ArrayProgram) -> float:
    """Cycles of one element, roughly."""
    if isinstance(program, ArrayProgram):
        return cycles_of_step(program, Vectors(1))
    return cycles(program, 1)


def part_of(asked: Options, operator: Any, elems: Tree, axis: Any, start: Tree | None, acting: bool) -> Part:
    """Checks what is given to this rank, as the call on one machine does.

    Args:
        asked: The options.
        operator: The operator.
        elems: The elements of this rank.
        axis: The axis along which the sequence is split.
        start: ``init``, or a state.
        acting: Whether elements act on states.

    Raises:
        ScanError: As in `scan` and `act`.
    """
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    local = _asking(asked, True, False)
    if acting:
        given = spread(local, captures, elems, axis)
        plan, leaves, first = call.prepare(given.asked, captures, given.elems, given.axis, start, states.pose, start_of)
    else:
        plan, leaves, first = call.prepare(local, captures, elems, axis, start)
    return Part(asked, captures, plan, leaves, first)
