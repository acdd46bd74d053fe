"""Aggregators on sequences as they come: one on inputs with flags, in one pass or in three like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.lowering.plan.identity import Like, neutral
from monoscan.lowering.plan.options import Options, changed
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.strategies.places import Places
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator, exact
from monoscan.monoids.base import Semigroup
from monoscan.monoids.inputs import Fixed
from monoscan.monoids.shapes import along
from monoscan.scan import aggregate
from monoscan.scan.fuse import Fusion
from monoscan.scan.inputs import FIXED, POSITION
from monoscan.scan.pass_plan import PassPlan
from monoscan.scan.passes import Pass, pass_over
from monoscan.scan.ragged.aggregator import RaggedAggregator, unflagged
from monoscan.scan.ragged.axes import Raw, align_given, refuse, wide, with_axis, with_sequences
from monoscan.scan.ragged.given import Aligned, check_reach, given
from monoscan.scan.ragged.operator import flagged, lifted
from monoscan.tree import Tree


def scan(
    aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, raw: Raw
) -> tuple[Tree, Tree | None]:
    """The outputs, and the last states where they are wanted."""
    return opened(aggregator, inputs, axis, state, asked, raw).run()


def fold(aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, raw: Raw) -> Tree:
    """The output of the last states."""
    found = opened(aggregator, inputs, axis, state, asked, raw)
    found.over.check_fold()
    return found.over.present_last(found.last(), found.places.packed)


def explain(aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, raw: Raw) -> PassPlan:
    """What would run, and why."""
    found = opened(aggregator, inputs, axis, state, asked, raw)
    fusion = found.kernel(asked)
    kernel = None if fusion is None else fusion.kernel(exact=True)
    if fusion is not None and kernel is not None and not isinstance(kernel, str):
        return PassPlan(fusion.over, asked, kernel)
    return aggregate.explained(found.lifted(asked, shows=False), asked)


def opened(aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, raw: Raw) -> RaggedPass:
    """A pass over sequences, checked.

    Raises:
        ScanError: Something does not fit.
    """
    where = f"[{asked.call}] {aggregator.name}"
    refuse(where, asked)
    found = given(where, *raw)
    over = pass_over(aggregator, inputs, axis, state, asked, found.sequences)
    layout = over.geometry.layout
    check_reach(where, raw[2], layout.length)
    aligned = align_given(where, found, layout)
    return RaggedPass(over, asked, aligned, aligned.places(layout.length, layout.axis, over.rank, asked.reverse))


@attrs.frozen(eq=False)
class RaggedPass:
    """A pass of an aggregator over sequences.

    Args:
        over: The pass over the whole axis; its state has the axis of sequences where there are several.
        asked: The options.
        aligned: Lengths, mask and offsets.
        places: The positions.
    """

    over: Pass
    asked: Options
    aligned: Aligned
    places: Places

    @property
    def begun(self) -> bool:
        """Whether no state is given."""
        return not self.over.leaves

    def run(self) -> tuple[Tree, Tree | None]:
        """The outputs, and the last states where they are wanted."""
        asked, over = self.asked, self.over
        if not over.geometry.layout.length:
            return over.present(None), self.last() if asked.return_carry else None
        found = self._by_kernel(asked)
        if found is not None:
            return self._typed(found[0]), found[1]
        if not self.places.packed:
            ys, last = aggregate.outputs(self.lifted(asked, shows=False), asked)
            return self._typed(ys), self._plain(last) if asked.return_carry else None
        once = changed(asked, return_carry=False)
        shows = asked.return_carry and asked.inclusive
        ys, _ = aggregate.outputs(self.lifted(once, shows), once)
        if not asked.return_carry:
            return self._typed(ys), None
        return self._typed(ys[0] if shows else ys), self._last(ys[1]) if shows else self.last()

    def last(self) -> Tree:
        """The last state of each sequence, or of each row."""
        if not self.over.geometry.layout.length:
            return self._nothing()
        alone = changed(self.asked, results=False, return_carry=False, inclusive=True)
        found = self._by_kernel(alone)
        if found is not None:
            return found[1]
        if not self.places.packed:
            asked = changed(self.asked, results=False, return_carry=False)
            return self._plain(aggregate.last_state(self.lifted(asked, shows=False), asked))
        asked = changed(self.asked, results=True, return_carry=False, inclusive=True)
        return self._last(aggregate.outputs(self.lifted(asked, shows=True), asked)[0][1])

    def kernel(self, asked: Options) -> Fusion | None:
        """The pass by a kernel that knows lengths and offsets, a mask being an input; ``None`` where there is none."""
        bounds = self.aligned.bounds
        if bounds is None:
            return None
        fusion = Fusion(self._bounded(asked), asked, bounds=bounds, extents=self._extents())
        return None if isinstance(fusion.kernel(), str) else fusion

    def _by_kernel(self, asked: Options) -> tuple[Tree, Tree] | None:
        fusion = self.kernel(asked)
        kernel = None if fusion is None else fusion.kernel()
        if fusion is None or kernel is None or isinstance(kernel, str):
            return None
        found = fusion.run(kernel)
        if found is None:
            return None
        ys, last = found
        return ys, last if last is None else self._plain(last) if self.aligned.mask is not None else self._seen(last)

    def _extents(self) -> list[mx.array]:
        """Lengths, and offsets along the scan axis."""
        return [
            along(x, self.over.axis, self.over.rank) if x.ndim == 1 and self.over.rank > 1 else x
            for x in self.aligned.arrays
        ]

    def _bounded(self, asked: Options) -> Pass:
        """The pass over inputs that have the flag of the mask alone, if there is one."""
        over, places, mask = self.over, self.places, self.aligned.mask
        inner, types, sequences = over.aggregator, over.types, places.sequences if places.packed else None
        inputs = self._inputs(clean=False, exactly=False)
        state = None if self.begun else tree.unflatten(types.form, over.leaves)
        if mask is None:
            return pass_over(inner, tuple(inputs), over.axis, state, asked, sequences)
        alone = Places(None, mask, None, places.length, places.axis, places.rank, places.reverse)
        operator = lifted(inner.operator, False, None, self.begun)
        aggregator = RaggedAggregator(inner, operator, (0, *self._events), begun=self.begun, inclusive=asked.inclusive)
        state = flagged(inner.operator, [mx.array(False)], self._zeros()) if self.begun else state
        return pass_over(aggregator, (alone.valid, *inputs), over.axis, state, asked, sequences)

    def _seen(self, state: Tree) -> Tree:
        """The last state of which a kernel left zeros where nothing came."""
        lengths, places = self.aligned.lengths, self.places
        if not self.begun:
            return state
        nothing = places.empty if places.packed else mx.zeros((1,) * places.rank, mx.bool_)
        nothing = nothing if lengths is None else mx.logical_or(nothing, lengths <= 0)
        seen = mx.logical_not(nothing if places.packed else nothing.squeeze(places.axis))
        leaves = [wide(seen, len(held.copies)) for held in self.over.types.states]
        return self._filled(self.over.aggregator.operator, tree.unflatten(self.over.types.form, leaves), state)

    def _zeros(self) -> Tree:
        """A state of zeros."""
        types = self.over.types
        return tree.unflatten(types.form, [mx.zeros(h.shape, dtypes.by_name(h.dtype)) for h in types.states])

    def lifted(self, asked: Options, shows: bool) -> Pass:
        """The pass over inputs with flags. Of MLX's derivatives, which let NaN pass a choice, inputs must know nothing."""
        over = self._lifted(asked, shows, clean=False)
        fused = not isinstance(aggregate.kernel_of(Fusion(over, asked)), str)
        return over if fused else self._lifted(asked, shows, clean=True)

    def _lifted(self, asked: Options, shows: bool, clean: bool) -> Pass:
        over, places = self.over, self.places
        types, packed, inner = over.types, places.packed, over.aggregator
        form = types.form if packed and not self.begun else None
        starts = self._starts() if form is not None else []
        flags = [places.head, places.valid] if packed else [places.valid]
        events = (*(0 for _ in flags), *(len(held.shape) for held in types.states if form is not None), *self._events)
        operator = lifted(inner.operator, packed, form, self.begun)
        aggregator = RaggedAggregator(inner, operator, events, packed, form, self.begun, asked.inclusive, shows)
        if self.begun:
            state = flagged(inner.operator, [mx.array(False)], self._zeros())
        else:
            state = self._zeros() if packed else tree.unflatten(types.form, over.leaves)
        return pass_over(aggregator, (*flags, *starts, *self._inputs(clean)), over.axis, state, asked)

    @property
    def _events(self) -> tuple[int, ...]:
        return tuple(len(leaf.shape) for leaf in self.over.geometry.one)

    def _inputs(self, clean: bool, exactly: bool = True) -> list[Any]:
        """The aggregator's own inputs, with all axes of the batch.

        Args:
            clean: Nothing that does not count is there.
            exactly: States are read from outputs where there are several sequences, and halves would round them.
        """
        over, places = self.over, self.places
        exactly = exactly and places.packed
        inputs: list[Any] = []
        for i, (x, kind) in enumerate(zip(over.inputs, over.geometry.kinds, strict=True)):
            if kind == FIXED:
                fixed = over.geometry.without_time(x, i)
                inputs.append(Fixed(exact(fixed) if exactly else fixed))
            elif kind == POSITION:
                inputs.append(along(places.index + x.start, over.axis, over.rank) if places.packed else x)
            else:
                x = over.geometry.layout.align(x, i)
                x = exact(x) if exactly else x
                inputs.append(self._cleaned(x, i) if clean else x)
        return inputs

    def _cleaned(self, x: mx.array, i: int) -> mx.array:
        """Ones where nothing counts: few functions have no derivative there."""
        return mx.where(wide(self.places.valid, self._events[i]), x, mx.ones((), x.dtype))

    def _starts(self) -> list[mx.array]:
        """The leaves of the state that the sequence of each position starts from."""
        return [self.places.each(s, mx.zeros((), s.dtype)) for s in self._first()]

    def _first(self) -> list[mx.array]:
        """The leaves of the state of each sequence, or row, in front, with all axes."""
        states = () if self.begun else self.over.types.states
        axis, rank = self.over.axis, self.over.rank - 1
        given_leaves: Sequence[mx.array] = self.over.leaves
        if self.places.packed:
            given_leaves = with_axis(given_leaves, [len(held.shape) for held in states], axis)
        rows = zip(given_leaves, states, strict=True)
        leaves = [(with_sequences(s, len(held.shape), axis, rank, self.places.packed), held) for s, held in rows]
        return [s.astype(dtypes.by_name(held.dtype)) for s, held in leaves]

    def _last(self, states: Tree) -> Tree:
        """The last state of each sequence, from those at all positions, which have flags where none is given."""
        places, rank = self.places, self.over.rank
        first = iter(self._first())

        def last(s: mx.array) -> mx.array:
            nothing = mx.zeros((), s.dtype) if self.begun else next(first)
            return mx.where(wide(places.empty, s.ndim - rank), nothing, places.last(s))

        return self._plain(tree.map_leaves(last, states))

    def _plain(self, state: Tree) -> Tree:
        """A state without flags; where nothing came the identity, if states are elements and there is one."""
        operator = self.over.aggregator.operator
        if not self.begun:
            return state
        seen, own = unflagged(operator, state, 0), unflagged(operator, state)
        return self._filled(operator, seen, own)

    def _filled(self, operator: Semigroup, seen: Tree, state: Tree) -> Tree:
        if operator.parts:
            rows = zip(operator.parts, copies.entries(seen), copies.entries(state), strict=True)
            return copies.like(state, [self._filled(part, *each) for part, *each in rows])
        if not operator.has_identity or not aggregate.on_itself(operator):
            return state
        (leaves, structure), ((came, *_), _) = tree.flatten(state), tree.flatten(seen)
        events = operator.events(structure)
        one = [Leaf(dtypes.name_of(s.dtype), s.shape[s.ndim - e :]) for s, e in zip(leaves, events, strict=True)]
        nothing = neutral(operator, Like(self.asked.call, structure, tuple(one)))
        blank = zip(leaves, nothing, events, strict=True)
        return tree.unflatten(structure, [mx.where(wide(came, e), s, n) for s, n, e in blank])

    def _typed(self, outputs: Tree) -> Tree:
        """Outputs in the dtypes that they have on the inputs as given."""
        leaves, structure = tree.flatten(outputs)
        rows = zip(leaves, self.over.types.outputs, strict=True)
        return tree.unflatten(structure, [y.astype(dtypes.by_name(leaf.dtype)) for y, leaf in rows])

    def _nothing(self) -> Tree:
        """The last states where there are no positions."""
        over, places = self.over, self.places
        lead = (*over.lead[: over.axis], *over.lead[over.axis + 1 :])
        if places.packed:
            lead = (*lead[: over.axis], places.sequences, *lead[over.axis :])
        zeros = [mx.zeros(lead + held.shape, dtypes.by_name(held.dtype)) for held in over.types.states]
        if self.begun:
            return self._plain(
                flagged(over.aggregator.operator, [mx.array(False)], tree.unflatten(over.types.form, zeros))
            )
        first = [s if places.packed else s.squeeze(over.axis) for s in self._first()]
        return tree.unflatten(over.types.form, [mx.broadcast_to(s, z.shape) for s, z in zip(first, zeros, strict=True)])
