"""Which kernels an act needs: one for each shape of states, each on the leaves that it reads."""

from __future__ import annotations

from math import prod

import attrs

from monoscan import dtypes
from monoscan.lowering.plan.acts import Acts, part_of
from monoscan.lowering.plan.aligned import AlignedScan, aligned_scan
from monoscan.lowering.plan.cut import cut
from monoscan.lowering.plan.fused import Fused, columns_of, element_dtype, reading_real, restricted
from monoscan.lowering.plan.loops import candidates, fastest
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Program, Shape
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.render.kernel import unsupported
from monoscan.lowering.render.spec import KernelSpec


def fused_act(problem: Problem, acts: Acts, vector_bytes: int, flush: bool = True) -> tuple[Fused, ...] | str:
    """The kernels of an act, or why none can be written, on any machine.

    Args:
        problem: What was asked.
        acts: Its states.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    scan = aligned_scan(problem, "sequential")
    if scan is None:
        untraced = next(each for each in (acts.act, acts.begin) if each is not None and each.program is None)
        return f"not traceable: {untraced.reason}"
    if scan.combine is not None:  # which gradients and tangents by arrays run as a tree
        scan = attrs.evolve(scan, strategy=_portable(problem))
    kernels = tuple(_kernel(problem, acts, scan, emit, vector_bytes, flush) for emit in _alike(problem, acts, scan))
    return next(filter(None, (unsupported(kernel.straight) for kernel in kernels)), None) or reading_real(
        problem, kernels
    )


def _portable(problem: Problem) -> str:
    return "sequential" if problem.options.strategy == "sequential" else "brent_kung"


def _alike(problem: Problem, acts: Acts, scan: AlignedScan) -> list[tuple[int, ...]]:
    """The leaves of the state, those of one shape together."""
    alike: dict[object, list[int]] = {}
    depends = scan.depends()
    for leaf in scan.emit:
        # Where sizes are not known, results have one shape if they depend on the same leaves.
        alike.setdefault(depends[leaf] if problem.options.shapeless else _lead(acts, leaf), []).append(leaf)
    return [tuple(emit) for emit in alike.values()]


def _lead(acts: Acts, leaf: int) -> Shape:
    return acts.joint.aligned_batch(acts.layout.batch[leaf], acts.joint.length)


def _kernel(
    problem: Problem, acts: Acts, scan: AlignedScan, emit: tuple[int, ...], vector_bytes: int, flush: bool
) -> Fused:
    leaves, states, own = on_what_it_reads(scan, emit)
    lead, steps = _lead(acts, emit[0]), acts.joint.length
    inner = columns_of(_shapes(acts, leaves, states), lead, acts.joint.axis)
    spec = KernelSpec(
        own.scalar,
        elements=tuple(element_dtype(problem, i) for i in leaves),
        results=own.results,
        emit=own.emit,
        last=tuple(k for k, i in enumerate(states) if i >= len(acts.results)) if acts.ordered else None,
        want_results=own.want_results,
        action=True,
        begin=own.begin,
        reverse=own.reverse,
        inclusive=own.inclusive,
        vector_bytes=vector_bytes,
        flush=flush,
    )
    rows = prod(lead) // (steps * inner) if steps * inner else 0
    products = regrouped(spec, own, tuple(problem.ordinary[i] for i in leaves))
    spec, compared = fastest(
        candidates(problem.options, problem.joint.axis < problem.joint.rank, spec, products, inner), steps, inner, rows
    )
    moved = _bytes(problem, acts, leaves, emit)
    return Fused(leaves, states, emit, spec, own, cut(spec, steps, inner, rows), moved, compared)


def on_what_it_reads(scan: AlignedScan, emit: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], AlignedScan]:
    """The leaves of elements and of states that some leaves of the state need, and the act on these alone."""
    depends = scan.depends()
    leaves = tuple(sorted(set[int]().union(*(depends[i].elements for i in emit)))) or (0,)  # which says how many steps
    states = tuple(sorted(set[int]().union(*(depends[i].states for i in emit))))
    own = attrs.evolve(
        scan,
        program=_on_leaves(scan.scalar, states, leaves),
        emit=tuple(states.index(i) for i in emit),
        results=tuple(scan.results[i] for i in emit if i in scan.shown),
        want_results=emit[0] in scan.shown,
        combine=None if scan.combine is None else restricted(scan.combine, leaves),
        begin=None if scan.begin is None else _on_leaves(scan.begin, states, leaves),
    )
    return leaves, states, own


def regrouped(spec: KernelSpec, scan: AlignedScan, ordinary: tuple[Kinds, ...]) -> KernelSpec | None:
    """The kernel of the scan which yields the states as some leaves of its products; ``None`` where none does.

    Args:
        spec: The kernel that keeps the order.
        scan: The act.
        ordinary: For each leaf of the elements the infinities that are as good as any value.
    """
    held = None if scan.combine is None else part_of(scan.scalar, scan.combine)
    if scan.combine is None or held is None or not _begins_with(scan.begin, held):
        return None
    missing = (frozenset[str](),) * (len(scan.combine.outputs) - len(ordinary))  # of tangents
    emit = tuple(held[i] for i in scan.emit)
    return attrs.evolve(
        spec, combine=scan.combine, emit=emit, held=held, action=False, begin=None, ordinary=ordinary + missing
    )


def _begins_with(begin: Program | None, held: tuple[int, ...]) -> bool:
    """Whether the first state is what the first element holds in these leaves, if it is not given."""
    return begin is None or begin.results == tuple(lane for leaf in held for lane in begin.input_lanes[leaf])


def _on_leaves(program: Program, states: tuple[int, ...], leaves: tuple[int, ...]) -> Program:
    """A step, or what begins a state, on some leaves of states and elements."""
    first = program.arity + program.rights
    kept = [
        *(states if program.arity else ()),
        *(program.arity + i for i in leaves),
        *range(first, len(program.inputs)),
    ]
    return program.select(states).reorder(kept, len(states) if program.arity else 0, len(leaves))


def _shapes(acts: Acts, leaves: tuple[int, ...], states: tuple[int, ...]) -> list[Shape]:
    """The aligned shapes of what a kernel reads."""
    layout = acts.joint
    read = [layout.aligned_batch(layout.batch[i], layout.length) for i in leaves]
    return read + [layout.aligned_batch(acts.given[i], 1) for i in states if acts.given is not None]


def _bytes(problem: Problem, acts: Acts, leaves: tuple[int, ...], emit: tuple[int, ...]) -> int:
    layout = problem.layout
    read = [(problem.stored[i], layout.with_length(layout.batch[i], layout.length) + layout.event[i]) for i in leaves]
    written = [(acts.results[i], acts.layout.result_shape(i)) for i in emit if i < len(acts.results)]
    return sum(dtypes.itemsize(name) * prod(shape) for name, shape in read + written)
