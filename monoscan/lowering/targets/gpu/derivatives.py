"""Derivatives of scans on a GPU: the kernels of adjoints, and of the other scans that derivatives ask for."""

from __future__ import annotations

from functools import partial

import attrs

from monoscan import dtypes
from monoscan.cache import PROGRAMS
from monoscan.lowering.gradient import transforms
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.gradient.jacobian_maps import maps_of
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.plan.gpu_launches import too_many_registers
from monoscan.lowering.program.ir import Program
from monoscan.lowering.render import gpu
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.gpu.launch import Planned, Start, backward, forward


@attrs.frozen
class Derivatives:
    """How derivatives run; where there is no kernel, or none can be built, by array operations.

    Args:
        start: What starts a kernel.
        plan: How scans are launched.
        target: ``metal`` or ``cuda``.
    """

    start: Start
    plan: Planned
    target: str

    def run(self, scan: AlignedScan, kernel: KernelSpec, arrays: Arrays, axis: int, rank: int) -> Leaves:
        """Runs a scan, with rules for its derivatives."""
        made = partial(forward, self.start, self.plan, kernel, scan)
        return transforms.transformable(scan, made, arrays, axis, rank, self.backward, self.rescan)

    def backward(self, adjoint: Adjoint, arrays: Arrays, axis: int, rank: int) -> Leaves:
        """Runs an adjoint."""
        found = self.adjoint(adjoint, arrays)
        if isinstance(found, str):
            return transforms.by_operations(adjoint, arrays, axis, rank)
        pulled, typed = found
        run = partial(backward, self.start, self.plan, pulled)
        try:
            return transforms.backward(adjoint, typed, axis, rank, run)
        except BridgeUnavailable:  # said and remembered where it failed
            return transforms.by_operations(adjoint, arrays, axis, rank)

    def adjoint(self, adjoint: Adjoint, arrays: Arrays) -> tuple[Pulled, Leaves] | str:
        """The kernel of an adjoint and its arrays, ends and ``init`` in the dtypes of states; or why there is none."""
        names = tuple([dtypes.name_of(x.dtype) for x in arrays])
        pulled = adjoint_kernel(adjoint, names, self.target)
        if isinstance(pulled, str):
            return pulled
        first = len(names) - len(adjoint.live) - len(adjoint.lefts) * adjoint.seeded
        states = [*adjoint.live, *(adjoint.lefts if adjoint.seeded else ())]
        held = [dtypes.by_name(adjoint.program.outputs[i].dtype) for i in states]
        return pulled, [*arrays[:first], *(x.astype(dtype) for x, dtype in zip(arrays[first:], held, strict=True))]

    def rescan(self, scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> Leaves:
        """Runs a scan that derivatives ask for."""
        kernel = scan_kernel(scan, tuple([dtypes.name_of(x.dtype) for x in arrays]), self.target)
        if isinstance(kernel, str):
            return transforms.portable(scan, arrays, axis, rank)
        try:
            return self.run(scan, kernel, arrays, axis, rank)
        except BridgeUnavailable:
            return transforms.portable(scan, arrays, axis, rank)


@PROGRAMS.memoised
def adjoint_kernel(adjoint: Adjoint, names: tuple[str, ...], target: str) -> Pulled | str:
    """The kernel of an adjoint; or why there is none.

    Args:
        adjoint: The adjoint.
        names: The dtypes of its arrays.
        target: ``metal`` or ``cuda``.
    """
    if not isinstance(adjoint.program, Program) or adjoint.begin is not None:
        return "there are GPU kernels for adjoints of scans of few lanes alone"
    if maps_of(adjoint.program, adjoint.live) is None:
        return "its steps couple too many lanes for products of their derivatives"
    counts = (len(adjoint.rights), len(adjoint.lefts), len(adjoint.weights), len(adjoint.program.captures))
    ends = [sum(counts[: n + 1]) for n in range(4)]
    pulled = Pulled(adjoint, names[ends[0] : ends[1]], names[ends[1] : ends[2]], names[ends[2] : ends[3]])
    odd = next((name for name in names if name not in gpu.ITEMS), None)
    return (
        (odd and f"no GPU code for {odd}")
        or too_many_registers(pulled.kernel)
        or gpu.no_adjoint(pulled, target)
        or pulled
    )


@PROGRAMS.memoised
def scan_kernel(scan: AlignedScan, names: tuple[str, ...], target: str) -> KernelSpec | str:
    """The kernel of another scan; or why there is none.

    Args:
        scan: The scan.
        names: The dtypes of its arrays.
        target: ``metal`` or ``cuda``.
    """
    if not isinstance(scan.program, Program):
        return "there are GPU kernels for scans of few lanes alone"
    if scan.action and scan.combine is not None:
        return "products of elements run in parallel, states one after another do not"
    elements, captures, _ = scan.unpack(names)
    kernel = KernelSpec(
        scan.program,
        tuple(elements),
        scan.results,
        scan.emit,
        tuple(captures),
        want_results=scan.want_results,
        reverse=scan.reverse,
        inclusive=scan.inclusive,
        identity=scan.identity,
        action=scan.action,
        begin=scan.begun,
    )
    return too_many_registers(kernel) or gpu.unsupported(kernel, target) or kernel
