"""Derivative rules for scans that MLX runs itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient.ran import Rescan
from monoscan.lowering.gradient.transforms import Forward, transformable
from monoscan.lowering.plan.again import whole
from monoscan.lowering.plan.aligned import AlignedScan, Arrays, full_lead
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes
from monoscan.lowering.targets.cpu.rules import Rules
from monoscan.lowering.targets.cpu.target import run_kernel


def attach(
    problem: Problem, scan: AlignedScan, forward: Forward, rescan: Rescan, arrays: Arrays, axis: int, rank: int
) -> Leaves:
    """Runs a scan, with this library's rules for its derivatives.

    On the CPU the bridge holds the rules, which has a place in a shapeless compile, and the
    gradient is a fused loop; without the bridge MLX's custom function holds them.

    Args:
        problem: What was asked.
        scan: The scan.
        forward: How to run it.
        rescan: How to run it for the states that its outputs do not hold.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
    """
    by_bridge = problem.options.device == "cpu" and not problem.options.exported
    bridge = build.attempt() if by_bridge else None
    if bridge is None:
        return transformable(scan, forward, arrays, axis, rank)
    values = forward([mx.stop_gradient(x) for x in arrays], axis, rank)

    def run(again: AlignedScan, inputs: Arrays, axis: int, rank: int) -> Sequence[mx.array]:
        if again.program == scan.program:
            return rescan(again, inputs, axis, rank)
        stored = tuple([dtypes.name_of(x.dtype) for x in inputs[: again.program.rights]])
        inner = prod(full_lead(inputs, rank)[axis + 1 :])
        spec = whole(again, stored, problem.ordinary, inner, vector_bytes(), flush())
        return run_kernel(again, spec, inputs, axis, rank, problem.operator.name)

    return bridge.attach(arrays, values, Rules(scan, run), axis=axis, rank=rank)
