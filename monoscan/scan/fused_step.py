"""The step of an aggregator in one pass: from one pair of outputs and states to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.lowering.plan.fused_pass import Arrays
from monoscan.lowering.program.ir import MAX_LANES, Leaf
from monoscan.lowering.trace.combine import Traced, step_size, trace_step
from monoscan.lowering.trace.roles import Role
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator, element
from monoscan.scan.inputs import FIXED
from monoscan.scan.passes import Pass


@attrs.frozen(eq=False)
class FusedStep:
    """What one position does: it prepares, acts and presents.

    Args:
        over: The pass.
        inclusive: Whether the state after the position is presented, and not that before it.
    """

    over: Pass
    inclusive: bool

    @property
    def held(self) -> tuple[Leaf, ...]:
        """The leaves of outputs and states."""
        types = self.over.types
        return types.computed + tuple(Leaf(held.dtype, held.shape) for held in types.states)

    @property
    def order(self) -> list[int]:
        """The inputs, those with a time axis first."""
        kinds = self.over.geometry.kinds
        return sorted(range(len(kinds)), key=lambda i: kinds[i] == FIXED)

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """The leaves of inputs in that order, as they are computed with."""
        one = self.over.geometry.one
        return tuple(Leaf(dtypes.accumulation(one[i].dtype), one[i].shape) for i in self.order)

    @property
    def timed(self) -> tuple[Leaf, ...]:
        """Those with a time axis, which come first."""
        return self.inputs[: sum(kind != FIXED for kind in self.over.geometry.kinds)]

    @property
    def fixed(self) -> tuple[Leaf, ...]:
        """Those without."""
        return self.inputs[len(self.timed) :]

    def step(self) -> Traced:
        """The program from one pair of outputs and states to the next."""
        over, outputs, number = self.over, len(self.over.types.outputs), len(self.held)

        def step(*arrays: mx.array) -> Sequence[mx.array]:
            aggregator, inputs = self.rebuilt(arrays[number:])
            before = tree.unflatten(over.types.form, arrays[outputs:number])
            made = element(aggregator, inputs, over.where)
            after = copies.moved(aggregator.operator, before, made, 0, over.where)
            shown = aggregator.present(after if self.inclusive else before, *inputs)
            return [*tree.flatten(shown)[0], *tree.flatten(after)[0]]

        return self.traced("the step of an aggregator", step, self.held, self.timed)

    def begin(self) -> Traced:
        """The program of the first pair."""

        def begin(*arrays: mx.array) -> Sequence[mx.array]:
            aggregator, inputs = self.rebuilt(arrays)
            made = element(aggregator, inputs, self.over.where)
            first = copies.begun(aggregator.operator, made, 0, self.over.where)
            return [*tree.flatten(aggregator.present(first, *inputs))[0], *tree.flatten(first)[0]]

        return self.traced("the first step of an aggregator", begin, (), self.timed)

    def rebuilt(self, arrays: Sequence[mx.array]) -> tuple[Aggregator, list[mx.array]]:
        """The aggregator with captured arrays in place, and its inputs in their order."""
        order = self.order
        placed = dict(zip(order, arrays, strict=False))
        return self.over.captures.rebuild(arrays[len(order) :]), [placed[i] for i in range(len(order))]

    def traced(
        self,
        part: str,
        function: Callable[..., Sequence[mx.array]],
        left: tuple[Leaf, ...],
        right: tuple[Leaf, ...],
    ) -> Traced:
        """The program of a function of two operands, fixed inputs and captured arrays.

        Args:
            part: What messages call it.
            function: The function of all arrays.
            left: The leaves of the left operand.
            right: The leaves of the right one.
        """
        given = (*left, *right, *self.fixed, *self.over.captures.leaves)
        role = Role(self.over.where, part, ", ".join(map(tree.describe, given)))
        too_large, wide = step_size((*self.held, *right), (*self.fixed, *self.over.captures.leaves))
        lanes = sum(leaf.lanes for leaf in (*self.held, *self.inputs))
        if lanes > 2 * MAX_LANES:
            too_large = f"states, inputs and outputs have {lanes} lanes, more than {2 * MAX_LANES}"
        if too_large and not wide:
            return Traced(None, too_large)
        return trace_step(role, function, given, len(left), len(right), too_large=too_large, wide=wide)

    def shapes(self) -> Arrays:
        """What a kernel reads, aligned, without event axes."""
        over = self.over
        layout, kinds, one = over.geometry.layout, over.geometry.kinds, over.geometry.one
        timed = [i for i in self.order if kinds[i] != FIXED]
        given = layout.init or ()
        unread = ((1,) * over.rank,) * (len(over.types.outputs) if given else 0)
        return Arrays(
            tuple(layout.aligned_batch(layout.batch[i], layout.length) for i in timed),
            tuple(one[i].dtype for i in timed),
            tuple(layout.aligned_batch(layout.batch[i], 1) for i in self.order if kinds[i] == FIXED),
            unread + tuple(layout.aligned_batch(batch, 1) for batch in given),
        )
