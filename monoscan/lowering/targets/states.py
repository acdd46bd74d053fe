"""An act as a graph of MLX array operations, on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, mapped, tree
from monoscan.lowering.gradient.transforms import portable
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.plan import Portable, Way
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import Leaves, cut, flip, join, length_of, spread
from monoscan.lowering.strategies.states import run_states
from monoscan.lowering.targets import graph
from monoscan.lowering.targets.pairs import from_pairs, pairs
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.monoids.action import Action, State
from monoscan.monoids.shapes import insert_axes


@attrs.frozen(eq=False)
class Walk:
    """An act that runs.

    Args:
        problem: What was asked.
        acts: Its states.
        captures: The operator with the arrays that it captures.
        layout: The geometry of elements and states together.
    """

    problem: Problem
    acts: Acts
    captures: Captures
    layout: Layout

    @property
    def axis(self) -> int:
        """The scan axis."""
        return self.layout.axis

    @property
    def rank(self) -> int:
        """The number of batch axes, the scan axis among them."""
        return self.layout.rank + 1

    def captured(self) -> Leaves:
        """The captured arrays, aligned."""
        return [insert_axes(c, 0, self.rank) for c in self.captures.operands]

    def act(self, operator: object, *arrays: mx.array) -> Sequence[mx.array]:
        """``act`` of one state and one element as a function of arrays."""
        number = len(self.acts.leaves)
        state = tree.unflatten(self.acts.structure, arrays[:number])
        return self._leaves(_right(operator).act(state, tree.unflatten(self.problem.structure, arrays[number:])))

    def begin(self, operator: object, *arrays: mx.array) -> Sequence[mx.array]:
        """``begin`` of one element as a function of arrays."""
        begin = _right(operator).begin
        assert begin is not None, "asked of those that have one"
        return self._leaves(begin(tree.unflatten(self.problem.structure, arrays)))

    def mapped(self, function: Callable[..., Sequence[mx.array]], operands: Leaves) -> Leaves:
        """A function of one operator and arrays on every element, by ``mx.vmap``."""
        held, number = self.captured(), len(operands)

        def one(*arrays: mx.array) -> Sequence[mx.array]:
            return function(self.captures.rebuild(arrays[number:]), *arrays[:number])

        own_rules = self.acts.act.own_rules or (self.acts.begin is not None and self.acts.begin.own_rules)
        return (mapped.ruled if own_rules else mapped.run)(one, [*operands, *held], self.rank)

    def _leaves(self, state: State) -> Sequence[mx.array]:
        leaves = tree.flatten_like(state, self.acts.structure)
        assert leaves is not None, "planning has tried it"
        return leaves


def run(
    problem: Problem, acts: Acts, way: Way, leaves: Sequence[mx.array], captures: Captures,
    state: Sequence[mx.array] | None,
) -> tuple[Leaves, Leaves]:  # fmt: skip
    """The states and the last one, as the caller sees them.

    Args:
        problem: What was asked.
        acts: Its states.
        way: How they are computed, or that there is nothing to compute.
        leaves: The leaves of the elements, as given.
        captures: The operator with the arrays that it captures.
        state: The leaves of the state before the first element, or ``None``.
    """
    walk = Walk(problem, acts, captures, acts.joint)
    elements = spread([graph.promoted(problem, walk.layout.align(x, i), i) for i, x in enumerate(leaves)], walk.axis)
    first = None if state is None else _given(walk, state)
    if not isinstance(way, Portable):
        return _nothing(walk, first)
    if way.scan is None:
        ys, last = _mapped(walk, way.strategy, elements, first)
    else:
        ys, last = _traced(walk, way.scan, elements, first)
    return _seen(walk, ys), _last(walk, last)


def _right(operator: object) -> Action:
    action: Action = operator.right  # type: ignore[attr-defined]
    return action


def _given(walk: Walk, state: Sequence[mx.array]) -> Leaves:
    """The state aligned, with a scan axis of length 1."""
    rows = enumerate(zip(state, walk.acts.leaves, strict=True))
    return [_spread(walk, walk.layout.align_init(x, i).astype(dtypes.by_name(leaf.dtype)), i) for i, (x, leaf) in rows]


def _spread(walk: Walk, x: mx.array, leaf: int) -> mx.array:
    """A state with a scan axis of length 1, with all batch axes that it has after an element."""
    batch, event = walk.acts.layout.batch[leaf], walk.acts.leaves[leaf].shape
    return mx.broadcast_to(x, walk.layout.aligned_batch(batch, 1) + event)


def _traced(walk: Walk, scan: AlignedScan, elements: Leaves, first: Leaves | None) -> tuple[Leaves, Leaves]:
    """States in array order, in the dtypes of results, and the last one, by programs."""
    arrays = [pairs(x) for x in (*elements, *walk.captured(), *(first or ()))]
    outputs = portable(scan, arrays, walk.axis, walk.rank)
    leaves, number = walk.acts.leaves, len(walk.acts.results)
    ys = [from_pairs(y, name) for y, name in zip(outputs, walk.acts.results, strict=False)]
    last = [mx.expand_dims(y, walk.axis) for y in outputs[number:]]
    return ys, [from_pairs(y, leaf.dtype) for y, leaf in zip(last, leaves, strict=False)]


def _mapped(walk: Walk, strategy: str, elements: Leaves, first: Leaves | None) -> tuple[Leaves, Leaves]:
    """The same of what the IR cannot express, by ``mx.vmap``: MLX differentiates through the graph."""
    if first is not None:
        return _moved(walk, strategy, elements, first)
    axis, n, late = walk.axis, walk.layout.length, walk.problem.options.reverse
    first = _begun(walk, cut(elements, axis, n - 1, n) if late else cut(elements, axis, 0, 1))
    ys, last = _rounded(walk.acts, first), first
    if n > 1:
        rest = cut(elements, axis, 0, n - 1) if late else cut(elements, axis, 1, n)
        others, last = _moved(walk, strategy, rest, first)
        ys = join(axis, others, ys) if late else join(axis, ys, others)
    return ys, last


def _begun(walk: Walk, elements: Leaves) -> Leaves:
    """The state that first elements begin."""
    exact = [x.astype(dtypes.by_name(leaf.dtype)) for x, leaf in zip(elements, walk.problem.element, strict=True)]
    begun = zip(walk.mapped(walk.begin, exact), walk.acts.leaves, strict=True)
    return [_spread(walk, _narrow(walk, y.astype(dtypes.by_name(s.dtype)), i), i) for i, (y, s) in enumerate(begun)]


def _narrow(walk: Walk, y: mx.array, leaf: int) -> mx.array:
    """Undoes the broadcast along axes on which a leaf of the state does not depend: its rows are all the same."""
    batch = walk.acts.layout.batch[leaf]
    return y[tuple(slice(0, size) for size in walk.layout.aligned_batch(batch, 1))]


def _moved(walk: Walk, strategy: str, elements: Leaves, first: Leaves) -> tuple[Leaves, Leaves]:
    """The states that follow a first one."""
    problem, axis = walk.problem, walk.axis
    rows = zip(elements, problem.element, strict=True)
    exact = [_product(walk, x.astype(dtypes.by_name(leaf.dtype)), i) for i, (x, leaf) in enumerate(rows)]
    xs = flip(exact, axis) if problem.options.reverse else exact

    def act(state: Leaves, xs: Leaves) -> Leaves:
        n = length_of(xs, axis)
        found = walk.mapped(walk.act, [*state, *xs])
        return [_trimmed(y, s.shape, axis, n) for y, s in zip(found, first, strict=True)]

    combine = graph.whole_combine(problem, walk.captures)
    ys, last = run_states(strategy, combine, act, xs, first, axis, inclusive=problem.options.inclusive)
    return _rounded(walk.acts, flip(ys, axis) if problem.options.reverse else ys), last


def _product(walk: Walk, x: mx.array, leaf: int) -> mx.array:
    """A leaf of elements, with the batch axes that products of them have."""
    batch, event = walk.problem.layout.result_batches[leaf], walk.problem.layout.event[leaf]
    return mx.broadcast_to(x, walk.layout.aligned_batch(batch, x.shape[walk.axis]) + event)


def _trimmed(y: mx.array, one: Sequence[int], axis: int, length: int) -> mx.array:
    shape = (*one[:axis], length, *one[axis + 1 :])
    return mx.broadcast_to(y[tuple(slice(0, size) for size in shape)], shape)


def _nothing(walk: Walk, first: Leaves | None) -> tuple[Leaves, Leaves]:
    """No element, or none with anything in it: no states, and the last one is the first."""
    layout, results = walk.acts.layout, walk.acts.results
    ys = [mx.zeros(layout.result_shape(i), dtypes.by_name(name)) for i, name in enumerate(results)]
    if first is None:
        first = [
            mx.expand_dims(mx.zeros(layout.carry_shape(i), dtypes.by_name(leaf.dtype)), walk.axis)
            for i, leaf in enumerate(walk.acts.leaves)
        ]
    return ys, _last(walk, first)


def _rounded(acts: Acts, states: Leaves) -> Leaves:
    return [y.astype(dtypes.by_name(name)) for y, name in zip(states, acts.results, strict=False)]


def _seen(walk: Walk, ys: Leaves) -> Leaves:
    return [walk.acts.layout.restore(y, i) for i, y in enumerate(ys)]


def _last(walk: Walk, last: Leaves) -> Leaves:
    """The carry, where it is wanted."""
    if not walk.problem.options.return_carry:
        return []
    return [walk.acts.layout.restore_carry(y.squeeze(walk.axis), i) for i, y in enumerate(last)]
