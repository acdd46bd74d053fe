"""Aggregators in one pass: a kernel that prepares, acts and presents at each position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.cache import COMPILED, PLANS
from monoscan.lowering.lengths import MOST
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.fused_act import with_straight
from monoscan.lowering.plan.fused_pass import fused_pass
from monoscan.lowering.plan.options import EXPORTED, Options
from monoscan.lowering.plan.parts import parts_of
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Program
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.combine import Traced
from monoscan.monoids.aggregator import exact
from monoscan.monoids.shapes import insert_axes
from monoscan.scan.fused_step import FusedStep
from monoscan.scan.inputs import FIXED
from monoscan.scan.passes import Pass
from monoscan.scan.row_programs import row_programs
from monoscan.tree import Tree

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel


@attrs.frozen(eq=False)
class Fusion:
    """A pass and its kernel.

    Args:
        over: The pass; with offsets its state has the axis of sequences.
        asked: The options.
        bounds: Where sequences begin and end, if they are not whole rows.
        extents: The lengths and the offsets, those that there are, with all axes.
    """

    over: Pass
    asked: Options
    bounds: Bounds | None = attrs.field(default=None, kw_only=True)
    extents: Sequence[mx.array] = attrs.field(default=(), kw_only=True)

    @property
    def _step(self) -> FusedStep:
        return FusedStep(self.over, self.asked.inclusive)

    @property
    def sequences(self) -> tuple[int, ...]:
        """What stands in the place of the axis of time in the last state: the sequences, or nothing."""
        known = None if self.bounds is None else self.bounds.sequences
        return () if known is None else (known,)

    @property
    def carried(self) -> bool:
        """Whether the last state is wanted."""
        return self.asked.return_carry or not self.asked.results

    def kernel(self, exact: bool = False) -> Fused | GpuKernel | str:
        """The kernel, or why there is none; to be shown, it is exactly the one for this length."""
        if self.asked.exported:
            return EXPORTED
        over = self.over
        captured = tuple((c.shape, dtypes.name_of(c.dtype)) for c in over.captures.arrays)
        key = ("fused", over.captures.key, over.geometry, over.types, captured, self.asked, self.bounds)
        make = self._planned if exact else lambda: self._of_any_length(key)
        found: Fused | GpuKernel | str = PLANS.get((*key, FAILURES.generation, exact), make)
        return found

    def _of_any_length(self, key: tuple[Any, ...]) -> Fused | GpuKernel | str:
        """The kernel, one of another length where it would be chosen here too."""
        geometry, lead = self.over.geometry, self.over.lead
        length = geometry.layout.length
        others = attrs.evolve(geometry, layout=attrs.evolve(geometry.layout, length=-1))
        rest = [others if each is geometry else each for each in key]
        known: list[Fused] = PLANS.get(("lengths", *rest, FAILURES.generation), list)
        alike = (k for k in known if 0 not in lead and k.fits(length))
        found = next(alike, None) or self._planned()
        if isinstance(found, Fused) and not any(found is each for each in known):
            known.append(found)
            del known[:-MOST]
        return found

    def run(self, kernel: Fused | GpuKernel) -> tuple[Tree | None, Tree | None] | None:
        """The outputs and the last state, each where it is wanted; ``None`` where the kernel cannot be built."""
        try:
            return self.launched(kernel)
        except BridgeUnavailable:  # said and remembered where it failed
            return None

    def launched(self, kernel: Fused | GpuKernel) -> tuple[Tree | None, Tree | None]:
        """The same.

        Raises:
            BridgeUnavailable: The kernel cannot be built.
        """
        over, layout = self.over, self.over.geometry.layout
        found = self._launch(kernel)(parts_of(kernel.scan, self._arrays(kernel)))
        types, lead = over.types, over.lead
        number = len(types.outputs) if self.asked.results else 0
        outputs = None
        if number:
            rows = zip(found, types.outputs, strict=False)
            outputs = tree.unflatten(types.output, [self._spread(y, lead + leaf.shape) for y, leaf in rows])
        if not self.carried:
            return outputs, None
        batch = (*lead[: layout.axis], *self.sequences, *lead[layout.axis + 1 :])
        last = dict(zip(kernel.states, found[number:], strict=True))
        held = enumerate(types.states, len(types.outputs))
        return outputs, tree.unflatten(types.form, [self._spread(last[i], batch + s.shape) for i, s in held])

    def _spread(self, y: mx.array, shape: tuple[int, ...]) -> mx.array:
        """With the rows of inputs that a kernel does not read; where every size is to fit, it reads all."""
        return y if self.asked.shapeless else mx.broadcast_to(y, shape)

    def _launch(self, kernel: Fused | GpuKernel) -> Callable[[Sequence[mx.array]], Sequence[mx.array]]:
        over = self.over
        if not isinstance(kernel, Fused):
            from monoscan.lowering.targets.gpu import target as gpu

            return gpu.launch_of(kernel, over.axis, over.rank)
        key = ("pass", kernel.scan, kernel.spec, over.axis, over.rank, bool(over.leaves))
        launch: Launch = COMPILED.get(key, lambda: self._on_cpu(kernel))
        return launch

    def _on_cpu(self, kernel: Fused) -> Launch:
        over = self.over
        name, scan, spec = over.aggregator.name, kernel.scan, kernel.spec
        nothing = () if self.bounds is None else cpu.fills(scan, spec)
        return cpu.launch_of(scan, spec, over.axis, over.rank, bool(over.leaves), name, nothing)

    def timed_arrays(self) -> list[mx.array]:
        """The inputs that have a time axis, aligned."""
        geometry, inputs = self.over.geometry, self.over.inputs
        return [geometry.align(inputs[i], i) for i, kind in enumerate(geometry.kinds) if kind != FIXED]

    def constant_arrays(self) -> list[mx.array]:
        """Fixed inputs and captured arrays, aligned."""
        geometry, captures, inputs = self.over.geometry, self.over.captures, self.over.inputs
        fixed = [exact(geometry.align(inputs[i], i)) for i, kind in enumerate(geometry.kinds) if kind == FIXED]
        return [*fixed, *(insert_axes(c, 0, self.over.rank) for c in captures.operands)]

    def _arrays(self, kernel: Fused | GpuKernel) -> list[mx.array]:
        over, timed = self.over, self.timed_arrays()
        first = []
        if over.leaves:
            unread = [
                mx.zeros((1,) * over.rank + leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in over.types.computed
            ]
            first = [*unread, *over.aligned_state(bool(self.sequences))]
        return [
            *(timed[i] for i in kernel.leaves),
            *self.constant_arrays(),
            *(first[i] for i in kernel.states if first),
            *self.extents,
        ]

    def _planned(self) -> Fused | GpuKernel | str:
        over, asked = self.over, self.asked
        unfit = self._unfit()
        if unfit is not None:
            return unfit
        traces = [self._step.step()] if over.leaves else [self._step.step(), self._step.begin()]
        scans = self._scans(traces)
        if not scans:
            return f"not traceable: {next(each.reason for each in traces if each.program is None)}"
        if scans[0].program.outputs != self._step.held:
            return "act changes the dtype of a state"
        if asked.device != "cpu":
            return self._on_gpu(scans)
        kernel = fused_pass(
            scans, self._step.shapes(), over.lead, over.axis, options=asked, vector_bytes=vector_bytes(), flush=flush(),
            bounds=self.bounds, of_row=lambda: row_programs(self._step),
        )  # fmt: skip
        if isinstance(kernel, str):
            return kernel
        return cpu.not_built((kernel,)) or kernel

    def _on_gpu(self, scans: Sequence[AlignedScan]) -> GpuKernel | str:
        """The kernel of a GPU, by the scalar program, or why there is none."""
        from monoscan.lowering.plan.gpu import kernel_of, unfit
        from monoscan.lowering.plan.gpu_acts import Computed, idle, pass_by_products, pass_in_order
        from monoscan.lowering.targets.gpu import target as gpu

        over, target = self.over, gpu.name()
        scan = next((each for each in scans if isinstance(each.program, Program)), None)
        if scan is None:
            return "its step has too many numbers for registers"
        steps = over.lead[over.axis]
        wait = idle(prod(over.lead) // steps)
        found = pass_in_order(scan, self._step.shapes(), over.lead)
        if wait is not None and self.asked.strategy != "sequential":
            programs = row_programs(self._step)
            products: Computed | str = "not all of it is traced"
            if programs is not None:
                products = pass_by_products(found, programs, scan.outputs, self.asked)
            if isinstance(products, str) and self.asked.strategy == "auto":
                return f"{wait}; {products}"
            found = found if isinstance(products, str) else products
        missing = unfit(found.spec, steps, target)
        if missing is not None:
            return missing
        made = kernel_of(found, over.axis, steps, initial=bool(over.leaves), carry=self.carried, target=target)
        return gpu.not_built([made]) or made

    def _scans(self, traces: Sequence[Traced]) -> Sequence[AlignedScan]:
        """What may run: by the scalar programs of the step and of what begins it, and by their array programs."""
        scalar = self._scan([each.program for each in traces])
        wide = self._scan([each.arrays for each in traces])
        found = [] if wide is None else [wide]
        return found if scalar is None else with_straight(scalar, found, self.asked)

    def _scan(self, programs: Sequence[Program | ArrayProgram | None]) -> AlignedScan | None:
        asked, types, (step, *begin) = self.asked, self.over.types, programs
        if step is None or None in begin:
            return None
        number = len(types.outputs)
        emit = tuple(range(0 if asked.results else number, number + (len(types.states) if self.carried else 0)))
        return AlignedScan(
            program=step,
            emit=emit,
            results=tuple(leaf.dtype for leaf in types.outputs) if asked.results else (),
            reverse=asked.reverse,
            want_results=asked.results,
            want_carry=self.carried,
            strategy="sequential",
            action=True,
            begin=begin[0] if begin else None,
            lengths=self.bounds is not None and self.bounds.lengths is not None,
            offsets=bool(self.sequences),
            outputs=number,
        )

    def _unfit(self) -> str | None:
        """What rules a kernel out before anything is traced."""
        over, types = self.over, self.over.types
        if self.asked.device != "cpu" and self.bounds is not None:
            return "no kernel of a GPU knows lengths and offsets"
        if self.asked.strategy not in ("auto", "kernel", "sequential"):
            return f"strategy is {self.asked.strategy}"
        if 0 in over.lead:
            return "no positions"
        leaves = (*self._step.held, *self._step.inputs, *over.captures.leaves)
        if dtypes.COMPLEX.intersection(leaf.dtype for leaf in leaves):
            return "complex numbers"
        if not all(leaf.lanes for leaf in leaves):
            return "a leaf is empty"
        if types.ruled:
            return "a function has derivatives of its own"
        return None
