"""Which kernels a scan needs: for each shape of results one or more, each on the leaves that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import attrs

from monoscan import dtypes
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.apart import apart
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.plan.cut import Cut, cut
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.loops import Candidates, Estimates, candidates, quick_to_build, rolled, serving
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.array_derivative import has_rules
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import Op, Program, Shape, Signature
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.source import Spec
from monoscan.lowering.render.source import unsupported as not_rendered
from monoscan.lowering.render.spec import KernelSpec

Lowered = TypeVar("Lowered", Program, ArrayProgram)

STRAIGHT_CODE = 1500
"""The most instructions of a combine that is written out where it can be written as loops: more take the compiler a second."""

LONG_STEP = 300
"""The most instructions of a step whose derivative is written out, which has six times as many: a Kalman filter of 3
states takes the compiler 1.2 s so and .5 s as loops, 4 states 4.1 and .6, and the gradients of one row as long."""


@attrs.frozen
class Fused:
    """The results of one shape, computed by one kernel.

    Args:
        leaves: The leaves of the elements that it reads, ascending.
        states: The leaves of the state that it holds, ascending; of a scan the same.
        emit: The leaves of the state that it yields.
        spec: The kernel; its loop included.
        scan: What it computes, for gradients.
        cut: How its work is cut.
        bytes: What it reads and writes, each once.
        candidates: The kernels that could run it.
        chosen: The number of the one that does.
        compared: Their loops, if there are several, and their estimates.
    """

    leaves: tuple[int, ...]
    states: tuple[int, ...]
    emit: tuple[int, ...]
    spec: Spec
    scan: AlignedScan
    cut: Cut
    bytes: int
    candidates: Candidates
    chosen: int
    compared: Estimates = ()

    def fits(self, length: int) -> bool:
        """Whether it is the one for so many steps too."""
        return self.candidates.fastest(length) == self.chosen

    @property
    def shown(self) -> tuple[int, ...]:
        """Those of which there are results."""
        return self.emit[: len(self.spec.results)]

    @property
    def real(self) -> tuple[int, ...]:
        """The leaves of the elements that it reads without the imaginary parts, which are zero."""
        return tuple(self.leaves[i] for i in self.spec.real)

    @property
    def straight(self) -> KernelSpec:
        """The kernel, of a scalar program."""
        assert isinstance(self.spec, KernelSpec), "made of the scalar program"
        return self.spec


def fused(problem: Problem, vector_bytes: int, flush: bool = True) -> tuple[Fused, ...] | str:
    """The kernels of a scan, or why none can be written, on any machine.

    Args:
        problem: The scan.
        vector_bytes: The width of the registers.
        flush: Subnormal results may become zero.
    """
    kernels = computed(problem, vector_bytes, _forms(problem), flush)
    if isinstance(kernels, str):
        return kernels
    return next(filter(None, (not_rendered(kernel.spec) for kernel in kernels)), None) or reading_real(problem, kernels)


def reading_real(problem: Problem, kernels: tuple[Fused, ...]) -> tuple[Fused, ...]:
    """The kernels of a scan, which read real leaves of complex elements as they are, if all of them can."""
    if not all(isinstance(kernel.spec, KernelSpec) for kernel in kernels):
        return kernels
    real = [tuple(k for k, i in enumerate(kernel.leaves) if i in problem.real) for kernel in kernels]
    return tuple(
        attrs.evolve(kernel, spec=attrs.evolve(kernel.spec, real=found)) if found else kernel
        for kernel, found in zip(kernels, real, strict=True)
    )


def computed(
    problem: Problem, vector_bytes: int, forms: Sequence[Program | ArrayProgram], flush: bool = True
) -> tuple[Fused, ...] | str:
    """What kernels of a scan compute, whatever renders them, from any of these programs; or why there can be none."""
    if not forms:
        return f"not traceable: {problem.traced.reason}"
    if (problem.needs_identity() or problem.bounds) and problem.operator.has_identity and problem.neutral is None:
        return "the identity is not a constant"
    return tuple(_kernel(problem, forms, emit, vector_bytes, flush) for emit in alike(problem))


def alike(problem: Problem) -> list[tuple[int, ...]]:
    """The leaves that are wanted, those together that share a kernel."""
    return [emit for leaves in _of_one_shape(problem) for emit in _apart(problem, leaves)]


def _forms(problem: Problem) -> list[Program | ArrayProgram]:
    """The programs that may run: what is written out, and loops over arrays for elements of many lanes."""
    straight, arrays = problem.program, problem.arrays
    if straight is not None and arrays is not None:
        # Loops look up lane by lane as well, and a fold in order is what its scalar program is.
        looks_up = any(instr.op is Op.LOOKUP for instr in straight.code)
        if problem.options.strategy == "sequential" or looks_up or not has_rules(arrays):
            return [straight]
        if instructions(straight) > STRAIGHT_CODE:
            return [arrays]
    return [form for form in (straight, arrays) if form is not None]


def _of_one_shape(problem: Problem) -> list[tuple[int, ...]]:
    """The leaves that are wanted, those of one shape together."""
    found: dict[Shape, list[int]] = {}
    for leaf in problem.options.wanted or range(len(problem.stored)):
        # Where sizes are not known, results have one shape if they depend on the same leaves.
        key = problem.layout.depends[leaf] if problem.options.shapeless else _lead(problem.layout, leaf)
        found.setdefault(key, []).append(leaf)
    return [tuple(emit) for emit in found.values()]


def _apart(problem: Problem, emit: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The leaves, those together that share a kernel."""
    layout = problem.layout

    def lanes(leaf: int) -> int:
        return prod(layout.event[leaf]) * (2 if problem.accumulators[leaf] in dtypes.COMPLEX else 1)

    on_cpu = problem.options.device == "cpu"  # where it was measured
    return apart(emit, layout.depends.__getitem__, lanes) if on_cpu else [emit]


def _lead(layout: Layout, leaf: int) -> Shape:
    return layout.aligned_shape(leaf, layout.length)[: layout.rank + 1]


def _kernel(
    problem: Problem, forms: Sequence[Program | ArrayProgram], emit: tuple[int, ...], vector_bytes: int, flush: bool
) -> Fused:
    leaves = tuple(sorted(set().union(*(problem.layout.depends[i] for i in emit))))
    placed = problem.options.results and not problem.options.inclusive and problem.layout.init is None
    constants = problem.neutral if placed else None
    known: dict[str, Any] = {
        "elements": tuple(element_dtype(problem, i) for i in leaves),
        "results": tuple(dtypes.lane(problem.results[i]) for i in emit) if problem.options.results else (),
        "emit": tuple(leaves.index(i) for i in emit),
        "want_results": problem.options.results,
        "reverse": problem.options.reverse,
        "inclusive": problem.options.inclusive,
        "identity": None if constants is None else tuple(c for i in leaves for c in constants[i]),
        "vector_bytes": vector_bytes,
        "flush": flush,
    }
    lead = _lead(problem.layout, emit[0])
    inner = columns_of([padded(problem, leaf) for leaf in leaves], lead, problem.layout.axis, problem.bounds)
    steps = problem.layout.length
    rows = prod(lead) // (steps * inner) if steps * inner else 0
    kernels: list[Spec] = []
    for form in forms:
        if isinstance(form, ArrayProgram):
            kernels += rolled(problem.options, RolledSpec(restricted(form, leaves), **known))
        else:
            own = KernelSpec(restricted(form, leaves), **known, ordinary=tuple(problem.ordinary[i] for i in leaves))
            kernels += candidates(problem.options, problem.joint.axis < problem.joint.rank, own, own, inner)
    could = Candidates(quick_to_build(serving(kernels, problem.bounds, lead)), inner, rows, problem.bounds)
    chosen, moved = could.fastest(steps), _bytes(problem, leaves, emit)
    spec, compared = could.kernels[chosen], could.compared(steps)
    scan, pieces = _aligned(problem, spec, leaves), cut(spec, steps, inner, rows, problem.bounds)
    return Fused(leaves, leaves, emit, spec, scan, pieces, moved, could, chosen, compared)


def _bytes(problem: Problem, leaves: tuple[int, ...], emit: tuple[int, ...]) -> int:
    layout = problem.layout
    read = [(problem.stored[i], layout.with_length(layout.batch[i], layout.length) + layout.event[i]) for i in leaves]
    written = [(problem.results[i], layout.result_shape(i)) for i in emit] if problem.options.results else []
    return sum(dtypes.itemsize(name) * prod(shape) for name, shape in read + written)


def _aligned(problem: Problem, spec: Spec, leaves: tuple[int, ...]) -> AlignedScan:
    options, bounds, identity = problem.options, problem.bounds, spec.identity
    if (
        bounds is not None and problem.neutral is not None
    ):  # it stands before whatever comes first, and between sequences
        identity = tuple(c for i in leaves for c in problem.neutral[i])
    return AlignedScan(
        program=spec.combine,
        emit=spec.emit,
        results=spec.results,
        reverse=spec.reverse,
        inclusive=spec.inclusive,
        want_results=spec.want_results,
        want_carry=options.return_carry or not options.results,
        identity=identity,
        lengths=bounds is not None and bounds.lengths is not None,
        offsets=bounds is not None and bounds.sequences is not None,
        strategy="sequential" if options.strategy == "sequential" else "brent_kung",
        rolled=_rolled(problem, spec, leaves),
    )


def _rolled(problem: Problem, spec: Spec, leaves: tuple[int, ...]) -> ArrayProgram | None:
    """The step as loops over arrays, where its derivative would take the compiler a second if it were written out."""
    arrays = problem.arrays
    if isinstance(spec.combine, ArrayProgram) or instructions(spec.combine) <= LONG_STEP or arrays is None:
        return None
    serves = problem.options.device == "cpu" and problem.bounds is None and has_rules(arrays)
    return restricted(arrays, leaves) if serves else None


def element_dtype(problem: Problem, leaf: int) -> str:
    """What a kernel reads: halves as they are stored, everything else as it is combined."""
    stored, promoted = problem.stored[leaf], problem.results[leaf]
    return dtypes.lane(stored if stored == promoted else promoted)


def columns_of(aligned: list[Shape], lead: Shape, scan: int, bounds: Bounds | None = None) -> int:
    """The length of the inner axis: trailing batch axes, as far as all leaves broadcast alike, and lengths.

    Args:
        aligned: The aligned shapes of the leaves, without their event axes.
        lead: What they broadcast to.
        scan: The scan axis.
        bounds: Where sequences begin and end, if they are not whole rows.
    """
    if bounds is not None and bounds.lengths is not None:
        aligned = [*aligned, bounds.lengths]
    inner, pattern = 1, None
    for axis in range(len(lead) - 1, scan, -1):
        if lead[axis] == 1:
            continue
        spread = tuple(shape[axis] == 1 for shape in aligned)
        if pattern is not None and spread != pattern:
            break
        inner, pattern = inner * lead[axis], spread
    return inner


def padded(problem: Problem, leaf: int) -> Shape:
    """The aligned shape of a leaf, without its event axes."""
    layout = problem.layout
    return layout.aligned_batch(layout.batch[leaf], layout.length)


def restricted(program: Lowered, leaves: tuple[int, ...]) -> Lowered:
    """The program on some of the leaves, which read no others."""
    kept = _kept_inputs(program, leaves)
    return program.select(leaves).reorder(kept, len(leaves))


def _kept_inputs(program: Signature, leaves: tuple[int, ...]) -> list[int]:
    """These leaves of both operands, and all captured arrays."""
    captured = range(2 * program.arity, len(program.inputs))
    return [*leaves, *(program.arity + i for i in leaves), *captured]
