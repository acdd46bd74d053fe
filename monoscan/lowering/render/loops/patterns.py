"""Lane patterns of the shuffles: literal, since the compiler turns those into single instructions."""

from __future__ import annotations

from collections.abc import Sequence

Pattern = list[int]


def arguments(pattern: Sequence[int]) -> str:
    """A pattern as template arguments."""
    return ", ".join(map(str, pattern))


def runs(width: int, length: int, reverse: bool) -> Pattern:
    """The run that each lane holds after the block transpose of `length` registers.

    Lane ``4 g + c`` of a transposed block of 4 holds elements 4 q to 4 q + 3 with
    ``q = c * width / 4 + g``; of 8, the halves of neighbouring q are brought together.
    """
    quads = [(lane % 4) * (width // 4) + lane // 4 for lane in range(width)]
    order = quads
    if length == 8:
        first, _ = halves(width)
        both = quads + [width + q for q in quads]
        order = [both[source] // 2 for source in first]
    return [width - 1 - run for run in order] if reverse else order


def halves(width: int) -> tuple[Pattern, Pattern]:
    """From two transposed blocks of 4: the first, and the second halves of runs of 8."""
    if width == 4:
        return [0, 2, 4, 6], [1, 3, 5, 7]
    groups = range(width // 4)
    first = [4 * g + c if g % 2 == 0 else width + 4 * (g - 1) + c for g in groups for c in range(4)]
    second = [4 * (g + 1) + c if g % 2 == 0 else width + 4 * g + c for g in groups for c in range(4)]
    return first, second


def unhalves(width: int) -> tuple[Pattern, Pattern]:
    """The inverse of `halves`."""
    if width == 4:
        return [0, 4, 1, 5], [2, 6, 3, 7]
    return halves(width)


def rotate(order: Pattern, steps: int) -> Pattern:
    """Each lane takes the value of the lane `steps` runs before it, around the end."""
    lane_of = {run: lane for lane, run in enumerate(order)}
    return [lane_of[(run - steps) % len(order)] for run in order]


def keep(order: Pattern, steps: int) -> Pattern:
    """A blend (own, new): a lane with fewer than `steps` runs before it keeps its own."""
    return [lane if run < steps else len(order) + lane for lane, run in enumerate(order)]


def everywhere(order: Pattern, run: int) -> Pattern:
    """Every lane takes the value of one run."""
    return [order.index(run)] * len(order)
