"""Which results share a kernel: as many as its registers hold together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

TOGETHER = 6
"""Up to so many lanes that depend on nothing in common share a kernel. Eight sums in one take up to 1.7 times as long
as one after the other, and ten and more, which leave the registers, 2 to 20 times (measured)."""


def apart(
    emit: Sequence[int], needs: Callable[[int], Sequence[int]], lanes: Callable[[int], int]
) -> list[tuple[int, ...]]:
    """Results, those together that are to share a kernel.

    Args:
        emit: The leaves that are wanted.
        needs: The leaves that a leaf depends on, itself among them.
        lanes: How many lanes a leaf has.
    """
    made: list[tuple[list[int], int]] = []
    for group, needed in _connected(emit, needs):
        size = sum(map(lanes, needed))
        if made and made[-1][1] + size <= TOGETHER:
            group, size = [*made[-1][0], *group], made.pop()[1] + size
        made.append((group, size))
    return [tuple(sorted(group)) for group, _ in made]


def _connected(emit: Sequence[int], needs: Callable[[int], Sequence[int]]) -> list[tuple[list[int], set[int]]]:
    """Results that depend on something in common, and all that they depend on."""
    found: list[tuple[list[int], set[int]]] = []
    for leaf in emit:
        joined, needed, rest = [], set(needs(leaf)), []
        for group, known in found:
            if known.isdisjoint(needed):
                rest.append((group, known))
            else:
                joined += group
                needed |= known
        found = [*rest, ([*joined, leaf], needed)]
    return found
