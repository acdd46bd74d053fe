"""Scans by GPU kernels that run on the machine of fibres."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
from shim_driver import Shim

import monoscan as ms
from monoscan import tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.geometry import Geometry
from monoscan.lowering.plan.gpu_launches import GpuLaunch, in_one, in_three
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_spec import WIDTH, Body, GpuSpec
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.gpu import target
from monoscan.lowering.targets.gpu.launch import Start
from monoscan.lowering.trace.reads.captures import capture
from monoscan.scan import call
from monoscan.scan import loop as loops
from monoscan.scan.aggregate import fused, kernel_of
from monoscan.scan.fuse import Fusion
from monoscan.scan.passes import pass_over

Planned = Callable[..., Sequence[GpuLaunch]]


def scan(
    operator: Any, elems: Any, axis: int = 0, *, start: Start | None = None, plan: Planned | None = None,
    strategy: str = "kernel", **options: Any,
) -> Any:  # fmt: skip
    """As ``ms.scan``, or with ``act=True`` as ``ms.act``, with ``stream=mx.gpu``, but for what starts kernels, and how scans are launched if it is given."""
    init, carried = options.get("init", options.get("state")), options.get("return_carry", False)
    planned = ms.explain(operator, elems, axis, stream=mx.gpu, strategy=strategy, **options)
    leaves, structure = tree.flatten(elems)
    starts = None if init is None else tree.flatten(init)[0]
    with started(start or Shim(), plan, planned):
        results, carry = execute(planned, leaves, capture(operator), starts)
    acts = planned.problem.acts
    structure = structure if acts is None else acts.structure
    found = tree.unflatten(structure, results)
    return (found, tree.unflatten(structure, carry)) if carried else found


def loop(
    step: Any, xs: Any, state: Any, axis: int = 0, *, start: Start | None = None, return_carry: bool = False,
    reverse: bool = False, event: Any = 0, state_event: Any = 0, length: int | None = None,
) -> Any:  # fmt: skip
    """As ``ms.loop`` with ``stream=mx.gpu``, likewise."""
    asked = call.options("loop", reverse=reverse, return_carry=return_carry, stream=mx.gpu)
    given = loops.steps_of(step, xs, axis, event, state_event, length)
    planned, leaves, captures, states = loops.prepare(asked, *given, state, axis)
    assert planned.strategy == "kernel", str(planned)
    with started(start or Shim(), None, planned):
        results, carry = execute(planned, leaves, captures, states)
    acts = planned.problem.acts
    assert acts is not None
    shown, carried = acts.structure[-1]
    found = tree.unflatten(shown, results)
    return (found, tree.unflatten(carried, carry[tree.count(shown) :])) if return_carry else found


def aggregate(
    aggregator: Any, inputs: Any, axis: int = 0, *, call_of: str = "scan", state: Any = None, start: Start | None = None,
    strategy: str = "sequential", plan: Planned | None = None, **options: Any,
) -> Any:  # fmt: skip
    """The outputs of an aggregator and its last state, each where it is wanted, by one kernel with ``stream=mx.gpu``."""
    asked = call.options(call_of, strategy=strategy, stream=mx.gpu, **options)
    fusion = Fusion(pass_over(aggregator, inputs, axis, state, asked), asked)
    assert not isinstance(kernel_of(fusion), str), kernel_of(fusion)
    with started(start or Shim(), plan):
        return fused(fusion)


@contextlib.contextmanager
def started(start: Start, plan: Planned | None, *plans: Any) -> Iterator[None]:
    """Kernels are started so, those of these plans too, which are kept with what ran them before."""
    for each in (part for planned in plans for part in planned.parts or (planned,)):
        each.executable = None
    before = target.prepare, target.launch_of
    target.prepare = partial(target.executable, start=start, plan=plan)
    target.launch_of = partial(target.launched, start=start, plan=plan)
    try:
        yield
    finally:
        target.prepare, target.launch_of = before


def fixed(
    body: Body, run: int, steps: int, waves: int, lanes: int = WIDTH, chunk: int = 0, anchors: int = WIDTH
) -> Planned:
    """Launches of one form, whatever the shape: what is compiled for one length serves for all.

    Args:
        body: The body.
        run: The elements of a run.
        steps: The runs of a thread.
        waves: The waves of a group.
        lanes: The lanes of a row.
        chunk: The tiles of a chunk, in three launches; 0 for a single one.
        anchors: The tiles from one anchor to the next.
    """

    def plan(
        kernel: KernelSpec, shape: Geometry, *, initial: bool, carry: bool, pulled: Pulled | None = None
    ) -> list[GpuLaunch]:
        spec = GpuSpec(
            kernel, body, run, steps, waves, lanes, len(shape.outer), initial, carry, anchors=anchors, pulled=pulled
        )
        return in_three(spec, shape, chunk) if chunk else [in_one(spec, shape)]

    return plan
