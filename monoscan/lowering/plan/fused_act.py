"""Which kernels an act needs: one for each shape of states, each on the leaves that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import attrs

from monoscan import dtypes
from monoscan.lowering.plan.acts import Acts, part_of
from monoscan.lowering.plan.aligned import AlignedScan, aligned_scan, array_act
from monoscan.lowering.plan.cut import cut
from monoscan.lowering.plan.fused import STRAIGHT_CODE, Fused, columns_of, element_dtype, reading_real, restricted
from monoscan.lowering.plan.loops import Candidates, candidates, quick_to_build, rolled, serving
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.parts import in_parts
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.array_derivative import has_rules
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import Op, Program, Shape
from monoscan.lowering.program.nonfinite import EVERY, FLOATS, Kinds, watch
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.source import Spec, unsupported
from monoscan.lowering.render.spec import KernelSpec, Parts

GATE_BITS = 31
"""Leaves beyond these are no gates of a kernel, which counts them in an int."""

Read = tuple[tuple[int, ...], tuple[int, ...], AlignedScan]
"""The leaves of elements and of states that a kernel reads, and the act on these alone."""


def fused_act(problem: Problem, acts: Acts, vector_bytes: int, flush: bool = True) -> tuple[Fused, ...] | str:
    """The kernels of an act, or why none can be written, on any machine.

    Args:
        problem: What was asked.
        acts: Its states.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    scans = scans_of(problem, acts)
    if not scans:
        untraced = next(each for each in (acts.act, acts.begin) if each is not None and each.program is None)
        return f"not traceable: {untraced.reason}"
    kernels = tuple(
        _kernel(problem, acts, scans, emit, vector_bytes, flush) for emit in states_alike(problem, acts, scans[0])
    )
    missing = next(filter(None, (unsupported(kernel.spec) for kernel in kernels)), None)
    return missing or reading_real(problem, kernels)


def scans_of(problem: Problem, acts: Acts) -> list[AlignedScan]:
    """What may run: straight-line code, and loops over arrays for states of many lanes."""
    scalar, wide = aligned_scan(problem, "sequential"), array_act(problem, acts)
    if scalar is not None and scalar.combine is not None:  # which gradients and tangents by arrays run as a tree
        scalar = attrs.evolve(scalar, strategy=_portable(problem))
    found = [] if wide is None else [wide]
    return found if scalar is None else with_straight(scalar, found, problem.options)


def with_straight(scalar: AlignedScan, wide: list[AlignedScan], options: Options) -> list[AlignedScan]:
    """What may run where there is a scalar program: loops over arrays do not do for all that straight-line code does."""
    wide = [each for each in wide if isinstance(each.program, ArrayProgram) and has_rules(each.program)]
    looks_up = any(instr.op is Op.LOOKUP for instr in scalar.scalar.code)  # which loops do lane by lane as well
    if not wide or options.strategy == "sequential" or looks_up:
        return [scalar]
    return wide if instructions(scalar.scalar) > STRAIGHT_CODE else [scalar, *wide]


def _portable(problem: Problem) -> str:
    return "sequential" if problem.options.strategy == "sequential" else "brent_kung"


def states_alike(problem: Problem, acts: Acts, scan: AlignedScan) -> list[tuple[int, ...]]:
    """The leaves of the state that are wanted, those of one shape together."""
    alike: dict[object, list[int]] = {}
    depends = scan.depends()
    for leaf in scan.emit:
        # Where sizes are not known, results have one shape if they depend on the same leaves.
        alike.setdefault(depends[leaf] if problem.options.shapeless else lead_of(acts, leaf), []).append(leaf)
    return [tuple(emit) for emit in alike.values()]


def lead_of(acts: Acts, leaf: int) -> Shape:
    """The aligned shape of a leaf of the state at all positions, without event axes."""
    return acts.joint.aligned_batch(acts.layout.batch[leaf], acts.joint.length)


def _kernel(
    problem: Problem, acts: Acts, scans: list[AlignedScan], emit: tuple[int, ...], vector_bytes: int, flush: bool
) -> Fused:
    kernels: list[tuple[Spec, Read]] = []
    lead, steps, behind = lead_of(acts, emit[0]), acts.joint.length, problem.joint.axis < problem.joint.rank
    for scan in scans:
        read = leaves, states, own = on_what_it_reads(scan, emit, problem.options.shapeless)
        shapes, axis = shapes_read(acts, leaves, states), acts.joint.axis
        inner = columns_of(shapes, lead, axis, problem.bounds)
        shared = tuple(k for k in range(len(leaves)) if shared_by_columns(shapes[k], lead, axis))
        shared += tuple(len(leaves) + n for n in range(len(own.program.captures)))
        known: dict[str, Any] = {
            "elements": tuple(element_dtype(problem, i) for i in leaves),
            "last": tuple(k for k, i in enumerate(states) if i >= len(acts.results)) if acts.ordered else None,
            "inclusive": own.inclusive,
            "vector_bytes": vector_bytes,
            "flush": flush,
        }
        straight = straight_act(own, known)
        products = runs = None
        if straight is not None:
            ordinary = tuple(problem.ordinary[i] for i in leaves)
            fixed = tuple(k for k, i in enumerate(leaves) if i in problem.options.fixed)
            products, runs = regrouped(straight, own, ordinary), by_runs(straight, own, ordinary, fixed)
        for spec in act_kernels(own, known, straight, products, problem.options, behind, inner, runs, shared):
            kernels.append((spec, read))
    rows = prod(lead) // (steps * inner) if steps * inner else 0
    served = serving([spec for spec, _ in kernels], problem.bounds, lead)
    could = Candidates(quick_to_build(served), inner, rows, problem.bounds)
    chosen, compared = could.fastest(steps), could.compared(steps)
    spec = could.kernels[chosen]
    leaves, states, own = next(read for each, read in kernels if each == spec)
    moved, pieces = bytes_of(problem, acts, leaves, emit), cut(spec, steps, inner, rows, problem.bounds)
    return Fused(leaves, states, emit, spec, own, pieces, moved, could, chosen, compared)


def shared_by_columns(shape: Shape, lead: Shape, axis: int) -> bool:
    """Whether all columns beside each other have the same element."""
    inner = next((i for i in range(len(lead) - 1, axis, -1) if lead[i] != 1), None)
    return inner is not None and shape[inner] == 1


def straight_act(scan: AlignedScan, known: dict[str, Any]) -> KernelSpec | None:
    """The kernel in straight-line code; ``None`` of an array program."""
    return None if isinstance(scan.program, ArrayProgram) else KernelSpec(scan.program, **_all(scan, known))


def act_kernels(
    scan: AlignedScan, known: dict[str, Any], straight: KernelSpec | None, products: KernelSpec | None,
    options: Options, behind: bool, inner: int, runs: KernelSpec | None = None, shared: tuple[int, ...] = (),
) -> Sequence[Spec]:  # fmt: skip
    """The kernels that can run an act, of either kind of program.

    Args:
        scan: The act, on what it reads.
        known: What a specification says besides.
        straight: The kernel in straight-line code.
        products: The one that combines parts of a row.
        options: What was asked.
        behind: There are batch axes behind that of the scan.
        inner: How many columns lie side by side.
        runs: The one that acts runs of a row side by side.
        shared: The leaves of elements, and behind them the captured arrays, that they share.
    """
    if straight is not None:
        return candidates(options, behind, straight, products, inner, runs)
    assert isinstance(scan.program, ArrayProgram), "no other program is not straight"
    return rolled(options, RolledSpec(scan.program, **_all(scan, known)), inner, shared)


def _all(scan: AlignedScan, known: dict[str, Any]) -> dict[str, Any]:
    own = {name: getattr(scan, name) for name in ("results", "emit", "want_results", "begin", "reverse")}
    return {"action": True, **own, **known}


def on_what_it_reads(scan: AlignedScan, emit: tuple[int, ...], whole: bool = False) -> Read:
    """The leaves of elements and of states that some leaves of the state need, and the act on these alone.

    Args:
        scan: The act.
        emit: Those leaves of the state.
        whole: Leaves are carried whole, of which a part would do.
    """
    scan = scan if whole else in_parts(scan, emit)
    depends = scan.depends()
    leaves = tuple(sorted(set[int]().union(*(depends[i].elements for i in emit)))) or (0,)  # which says how many steps
    states = tuple(sorted(set[int]().union(*(depends[i].states for i in emit))))
    own = attrs.evolve(
        scan,
        program=_on_leaves(scan.program, states, leaves),
        emit=tuple(states.index(i) for i in emit),
        results=tuple(scan.results[i] for i in emit if i in scan.shown),
        want_results=emit[0] in scan.shown,
        outputs=sum(i < scan.outputs for i in states),
        combine=None if scan.combine is None else restricted(scan.combine, leaves),
        begin=None if scan.begin is None else _on_leaves(scan.begin, states, leaves),
        parts=tuple(scan.parts[i] for i in states) if scan.parts else (),
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
    if scan.combine is None or held is None or not begins_with(scan.begun, held):
        return None
    missing = (frozenset[str](),) * (len(scan.combine.outputs) - len(ordinary))  # of tangents
    emit = tuple(held[i] for i in scan.emit)
    return attrs.evolve(
        spec, combine=scan.combine, emit=emit, held=held, action=False, begin=None, ordinary=ordinary + missing
    )


def by_runs(
    spec: KernelSpec, scan: AlignedScan, ordinary: tuple[Kinds, ...], fixed: tuple[int, ...]
) -> KernelSpec | None:
    """The kernel that acts runs of a row side by side; ``None`` where no product of elements tells that it is broken.

    Args:
        spec: The kernel that keeps the order.
        scan: The act.
        ordinary: For each leaf of the elements the infinities that are as good as any value.
        fixed: The leaves that are the same at every step.
    """
    compose = scan.combine
    if compose is None or spec.real or not spec.want_results or not _is_product(compose, spec):
        return None
    found = watch(compose, tuple(ordinary[i] for i, leaf in enumerate(spec.element) for _ in range(leaf.lanes)))
    if found is None:
        return None
    usual = frozenset[str]().union(*ordinary)
    states = tuple(EVERY - usual if name in FLOATS else frozenset[str]() for name in spec.dtypes)
    parts = Parts(_gates(scan, compose), fixed, found.kinds, states)
    return attrs.evolve(spec, loop=Loop.RUNS, compose=compose, parts=parts)


def _is_product(compose: Program, spec: KernelSpec) -> bool:
    """Whether it makes of two elements another that acts."""
    left, captures = compose.inputs[: compose.arity], spec.combine.captures
    return left == compose.elements == compose.outputs == spec.element and compose.captures == captures


def _gates(scan: AlignedScan, compose: Program) -> tuple[int, ...]:
    """The leaves of a product that depend on themselves alone, where the others are what an act does."""
    held = part_of(scan.scalar, compose)
    gates = set(range(compose.arity)) - set(held or range(compose.arity))
    alone = all(compose.reads[i][side] <= gates for i in gates for side in (0, 1))
    return tuple(sorted(gates)) if alone and max(gates, default=0) < GATE_BITS else ()


def begins_with(begin: Program | None, held: tuple[int, ...]) -> bool:
    """Whether the first state is what the first element holds in these leaves, if it is not given."""
    return begin is None or begin.results == tuple(lane for leaf in held for lane in begin.input_lanes[leaf])


def _on_leaves(
    program: Program | ArrayProgram, states: tuple[int, ...], leaves: tuple[int, ...]
) -> Program | ArrayProgram:
    """A step, or what begins a state, on some leaves of states and elements."""
    first = program.arity + program.rights
    kept = [
        *(states if program.arity else ()),
        *(program.arity + i for i in leaves),
        *range(first, len(program.inputs)),
    ]
    return program.select(states).reorder(kept, len(states) if program.arity else 0, len(leaves))


def shapes_read(acts: Acts, leaves: tuple[int, ...], states: tuple[int, ...]) -> list[Shape]:
    """The aligned shapes of what a kernel reads."""
    layout = acts.joint
    read = [layout.aligned_batch(layout.batch[i], layout.length) for i in leaves]
    return read + [layout.aligned_batch(acts.given[i], 1) for i in states if acts.given is not None]


def bytes_of(problem: Problem, acts: Acts, leaves: tuple[int, ...], emit: tuple[int, ...]) -> int:
    """What a kernel of an act reads and writes, each once."""
    layout = problem.layout
    read = [(problem.stored[i], layout.with_length(layout.batch[i], layout.length) + layout.event[i]) for i in leaves]
    written = [(acts.results[i], acts.layout.result_shape(i)) for i in emit if i < len(acts.results)]
    return sum(dtypes.itemsize(name) * prod(shape) for name, shape in read + written)
