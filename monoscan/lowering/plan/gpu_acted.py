"""Acts of few rows on a GPU whose states no product of elements holds: products make states as they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.identity import Scalars
from monoscan.lowering.program.ir import Program
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.program.placed import placed, unchanged
from monoscan.lowering.render.around import Around
from monoscan.lowering.render.spec import KernelSpec


def acted(
    ordered: KernelSpec, scan: AlignedScan, ordinary: tuple[Kinds, ...], neutral: Sequence[Scalars] | None
) -> KernelSpec | str:
    """The kernel of the scan of elements whose results are states; or why there is none.

    Where a state is given it captures that, behind all else that it captures.

    Args:
        ordered: The kernel that keeps the order.
        scan: The act, on what it reads.
        ordinary: For each leaf of the elements the infinities that are as good as any value.
        neutral: For each of them the identity's lanes, if they are constants.
    """
    combine = scan.combine
    if combine is None or any(scan.parts):
        return "its elements are not combined"
    if not scan.inclusive and (neutral is None or scan.begin is not None):
        return "what stands before the first element needs a state and an identity that is constant"
    number, start = combine.arity, () if scan.begin is not None else scan.state
    product = placed(combine, [*range(len(combine.inputs)), *start], number, number)
    moved = of_products(scan)
    unread, behind = combine.outputs, range(number, len(moved.inputs))
    present = placed(moved, [*range(number), *unread, *behind], number, number)
    read = tuple(sorted(frozenset[int]().union(*(left for left, _ in present.reads))))
    if not read:
        return "no state depends on an element"
    identity = None if scan.inclusive or neutral is None else tuple(value for lanes in neutral for value in lanes)
    kernel = attrs.evolve(
        ordered, combine=product, emit=read, held=None, last=None, action=False, begin=None, ordinary=ordinary,
        identity=identity,
    )  # fmt: skip
    prepare = unchanged(combine.outputs, product.captures).select(kernel.tree)
    return attrs.evolve(kernel, around=Around(prepare, present if scan.want_results else None))


def of_products(scan: AlignedScan) -> Program:
    """From a product of all elements so far, captured arrays and the first state, if it is given, to the wanted states."""
    if scan.begun is not None:
        return scan.begun.select(scan.emit)
    states, number = scan.program.arity, scan.program.rights
    elements, behind = range(states, states + number), range(states + number, len(scan.program.inputs))
    return placed(scan.scalar.select(scan.emit), [*elements, *behind, *range(states)], 0, number)


def by_products(kernel: KernelSpec, scan: AlignedScan) -> bool:
    """Whether a kernel computes an act so."""
    return kernel.around is not None and scan.combine is not None
