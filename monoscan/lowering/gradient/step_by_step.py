"""The adjoint of wide elements by array operations, one step after the other: what MLX differentiates again."""

from __future__ import annotations

from collections.abc import Sequence

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
    n, one = lead[axis], (*lead[:axis], 1, *lead[axis + 1 :])

    def zeros_of(leaves: Sequence[Leaf]) -> Leaves:
        return [mx.zeros((*one, *leaf.shape), dtypes.by_name(leaf.dtype)) for leaf in leaves]

    zeros, nothing = zeros_of(state), zeros_of(adjoint.program.elements)
    totals = zeros_of(adjoint.totals)

    def at(given: Arrays, leaves: Sequence[int], t: int, like: Leaves = zeros) -> dict[int, mx.array]:
        """Leaves at one position in fold order, of full batch size."""
        place = n - 1 - t if adjoint.reverse else t
        found = {}
        for x, i in zip(given, leaves, strict=True):
            k = place if x.shape[axis] > 1 else 0
            row = mx.take(x, mx.array([k]), axis=axis).astype(like[i].dtype)
            found[i] = mx.broadcast_to(row, like[i].shape)
        return found

    g = dict(zip(adjoint.live, at(operands.ends, adjoint.live, 0).values(), strict=True))
    rows: list[Leaves] = []
    for t in range(n - 1, -1, -1):
        late = t if adjoint.inclusive else t + 1
        if late < n:
            g = _added(g, at(operands.weights, adjoint.weights, late))
        if t == 0 and not adjoint.seeded:
            rows.append([g.get(i, zeros[i]) for i in adjoint.gradients])
            break
        before = t - 1 if adjoint.shifted else t
        lefts = at(operands.init, adjoint.lefts, 0) if before < 0 else at(operands.lefts, adjoint.lefts, before)
        rights = at(operands.rights, adjoint.rights, t, nothing)
        left, right = (
            [known.get(i, x) for i, x in enumerate(like)] for known, like in ((lefts, zeros), (rights, nothing))
        )
        found = evaluate_arrays(adjoint.array_step, [*left, *right, *operands.captures, *g.values()])
        g = dict(zip(adjoint.live, found, strict=False))
        shown = len(adjoint.live) + len(adjoint.gradients)
        rows.append(found[len(adjoint.live) : shown])
        totals = [a + b for a, b in zip(totals, found[shown:], strict=True)]
    if not adjoint.inclusive and adjoint.seeded:
        g = _added(g, at(operands.weights, adjoint.weights, 0))
    ordered = rows if adjoint.reverse else rows[::-1]
    outputs = [
        mx.concatenate([mx.broadcast_to(row[k], (*one, *leaf.shape)) for row in ordered], axis).astype(
            dtypes.by_name(leaf.dtype)
        )
        for k, leaf in enumerate(adjoint.outputs)
    ]
    last = [*(g[i] for i in adjoint.live if adjoint.seeded), *totals]
    return outputs + [
        mx.broadcast_to(x, (*one, *leaf.shape)).squeeze(axis) for x, leaf in zip(last, adjoint.last, strict=True)
    ]


def _added(g: dict[int, mx.array], more: dict[int, mx.array]) -> dict[int, mx.array]:
    return {i: x + more[i] if i in more else x for i, x in g.items()}
