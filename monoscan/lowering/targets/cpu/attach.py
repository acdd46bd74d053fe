"""Derivative rules for scans that MLX runs itself."""

from __future__ import annotations

import mlx.core as mx

from monoscan.lowering.gradient.adjoint import Rescan
from monoscan.lowering.gradient.transforms import Forward, transformable
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.rules import Rules


def attach(
    scan: AlignedScan, forward: Forward, rescan: Rescan, arrays: Arrays, axis: int, rank: int, device: str
) -> Leaves:
    """Runs a scan, with this library's rules for its derivatives.

    On the CPU the bridge holds the rules, which has a place in a shapeless compile, and the
    gradient is a fused loop; without the bridge MLX's custom function holds them.

    Args:
        scan: The scan.
        forward: How to run it.
        rescan: How to run it for the states that its outputs do not hold.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        device: The type of the device that it runs on.
    """
    bridge = build.attempt() if device == "cpu" else None
    if bridge is None:
        return transformable(scan, forward, arrays, axis, rank)
    values = forward([mx.stop_gradient(x) for x in arrays], axis, rank)
    return bridge.attach(arrays, values, Rules(scan, rescan), axis=axis, rank=rank)
