"""How gradients and tangents pass through a kernel.

The bridge hands over aligned arrays, in the order elements, captures, inits; under
``mx.vmap`` they have more batch axes than the plan knew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
import mlx.core as mx

from monoscan.cache import PROGRAMS
from monoscan.lowering.gradient import begun, bounded, transforms
from monoscan.lowering.gradient.ran import Cotangents, Ran, Rescan, general
from monoscan.lowering.gradient.steady import steady
from monoscan.lowering.plan import aligned, on_arrays, shapeless
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.array_derivative import has_rules
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import MAX_LANES, Program
from monoscan.lowering.program.unroll import unroll
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import build, recomputed, recomputed_arrays
from monoscan.lowering.targets.cpu.backward import NoLoop, backward, differentiates
from monoscan.lowering.targets.cpu.by_function import FunctionRules
from monoscan.mapped import pulled, pushed

Maybe = TypeVar("Maybe", mx.array, mx.array | None)

SHORT_CODE = 400
"""The most instructions of a step that is done on dual numbers, written out, where loops over arrays run the scan."""


@attrs.frozen
class Rules:
    """What MLX asks of a primitive, for one launch.

    Args:
        scan: What it computes.
        rescan: Runs it for what its outputs do not hold.
        real: The leaves of the elements whose arrays lack the imaginary parts.
    """

    scan: AlignedScan
    rescan: Rescan
    real: tuple[int, ...] = ()

    def vjp(
        self,
        primals: Sequence[mx.array],
        cotangents: Sequence[mx.array],
        argnums: Sequence[int],
        outputs: Sequence[mx.array],
        *,
        axis: int,
        rank: int,
    ) -> list[mx.array]:
        """The cotangents of the inputs that are asked for."""
        if self.scan.bounded and self.scan.outputs:
            cotangents = bounded.of_outputs(self.scan, primals, cotangents, axis, rank)
        elements = primals[: self.scan.program.rights]
        if isinstance(self.scan.program, ArrayProgram) and not self._has_adjoint(self.scan.program, elements, axis):
            return pulled(self._by_arrays(primals, axis, rank), primals, argnums, cotangents)
        whole = self._whole(primals)
        # MLX makes up zeros for an output that no loss reads; what follows from them alone is not computed
        is_zero = build.load().is_zero
        known = [None if is_zero(w) else w for w in cotangents]
        ran = Ran(self._differentiated, whole, outputs, axis, rank)
        try:
            found = _pulled(ran, known, argnums, self.rescan)
        except NoLoop:
            return _pulled_by_arrays(self.scan, argnums, whole, cotangents, axis, rank)
        taken = [mx.zeros_like(whole[i]) if (d := found[i]) is None else d for i in argnums]
        if self.scan.bounded:
            values = [mx.stop_gradient(d) for d in taken]
            rules = _rules_of_pulled(self.scan, tuple(argnums), len(whole))
            taken = build.load().attach([*whole, *cotangents], values, rules, axis=axis, rank=rank)
        return [_real(d) if i in self.real else d for i, d in zip(argnums, taken, strict=True)]

    def jvp(
        self, primals: Sequence[mx.array], tangents: Sequence[mx.array], argnums: Sequence[int], *, axis: int, rank: int
    ) -> list[mx.array]:
        """The tangents of the outputs."""
        # MLX checks no dtypes of tangents; a kernel reads bits.
        tangents = [each.astype(primals[i].dtype) for i, each in zip(argnums, tangents, strict=True)]
        scan = self.scan
        if isinstance(scan.program, ArrayProgram):
            scalar = short_unrolled(scan.program)
            if scalar is None:
                return pushed(self._by_arrays(primals, axis, rank), primals, argnums, tangents)
            begin = unroll(scan.begin) if isinstance(scan.begin, ArrayProgram) else None
            scan = attrs.evolve(scan, program=scalar, begin=begin)
        known = dict(zip(argnums, tangents, strict=True))
        moved = self._whole([known.get(i) for i in range(len(primals))])
        primals = self._whole(primals)
        found = transforms.jvp(scan, primals, moved, axis, rank, self.rescan)
        if scan.bounded and scan.outputs:
            found = bounded.of_outputs(scan, primals, found, axis, rank)
        lead = aligned.lead_of(primals, len(scan.unpack(primals)[0]), axis, rank)
        behind = scan.carry_axis(primals, axis)
        return [self._full(y, lead, axis, i, behind) for i, y in enumerate(found)]

    def _whole(self, arrays: Sequence[Maybe]) -> list[Maybe]:
        """Arrays of the leaves with their imaginary parts; of those that nothing reads they are not made."""
        return [_complex(x) if i in self.real and x is not None else x for i, x in enumerate(arrays)]

    def _has_adjoint(self, program: ArrayProgram, elements: Sequence[mx.array], axis: int) -> bool:
        several = any(x.shape[axis] > 1 for x in elements)
        begin = self.scan.begin
        begins = not isinstance(begin, ArrayProgram) or (
            several and has_rules(begin) and self.scan.inclusive and not self.scan.bounded and not shapeless.tracing()
        )
        return begins and differentiates(program)

    @property
    def _differentiated(self) -> AlignedScan:
        """The scan; its step as loops over arrays goes with it only where there is a loop for the adjoint of that."""
        scan = self.scan
        return scan if scan.rolled is None or differentiates(scan.rolled) else attrs.evolve(scan, rolled=None)

    def _by_arrays(self, primals: Sequence[mx.array], axis: int, rank: int) -> Callable[..., Leaves]:
        """The scan of wide elements by array operations, which MLX differentiates."""
        scan = attrs.evolve(self.scan, strategy=general(self.scan.strategy))
        ran = bounded.of_launch if scan.bounded else on_arrays.run
        lead, behind = aligned.lead_of(primals, scan.program.rights, axis, rank), scan.carry_axis(primals, axis)

        def run(*arrays: mx.array) -> Leaves:
            return [self._full(y, lead, axis, i, behind) for i, y in enumerate(ran(scan, arrays, axis, rank))]

        return run

    def _full(
        self, y: mx.array, lead: tuple[int, ...], axis: int, number: int, behind: tuple[int, ...] = ()
    ) -> mx.array:
        """An output has all batch axes of the launch, mapped ones too."""
        results = len(self.scan.shown)
        own = lead if number < results else (*lead[:axis], *behind, *lead[axis + 1 :])
        event = y.shape[len(own) :]
        return mx.broadcast_to(y, (*own, *event))


def _pulled(ran: Ran, cotangents: Cotangents, asked: Sequence[int], rescan: Rescan) -> list[mx.array | None]:
    """The cotangents of a scan's arrays by loops; elements with one step for all are captured arrays to these."""
    one = steady(ran.scan, ran.arrays, ran.axis)
    if one is not None:
        ran, rescan = attrs.evolve(ran, scan=one.held, arrays=one.arranged(ran.arrays)), one.rescan(rescan)
        asked = one.named(asked)

    def from_states(ran: Ran, cotangents: Cotangents, asked: Sequence[int]) -> list[mx.array | None]:
        return list[mx.array | None](transforms.vjp(ran, cotangents, backward, rescan, asked))

    def pull(ran: Ran, cotangents: Cotangents, asked: Sequence[int]) -> Sequence[mx.array | None]:
        found = recomputed_arrays.vjp(ran, cotangents, asked, from_states, rescan)
        return from_states(ran, cotangents, asked) if found is None else found

    found = recomputed.vjp(ran, cotangents, asked, one)
    if found is None:
        begins = isinstance(ran.scan.begin, ArrayProgram)
        found = list(begun.vjp(ran, cotangents, asked, pull) if begins else pull(ran, cotangents, asked))
    return found if one is None else one.returned(found)


def _rules_of_pulled(scan: AlignedScan, asked: tuple[int, ...], number: int) -> FunctionRules:
    """How MLX differentiates the gradient of a scan that has bounds.

    Args:
        scan: The scan.
        asked: Of which of its arrays there are cotangents.
        number: How many arrays it has; cotangents of its outputs stand behind them.
    """
    return FunctionRules(
        lambda arrays, axis, rank: _pulled_by_arrays(scan, asked, arrays[:number], arrays[number:], axis, rank)
    )


def _pulled_by_arrays(
    scan: AlignedScan, asked: Sequence[int], arrays: Arrays, cotangents: Arrays, axis: int, rank: int
) -> Leaves:
    """The gradient of a scan that has bounds, by array operations."""

    def run(*inputs: mx.array) -> Leaves:
        found = bounded.of_launch(scan, inputs, axis, rank)
        return [mx.broadcast_to(y, w.shape) for y, w in zip(found, cotangents, strict=True)]

    return pulled(run, arrays, asked, cotangents)


def _real(x: mx.array) -> mx.array:
    """The real parts of numbers given as two; MLX slices nothing whose size it does not know."""
    return mx.where(mx.array([True, False]), x, 0).sum(-1) if shapeless.tracing() else x[..., 0]


def _complex(x: mx.array) -> mx.array:
    """Real numbers as pairs."""
    return mx.stack([x, mx.zeros_like(x)], axis=-1)


@PROGRAMS.memoised
def short_unrolled(program: ArrayProgram) -> Program | None:
    """The scalar program of few lanes, where the compiler is soon done with three times as much."""
    if sum(leaf.lanes for leaf in program.outputs) > MAX_LANES:
        return None
    scalar = unroll(program)
    return scalar if instructions(scalar) <= SHORT_CODE else None
