"""The adjoint of wide elements by array operations, one step after the other: what MLX differentiates again."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.strategies.slices import Leaves


def backward(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """Runs an adjoint; what it takes and yields stands in `Adjoint`."""
    operands, state = adjoint.unpack(arrays), adjoint.program.outputs
    lead = aligned.full_lead(arrays, rank)
    n, one = lead[axis], (*lead[:axis], 1, *lead[axis + 1 :])
    zeros = [mx.zeros((*one, *leaf.shape), dtypes.by_name(leaf.dtype)) for leaf in state]

    def at(given: Arrays, leaves: Sequence[int], t: int) -> dict[int, mx.array]:
        """Leaves at one position in fold order, of full batch size."""
        place = n - 1 - t if adjoint.reverse else t
        found = {}
        for x, i in zip(given, leaves, strict=True):
            k = place if x.shape[axis] > 1 else 0
            row = mx.take(x, mx.array([k]), axis=axis).astype(zeros[i].dtype)
            found[i] = mx.broadcast_to(row, zeros[i].shape)
        return found

    g = dict(zip(adjoint.live, at(operands.ends, adjoint.live, 0).values(), strict=True))
    rows: list[Leaves] = []
    for t in range(n - 1, -1, -1):
        late = t if adjoint.inclusive else t + 1
        if late < n:
            g = _added(g, at(operands.weights, adjoint.weights, late))
        if t == 0 and not adjoint.seeded:
            captured = [mx.zeros((*one, *leaf.shape), mx.float32) for leaf in adjoint.outputs[len(adjoint.gradients) :]]
            rows.append([*(g.get(i, zeros[i]) for i in adjoint.gradients), *captured])
            break
        before = t - 1 if adjoint.shifted else t
        lefts = at(operands.init, adjoint.lefts, 0) if before < 0 else at(operands.lefts, adjoint.lefts, before)
        rights = at(operands.rights, adjoint.rights, t)
        sides = [[known.get(i, zeros[i]) for i in range(len(state))] for known in (lefts, rights)]
        found = evaluate_arrays(adjoint.array_step, [*sides[0], *sides[1], *operands.captures, *g.values()])
        g = dict(zip(adjoint.live, found, strict=False))
        rows.append(found[len(adjoint.live) :])
    if not adjoint.inclusive and adjoint.seeded:
        g = _added(g, at(operands.weights, adjoint.weights, 0))
    ordered = rows if adjoint.reverse else rows[::-1]
    outputs = [
        mx.concatenate([mx.broadcast_to(row[k], (*one, *leaf.shape)) for row in ordered], axis).astype(
            dtypes.by_name(leaf.dtype)
        )
        for k, leaf in enumerate(adjoint.outputs)
    ]
    return outputs + ([g[i].squeeze(axis) for i in adjoint.live] if adjoint.seeded else [])


def _added(g: dict[int, mx.array], more: dict[int, mx.array]) -> dict[int, mx.array]:
    return {i: x + more[i] if i in more else x for i, x in g.items()}
