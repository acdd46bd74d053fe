"""The CPU target: a scan as one fused native loop inside MLX's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.cache import COMPILED
from monoscan.lowering.gradient import bounded
from monoscan.lowering.gradient.transforms import portable
from monoscan.lowering.plan.again import other
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.fused_window import FusedWindow
from monoscan.lowering.plan.parts import parts_of
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.plan.window_gradient import WindowGradient
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.source import Spec, Windows, render
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.window_back_spec import WindowBackSpec
from monoscan.lowering.render.window_spec import WindowSpec
from monoscan.lowering.strategies.slices import spread
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu import kernels as cpu_kernels
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.launches import of_kernel
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.rules import Rules
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.kernels import Arranged, Results, arrays_of, as_they_stand


@attrs.frozen(eq=False)
class Direct:
    """A launch that takes the caller's leaves as they stand, all of them, and yields all results and no carry."""

    launch: Launch

    def run(self, leaves: Sequence[mx.array], *_: object) -> tuple[Sequence[mx.array], Results]:
        """The result leaves."""
        return self.launch(leaves), []


def not_built(kernels: Sequence[Fused | FusedWindow | WindowGradient]) -> str | None:
    """Why this machine has not these kernels: what is missing, or what failed in this process."""
    status = build.status()
    if not status.available:
        return status.reason
    if not FAILURES.generation:
        return None
    return next(filter(None, (cpu_kernels.unavailable(render(kernel.spec)) for kernel in kernels)), None)


def announce(reason: str) -> None:
    """Says once that a scan which could have a kernel has none, and why."""
    (cpu_kernels if build.status().available else build).announce(reason)


def prepare(problem: Problem, kernels: Sequence[Fused]) -> Arranged | Direct:
    """Compiles the kernels of a scan, where that has not been done.

    Raises:
        BridgeUnavailable: One of them, or the bridge, cannot be built.
    """
    launches = tuple((k, arrays_of(problem, k), _launch(problem, k)) for k in kernels)
    kernel, chosen, launch = launches[0]
    if (
        problem.bounds is None
        and problem.joint.init is None
        and not problem.captures.arrays
        and as_they_stand(problem)
        and chosen == tuple(range(len(problem.stored)))
        and kernel.emit == tuple(range(len(problem.carried)))
        and problem.options.results
        and not kernel.scan.want_carry
    ):
        return Direct(launch)
    return Arranged(problem, tuple((k, chosen, _on_parts(k.scan, run)) for k, chosen, run in launches))


def _on_parts(scan: AlignedScan, launch: Launch) -> Callable[[Sequence[mx.array]], Sequence[mx.array]]:
    """The launch on the whole state that is given, of which a kernel may hold parts."""
    return (lambda arrays: launch(parts_of(scan, arrays))) if scan.parts else launch


def _launch(problem: Problem, kernel: Fused) -> Launch:
    layout = problem.joint
    seeded = layout.init is not None
    identity, name = _identity(problem, kernel), problem.operator.name
    fixed = bool(problem.options.fixed)
    return launch_of(kernel.scan, kernel.spec, layout.axis, layout.rank + 1, seeded, name, identity, fixed)


def _identity(problem: Problem, kernel: Fused) -> tuple[bytes, ...]:
    """The carry of no steps, leaf by leaf. Where sizes are known, such a scan runs no kernel, unless it has bounds."""
    if problem.bounds is not None:
        return fills(kernel.scan, kernel.spec)
    open_ended = problem.options.shapeless and kernel.scan.want_carry and problem.operator.has_identity
    open_ended = open_ended and problem.acts is None  # whose carry would be a state
    constants = problem.neutral if open_ended else None
    if constants is None:
        return ()
    typed = zip(kernel.leaves, kernel.spec.state, strict=True)
    return tuple(np.array(constants[i], leaf.dtype).tobytes() for i, leaf in typed)


def launch_of(
    scan: AlignedScan,
    spec: Spec,
    axis: int,
    rank: int,
    seeded: bool,
    name: str,
    identity: tuple[bytes, ...] = (),
    fixed: bool = False,
) -> Launch:
    """The launch of a kernel.

    Args:
        scan: What it computes.
        spec: The kernel.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        seeded: Whether there is an ``init``.
        name: What messages call the operator.
        identity: The bytes of the identity, one for each leaf; none if an empty axis needs none.
        fixed: Leaves of the elements may be the same at every step, and have one.
    """
    build.load()  # fails before a kernel is compiled for nothing
    with waiting(f"the kernel of {name}"):
        kernel = COMPILED.get(("kernel", spec), lambda: cpu_kernels.compile_kernel(render(spec)))

    def rescan(again: AlignedScan, arrays: Sequence[mx.array], axis: int, rank: int) -> Sequence[mx.array]:
        stored = tuple([dtypes.name_of(x.dtype) for x in arrays[: again.program.rights]])
        return run_kernel(again, other(spec, again, stored), arrays, axis, rank, name)

    return of_kernel(
        "monoscan",
        kernel,
        axis,
        rank,
        spec.input_events,
        [leaf.shape for leaf in spec.combine.captures],
        [leaf.shape for leaf in spec.starts] if seeded else [],
        whole=not fixed,
        columns=spec.columns,
        strided=spec.strided,
        lengths=scan.lengths,
        offsets=scan.offsets,
        uneven=spec.uneven,
        outputs=[Leaf(stored, leaf.shape) for leaf, stored in zip(spec.shown, spec.results, strict=True)],
        carries=spec.starts if scan.want_carry else [],
        donors=_donors(spec),
        numbers=numbers(spec),
        identity=identity,
        rules=Rules(scan, rescan, spec.real),
        label=name,
    )


def fills(scan: AlignedScan, spec: Spec) -> tuple[bytes, ...]:
    """What stands where nothing came yet, for each leaf of the state that a kernel is given: the identity, else zeros."""
    lanes: list[list[Any]] = [[0] * leaf.lanes for leaf in scan.state]
    if scan.identity is not None:
        constants = iter(scan.identity)
        lanes = [[next(constants) for _ in range(leaf.lanes)] for leaf in scan.state]
    typed = zip(lanes, scan.state, strict=True)
    return tuple(np.array(each, leaf.dtype).tobytes() for each, leaf in typed)


def numbers(spec: Spec | Windows) -> bytes:
    """The numbers that its programs hold, which a kernel reads when it is launched."""
    if isinstance(spec, (WindowSpec, WindowBackSpec)):
        return b"".join(map(table, spec.programs))
    programs = spec.programs(spec.computed) if isinstance(spec, KernelSpec) else spec.all_programs
    return b"".join(map(table, programs))


def _donors(spec: Spec) -> list[int]:
    """For each result the leaf of elements whose buffer it may take, or -1: a step reads its place before it writes there.

    Of a scan that is its own leaf.
    """
    free = [i for i in range(len(spec.elements)) if i not in spec.real]
    donors = []
    for place, (leaf, name) in enumerate(zip(spec.shown, spec.results, strict=True)):
        kind = (name, leaf.shape)
        alike = [i for i in free if (spec.elements[i], spec.inputs[i].shape) == kind]
        fits = alike if spec.apart else [i for i in alike if i == spec.emit[place]]
        donors.append(fits[0] if fits else -1)
        free = [i for i in free if i not in fits[:1]]
    return donors


def run_kernel(
    scan: AlignedScan, spec: Spec, arrays: Sequence[mx.array], axis: int, rank: int, name: str
) -> Sequence[mx.array]:
    """Runs a scan that derivatives ask for; by array operations where its kernel cannot be built.

    Args:
        scan: The scan.
        spec: Its kernel.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        name: What messages call the operator.
    """
    elements, _, init = scan.unpack(arrays)
    seeded, fixed = len(init) > 0, len({x.shape[axis] for x in elements}) > 1
    try:
        key = (scan, spec, axis, rank, seeded, fixed)
        behind = fills(scan, spec) if scan.bounded else ()
        launch = COMPILED.get(key, lambda: launch_of(scan, spec, axis, rank, seeded, name, behind, fixed))
    except BridgeUnavailable:  # said and remembered where it failed
        if scan.bounded:
            return bounded.of_launch(scan, arrays, axis, rank)
        return portable(scan, [*spread(list(elements), axis), *arrays[len(elements) :]], axis, rank)
    return launch(arrays)
