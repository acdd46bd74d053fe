"""A scan of sequences that have bounds, on aligned arrays by array operations: what MLX differentiates.

Kernels that know bounds have gradients of their own; tangents and second derivatives come from here. What stands where
nothing counts is left out before anything is computed with it, so that no derivative knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, mapped
from monoscan.lowering.gradient import ruled
from monoscan.lowering.plan import on_arrays
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.strategies.combine import join_lanes, split_lanes
from monoscan.lowering.strategies.hillis_steele import hillis_steele
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.strategies.slices import Leaves, cut, flip, join, spread
from monoscan.monoids.shapes import along, insert_axes

Shape = tuple[int, ...]


def of_launch(scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """What a kernel yields, from the arrays of its launch: lengths and offsets stand behind all others."""
    rights, number = scan.program.rights, len(arrays) - scan.lengths - scan.offsets
    lengths, offsets = _extents(scan, arrays)
    plain = attrs.evolve(scan, lengths=False, offsets=False)
    inputs = [*spread(list(arrays[:rights]), axis), *arrays[rights:number]]
    return run(plain, inputs, lengths, offsets, axis, rank, scan.outputs)


def of_outputs(scan: AlignedScan, arrays: Arrays, cotangents: Arrays, axis: int, rank: int) -> list[mx.array]:
    """Cotangents of a launch without those of what steps put out where nothing counts, which is zero and no state."""
    n = max(x.shape[axis] for x in arrays[: scan.program.rights])
    valid = _valid(*_extents(scan, arrays), n, axis, rank)
    shown = [i < scan.outputs for i in scan.shown] + [False] * (len(cotangents) - len(scan.shown))
    return [
        mx.where(_wide(valid, w, rank), w, mx.zeros((), w.dtype)) if output else w
        for w, output in zip(cotangents, shown, strict=True)
    ]


def _extents(scan: AlignedScan, arrays: Arrays) -> tuple[mx.array | None, mx.array | None]:
    """The lengths and the offsets."""
    number = len(arrays) - scan.lengths - scan.offsets
    return arrays[number] if scan.lengths else None, arrays[-1] if scan.offsets else None


def _valid(lengths: mx.array | None, offsets: mx.array | None, n: int, axis: int, rank: int) -> mx.array:
    """Which positions count."""
    at = _differing(offsets, axis, rank)
    if offsets is None or at is None:
        cuts = None if offsets is None else offsets.reshape(-1)
        return Places(lengths, None, cuts, n, axis, rank, False).valid

    def one(cuts: mx.array, *ends: mx.array) -> list[mx.array]:
        return [_valid(ends[0] if ends else None, cuts, n, axis - (at < axis), rank - 1)]

    return mapped.along(one, [offsets, *([] if lengths is None else [lengths])], at)[0]


def _differing(offsets: mx.array | None, axis: int, rank: int) -> int | None:
    """A batch axis along which rows have offsets of their own."""
    return None if offsets is None else next((i for i in range(rank) if i != axis and offsets.shape[i] > 1), None)


def run(
    scan: AlignedScan,
    arrays: Arrays,
    lengths: mx.array | None,
    offsets: mx.array | None,
    axis: int,
    rank: int,
    outputs: int = 0,
) -> Leaves:
    """Results, then carries: with the number of sequences in the place of the scan axis, or without it.

    Args:
        scan: The scan.
        arrays: Elements, captured arrays, and what sequences start from with their number, or 1, along the axis.
        lengths: Integers with all axes, their number or 1 along the axis; ``None`` without.
        offsets: Integers with all axes, one more along the axis; ``None`` without.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        outputs: How many of the first leaves are what a step puts out, zero where nothing counts, and no state.
    """
    at = _differing(offsets, axis, rank)
    if offsets is None or at is None:
        return Bounded.of(scan, arrays, lengths, offsets, axis, rank, outputs).run()

    def one(cuts: mx.array, *rest: mx.array) -> Leaves:
        own, ends = rest[: len(arrays)], rest[len(arrays) :]
        return run(scan, own, ends[0] if ends else None, cuts, axis - (at < axis), rank - 1, outputs)

    return mapped.along(one, [offsets, *arrays, *([] if lengths is None else [lengths])], at)


@attrs.frozen(eq=False)
class Bounded:
    """One such scan, in fold order: leaves with all batch axes in full, and flags.

    Args:
        scan: The scan.
        xs: The leaves of the elements, zeros or the identity where nothing counts.
        captures: The captured arrays.
        first: What the sequence of each position starts from; none without.
        start: The same for each sequence.
        places: The positions; without offsets those of one sequence.
        packed: Whether there are offsets.
        lead: The batch axes, that of the scan among them.
        outputs: How many of the first leaves are no state.
    """

    scan: AlignedScan
    xs: Leaves
    captures: Arrays
    first: Leaves
    start: Leaves
    places: Places
    packed: bool
    lead: Shape
    outputs: int

    @classmethod
    def of(
        cls, scan: AlignedScan, arrays: Arrays, lengths: mx.array | None, offsets: mx.array | None, axis: int,
        rank: int, outputs: int,
    ) -> Bounded:  # fmt: skip
        """From aligned arrays."""
        elements, captures, init = scan.unpack(arrays)
        n = max(x.shape[axis] for x in elements)
        rows = [
            (*x.shape[:axis], 1, *x.shape[axis + 1 : rank]) for x in (*arrays, *([] if lengths is None else [lengths]))
        ]
        one = tuple(mx.broadcast_shapes(*rows, rows[0]))
        lead = (*one[:axis], n, *one[axis + 1 :])
        cuts = mx.array([0, n]) if offsets is None else offsets.reshape(-1)
        places = Places(lengths, None, cuts, n, axis, rank, scan.reverse)
        each = (*one[:axis], cuts.shape[0] - 1, *one[axis + 1 :])
        start = on_arrays.states(scan, init, [each] * len(init)) if init else []
        known = scan.identity is not None and not scan.action
        outside = on_arrays.constants(scan) if known else [mx.zeros((), s.dtype) for s in start]
        first = [places.each(s, nothing.astype(s.dtype)) for s, nothing in zip(start, outside, strict=False)]
        full = aligned_elements(scan, elements, lead)
        neutral = on_arrays.constants(scan) if known else [mx.zeros(())] * len(full)
        xs = [mx.where(_wide(places.valid, x, rank), x, e.astype(x.dtype)) for x, e in zip(full, neutral, strict=True)]
        return cls(scan, xs, captures, first, start, places, offsets is not None, lead, outputs)

    @property
    def axis(self) -> int:
        """The scan axis."""
        return self.places.axis

    @property
    def rank(self) -> int:
        """The number of batch axes."""
        return self.places.rank

    def run(self) -> Leaves:
        """Results, then carries."""
        scan, places = self.scan, self.places
        xs, first, valid, head = self.xs, self.first, places.valid, places.head
        if scan.reverse:
            xs, first, (valid, head) = flip(xs, self.axis), flip(first, self.axis), flip([valid, head], self.axis)
        treed = (scan.combine if scan.action else scan.program) is not None
        states = self._by_tree(xs, first, valid, head) if treed else self._in_order(xs, first, valid, head)
        ys = states if scan.inclusive else self._before(states, first, head)
        if scan.reverse:
            states, ys = flip(states, self.axis), flip(ys, self.axis)
        shown = [ys[i].astype(dtypes.by_name(name)) for i, name in zip(scan.shown, scan.results, strict=True)]
        shown = [
            mx.where(_wide(places.valid, y, self.rank), y, mx.zeros((), y.dtype)) if i < self.outputs else y
            for i, y in zip(scan.shown, shown, strict=True)
        ]
        carries = [self._last(y, i) for i, y in enumerate(states)] if scan.want_carry else []
        return (shown if scan.want_results else []) + carries

    def _blank(self, like: Leaves) -> Leaves:
        """What stands where nothing came before, and nothing is given."""
        if self.scan.identity is not None:
            return [e.astype(y.dtype) for e, y in zip(on_arrays.constants(self.scan), like, strict=True)]
        return [mx.zeros((), y.dtype) for y in like]

    def _by_tree(self, xs: Leaves, first: Leaves, valid: mx.array, head: mx.array) -> Leaves:
        """All states from products of the elements since the heads of sequences."""
        scan = self.scan
        program = scan.combine if scan.action else scan.program
        assert program is not None, "asked where there is one"

        def combine(left: Leaves, right: Leaves) -> Leaves:
            (head_l, seen_l, *x), (head_r, seen_r, *y) = left, right
            seen = mx.logical_and(seen_l, mx.logical_not(head_r))
            both, products = mx.logical_and(seen, seen_r), self._program(program, [*x, *y])
            rows = zip(products, x, y, strict=True)
            value = [self._select(both, p, self._select(seen_r, b, a)) for p, a, b in rows]
            return [mx.logical_or(head_l, head_r), mx.logical_or(seen, seen_r), *value]

        flags = [mx.broadcast_to(head, self.lead), mx.broadcast_to(valid, self.lead)]
        _, seen, *products = hillis_steele(combine, [*flags, *xs], self.axis)
        if not scan.action:
            moved = self._program(program, [*first, *products]) if first else products
        elif scan.begin is not None:
            moved = self._program(scan.begin, products)
        else:
            moved = self._program(scan.program, [*first, *products])
        rows = zip(moved, first or self._blank(moved), strict=True)
        return [self._select(seen, y, nothing) for y, nothing in rows]

    def _in_order(self, xs: Leaves, first: Leaves, valid: mx.array, head: mx.array) -> Leaves:
        """The states one after another."""
        scan, axis = self.scan, self.axis
        one = (*self.lead[:axis], 1, *self.lead[axis + 1 :])
        state = [mx.zeros((*one, *leaf.shape), dtypes.by_name(leaf.dtype)) for leaf in scan.state]
        nothing, seen = state, mx.zeros(one, mx.bool_)
        rows = []
        for t in range(self.lead[axis]):
            x, (counts, starts) = cut(xs, axis, t, t + 1), cut([valid, head], axis, t, t + 1)
            anew = cut(first, axis, t, t + 1) if first else nothing
            state = [self._select(starts, s, old) for s, old in zip(anew, state, strict=True)]
            moved = self._program(scan.program, [*state, *x])
            if scan.begin is not None:
                seen = mx.logical_and(seen, mx.logical_not(starts))
                begun = self._program(scan.begin, x)
                moved = [self._select(seen, m, b) for m, b in zip(moved, begun, strict=True)]
                seen = mx.logical_or(seen, counts)
            state = [self._select(counts, m, old) for m, old in zip(moved, state, strict=True)]
            rows.append(state)
        return join(axis, *rows)

    def _before(self, states: Leaves, first: Leaves, head: mx.array) -> Leaves:
        """What stands before each position: that after the one before it, and at heads what sequences start from."""
        n, axis = self.lead[self.axis], self.axis
        late = join(axis, cut(states, axis, 0, 1), cut(states, axis, 0, n - 1))
        rows = zip(late, first or self._blank(late), strict=True)
        begins = mx.logical_or(head, along(mx.arange(n) == 0, axis, self.rank))
        return [self._select(begins, nothing, y) for y, nothing in rows]

    def _last(self, y: mx.array, leaf: int) -> mx.array:
        """The last state of each sequence; without offsets of the whole axis."""
        nothing = self.start[leaf] if self.start else self._blank([y] * len(self.scan.state))[leaf]
        last = self._select(self.places.empty, nothing, self.places.last(y))
        return last if self.packed else last.squeeze(self.axis)

    def _select(self, condition: mx.array, yes: mx.array, no: mx.array) -> mx.array:
        wide = insert_axes(condition, condition.ndim, max(yes.ndim, no.ndim) - self.rank)
        return mx.where(wide, yes, no)

    def _program(self, program: Program | ArrayProgram, leaves: Leaves) -> Leaves:
        """A program on leaves, with this library's derivatives."""
        full = mx.broadcast_shapes(*(x.shape[: self.rank] for x in leaves))
        if isinstance(program, ArrayProgram):
            found = evaluate_arrays(program, [*leaves, *self.captures])
        else:
            events = [x.shape[self.rank :] for x in leaves]
            lanes = ruled.run(
                program, [*split_lanes(leaves, events), *on_arrays.capture_lanes(self.captures, self.rank)]
            )
            found = join_lanes(lanes, [leaf.shape for leaf in program.outputs])
        return [mx.broadcast_to(y, (*full, *leaf.shape)) for y, leaf in zip(found, program.outputs, strict=True)]


def aligned_elements(scan: AlignedScan, elements: Arrays, lead: Shape) -> Leaves:
    """The leaves of elements in the dtypes of the fold, with all batch axes in full."""
    leaves: Sequence[Leaf] = scan.program.elements
    rows = zip(elements, leaves, strict=True)
    return [mx.broadcast_to(x.astype(dtypes.by_name(leaf.dtype)), (*lead, *leaf.shape)) for x, leaf in rows]


def _wide(condition: mx.array, like: mx.array, rank: int) -> mx.array:
    return insert_axes(condition, condition.ndim, like.ndim - rank)
