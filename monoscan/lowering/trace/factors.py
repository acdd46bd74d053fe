"""Arrays of a recorded function whose positions along batch axes all run one program.

The axes of such an array are products of *factors*. A factor is a batch axis of the
slices, or positions that are all alike, or positions of the element itself; only those
last ones are unrolled into value numbers. Transposes move factors, reshapes bracket them
anew, and an operation joins those of its operands: so it is known of every value which of
its axes is which axis of the slices, whatever the sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod

import attrs
import numpy as np

from monoscan.lowering.program.builder import Builder, Ids
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.trace.untraceable import Untraceable

ALIKE, OWN = -1, -2


class Mixed(Exception):
    """A value at one position along a batch axis depends on that position, or on another one."""


@attrs.frozen
class Factor:
    """A part of an axis: its size, and the number of the batch axis that it is, `ALIKE` or `OWN`."""

    size: int
    origin: int

    @property
    def unrolled(self) -> int:
        """How many value numbers stand for it."""
        return self.size if self.origin == OWN else 1


Axis = tuple[Factor, ...]
"""The factors of an axis, the outermost first; none where its size is 1."""


@attrs.frozen(eq=False)
class Spread:
    """An array of value numbers, each of which may stand for many positions.

    Args:
        ids: The value numbers; along each axis as many as its factors unroll to.
        axes: The factors of each axis.
    """

    ids: Ids
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> Shape:
        """The shape of the array that it stands for."""
        return tuple(size_of(axis) for axis in self.axes)

    def transpose(self, order: Sequence[int]) -> Spread:
        """The axes in another order."""
        return Spread(self.ids.transpose(order), tuple(self.axes[i] for i in order))

    def broadcast(self, shape: Shape) -> Spread:
        """Axes of size 1, and new ones in front, with many positions that are all alike."""
        missing = len(shape) - len(self.axes)
        axes = ((),) * missing + self.axes
        grown = tuple(
            (Factor(size, ALIKE),) if size != size_of(axis) else axis for size, axis in zip(shape, axes, strict=True)
        )
        return Spread(self.ids.reshape((1,) * missing + self.ids.shape), grown)

    def reshape(self, shape: Shape) -> Spread:
        """The factors in other brackets.

        Raises:
            Mixed: A batch axis would be cut, or bracketed with another.
        """
        factors = [factor for axis in self.axes for factor in axis]
        ids, cuts = self.ids.reshape(unrolled(factors)), _cuts(shape)
        refined = _refine(factors, cuts)
        if refined is None:
            factors, ids = _dense(factors, ids)
            refined = _refine(factors, cuts)
        if refined is None:
            raise Mixed
        return _bracket(refined, ids.reshape(unrolled(refined)), shape)

    def fit(self, wanted: Sequence[Axis]) -> Ids:
        """The value numbers, unrolled along each axis as these factors are."""
        ids = self.ids
        for i, (axis, common) in enumerate(zip(self.axes, wanted, strict=True)):
            if axis != common:
                own = _refine(axis, _cuts([factor.size for factor in common])) if axis else []
                assert own is not None, "common factors refine those of each operand"
                own = own or [Factor(factor.size, ALIKE) for factor in common]
                around = ids.shape[:i], ids.shape[i + 1 :]
                split = ids.reshape(*around[0], *unrolled(own), *around[1])
                ids = _grown(split, (*around[0], *unrolled(common), *around[1]))
                ids = ids.reshape(*around[0], prod(unrolled(common)), *around[1])
        return ids


def own_axis(size: int) -> Axis:
    """An axis of the element itself.

    An axis of one position is no factor at all: there is nothing to tell apart along it.
    """
    return (Factor(size, OWN),) if size != 1 else ()


def constant(ids: Ids) -> Spread:
    """Values that belong to no batch axis."""
    return Spread(ids, tuple(own_axis(size) for size in ids.shape))


def size_of(axis: Sequence[Factor]) -> int:
    """The number of positions along an axis."""
    return prod(factor.size for factor in axis)


def unrolled(factors: Sequence[Factor]) -> Shape:
    """How many value numbers stand for each factor."""
    return tuple(factor.unrolled for factor in factors)


def join(axes: Sequence[Axis]) -> Axis:
    """The factors of an axis along which operands meet position by position.

    Raises:
        Mixed: They are different axes of the slices, or one is an axis of the element.
    """
    present = [axis for axis in axes if axis]
    if all(axis == present[0] for axis in present):
        return present[0] if present else ()
    cuts = set().union(*(_cuts([factor.size for factor in axis]) for axis in present))
    refined = [_refine(axis, cuts) for axis in present]
    rows = [axis for axis in refined if axis is not None]
    if len(rows) < len(refined) or len({size_of(axis) for axis in rows}) > 1:
        raise Mixed
    return tuple(_meet(each) for each in zip(*rows, strict=True))


def dense(axis: Axis) -> Axis:
    """The same axis as one of the element itself.

    Raises:
        Mixed: It is an axis of the slices.
    """
    if any(factor.origin >= 0 for factor in axis):
        raise Mixed
    return own_axis(size_of(axis))


def _meet(factors: Sequence[Factor]) -> Factor:
    origins = {factor.origin for factor in factors} - {ALIKE}
    if len(origins) > 1:
        raise Mixed
    return Factor(factors[0].size, origins.pop() if origins else ALIKE)


def _cuts(sizes: Sequence[int]) -> set[int]:
    """Where factors of these sizes end, counted in positions from the innermost."""
    return set(accumulate(reversed(sizes), lambda a, b: a * b))


def _refine(factors: Sequence[Factor], cuts: set[int]) -> list[Factor] | None:
    """The factors cut at these places too; ``None`` if that is not possible."""
    found = []
    outer = size_of(factors)
    for factor in factors:
        inner = outer // factor.size
        bounds = [outer, *sorted((cut for cut in cuts if inner < cut < outer), reverse=True), inner]
        if any(a % b for a, b in pairwise(bounds)) or (factor.origin >= 0 and len(bounds) > 2):
            return None
        found += [Factor(a // b, factor.origin) for a, b in pairwise(bounds)]
        outer = inner
    return found


def _dense(factors: Sequence[Factor], ids: Ids) -> tuple[list[Factor], Ids]:
    """Factors that are no batch axes as those of the element, neighbours as one."""
    found: list[Factor] = []
    for factor in factors:
        if factor.origin < 0 and found and found[-1].origin == OWN:
            found[-1] = Factor(found[-1].size * factor.size, OWN)
        else:
            found.append(factor if factor.origin >= 0 else Factor(factor.size, OWN))
    full = _grown(ids, tuple(factor.size if factor.origin < 0 else 1 for factor in factors))
    return found, full.reshape(unrolled(found))


def _bracket(factors: Sequence[Factor], ids: Ids, shape: Shape) -> Spread:
    """The factors gathered into axes of these sizes."""
    rest, axes, full = list(factors), [], []
    for size in shape:
        axis: list[Factor] = []
        while size_of(axis) != size:
            axis.append(rest.pop(0))
        merged, grown = _merged(axis)
        axes.append(merged)
        full += grown
    ids = _grown(ids, tuple(full))
    return Spread(ids.reshape([prod(unrolled(axis)) for axis in axes]), tuple(axes))


def _merged(axis: Sequence[Factor]) -> tuple[Axis, list[int]]:
    """Neighbours that are no batch axes as one factor, and what each unrolls to for that."""
    found: list[Factor] = []
    runs: list[list[int]] = []
    for factor in axis:
        if factor.origin < 0 and found and found[-1].origin < 0:
            origin = ALIKE if found[-1].origin == factor.origin == ALIKE else OWN
            found[-1] = Factor(found[-1].size * factor.size, origin)
            runs[-1].append(factor.size)
        else:
            found.append(factor)
            runs.append([factor.size])
    pairs = zip(found, runs, strict=True)
    return tuple(found), [size if factor.origin == OWN else 1 for factor, run in pairs for size in run]


def _grown(ids: Ids, shape: Shape) -> Ids:
    if prod(shape) > Builder.most_values:
        raise Untraceable(f"an array of more than {Builder.most_values} lanes")
    return np.broadcast_to(ids, shape)
