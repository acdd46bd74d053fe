"""What every kernel of a scan is made from, and what its vectors can hold."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import cached_property
from typing import Generic, TypeVar

import attrs

from monoscan.lowering.program.ir import Leaf, Signature

SIZES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
"""Bytes an item of every dtype that a kernel can hold."""

Scalar = float | int | bool


def vector_lanes(dtypes: Iterable[str], vector_bytes: int) -> int:
    """Lanes of a vector that holds any of these: one register of the widest, and 4 at least."""
    return max(4, vector_bytes // max((max(SIZES[name], 4) for name in dtypes), default=4))


def mask_bytes(dtypes: Iterable[str]) -> int:
    """Bytes of a mask's lanes: those of the narrowest number, and 4 at least."""
    return min((max(4, SIZES[name]) for name in dtypes if name != "bool"), default=4)


class Loop(str, enum.Enum):
    """The loop that walks the data."""

    ROWS = "rows"  # inner == 1: a vector holds consecutive steps of the scan
    PANELS = "panels"  # inner of a few vectors: they go down the rows, their states in registers
    SWEEP = "sweep"  # wide inner: a vector holds columns, the scan goes row by row
    NARROW = "narrow"  # 1 < inner < vector: a vector holds whole rows
    SHORT = "short"  # inner == 1: a vector holds the same step of several rows, which go down side by side
    RUNS = "runs"  # inner == 1: a vector holds the same step of several runs of a row, acted each from its true state
    SEQUENTIAL = "sequential"  # scalar, in exact fold order
    EVENTS = "events"  # a vector holds lanes of one element, in exact fold order
    BATCH = "batch"  # a vector holds the same lane of several elements, each of another row, in exact fold order


Combine = TypeVar("Combine", bound=Signature)


@attrs.frozen
class ScanSpec(Generic[Combine]):
    """What every kernel of a scan is made from.

    Args:
        combine: The traced program; its inputs are the state, an element and the captured
            arrays, its outputs the next state. Of a scan states are elements.
        elements: The storage dtype of each element leaf; differs from the state's dtype
            for halves only.
        results: The storage dtype of each emitted leaf, rounded to once.
        emit: The state leaves that are wanted, ascending. A leaf that is neither in it
            nor needed to compute one that is takes no part.
        captures: The storage dtypes of the captured arrays; the program's own if None.
        held: The leaves that a given state and the last one have; all if None. Of an act that
            is a part of ``combine`` those are its states, and the others take part in partial folds alone.
        last: The leaves whose last value may be asked for; all if None.
        alike: The leaves of the elements that are the same in all columns.
        real: The leaves of the elements that are complex in the program and real in memory: their last axis, of two
            parts, is not there.
        action: States are no elements, and nothing is regrouped.
        begin: Of an action the program of the state that a first element begins; None if one is given.
        want_results: False for a fold: the carry alone. The kernel then has no outputs.
        reverse: Walk from the last element to the first.
        inclusive: False: each position holds the fold of what comes before it.
        identity: A constant for each state lane: what an exclusive scan without init
            starts from.
        vector_bytes: The width of the machine's registers: 16, 32 or 64.
        flush: Results below the smallest normal number become zero, where the processor is slow with them.
    """

    combine: Combine
    elements: tuple[str, ...]
    results: tuple[str, ...]
    emit: tuple[int, ...]
    captures: tuple[str, ...] | None = None
    held: tuple[int, ...] | None = None
    last: tuple[int, ...] | None = None
    alike: tuple[int, ...] = ()
    real: tuple[int, ...] = ()
    action: bool = False
    begin: Combine | None = None
    want_results: bool = True
    reverse: bool = False
    inclusive: bool = True
    identity: tuple[Scalar, ...] | None = None
    vector_bytes: int = attrs.field(default=32, validator=attrs.validators.in_((16, 32, 64)))
    flush: bool = True

    @property
    def state(self) -> tuple[Leaf, ...]:
        """The leaves of the state."""
        return self.combine.inputs[: self.combine.arity]

    @property
    def given(self) -> tuple[int, ...]:
        """The leaves that a given state and the last one have."""
        return tuple(range(len(self.state))) if self.held is None else self.held

    @property
    def element(self) -> tuple[Leaf, ...]:
        """The leaves of an element."""
        return self.combine.elements

    @property
    def apart(self) -> bool:
        """Whether what is read are no states."""
        return self.action

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """The leaves that are read from memory: those of elements, unless these are prepared of others."""
        return self.element

    @property
    def shown(self) -> tuple[Leaf, ...]:
        """The leaves that results are written of: states, unless these are presented as others."""
        return tuple(self.state[leaf] for leaf, _ in zip(self.emit, self.results, strict=False))

    @property
    def starts(self) -> tuple[Leaf, ...]:
        """The leaves of the arrays that a scan starts from, and of what it ends with."""
        return tuple(self.state[leaf] for leaf in self.given)

    @property
    def input_events(self) -> list[tuple[int, ...]]:
        """The event shape of each array that is read."""
        return [leaf.shape[:-1] if i in self.real else leaf.shape for i, leaf in enumerate(self.inputs)]

    @property
    def capture_dtypes(self) -> tuple[str, ...]:
        """The storage dtype of each captured array."""
        return tuple(leaf.dtype for leaf in self.combine.captures) if self.captures is None else self.captures

    @property
    def capture_lanes(self) -> tuple[str, ...]:
        """The dtype of each lane of the captured arrays."""
        return tuple(leaf.dtype for leaf in self.combine.captures for _ in range(leaf.lanes))

    @cached_property
    def carried(self) -> tuple[int, ...]:
        """The leaves that a walk in fold order computes."""
        return self.combine.carried(self.emit)

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Those that it carries from one step to the next, or of which the last value may be asked for."""
        if self.last is None:
            return self.carried
        read = frozenset[int]().union(*(self.combine.reads[leaf][0] for leaf in self.carried))
        return tuple(leaf for leaf in self.carried if leaf in read or leaf in self.last)
