"""Acts of few rows on a GPU whose states no product of elements holds: products make states as they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.along import AlongRow, on
from monoscan.lowering.plan.identity import Scalars
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.program.placed import chained, placed, unchanged
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
    number, states = combine.arity, scan.program.arity
    start = () if scan.begin is not None else scan.state
    captures = combine.captures + start
    if scan.begun is not None:
        last = scan.begun.select(scan.emit)
    else:
        behind = range(states + number, len(scan.program.inputs))
        last = placed(
            scan.scalar.select(scan.emit), [*range(states, states + number), *behind, *range(states)], 0, number
        )
    order = [*range(number), *combine.outputs, *range(number, len(last.inputs))]
    present = placed(last, order, number, number)
    prepare = unchanged(combine.outputs, captures)
    if not any(last.reads[i][1] for i in range(len(last.outputs))):
        return "no state depends on an element"
    kernel = attrs.evolve(ordered, ordinary=ordinary, identity=_identity(scan.inclusive, neutral))
    return _around(kernel, combine, start, prepare, present if scan.want_results else None, last)


def acted_pass(row: AlongRow) -> KernelSpec | str:
    """The same of an aggregator."""
    leaves, held, step = row.read
    programs, states = row.programs, row.states
    combine, act = programs.combine, programs.act
    if not row.inclusive or any(step.parts) or combine.outputs != combine.elements:
        return "products do not yield what stands before each of its elements"
    number, all_states = combine.arity, act.arity
    start = () if programs.begin is not None else tuple(act.inputs[i] for i in states)
    captures = combine.captures + start
    if programs.begin is not None:
        last = programs.begin.select(states)
    else:
        behind = range(all_states + number, len(act.inputs))
        last = placed(act.select(states), [*range(all_states, all_states + number), *behind, *states], 0, number)
    prepare = on(programs.prepare, (), leaves)
    shown = on(programs.present.select([i for i in held if i < row.outputs]), states, leaves)
    if prepare is None or shown is None:
        return "it reads more than its step does"
    inputs = [*combine.outputs, *shown.elements, *captures]
    first = number + shown.rights
    present = chained(
        last, shown, inputs, [*range(number), *range(first, len(inputs))],
        range(number, first + len(combine.captures)), number, shown.rights,
    )  # fmt: skip
    further = placed(prepare, [*range(len(prepare.inputs)), *start], 0, prepare.rights)
    kernel = attrs.evolve(row.ordered, ordinary=programs.ordinary)
    return _around(kernel, combine, start, further, present if present.outputs else None, last)


def _around(
    kernel: KernelSpec,
    combine: Program,
    start: tuple[Leaf, ...],
    prepare: Program,
    present: Program | None,
    last: Program,
) -> KernelSpec:
    """A kernel that scans elements for the sake of what products of them make."""
    number = combine.arity
    product = placed(combine, [*range(len(combine.inputs)), *start], number, number)
    read = frozenset[int]().union(*(right for _, right in last.reads))
    known = attrs.evolve(
        kernel, combine=product, emit=tuple(sorted(read)), held=None, last=None, action=False, begin=None
    )
    return attrs.evolve(known, around=Around(prepare.select(known.tree), present, last))


def _identity(inclusive: bool, neutral: Sequence[Scalars] | None) -> Scalars | None:
    return None if inclusive or neutral is None else tuple(value for lanes in neutral for value in lanes)
