"""Windows of an aggregator in one pass: a kernel that prepares each element, folds and presents each window."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.cache import COMPILED, PLANS
from monoscan.lowering.plan.fused_window import FusedWindow, Shapes, chosen
from monoscan.lowering.plan.identity import Like, identity_constants
from monoscan.lowering.plan.options import EXPORTED
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.nonfinite import Kinds, infinities
from monoscan.lowering.render.window_spec import WindowSpec
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu import windows as cpu_windows
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.combine import Traced
from monoscan.lowering.trace.reads.captures import capture
from monoscan.monoids import copies
from monoscan.monoids.aggregator import element
from monoscan.scan.fuse import Fusion
from monoscan.scan.window_rules import Function, pull_of, shrunk
from monoscan.tree import Tree


@attrs.frozen(eq=False)
class WindowFusion(Fusion):
    """A pass whose outputs are those of windows, and its kernel.

    Args:
        size: How many elements a window holds.
    """

    size: int

    def windows(self) -> FusedWindow | str:
        """The kernel, or why there is none."""
        over = self.over
        captured = tuple((c.shape, dtypes.name_of(c.dtype)) for c in over.captures.arrays)
        key = ("windows", over.captures.key, over.geometry, over.types, captured, self.asked, self.size)
        found: FusedWindow | str = PLANS.get((*key, FAILURES.generation), self._planned_windows)
        return found

    def launch(self, kernel: FusedWindow) -> Launch | str:
        """What runs it, or why it cannot be built."""
        over = self.over
        key = ("windows", kernel.spec, over.axis, over.rank, self.size)
        try:
            launch: Launch = COMPILED.get(
                key,
                lambda: cpu_windows.launch_of(kernel.spec, self.size, over.axis, over.rank, over.aggregator.name),
            )
        except BridgeUnavailable as failed:  # said and remembered where it failed
            return failed.reason
        return launch

    def back(
        self, kernel: FusedWindow, of: Callable[[Sequence[mx.array]], WindowFusion], places: Sequence[int]
    ) -> Function | None:
        """What finds the cotangents of inputs from those of outputs, if a kernel does.

        Args:
            kernel: The kernel of the windows.
            of: This, of other arrays.
            places: Which of the inputs get cotangents: those that are arrays.
        """
        over = self.over
        pull = pull_of(kernel, self.size, over.axis, over.rank, over.aggregator.name)
        if pull is None:
            return None

        def back(*arrays: mx.array) -> list[mx.array]:
            inputs, align = arrays[: len(places)], over.geometry.align
            found = pull.run(of(inputs).timed_arrays(), arrays[len(places) :])  # none is fixed, where there is a kernel
            return [
                shrunk(functools.partial(align, i=i), x, found[i]) if i in found else mx.zeros_like(x)
                for i, x in zip(places, inputs, strict=True)
            ]

        return back

    def outputs(self, launch: Launch) -> Tree:
        """What the kernel presents."""
        over = self.over
        found = launch([*self.timed_arrays(), *self.constant_arrays()])
        rows = zip(found, over.types.outputs, strict=True)
        return tree.unflatten(over.types.output, [mx.broadcast_to(y, over.lead + leaf.shape) for y, leaf in rows])

    def _planned_windows(self) -> FusedWindow | str:
        over = self.over
        unfit = "strategy is sequential" if self.asked.strategy == "sequential" else self._unfit()
        unfit = EXPORTED if self.asked.exported else unfit
        if unfit is None and over.types.copies:
            unfit = "an element is copies of one"
        if unfit is not None:
            return unfit
        traces = (self._prepared(), self._combined(), self._presented())
        programs = [traced.program for traced in traces if traced.program is not None]
        if len(programs) < len(traces):
            return f"not traceable: {next(each.reason for each in traces if each.program is None)}"
        prepare, combine, present = programs
        if combine.outputs != self._elements:
            return "combine changes the dtype of an element"
        spec = self._spec(prepare, combine, present)
        shapes = self._step.shapes()
        sized = Shapes(self.size, over.lead, over.axis, shapes.elements + shapes.others)
        every = range(len(over.types.outputs))
        kernel = chosen(spec, sized, tuple(range(len(shapes.elements))), tuple(every))
        return kernel if isinstance(kernel, str) else cpu.not_built((kernel,)) or kernel

    def _spec(self, prepare: Program, combine: Program, present: Program) -> WindowSpec:
        """The kernel, on the leaves of elements that outputs depend on."""
        types, number = self.over.types, len(self._elements)
        read = frozenset[int]().union(*present.depends) & frozenset(range(number))
        kept = combine.carried(read or (0,), parts=True)
        others = range(number, len(present.inputs))
        captured = range(2 * number, len(combine.inputs))
        return WindowSpec(
            prepare=prepare.select(kept),
            combine=combine.select(kept).reorder([*kept, *(number + i for i in kept), *captured], len(kept)),
            present=present.reorder([*kept, *others], len(kept), present.rights),
            stored=self._step.shapes().stored,
            results=tuple(leaf.dtype for leaf in types.outputs),
            ordinary=tuple(self._ordinary()[i] for i in kept),
            vector_bytes=vector_bytes(),
            flush=flush(),
        )

    @property
    def _elements(self) -> tuple[Leaf, ...]:
        return self.over.types.elements

    def _ordinary(self) -> tuple[Kinds, ...]:
        """For each leaf of an element the infinities that its identity holds, and so any element may."""
        operator: Any = self.over.aggregator.operator
        neutral = None
        if operator.has_identity:
            like = Like(self.asked.call, self.over.types.structure, self._elements)
            neutral = identity_constants(capture(operator, self.asked.call), like)
        return tuple(infinities(lanes) for lanes in neutral or ((),) * len(self._elements))

    def _prepared(self) -> Traced:
        """The program of an element from inputs."""
        over = self.over

        def prepare(*arrays: mx.array) -> Sequence[mx.array]:
            aggregator, inputs = self._step.rebuilt(arrays)
            return tree.flatten(element(aggregator, inputs, over.where))[0]

        return self._step.traced("prepare", prepare, (), self._step.timed)

    def _combined(self) -> Traced:
        """The program of ``combine``, beside the same captured arrays and fixed inputs."""
        over, number = self.over, len(self._elements)

        def combine(*arrays: mx.array) -> Sequence[mx.array]:
            unread = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in self._step.timed]
            operator = self._step.rebuilt([*unread, *arrays[2 * number :]])[0].operator
            sides = (
                tree.unflatten(over.types.structure, side) for side in (arrays[:number], arrays[number : 2 * number])
            )
            return tree.flatten(operator.combine(*sides))[0]

        return self._step.traced("combine", combine, self._elements, self._elements)

    def _presented(self) -> Traced:
        """The program of outputs from the fold of a window and the inputs at its end."""
        over, number = self.over, len(self._elements)

        def present(*arrays: mx.array) -> Sequence[mx.array]:
            aggregator, inputs = self._step.rebuilt(arrays[number:])
            fold = tree.unflatten(over.types.structure, arrays[:number])
            state = copies.begun(aggregator.operator, fold, 0, over.where)
            return tree.flatten(aggregator.present(state, *inputs))[0]

        return self._step.traced("present", present, self._elements, self._step.timed)
