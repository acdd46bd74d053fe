"""The meaning of lengths, mask and offsets: a fold in order, one position at a time, in NumPy and Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NOTHING = object()
"""No state yet: nothing was given, and nothing valid came."""


class Undefined(Exception):
    """Something that the rule gives no value: no element came, and there is neither a start nor a blank."""


def bounds_of(length: int, offsets: Any) -> list[tuple[int, int]]:
    """Where each sequence begins and ends."""
    if offsets is None:
        return [(0, length)]
    cuts = [min(max(int(most), 0), length) for most in np.maximum.accumulate(np.asarray(offsets))]
    return list(itertools.pairwise(cuts))


def valid_positions(length: int, lengths: Sequence[int] | None, mask: Sequence[bool] | None, offsets: Any) -> set[int]:
    """The positions of one row that count; lengths has a number for each sequence."""
    found = set()
    for k, (low, high) in enumerate(bounds_of(length, offsets)):
        many = high - low if lengths is None else min(max(int(lengths[k]), 0), high - low)
        found |= {t for t in range(low, low + many) if mask is None or mask[t]}
    return found


def row(
    step: Callable[[Any, Any], Any],
    xs: Sequence[Any],
    *,
    begin: Callable[[Any], Any] = lambda x: x,
    starts: Sequence[Any] | None = None,
    blank: Any = NOTHING,
    outside: Any = NOTHING,
    reverse: bool = False,
    inclusive: bool = True,
    lengths: Sequence[int] | None = None,
    mask: Sequence[bool] | None = None,
    offsets: Any = None,
) -> tuple[list[Any], list[Any]]:
    """The states at all positions of one row, and the last one of each sequence.

    Args:
        step: The next state, of the last one and an element.
        xs: The elements.
        begin: The state that a first element makes.
        starts: The state from which each sequence starts, if they are given.
        blank: What is shown where there is no state; `NOTHING` where that is an error.
        outside: What is shown at positions of no sequence.
    """
    valid = valid_positions(len(xs), lengths, mask, offsets)
    shown: list[Any] = [outside] * len(xs)
    carries = []
    for k, (low, high) in enumerate(bounds_of(len(xs), offsets)):
        state = NOTHING if starts is None else starts[k]
        for t in reversed(range(low, high)) if reverse else range(low, high):
            before = state
            if t in valid:
                state = begin(xs[t]) if state is NOTHING else step(state, xs[t])
            shown[t] = state if inclusive else before
        carries.append(state)
    return [blank if y is NOTHING else y for y in shown], [blank if c is NOTHING else c for c in carries]


def scan(
    step: Callable[..., Any], leaves: Sequence[Any], axis: int, *, events: Sequence[int], starts: Sequence[Any] | None = None,
    start_events: Sequence[int] | None = None, lengths: Any = None, mask: Any = None, offsets: Any = None, **options: Any,
) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:  # fmt: skip
    """`row` for every row of leaves of one batch shape: the leaves of states, and those of the last ones.

    Elements and states are tuples of numbers or arrays. What sequences start from has their number in the place of the
    scan axis, or no such axis without offsets.
    """
    leaves = [np.asarray(x) for x in leaves]
    lead = leaves[0].shape[: leaves[0].ndim - events[0]]
    batch, number = lead[:axis] + lead[axis + 1 :], len(bounds_of(lead[axis], offsets))
    rows = batch if offsets is None else (*batch[:axis], number, *batch[axis:])
    mask = None if mask is None else np.broadcast_to(from_left(mask, len(lead)), lead)
    lengths = None if lengths is None else np.broadcast_to(from_left(lengths, len(rows)), rows)
    blank = options.get("blank", NOTHING)
    outside = tuple(np.zeros_like(x[(0,) * len(lead)]) for x in leaves) if blank is NOTHING else blank
    options = {"outside": outside, **options}
    ys: list[np.ndarray[Any, Any]] = []
    carries: list[np.ndarray[Any, Any]] = []
    for at in np.ndindex(*batch):
        along = (*at[:axis], slice(None), *at[axis:])
        each = [along if offsets is not None else at]
        first = None
        if starts is not None:
            held = [np.asarray(s)[each[0]] for s in starts]
            first = [tuple(h[k] for h in held) if offsets is not None else tuple(held) for k in range(number)]
        own = None if lengths is None else np.atleast_1d(lengths[each[0]])
        xs = [tuple(x[along][t] for x in leaves) for t in range(lead[axis])]
        found = row(
            step,
            xs,
            starts=first,
            lengths=own,
            offsets=offsets,
            mask=None if mask is None else mask[along],
            **options,
        )
        _put(ys, lead, along, found[0])
        _put(carries, rows, each[0], found[1] if offsets is not None else found[1][0:1])
    return ys, carries


def counting(
    lead: tuple[int, ...], axis: int, lengths: Any = None, mask: Any = None, offsets: Any = None, **_: Any
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which positions count, and the index of each in its sequence."""
    ones = np.ones(lead, np.int64)
    start = [np.zeros(row_shape(lead, axis, offsets), np.int64)]
    options: dict[str, Any] = {"axis": axis, "events": [0], "starts": start, "outside": (0,), "offsets": offsets}
    before, after = (
        scan(lambda s, x: (s[0] + x[0],), [ones], lengths=lengths, mask=mask, inclusive=inclusive, **options)[0][0]
        for inclusive in (False, True)
    )
    index = scan(lambda s, x: (s[0] + x[0],), [ones], inclusive=False, **options)[0][0]
    return before != after, index


def row_shape(lead: tuple[int, ...], axis: int, offsets: Any) -> tuple[int, ...]:
    """The shape of what sequences start from."""
    return (*lead[:axis], *(() if offsets is None else (len(offsets) - 1,)), *lead[axis + 1 :])


def _put(targets: list[np.ndarray[Any, Any]], lead: tuple[int, ...], at: Any, states: Sequence[Any]) -> None:
    if any(s is NOTHING for s in states):
        raise Undefined
    if not states:
        return
    if not targets:
        targets += [np.zeros(lead + np.shape(leaf), np.asarray(leaf).dtype) for leaf in states[0]]
    single = not any(isinstance(i, slice) for i in at)
    for i, target in enumerate(targets):
        target[at] = states[0][i] if single else np.stack([np.asarray(s[i]) for s in states])


def from_left(x: Any, rank: int) -> np.ndarray[Any, Any]:
    """Axes of size 1 on the right."""
    x = np.asarray(x)
    return x.reshape(x.shape + (1,) * (rank - x.ndim))
