"""The network of a strategy: what it combines, found by running it on elements that remember."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import mlx.core as mx
import numpy as np

from monoscan import errors
from monoscan.lowering.strategies.run import run_strategy
from monoscan.lowering.strategies.slices import Leaves

DRAWN = ("hillis_steele", "blelloch", "brent_kung", "sequential")
TREES = ("blelloch", "brent_kung")
LONGEST = 32
"""More columns than this are too narrow to be read."""

IDENTITY = -1
_WHOLE = 1


@attrs.frozen
class Node:
    """An element of the input, or the result of one combine.

    Args:
        row: 0 for an input, else which call of ``combine`` made it, from 1 on.
        start: The first element that it covers, in fold order.
        stop: The one after the last.
        operands: The numbers of the left and the right operand; none for an input.
    """

    row: int
    start: int
    stop: int
    operands: tuple[int, ...] = ()


@attrs.frozen
class Network:
    """All that a strategy combines, in order.

    Args:
        strategy: The strategy.
        reverse: Fold order is from the last element back.
        inclusive: Each position includes its own element.
        nodes: The inputs, then a node for each combine.
        outputs: The number of the node at each position, in fold order, or `IDENTITY`.
        carry: The number of the node that is the total.
        placed: After which call of ``combine`` the identity is put in its place, or ``None``.
    """

    strategy: str
    reverse: bool
    inclusive: bool
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    carry: int
    placed: int | None

    @property
    def length(self) -> int:
        """How many elements are scanned."""
        return len(self.outputs)

    @property
    def rows(self) -> int:
        """How many calls of ``combine`` there are, each on whole arrays."""
        return max(node.row for node in self.nodes)

    @property
    def work(self) -> int:
        """How many combines there are."""
        return len(self.nodes) - self.length

    @property
    def depth(self) -> int:
        """The longest chain of combines."""
        depths: list[int] = []
        for node in self.nodes:
            depths.append(1 + max(depths[i] for i in node.operands) if node.operands else 0)
        return max(depths)

    @property
    def live(self) -> frozenset[int]:
        """The nodes that some output needs; others serve the carry alone."""
        needed, open_ = set[int](), [i for i in self.outputs if i != IDENTITY]
        while open_:
            number = open_.pop()
            needed.add(number)
            open_ += self.nodes[number].operands
        return frozenset(needed)


def record(strategy: str, length: int, *, reverse: bool = False, inclusive: bool = True) -> Network:
    """Runs a strategy on elements that remember, its tree down to single elements.

    Args:
        strategy: One of `DRAWN`.
        length: How many elements are scanned, from 1 to `LONGEST`.
        reverse: As in ``scan``; it changes no more than the names of the elements.
        inclusive: As in ``scan``.

    Raises:
        StrategyError: The strategy has no network of combines.
        ScanError: There are no elements, or more than can be drawn.
    """
    if strategy not in DRAWN:
        raise errors.StrategyError(
            f"[network] strategy {strategy!r} is not made of combines that can be drawn; "
            f"force one of {', '.join(DRAWN)}."
        )
    if not 1 <= length <= LONGEST:
        raise errors.ScanError(f"[network] draws 1 to {LONGEST} elements; got {length:,}.")
    with mx.stream(mx.cpu):
        recorder = _Recorder([Node(0, i, i + 1) for i in range(length)])
        ys, carry = run_strategy(
            strategy, recorder.combine, [mx.arange(length)], _Watched(recorder), 0,
            seeded=False, inclusive=inclusive, results=True, base=_WHOLE,
        )  # fmt: skip
        outputs, total = tuple(_numbers(ys)), _numbers(carry)[0]
    return Network(strategy, reverse, inclusive, tuple(recorder.nodes), outputs, total, recorder.placed)


def _numbers(leaves: Leaves) -> list[int]:
    return [int(number) for number in np.array(leaves[0])]


@attrs.define
class _Recorder:
    """A ``combine`` of numbers of nodes, which makes a new node of each pair."""

    nodes: list[Node]
    row: int = 0
    placed: int | None = None

    def combine(self, left: Leaves, right: Leaves) -> Leaves:
        pairs = list(zip(_numbers(left), _numbers(right), strict=True))
        self.row += bool(pairs)
        return [mx.array([self._join(l, r) for l, r in pairs], mx.int32)]

    def _join(self, left: int, right: int) -> int:
        first, second = self.nodes[left], self.nodes[right]
        if IDENTITY in (left, right) or first.stop != second.start:
            raise AssertionError(f"combined {first} with {second}")
        self.nodes.append(Node(self.row, first.start, second.stop, (left, right)))
        return len(self.nodes) - 1


class _Watched(list[mx.array]):
    """The identity, which notes when a strategy reads it."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__([mx.array([IDENTITY])])
        self._recorder = recorder

    def __iter__(self) -> Iterator[mx.array]:
        self._recorder.placed = self._recorder.row
        return super().__iter__()
