"""The adjoint of wide elements by array operations, one step after the other: what MLX differentiates again."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.strategies.slices import Leaves


def backward(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """Runs an adjoint; what it takes and yields stands in `Adjoint`."""
    operands, state = adjoint.unpack(arrays), adjoint.program.outputs
    lead = aligned.full_lead(arrays, rank)
    n, rows = lead[axis], _Rows((*lead[:axis], 1, *lead[axis + 1 :]), lead[axis], axis, adjoint.reverse)
    zeros, nothing = rows.zeros(state), rows.zeros(adjoint.program.elements)
    totals = rows.zeros(adjoint.totals)
    g = rows.at(operands.ends, adjoint.live, 0, state)
    yielded: list[Leaves] = []
    for t in range(n - 1, -1, -1):
        late = t if adjoint.inclusive else t + 1
        if late < n:
            g = _added(g, rows.at(operands.weights, adjoint.weights, late, state))
        if t == 0 and not adjoint.seeded:
            yielded.append([g.get(i, zeros[i]) for i in adjoint.gradients])
            break
        before = t - 1 if adjoint.shifted else t
        lefts = rows.at(operands.init if before < 0 else operands.lefts, adjoint.lefts, max(before, 0), state)
        rights = rows.at(operands.rights, adjoint.rights, t, adjoint.program.elements)
        filled = [known.get(i, x) for known, like in ((lefts, zeros), (rights, nothing)) for i, x in enumerate(like)]
        found = evaluate_arrays(adjoint.array_step, [*filled, *operands.captures, *g.values()])
        g = dict(zip(adjoint.live, found, strict=False))
        shown = len(adjoint.live) + len(adjoint.gradients)
        yielded.append(found[len(adjoint.live) : shown])
        totals = [a + b for a, b in zip(totals, found[shown:], strict=True)]
    if not adjoint.inclusive and adjoint.seeded:
        g = _added(g, rows.at(operands.weights, adjoint.weights, 0, state))
    last = [*(g[i] for i in adjoint.live if adjoint.seeded), *totals]
    ordered = yielded if adjoint.reverse else yielded[::-1]
    outputs = [
        mx.concatenate([rows.full(row[k], leaf) for row in ordered], axis).astype(dtypes.by_name(leaf.dtype))
        for k, leaf in enumerate(adjoint.outputs)
    ]
    return outputs + [rows.full(x, leaf).squeeze(axis) for x, leaf in zip(last, adjoint.last, strict=True)]


@attrs.frozen
class _Rows:
    """Single positions of arrays, of full batch size.

    Args:
        one: The batch axes, the scan axis among them with size 1.
        length: How many positions there are.
        axis: The scan axis.
        reverse: Whether the fold starts at the last one.
    """

    one: tuple[int, ...]
    length: int
    axis: int
    reverse: bool

    def zeros(self, leaves: Sequence[Leaf]) -> Leaves:
        """Zeros for each leaf."""
        return [mx.zeros((*self.one, *leaf.shape), dtypes.by_name(leaf.dtype)) for leaf in leaves]

    def full(self, x: mx.array, leaf: Leaf) -> mx.array:
        """A row that is the same along some axes."""
        return mx.broadcast_to(x, (*self.one, *leaf.shape))

    def at(self, given: Arrays, places: Sequence[int], t: int, leaves: Sequence[Leaf]) -> dict[int, mx.array]:
        """Some of the leaves at one position in fold order."""
        place = self.length - 1 - t if self.reverse else t
        found = {}
        for x, i in zip(given, places, strict=True):
            row = mx.take(x, mx.array([place if x.shape[self.axis] > 1 else 0]), axis=self.axis)
            found[i] = self.full(row.astype(dtypes.by_name(leaves[i].dtype)), leaves[i])
        return found


def _added(g: dict[int, mx.array], more: dict[int, mx.array]) -> dict[int, mx.array]:
    return {i: x + more[i] if i in more else x for i, x in g.items()}
