"""The kernel of an aggregator: an act whose states are outputs and states, and whose elements are inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import attrs

from monoscan import dtypes
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.along import AlongRow, RowPrograms
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.plan.cut import cut
from monoscan.lowering.plan.fused import Fused, columns_of
from monoscan.lowering.plan.fused_act import Read, act_kernels, on_what_it_reads, shared_by_columns, straight_act
from monoscan.lowering.plan.loops import Candidates, quick_to_build, serving
from monoscan.lowering.plan.options import Options
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.render.source import Spec, unsupported


@attrs.frozen
class Arrays:
    """What a kernel reads, aligned: the shapes without event axes.

    Args:
        elements: Those of inputs with a time axis.
        stored: Their dtypes.
        others: Those of fixed inputs and captured arrays, of size 1 along time.
        given: Those of the leaves of the first state, likewise; none where the first element begins it.
    """

    elements: tuple[Shape, ...]
    stored: tuple[str, ...]
    others: tuple[Shape, ...]
    given: tuple[Shape, ...]


def fused_pass(
    scans: Sequence[AlignedScan],
    arrays: Arrays,
    lead: Shape,
    axis: int,
    *,
    options: Options,
    vector_bytes: int,
    flush: bool,
    bounds: Bounds | None = None,
    of_row: Callable[[], RowPrograms | None] = lambda: None,
) -> Fused | str:
    """The kernel, or why there is none.

    Args:
        scans: What it computes, by each kind of program that may run.
        arrays: What it reads.
        lead: The shape of all positions.
        axis: The scan axis.
        options: What was asked.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
        bounds: Where sequences begin and end, if they are not whole rows.
        of_row: What is done with a row, which a kernel along it is made of.
    """
    kernels: list[tuple[Spec, Read]] = []
    for scan in scans:
        read = leaves, states, own = on_what_it_reads(scan, scan.emit, options.shapeless)
        known: dict[str, Any] = {
            "elements": tuple(arrays.stored[i] for i in leaves),
            "last": tuple(k for k, i in enumerate(states) if i not in scan.shown),
            "alike": () if options.shapeless else _alike(arrays, leaves, lead, axis),
            "vector_bytes": vector_bytes,
            "flush": flush,
        }
        shapes = [
            *(arrays.elements[i] for i in leaves), *arrays.others, *(arrays.given[i] for i in states if arrays.given)
        ]  # fmt: skip
        inner, steps = columns_of(shapes, lead, axis, bounds), lead[axis]
        straight = straight_act(own, known)
        # captured arrays, which have no batch, stand behind fixed inputs
        others = enumerate(
            [*arrays.others, *[(1,) * len(lead)] * len(own.program.captures)][: len(own.program.captures)], len(leaves)
        )
        columns = () if options.shapeless else others
        shared = (*known["alike"], *(n for n, shape in columns if shared_by_columns(shape, lead, axis)))
        products = runs = None
        if straight is not None and inner == 1 and options.strategy != "sequential" and not options.shapeless:
            programs = of_row()
            if programs is not None:
                along = AlongRow(straight, read, programs, scan.outputs, options.inclusive)
                products, runs = along.by_products(), along.by_runs()
        behind = axis < len(lead) - 1
        for spec in act_kernels(own, known, straight, products, options, behind, inner, runs, shared):
            kernels.append((spec, read))
    rows = prod(lead) // (steps * inner)
    could = Candidates(quick_to_build(serving([spec for spec, _ in kernels], bounds, lead)), inner, rows, bounds)
    chosen, compared = could.fastest(steps), could.compared(steps)
    spec = could.kernels[chosen]
    leaves, states, own = next(read for each, read in kernels if each == spec)
    missing = unsupported(spec)
    if missing is not None:
        return missing
    pieces, moved = cut(spec, steps, inner, rows, bounds), bytes_of_pass(own, arrays, leaves, lead)
    return Fused(leaves, states, scans[0].emit, spec, own, pieces, moved, could, chosen, compared)


def _alike(arrays: Arrays, leaves: tuple[int, ...], lead: Shape, axis: int) -> tuple[int, ...]:
    """The leaves that are the same in all columns."""
    return tuple(k for k, i in enumerate(leaves) if shared_by_columns(arrays.elements[i], lead, axis))


def bytes_of_pass(scan: AlignedScan, arrays: Arrays, leaves: tuple[int, ...], lead: Shape) -> int:
    """What a kernel reads of these inputs and writes, each once."""
    read = zip(leaves, scan.program.elements, strict=True)
    moved = sum(dtypes.itemsize(arrays.stored[i]) * prod(arrays.elements[i]) * leaf.lanes for i, leaf in read)
    written = zip(scan.shown, scan.results, strict=True)
    return moved + sum(dtypes.itemsize(name) * prod(lead) * scan.state[i].lanes for i, name in written)
