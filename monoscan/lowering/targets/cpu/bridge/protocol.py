"""The types of the compiled bridge module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx

LeafSpec = tuple[mx.Dtype, Sequence[int]]


class Launch(Protocol):
    """One plan's scan: call it with arrays, get lazy arrays."""

    @property
    def name(self) -> str:
        """The name in errors and exported graphs."""
        ...

    @property
    def axis(self) -> int:
        """The scan axis."""
        ...

    @property
    def rank(self) -> int:
        """The number of batch axes."""
        ...

    def __call__(self, arrays: Sequence[mx.array], stream: Any = None) -> list[mx.array]:
        """The results of the scan, lazily, on the CPU stream or the default one."""
        ...


class Bridge(Protocol):
    """The compiled module.

    A launch's arrays are rank-aligned: each has ``rank`` batch axes, of full size or 1, then
    its event axes; captures and inits have size 1 along ``axis``. Results are the outputs,
    of the full broadcast batch shape, then the carries, without the scan axis.
    """

    def Launch(
        self,
        name: str,
        *,
        schedule: int,
        task: int,
        axis: int,
        rank: int,
        elements: int,
        captures: int = 0,
        inits: int = 0,
        whole: bool = True,
        columns: int = 0,
        strided: bool = False,
        window: int = 0,
        sums: int = 0,
        lengths: bool = False,
        offsets: bool = False,
        uneven: bool = False,
        events: Sequence[Sequence[int]],
        outputs: Sequence[LeafSpec],
        carries: Sequence[LeafSpec] = (),
        donors: Sequence[int] = (),
        likes: Sequence[int] = (),
        numbers: bytes = b"",
        identity: Sequence[bytes] = (),
        rules: object = None,
        label: str = "",
    ) -> Launch:
        """Makes what a plan keeps and calls; it holds no arrays.

        Args:
            name: The name in drawn graphs, and in MLX's error where a function with it is exported.
            schedule: The address of the kernel's ``ms_schedule``.
            task: The address of its ``ms_task``.
            axis: The scan axis, counted from the front.
            rank: The number of batch axes, the scan axis among them.
            elements: How many of the inputs are element leaves; they come first.
            captures: How many are captured arrays; they come next.
            inits: How many are leaves of the initial state; they come last.
            whole: Every element leaf has the scan axis in full; else some may have size 1 there,
                for the same value at every step.
            columns: The most columns that the kernel takes beside each other; 0 for any number.
            strided: It reads columns that stand any distance apart; else they are copied first.
            window: How many steps a window holds; 0 for a scan.
            sums: How many of the carries, the last ones, are sums over the steps, which have no init.
            lengths: Behind the inits stands how many steps of each row, or sequence, count: int32, rank-aligned.
            offsets: Last of all stands where sequences begin, one more than there are: int32, rank-aligned, along
                ``axis``. Inits, lengths and carries then have the sequences there.
            uneven: The kernel takes columns beside each other whose lengths differ; else they are rows.
            events: The event shape of each input.
            outputs: The dtype and event shape of each output.
            carries: The same of each carry; empty for none.
            donors: For each output the input whose buffer it may take, or -1.
            likes: For each output the input whose batch axes it has, with the sum over the others; or -1, for all axes.
            numbers: The table of numbers that the kernel reads.
            identity: The bytes of the identity's leaf of each carry, for an empty axis without
                init; none if there is no identity. With ``lengths`` or ``offsets`` of each leaf of the
                state: what stands where nothing came yet.
            rules: ``vjp(primals, cotangents, argnums, outputs, *, axis, rank)`` returns one
                array for each of ``argnums``; ``jvp(primals, tangents, argnums, *, axis,
                rank)`` one for each output and carry. Under ``vmap`` axis and rank grow.
            label: What messages call it; the name if empty.
        """
        ...

    def attach(
        self, primals: Sequence[mx.array], values: Sequence[mx.array], rules: object, *, axis: int, rank: int
    ) -> list[mx.array]:
        """The values again, with these rules for how they follow from the primals.

        Args:
            primals: Aligned arrays, as of a launch.
            values: What was computed from them, without their gradient.
            rules: As of a launch.
            axis: The scan axis.
            rank: The number of batch axes.
        """
        ...

    def is_zero(self, array: mx.array) -> bool:
        """Whether an array is zeros by the way it was made, as ``mx.zeros_like`` makes them."""
        ...

    def fit(self, array: mx.array, like: mx.array, *, rank: int) -> mx.array:
        """The sum over those of the first ``rank`` axes along which ``like`` has size 1 when it runs."""
        ...

    def pairs(self, array: mx.array) -> mx.array:
        """A complex array as its parts, along a last axis of size 2: in the same memory."""
        ...

    def from_pairs(self, array: mx.array) -> mx.array:
        """The complex array that has these parts."""
        ...

    def opaque(self, output: mx.array) -> list[mx.array]:
        """All outputs of the operation that makes ``output``, which ``mx.vmap`` passes without asking for its rule.

        Of what they are mapped to nothing may be read: a custom function around them has a rule of its own.
        """
        ...

    def shapeless(self) -> bool:
        """Whether a function is being traced by ``mx.compile(..., shapeless=True)``."""
        ...

    def threads(self) -> int:
        """How many threads a launch may use."""
        ...

    def set_threads(self, n: int) -> None:
        """Sets that number, at least 1; results do not depend on it."""
        ...

    def dispatched(self) -> int:
        """How many phases went to the pool so far."""
        ...

    def last_level_cache(self) -> int:
        """Its bytes, as every launch is told."""
        ...

    def shares_types(self) -> bool:
        """Whether the module knows the array type of MLX."""
        ...
