"""Scans by GPU kernels that run on the machine of fibres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
from shim_driver import Shim

import monoscan as ms
from monoscan import tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.geometry import Geometry
from monoscan.lowering.plan.gpu import GpuLaunch, in_one, in_three
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_spec import WIDTH, Body, GpuSpec
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.gpu import target
from monoscan.lowering.targets.gpu.launch import Start
from monoscan.lowering.trace.reads.captures import capture

Planned = Callable[..., Sequence[GpuLaunch]]


def scan(
    operator: Any, elems: Any, axis: int = 0, *, start: Start | None = None, plan: Planned | None = None, **options: Any
) -> Any:
    """As ``ms.scan``, or with ``act=True`` as ``ms.act``, with ``stream=mx.gpu``, but for what starts kernels, and how scans are launched if it is given."""
    init, carried = options.get("init", options.get("state")), options.get("return_carry", False)
    planned = ms.explain(operator, elems, axis, stream=mx.gpu, strategy="kernel", **options)
    for each in planned.parts or (planned,):
        each.executable = None  # plans are kept, with what ran them before
    leaves, structure = tree.flatten(elems)
    starts = None if init is None else tree.flatten(init)[0]
    before = target.prepare
    target.prepare = partial(target.executable, start=start or Shim(), plan=plan)
    try:
        results, carry = execute(planned, leaves, capture(operator), starts)
    finally:
        target.prepare = before
    acts = planned.problem.acts
    structure = structure if acts is None else acts.structure
    found = tree.unflatten(structure, results)
    return (found, tree.unflatten(structure, carry)) if carried else found


def fixed(body: Body, run: int, steps: int, waves: int, lanes: int = WIDTH, chunk: int = 0) -> Planned:
    """Launches of one form, whatever the shape: what is compiled for one length serves for all.

    Args:
        body: The body.
        run: The elements of a run.
        steps: The runs of a thread.
        waves: The waves of a group.
        lanes: The lanes of a row.
        chunk: The tiles of a chunk, in three launches; 0 for a single one.
    """

    def plan(
        kernel: KernelSpec, shape: Geometry, *, initial: bool, carry: bool, pulled: Pulled | None = None
    ) -> list[GpuLaunch]:
        spec = GpuSpec(kernel, body, run, steps, waves, lanes, len(shape.outer), initial, carry, pulled=pulled)
        return in_three(spec, shape, chunk) if chunk else [in_one(spec, shape)]

    return plan
