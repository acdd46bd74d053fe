"""Which kernel the gradient of windows needs, from that of the windows."""

from __future__ import annotations

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.fused_window import MOST_CODE, FusedWindow
from monoscan.lowering.program.derivative import differentiable, reverse, transposed
from monoscan.lowering.program.ir import Program, closure
from monoscan.lowering.render.window_back import unsupported_back
from monoscan.lowering.render.window_back_spec import WindowBackSpec
from monoscan.lowering.render.window_spec import WindowSpec


@attrs.frozen
class WindowGradient:
    """The gradient of the windows of one kernel.

    Args:
        read: The leaves of that kernel's inputs that it reads.
        weights: The leaves of its outputs that have cotangents.
        wanted: The leaves of its inputs that get one.
        spec: The kernel.
    """

    read: tuple[int, ...]
    weights: tuple[int, ...]
    wanted: tuple[int, ...]
    spec: WindowBackSpec


@PROGRAMS.memoised
def window_gradient(kernel: FusedWindow) -> WindowGradient | str:
    """The kernel, or why there is none."""
    spec = kernel.spec
    if spec.captures:
        return "captured arrays and fixed inputs get cotangents, too"
    if spec.reads_inputs:
        return "outputs depend on inputs beside the fold"
    weights, wanted = differentiable(spec.outputs), differentiable(spec.inputs)
    heard = _heard(spec)
    if not (weights and wanted and heard):
        return "nothing has a derivative"
    made = _of(spec, weights, wanted, heard)
    if len(made.spec.back.code) > MOST_CODE:
        return "the derivative of combine has more operations than a kernel of windows holds"
    return unsupported_back(made.spec) or made


def _heard(spec: WindowSpec) -> tuple[int, ...]:
    """The leaves of elements whose cotangents reach inputs, as that of a count does not."""
    live, number = differentiable(spec.state), len(spec.state)
    if not live:
        return ()
    asked = frozenset().union(*transposed(spec.prepare).depends)
    direct = {place for place in range(len(live)) if len(spec.inputs) + place in asked}
    back = [frozenset(i - 2 * number for i in each if i >= 2 * number) for each in reverse(spec.combine, live).depends]
    reads = closure([left | right for left, right in zip(back[: len(live)], back[len(live) :], strict=True)])
    reached = {place for each in direct for place in reads[each]}
    return tuple(leaf for place, leaf in enumerate(live) if place in reached)


def _of(spec: WindowSpec, weights: tuple[int, ...], wanted: tuple[int, ...], heard: tuple[int, ...]) -> WindowGradient:
    number, inputs, live = len(spec.state), len(spec.inputs), differentiable(spec.state)
    places = [live.index(leaf) for leaf in heard]
    sides = [*range(len(heard)), *(len(heard) + place for place in places)]
    back = reverse(spec.combine, heard).select(sides)
    weigh, give = transposed(spec.present).select(places), transposed(spec.prepare)
    held = _read(back, range(2 * number), number) | _read(weigh, range(number), number)
    kept = list(spec.combine.carried(held, parts=True)) if held else []
    both = [*kept, *(number + leaf for leaf in kept)]
    prepare = spec.prepare.select(kept)
    read = sorted(_read(give, range(inputs), inputs) | _read(prepare, range(inputs), inputs))
    return WindowGradient(
        tuple(read),
        weights,
        wanted,
        WindowBackSpec(
            prepare=prepare.reorder(read, 0, len(read)),
            combine=spec.combine.select(kept).reorder(both, len(kept)),
            back=back.reorder([*both, *range(2 * number, len(back.inputs))], len(kept)),
            weigh=weigh.reorder([*kept, *range(number + inputs, len(weigh.inputs))], len(kept), 0),
            give=give.reorder([*read, *(inputs + place for place in places)], 0, len(read)),
            stored=tuple(spec.stored[leaf] for leaf in read),
            weights=tuple(spec.results[leaf] for leaf in weights),
            results=tuple(spec.stored[leaf] for leaf in wanted),
            vector_bytes=spec.vector_bytes,
            flush=spec.flush,
        ),
    )


def _read(program: Program, among: range, modulo: int) -> set[int]:
    """The leaves that a program reads among its first inputs, which are one or two operands."""
    return {i % modulo for reads in program.depends for i in reads if i in among}
