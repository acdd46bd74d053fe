"""The adjoint on the CPU: one fused loop, and the array operations where there is none."""

from __future__ import annotations

from math import prod

from monoscan import dtypes
from monoscan.cache import COMPILED, PROGRAMS
from monoscan.lowering.gradient import by_arrays, ruled, transforms
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.plan import aligned, shapeless
from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.program.array_derivative import NoRule, reverse_arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.cost_table import cycles
from monoscan.lowering.program.derivative import differentiable
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.backward import render_backward
from monoscan.lowering.render.backward_spec import BackwardSpec, can_render
from monoscan.lowering.render.rolled import fastest_loop, unsupported_program
from monoscan.lowering.render.rolled_backward import render_rolled_backward
from monoscan.lowering.render.rolled_spec import vectors_of
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.by_function import FunctionRules
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.kernels import compile_kernel
from monoscan.lowering.targets.cpu.launches import of_kernel
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes

MANY_ROWS = 64
"""From so many rows on it makes no difference how many there are."""

COPIED_CYCLES = 2
"""Cycles of a step, for each lane that it reads or writes, from which rows side by side are faster (measured: at 0.4 to
0.7, of linear recurrences, 0.6 to 1.1 times as fast as one after the other, at 2.7 1.1 to 1.4, at 9 to 15 1.3 to 3)."""


class NoLoop(Exception):
    """There is no loop for the adjoint of a scan that has bounds; array operations do not take it apart as loops do."""


def _rules(adjoint: Adjoint) -> FunctionRules:
    """How MLX differentiates the loop itself."""
    return FunctionRules(lambda arrays, axis, rank: by_arrays.backward(adjoint, arrays, axis, rank, ruled.run))


@PROGRAMS.memoised
def differentiates(program: ArrayProgram) -> bool:
    """Whether there is a loop for the adjoint of wide elements."""
    try:
        step = reverse_arrays(program, differentiable(program.outputs))
    except NoRule:
        return False
    return unsupported_program(step, vectors_of(step, Loop.EVENTS, vector_bytes())) is None


def backward(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """Runs an adjoint; what it takes and yields stands in `Adjoint`."""
    lead = aligned.lead_of(arrays, adjoint.timed, axis, rank)
    names, columns, rows = tuple([x.dtype for x in arrays]), _columns(adjoint, arrays, lead, axis), 0
    if isinstance(adjoint.program, ArrayProgram) and not (adjoint.lengths or adjoint.offsets):  # these keep to one row
        rows = 1 if shapeless.tracing() else min(prod(lead[:axis] + lead[axis + 1 :]), MANY_ROWS)
    try:
        key = (adjoint, names, columns, rows, axis, rank)
        (launch,) = COMPILED.get(key, lambda: (_launch(_spec(adjoint, arrays, columns, rows), axis, rank),))
    except BridgeUnavailable:  # said and remembered where it failed
        launch = None
    if launch is None:
        if adjoint.lengths or adjoint.offsets:
            raise NoLoop
        return transforms.by_operations(adjoint, arrays, axis, rank)
    operands = adjoint.unpack(arrays)
    bounds = adjoint.lengths + adjoint.offsets
    first = len(arrays) - len(operands.ends) - len(operands.init) - bounds
    states = [*adjoint.live, *(adjoint.lefts if adjoint.seeded else ())]
    typed = [
        x.astype(dtypes.by_name(adjoint.program.outputs[i].dtype))
        for x, i in zip([*operands.ends, *operands.init], states, strict=True)
    ]
    return launch([*arrays[:first], *typed, *arrays[len(arrays) - bounds :]])


def _columns(adjoint: Adjoint, arrays: Arrays, lead: tuple[int, ...], axis: int) -> bool:
    """Whether vectors hold columns: of an inner axis, or rows side by side where there are enough of them."""
    if adjoint.lengths or adjoint.offsets:  # rows that have sequences of their own do not go side by side
        shape = arrays[-1 - adjoint.offsets].shape if adjoint.lengths else (1,) * len(lead)
        last = next((i for i in reversed(range(axis + 1, len(lead))) if lead[i] != 1), None)
        return last is not None and shape[last] == 1
    if shapeless.tracing():
        return axis + 1 < len(lead)
    if prod(lead[axis + 1 :]) > 1 or isinstance(adjoint.program, ArrayProgram):
        return True
    return prod(lead[:axis]) >= vector_bytes() // 4 and _worth_copies(adjoint)


@PROGRAMS.memoised
def _worth_copies(adjoint: Adjoint) -> bool:
    """Whether a step computes long enough that rows are copied into columns and back for it."""
    program = adjoint.program
    moved = [program.elements[i] for i in adjoint.rights] + [*adjoint.outputs]
    moved += [program.outputs[i] for i in (*adjoint.lefts, *adjoint.weights)]
    return cycles(adjoint.step, 1) >= COPIED_CYCLES * sum(leaf.lanes for leaf in moved)


def _spec(adjoint: Adjoint, arrays: Arrays, columns: bool, rows: int) -> BackwardSpec:
    # Vector code compiles little slower than scalar code, and runs 3 to 20 times as fast (450 to 8,000 operations).
    wide = columns or isinstance(adjoint.program, ArrayProgram)
    operands = adjoint.unpack(arrays)
    names = [
        tuple(dtypes.name_of(x.dtype) for x in group) for group in (operands.lefts, operands.weights, operands.captures)
    ]
    loop = fastest_loop(adjoint.array_step, rows, vector_bytes()) if rows else Loop.EVENTS
    return BackwardSpec(adjoint, names[0], names[1], names[2], vector_bytes() if wide else 0, flush(), loop)


def _launch(spec: BackwardSpec, axis: int, rank: int) -> Launch | None:
    """The launch of a backward loop; ``None`` where there can be none."""
    if isinstance(spec.adjoint.program, ArrayProgram):
        source, numbers = render_rolled_backward(spec), table(spec.adjoint.array_step)
    elif not can_render(spec):
        return None
    else:
        source, numbers = render_backward(spec), b"".join(map(table, spec.programs))
    with waiting("the kernel of a gradient"):
        kernel = compile_kernel(source)
    adjoint, program = spec.adjoint, spec.adjoint.program
    given, inits = [*adjoint.lefts, *adjoint.weights], [*adjoint.live, *(adjoint.lefts if adjoint.seeded else ())]
    return of_kernel(
        "monoscan_adjoint",
        kernel,
        axis,
        rank,
        [*(program.elements[i].shape for i in adjoint.rights), *(program.outputs[i].shape for i in given)],
        [leaf.shape for leaf in program.captures],
        [program.outputs[i].shape for i in inits],
        sums=len(adjoint.totals),
        lengths=adjoint.lengths,
        offsets=adjoint.offsets,
        outputs=adjoint.outputs,
        carries=adjoint.last,
        donors=_donors(spec),
        numbers=numbers,
        rules=_rules(adjoint),
        label="the gradient of a scan",
    )


def _donors(spec: BackwardSpec) -> list[int]:
    """For each output the input whose buffer it may take, or -1: a step reads its own place before it writes there.

    Its own leaf's cotangent first, then any other and the states, which few others hold by then.
    """
    adjoint, state = spec.adjoint, spec.adjoint.program.outputs
    weights = adjoint.weights if adjoint.inclusive else ()  # others are read one step after their place is written
    first = len(adjoint.rights)
    free = [(first + n, i, spec.states[n]) for n, i in enumerate(adjoint.lefts)]
    first += len(free)
    free = [*((first + n, i, spec.weights[n]) for n, i in enumerate(weights)), *free]
    donors = []
    for number, leaf in enumerate(adjoint.outputs):
        own = adjoint.gradients[number] if number < len(adjoint.gradients) else -1
        fits = [each for each in free if (each[2], state[each[1]].shape) == (leaf.dtype, leaf.shape)]
        chosen = next((each for each in fits if each[1] == own and own in weights), next(iter(fits), None))
        free = [each for each in free if each is not chosen]
        donors.append(-1 if chosen is None else chosen[0])
    return donors
