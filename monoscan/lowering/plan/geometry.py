"""Where the elements of aligned arrays stand, for kernels that take arrays without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import attrs
import mlx.core as mx

from monoscan.lowering.program.ir import Shape


@attrs.frozen
class Geometry:
    """Arrays as rows of columns: (outer..., scan axis, inner), the outer axes merged as far as all arrays allow.

    Args:
        length: The length of the scan axis.
        inner: How many columns lie side by side.
        outer: The sizes of the outer axes, one at least.
        strides: Of each array, in elements: along the outer axes, the scan axis, the inner axis; 0 where it is
            broadcast.
    """

    length: int
    inner: int
    outer: Shape
    strides: tuple[Shape, ...]

    @property
    def rows(self) -> int:
        """How many scans of such rows there are."""
        return prod(self.outer)


def geometry(leads: Sequence[Shape], axis: int, length: int) -> Geometry:
    """The geometry of arrays.

    Args:
        leads: The batch shape of each array, scan axis included, which has any size. All have the same rank.
        axis: The scan axis.
        length: Its length.
    """
    batches = [(*lead[:axis], *lead[axis + 1 :]) for lead in leads]
    full = tuple(mx.broadcast_shapes(*batches, batches[0]))
    split = _inner_from(batches, full, axis)
    own = [_strides(lead) for lead in leads]
    axes = [i if i < axis else i + 1 for i in range(split) if full[i] > 1]
    groups = _merged(axes, leads, own)
    outer = tuple(prod(max(lead[i] for lead in leads) for i in group) for group in groups) or (1,)
    strides = []
    for lead, steps in zip(leads, own, strict=True):
        outward = [max((steps[i] for i in group[-1:]), default=0) for group in groups] or [0]
        side = int(prod(lead[split + 1 :] if split >= axis else ()) > 1)
        strides.append((*outward, steps[axis], side))
    return Geometry(length, prod(full[split:]), outer, tuple(strides))


def _inner_from(batches: Sequence[Shape], full: Shape, axis: int) -> int:
    """The first batch axis of the inner ones: trailing axes behind the scan axis that all arrays spread over alike."""
    pattern, split = None, len(full)
    for i in range(len(full) - 1, axis - 1, -1):
        if full[i] > 1:
            spread = tuple(batch[i] == 1 for batch in batches)
            if pattern not in (None, spread):
                break
            pattern = spread
        split = i
    return split


def _strides(lead: Shape) -> Shape:
    return tuple(0 if size == 1 else prod(lead[i + 1 :]) for i, size in enumerate(lead))


def _merged(axes: Sequence[int], leads: Sequence[Shape], strides: Sequence[Shape]) -> list[list[int]]:
    """Neighbouring axes that are one in every array."""
    groups: list[list[int]] = []
    for i in axes:
        alike = groups and all(
            own[groups[-1][-1]] == own[i] * lead[i] for lead, own in zip(leads, strides, strict=True)
        )
        if alike:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
