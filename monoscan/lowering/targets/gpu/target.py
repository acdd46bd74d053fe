"""The GPU target: a scan as kernels that MLX starts, with this library's rules for its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import mlx.core as mx

from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.plan.gpu import GpuKernel
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.plan.parts import parts_of
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cuda import run as cuda
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.gpu.derivatives import Derivatives
from monoscan.lowering.targets.gpu.launch import Planned, Start
from monoscan.lowering.targets.kernels import Arranged, arrays_of
from monoscan.lowering.targets.metal import run as metal


def name() -> str:
    """What GPU kernels are made for: ``cuda`` where MLX can use an NVIDIA GPU, else ``metal``."""
    return "cuda" if mx.cuda.is_available() else "metal"


def not_built(kernels: Sequence[GpuKernel]) -> str | None:
    """Why this machine has not these kernels: what failed in this process."""
    if not FAILURES.generation:
        return None
    specs = (launch.spec for kernel in kernels for launch in kernel.launches)
    return next(filter(None, (FAILURES.reason("gpu kernel", spec) for spec in specs)), None)


def announce(reason: str) -> None:
    """Says once that a scan which could have a kernel has none, and why."""
    FAILURES.say("gpu kernel", f"a scan without its GPU kernel runs as slower MLX array operations: {reason}")


def prepare(problem: Problem, kernels: Sequence[GpuKernel]) -> Arranged:
    """What runs the kernels of a scan, compiled where that can be done before.

    Raises:
        BridgeUnavailable: One of them cannot be built.
    """
    return executable(problem, kernels, _prepared(kernels))


def launch_of(kernel: GpuKernel, axis: int, rank: int) -> Callable[[Arrays], Leaves]:
    """What runs one kernel on aligned arrays, likewise.

    Raises:
        BridgeUnavailable: It cannot be built.
    """
    return launched(kernel, axis, rank, _prepared([kernel]))


def launched(
    kernel: GpuKernel, axis: int, rank: int, start: Start, plan: Planned | None = None
) -> Callable[[Arrays], Leaves]:
    """The same, given what starts a kernel, and how it is launched if not as `launches` says."""
    return _launch(kernel, axis, rank, Derivatives(start, plan or partial(launches, target=name()), name()))


def _prepared(kernels: Sequence[GpuKernel]) -> Start:
    """What starts kernels, which are compiled where that can be done before."""
    if name() == "metal":
        return metal.start
    for kernel in kernels:
        for launch in kernel.launches:
            cuda.prepare(launch.spec)
    return cuda.start


def executable(problem: Problem, kernels: Sequence[GpuKernel], start: Start, plan: Planned | None = None) -> Arranged:
    """What runs the kernels of a scan, given what starts one, and how scans are launched if not as `launches` says."""
    ways = Derivatives(start, plan or partial(launches, target=name()), name())
    axis, rank = problem.joint.axis, problem.joint.rank + 1
    return Arranged(problem, [(k, arrays_of(problem, k), _launch(k, axis, rank, ways)) for k in kernels])


def _launch(kernel: GpuKernel, axis: int, rank: int, ways: Derivatives) -> Callable[[Arrays], Leaves]:
    scan = kernel.scan
    return lambda arrays: ways.run(scan, kernel.spec, parts_of(scan, arrays), axis, rank)
