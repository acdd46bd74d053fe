"""Random calls with lengths, masks and offsets, for hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

BATCHES = [((), 0), ((2,), 0), ((2,), 1), ((2, 3), 1), ((2, 1), 2), ((3, 2), 0)]


@st.composite
def calls(draw: Any) -> dict[str, Any]:
    """A shape, an axis, and options with any of lengths, mask and offsets, wild values among them."""
    batch, axis = draw(st.sampled_from(BATCHES))
    length = draw(st.integers(1, 7))
    lead = (*batch[:axis], length, *batch[axis:])
    chosen: dict[str, Any] = {"lead": lead, "axis": axis}
    number = None
    if draw(st.booleans()):
        number = draw(st.integers(1, 4))
        chosen["offsets"] = draw(st.lists(st.integers(-2, length + 2), min_size=number + 1, max_size=number + 1))
    rows = batch if number is None else (*batch[:axis], number, *batch[axis:])
    if draw(st.booleans()):
        shape = left_part(draw, rows)
        chosen["lengths"] = filled(draw, st.integers(-1, length + 1), shape)
    if draw(st.booleans()):
        chosen["mask"] = filled(draw, st.booleans(), left_part(draw, lead))
    if len(chosen) == 2:
        chosen["mask"] = filled(draw, st.booleans(), lead)
    chosen["reverse"], chosen["inclusive"] = draw(st.booleans()), draw(st.booleans())
    return chosen


def left_part(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that aligns from the left with this one."""
    kept = draw(st.integers(0, len(shape)))
    return tuple(size if draw(st.booleans()) else 1 for size in shape[:kept])


def filled(draw: Any, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    many = int(np.prod(shape))
    return np.array(draw(st.lists(values, min_size=many, max_size=many))).reshape(shape)
