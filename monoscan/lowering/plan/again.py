"""The kernels of scans that derivatives ask for: states anew, or values and tangents together."""

from __future__ import annotations

from typing import Any

import attrs

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused_act import regrouped
from monoscan.lowering.plan.loops import held_to, loop_of
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.source import Spec
from monoscan.lowering.render.spec import KernelSpec


def other(spec: Spec, scan: AlignedScan, elements: tuple[str, ...]) -> Spec:
    """The kernel of another scan of the same elements: of some leaves alone, or of their tangents as well.

    Args:
        spec: The kernel of the first.
        scan: The other.
        elements: The storage dtype of each leaf of its elements.
    """
    known: dict[str, Any] = {
        "elements": elements,
        "results": scan.results,
        "emit": scan.emit,
        "want_results": scan.want_results,
        "inclusive": scan.inclusive,
        "identity": scan.identity,
        "real": (),
        "alike": spec.alike if len(elements) == len(spec.elements) else (),  # tangents stand behind the values
    }
    if isinstance(spec, RolledSpec):
        if isinstance(scan.program, ArrayProgram):
            return attrs.evolve(spec, **known)
        held: dict[str, Any] = {name: getattr(spec, name) for name in ("action", "reverse", "vector_bytes", "flush")}
        return KernelSpec(scan.scalar, loop=Loop.SEQUENTIAL, begin=scan.begun, **known, **held)
    if scan.action:
        return _of_act(spec, scan, known)
    ordinary = spec.ordinary and _for_all(scan, spec.ordinary)
    return held_to(attrs.evolve(spec, combine=scan.scalar, begin=scan.begun, ordinary=ordinary, **known))


def _of_act(spec: KernelSpec, scan: AlignedScan, known: dict[str, Any]) -> KernelSpec:
    """The kernel of another act: regrouped where the first is."""
    ordered = attrs.evolve(
        spec,
        combine=scan.scalar,
        begin=scan.begun,
        held=None,
        last=None,
        action=True,
        ordinary=(),
        around=None,
        **known,
    )
    found = None if spec.action else regrouped(ordered, scan, spec.ordinary)
    if found is not None:
        found = held_to(found)
        if found.loop is not Loop.SEQUENTIAL:
            return found
    if spec.loop is Loop.RUNS and (spec.around is not None or spec.combine != scan.program):
        # products of its elements are others, if there are any: tangents too, or elements that are prepared
        return attrs.evolve(ordered, loop=Loop.SEQUENTIAL, compose=None, parts=None)
    loop = Loop.SEQUENTIAL if spec.loop in (Loop.ROWS, Loop.NARROW) else spec.loop
    return held_to(attrs.evolve(ordered, loop=loop))


def _for_all(scan: AlignedScan, ordinary: tuple[Kinds, ...]) -> tuple[Kinds, ...]:
    """Values have the infinities that they had; tangents, which stand behind them, have none."""
    return ordinary + (frozenset[str](),) * (len(scan.state) - len(ordinary))


def whole(
    scan: AlignedScan,
    elements: tuple[str, ...],
    ordinary: tuple[Kinds, ...],
    inner: int,
    vector_bytes: int,
    flush: bool,
) -> KernelSpec:
    """The kernel of a scan that something else runs.

    Args:
        scan: The scan.
        elements: The storage dtype of each leaf of its elements.
        ordinary: For each leaf of the values the infinities that are as good as any value.
        inner: The length of the inner axis.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    spec = KernelSpec(
        scan.scalar,
        elements,
        scan.results,
        scan.emit,
        want_results=scan.want_results,
        reverse=scan.reverse,
        inclusive=scan.inclusive,
        identity=scan.identity,
        vector_bytes=vector_bytes,
        flush=flush,
        ordinary=_for_all(scan, ordinary),
    )
    return held_to(attrs.evolve(spec, loop=loop_of(inner, spec.width)))
