"""The fold in order, one combine a step: the reference for the others."""

from __future__ import annotations

from monoscan.lowering.strategies.slices import Combine, Leaves, cut, join, length_of


def sequential(combine: Combine, xs: Leaves, axis: int) -> Leaves:
    """The inclusive scan; needs no identity."""
    state = cut(xs, axis, 0, 1)
    states = [state]
    for t in range(1, length_of(xs, axis)):
        state = combine(state, cut(xs, axis, t, t + 1))
        states.append(state)
    return join(axis, *states)
