"""How ``act`` runs on sequences as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.options import Options, changed
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.scan import call
from monoscan.scan.act import start_of
from monoscan.scan.fixed_leaves import spread
from monoscan.scan.question import not_an_operator
from monoscan.scan.ragged.axes import Leaves, Raw
from monoscan.scan.ragged.operator import flagged, lifted
from monoscan.scan.ragged.states import RaggedStates, Walked, opened
from monoscan.scan.states import pose
from monoscan.tree import Tree


def run(asked: Options, operator: Semigroup, elems: Tree, state: Tree | None, axis: int, raw: Raw) -> tuple[Tree, Tree]:
    """The states, and the last ones where they are wanted, as trees."""
    found = opened_act(asked, operator, elems, state, axis, raw)
    ys, last = found.run()
    form = found.acts.structure
    return tree.unflatten(form, ys), tree.unflatten(form, last) if asked.return_carry else None


def opened_act(asked: Options, operator: Semigroup, elems: Tree, state: Tree | None, axis: int, raw: Raw) -> RaggedAct:
    """An act on sequences, checked.

    Raises:
        ScanError: Something does not fit.
    """
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    given = spread(asked, captures, elems, axis)
    form = given.asked, captures, given.elems
    return RaggedAct(*opened(*form, state, given.axis, raw, pose, lambda form: operator.right.events(form)), given.one)


@final
@attrs.frozen(eq=False)
class RaggedAct(RaggedStates):
    """An act on sequences.

    Args:
        one: The leaves of the elements that are the same at every step, with one step.
    """

    one: dict[int, mx.array]

    @property
    def kernel_leaves(self) -> Leaves:
        return [self.one.get(i, x) for i, x in enumerate(self.leaves)]

    @property
    def held(self) -> int:
        return 0

    @property
    def kernel_start(self) -> Leaves | None:
        return self.start

    def _walk(self, places: Places, asked: Options) -> Walked:
        plan, leaves, captures, start = self._scan(places, asked)
        ys, last = (self._values(found) for found in execute(plan, leaves, captures, start))
        return ys, ys, last

    def _values(self, found: Sequence[Any]) -> list[Any]:
        """The leaves of states without the flags of those that nothing was given for."""
        if self.start is not None or not found:
            return list(found)
        number = range(len(self.acts.leaves))
        held = tree.flatten(flagged(self.problem.operator, [-1], tree.unflatten(self.acts.structure, number)))[0]
        return [y for y, i in zip(found, held, strict=True) if i >= 0]

    def _scan(self, places: Places, asked: Options) -> tuple[Plan, Leaves, Captures, Leaves | None]:
        form, packed = self.acts.structure, places.packed
        starts = [tree.unflatten(form, self.starts(places))] if packed and self.start is not None else []
        flags = [places.head, places.valid] if packed else [places.valid]
        first = self.zeros() if packed else self._first(False)
        asked, operator, elems, state = self._flagged(places, asked, flags, starts, first)
        captures = capture(operator, asked.call)
        plan, arrays, start = call.prepare(asked, captures, elems, self.axis, state, pose, start_of)
        return plan, arrays, captures, start

    def _with_mask(self, places: Places, first: Leaves, raw: Raw) -> RaggedStates:
        asked, operator, elems, state = self._flagged(places, self.asked, [places.valid], [], first)
        return opened_act(asked, operator, elems, state, self.axis, raw)

    def _flagged(
        self, places: Places, asked: Options, flags: Leaves, starts: list[Tree], first: Leaves
    ) -> tuple[Options, Semigroup, Tree, Tree]:
        """Options, operator, elements and state of elements with flags."""
        operator, form, begun = self.problem.operator, self.acts.structure, self.start is None
        leaves = self.elements(places)
        raised = lifted(self.captures.root, len(flags) > 1, form if starts else None, begun)
        state = tree.unflatten(form, first)
        state = flagged(operator, [mx.array(False)], state) if begun else state
        if asked.fixed:
            counted = [tree.unflatten(form, [-1] * len(self.acts.leaves))] if starts else []
            held = tree.flatten(flagged(operator, [-1] * len(flags), *counted, self._tree(range(len(leaves)))))[0]
            asked = changed(asked, fixed=tuple(p for p, i in enumerate(held) if i in asked.fixed))
        return asked, raised, flagged(operator, flags, *starts, self._tree(leaves)), state

    def _tree(self, leaves: Sequence[Any]) -> Tree:
        return tree.unflatten(self.problem.structure, list(leaves))
