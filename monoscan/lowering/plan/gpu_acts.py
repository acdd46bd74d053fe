"""What kernels of a GPU compute of an act: products of elements that hold its states, or states in order."""

from __future__ import annotations

from math import prod
from typing import Any

import attrs

from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.along import AlongRow, RowPrograms
from monoscan.lowering.plan.fused import element_dtype
from monoscan.lowering.plan.fused_act import (
    bytes_of,
    lead_of,
    on_what_it_reads,
    regrouped,
    scans_of,
    shapes_read,
    states_alike,
    straight_act,
)
from monoscan.lowering.plan.fused_pass import Arrays, bytes_of_pass
from monoscan.lowering.plan.gpu_acted import acted, acted_pass
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Program, Shape
from monoscan.lowering.render.spec import KernelSpec

FILLED_LANES = 1 << 11
"""Fewer rows than this, one lane each, leave a GPU idle while they walk through time (not measured)."""


@attrs.frozen
class Computed:
    """What a kernel computes, whatever body walks the data.

    Args:
        leaves: The leaves of the elements that it reads, ascending.
        states: The leaves of the state that it holds, ascending.
        emit: The leaves of the state that it yields.
        spec: The scan, or the act in order.
        scan: The same, for gradients.
        leads: The batch shapes of what it reads and of what it yields.
        bytes: What it reads and writes, each once.
    """

    leaves: tuple[int, ...]
    states: tuple[int, ...]
    emit: tuple[int, ...]
    spec: KernelSpec
    scan: AlignedScan
    leads: tuple[Shape, ...]
    bytes: int


def products(problem: Problem, acts: Acts) -> tuple[Computed, ...] | str:
    """An act by scans of products, one for each shape of states; or why there are none."""
    found = _of_act(problem, acts, by_products=True)
    return found or "its states are no part of products of elements"


def acted_products(problem: Problem, acts: Acts) -> tuple[Computed, ...] | str:
    """An act by scans of elements whose products act on the first state; or why there are none."""
    scans = [each for each in scans_of(problem, acts) if isinstance(each.program, Program)]
    found = (
        [_computed(problem, acts, scans[0], emit, False) for emit in states_alike(problem, acts, scans[0])]
        if scans
        else []
    )
    made = list[Computed]()
    for each in found:
        assert each is not None, "in order anything is computed"
        usual, known = problem.ordinary, None if each.scan.inclusive else problem.neutral
        neutral = None if known is None else [known[i] for i in each.leaves]
        spec = acted(each.spec, each.scan, tuple(usual[i] for i in each.leaves), neutral)
        if isinstance(spec, str):
            return spec
        made.append(attrs.evolve(each, spec=spec))
    return tuple(made) or "the act is not traceable to few lanes"


def in_order(problem: Problem, acts: Acts) -> tuple[Computed, ...] | str:
    """An act whose states come one after another, rows side by side; or why it is not worth a kernel."""
    found = _of_act(problem, acts, by_products=False)
    if not found:
        return "the act is not traceable to few lanes"
    combined = problem.program is not None and problem.options.strategy == "auto"
    return (combined and idle(prod(lead_of(acts, found[0].emit[0])) // acts.joint.length)) or found


def pass_in_order(scan: AlignedScan, arrays: Arrays, lead: Shape) -> Computed:
    """An aggregator in one pass: an act whose states are outputs and states, and whose elements are inputs.

    Args:
        scan: What it computes.
        arrays: What it reads.
        lead: The shape of all positions.
    """
    leaves, states, own = on_what_it_reads(scan, scan.emit)
    known: dict[str, Any] = {
        "elements": tuple(arrays.stored[i] for i in leaves),
        "last": tuple(k for k, i in enumerate(states) if i not in scan.shown),
    }
    spec = straight_act(own, known)
    assert spec is not None, "made of a scalar program"
    given = [arrays.given[i] for i in states if arrays.given]
    leads = (*(arrays.elements[i] for i in leaves), *arrays.others, *given, lead)
    return Computed(leaves, states, scan.emit, spec, own, leads, bytes_of_pass(own, arrays, leaves, lead))


def pass_by_products(ordered: Computed, programs: RowPrograms, outputs: int, options: Options) -> Computed | str:
    """The same by products of elements, which hold the states or make them; or why not.

    Args:
        ordered: The pass in order.
        programs: What the aggregator does.
        outputs: How many leaves it puts out, whether or not they are asked for.
        options: What was asked.
    """
    read = (ordered.leaves, ordered.states, ordered.scan)
    row = AlongRow(ordered.spec, read, programs, outputs, options.inclusive)
    made = row.by_products() or acted_pass(row)
    return made if isinstance(made, str) else attrs.evolve(ordered, spec=made)


def idle(rows: int) -> str | None:
    """Why states in order lose against products of elements; ``None`` where so many rows fill a GPU."""
    if rows >= FILLED_LANES:
        return None
    return f"in order {rows:,} rows leave a GPU idle, and products of elements run in parallel"


def _of_act(problem: Problem, acts: Acts, by_products: bool) -> tuple[Computed, ...]:
    """The kernels; none where one of them cannot be."""
    scans = [each for each in scans_of(problem, acts) if isinstance(each.program, Program)]
    if not scans:
        return ()
    found = [_computed(problem, acts, scans[0], emit, by_products) for emit in states_alike(problem, acts, scans[0])]
    made = tuple(each for each in found if each is not None)
    return made if len(made) == len(found) else ()


def _computed(
    problem: Problem, acts: Acts, scan: AlignedScan, emit: tuple[int, ...], by_products: bool
) -> Computed | None:
    leaves, states, own = on_what_it_reads(scan, emit)
    known: dict[str, Any] = {
        "elements": tuple(element_dtype(problem, i) for i in leaves),
        "last": tuple(k for k, i in enumerate(states) if i >= len(acts.results)) if acts.ordered else None,
        "inclusive": own.inclusive,
    }
    spec = straight_act(own, known)
    assert spec is not None, "made of a scalar program"
    if by_products:
        products = regrouped(spec, own, tuple(problem.ordinary[i] for i in leaves))
        if products is None:
            return None
        spec = products
    leads = (*shapes_read(acts, leaves, states), lead_of(acts, emit[0]))
    return Computed(leaves, states, emit, spec, own, leads, bytes_of(problem, acts, leaves, emit))
