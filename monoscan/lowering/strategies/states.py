"""The states that elements lead through: one after another, or all at once from products of elements."""

from __future__ import annotations

from monoscan.lowering.strategies.hillis_steele import BASE
from monoscan.lowering.strategies.run import INCLUSIVE
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, join, length_of

Act = Combine
"""``act`` of whole arrays: of one state and elements, or of one state for each element."""


def run_states(
    strategy: str, combine: Combine | None, act: Act, xs: Leaves, first: Leaves, axis: int, *, inclusive: bool
) -> tuple[Leaves, Leaves]:
    """The states, and the last one with a scan axis of length 1.

    Args:
        strategy: ``"sequential"``, or the tree by which products of elements are made.
        combine: Combines arrays of elements; trees need it.
        act: The states after elements.
        xs: Elements in fold order.
        first: The state before them, with a scan axis of length 1.
        axis: The scan axis.
        inclusive: Whether each position shows the state after its own element.
    """
    n = length_of(xs, axis)
    if strategy == "sequential":
        ys = _in_order(act, xs, first, axis)
    else:
        assert combine is not None, "planning chooses no tree then"
        ys = act(first, INCLUSIVE[strategy](combine, xs, axis, BASE))
    last = cut(ys, axis, n - 1, n)
    return (ys if inclusive else join(axis, first, cut(ys, axis, 0, n - 1))), last


def _in_order(act: Act, xs: Leaves, state: Leaves, axis: int) -> Leaves:
    states = []
    for t in range(length_of(xs, axis)):
        state = act(state, cut(xs, axis, t, t + 1))
        states.append(state)
    return join(axis, *states)
