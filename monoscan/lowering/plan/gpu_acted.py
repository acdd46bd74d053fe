"""Acts of few rows on a GPU whose states no product of elements holds: products act on the first state as they are stored."""

from __future__ import annotations

import attrs

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.program.placed import placed, unchanged
from monoscan.lowering.render.around import Around
from monoscan.lowering.render.spec import KernelSpec


def acted(ordered: KernelSpec, scan: AlignedScan, ordinary: tuple[Kinds, ...]) -> KernelSpec | str:
    """The kernel of the scan of elements whose results are states; or why there is none.

    It captures the first state, behind all else that it captures.

    Args:
        ordered: The kernel that keeps the order.
        scan: The act, on what it reads.
        ordinary: For each leaf of the elements the infinities that are as good as any value.
    """
    combine, act = scan.combine, scan.scalar
    if combine is None or scan.begin is not None or not scan.inclusive or any(scan.parts):
        return "products act on a state that is given, and are presented after their own elements"
    exact = all(scan.state[leaf].dtype == name for leaf, name in zip(scan.emit, scan.results, strict=False))
    if scan.want_carry and not (exact and len(scan.results) == len(scan.emit) == len(scan.state)):
        return "the last state is rounded in the results"
    number, states = combine.arity, act.arity
    captured = len(act.captures)
    start = scan.state
    product = placed(combine, [*range(len(combine.inputs)), *start], number, number)
    shown = act.select(scan.emit)
    order = [
        *range(states, states + number),
        *combine.outputs,
        *range(states + number, len(act.inputs)),
        *range(states),
    ]
    present = placed(shown, order, number, number)
    assert len(product.captures) == len(present.captures) == captured + len(start)
    read = frozenset[int]().union(*(left for left, _ in present.reads))
    if not scan.want_results or not read:
        return "no product is asked for"
    kernel = attrs.evolve(
        ordered, combine=product, emit=tuple(sorted(read)), held=None, last=None, action=False, begin=None,
        ordinary=ordinary, captures=None,
    )  # fmt: skip
    prepare = unchanged(combine.outputs, product.captures).select(kernel.tree)
    return attrs.evolve(kernel, around=Around(prepare, present))


def captures_start(kernel: KernelSpec, program: Program) -> bool:
    """Whether a kernel captures the first state of the act that it computes, whose program is given."""
    return len(kernel.combine.captures) > len(program.captures)
