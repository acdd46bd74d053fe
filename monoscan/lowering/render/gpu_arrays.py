"""The arrays of a launch on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.lowering.render.spec import KernelSpec

OUTPUTS = ("results", "totals", "published", "carry")
"""The groups of arrays that a launch writes; what is published, other groups of threads read."""


@attrs.frozen
class Array:
    """An array of a launch.

    Args:
        name: Its name in the text.
        group: What it holds: elements, captures, init, seeds, results, totals, published or carry; of an adjoint
            rights, lefts, weights and ends in place of elements.
        dtype: Its dtype.
        number: Which of its group it is.
        event: The event shape.
        members: What the text calls its lanes.
    """

    name: str
    group: str
    dtype: str
    number: int
    event: Shape
    members: tuple[str, ...]

    @property
    def written(self) -> bool:
        """Whether a launch writes it."""
        return self.group in OUTPUTS


LETTERS = {
    "elements": "x", "captures": "c", "init": "i", "seeds": "e", "results": "y", "totals": "t", "published": "p",
    "carry": "z", "rights": "r", "lefts": "l", "weights": "w", "ends": "g",
}  # fmt: skip
"""The first letters of names, by group."""


def array(group: str, number: int, dtype: str, leaf: Leaf, members: tuple[str, ...]) -> Array:
    """An array of a leaf."""
    return Array(f"{LETTERS[group]}{number}", group, dtype, number, leaf.shape, members)


def members(prefix: str, leaf: Leaf) -> tuple[str, ...]:
    """The members that hold a leaf's lanes: ``prefix`` and the lane's number."""
    return tuple(f"{prefix}_{lane}" for lane in range(leaf.lanes))


def given(kernel: KernelSpec, group: str) -> Iterator[Array]:
    """Arrays of the leaves that a first state and the last one have, of an act those of its states."""
    held = kernel.kept if kernel.action else kernel.tree
    for number, leaf in enumerate(kernel.given):
        if leaf in held:
            own = kernel.state[leaf]
            yield array(group, number, own.dtype, own, state_members(kernel, leaf))


def elements(kernel: KernelSpec) -> Iterator[Array]:
    """Arrays of the elements that a kernel reads: those that act on states, or of the leaves that it holds."""
    letter, lanes = ("x", kernel.element_lanes) if kernel.action else ("s", kernel.lanes)
    for leaf in kernel.read if kernel.action else kernel.tree:
        names = tuple(f"{letter}{lane}" for lane in lanes[leaf])
        yield array("elements", leaf, kernel.elements[leaf], kernel.element[leaf], names)


def states(kernel: KernelSpec, group: str) -> Iterator[Array]:
    """Arrays of the leaves that a kernel holds."""
    for leaf in kernel.tree:
        own = kernel.state[leaf]
        yield array(group, leaf, own.dtype, own, state_members(kernel, leaf))


def results(kernel: KernelSpec) -> Iterator[Array]:
    """Arrays of results."""
    for number, (leaf, dtype) in enumerate(zip(kernel.emit, kernel.results, strict=False)):
        yield array("results", number, dtype, kernel.state[leaf], state_members(kernel, leaf))


def captures(kernel: KernelSpec) -> Iterator[Array]:
    """Captured arrays."""
    for number, (leaf, dtype) in enumerate(zip(kernel.combine.captures, kernel.capture_dtypes, strict=True)):
        yield array("captures", number, dtype, leaf, members(f"c{number}", leaf))


def state_members(kernel: KernelSpec, leaf: int) -> tuple[str, ...]:
    """What the text calls the lanes of a leaf of the state."""
    return tuple(f"s{lane}" for lane in kernel.lanes[leaf])
