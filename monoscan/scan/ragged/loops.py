"""How ``loop`` runs on sequences as they come."""

from __future__ import annotations

from typing import final

import attrs

from monoscan import errors, tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.action import Action
from monoscan.scan import loop
from monoscan.scan.ragged.axes import Leaves, Raw
from monoscan.scan.ragged.given import given
from monoscan.scan.ragged.states import RaggedStates, Walked, opened
from monoscan.scan.ragged.steps import RaggedSteps
from monoscan.tree import Tree


def run(asked: Options, operator: loop.Steps, elems: Tree, state: Tree, axis: int, raw: Raw) -> tuple[Tree, Tree]:
    """The outputs, and the last states where they are wanted, as trees."""
    found = opened_loop(asked, operator, elems, state, axis, raw)
    ys, last = found.run()
    shown, carried = found.acts.structure[-1]
    return tree.unflatten(shown, ys), tree.unflatten(carried, last) if asked.return_carry else None


def opened_loop(asked: Options, operator: loop.Steps, elems: Tree, state: Tree, axis: int, raw: Raw) -> RaggedLoop:
    """A loop over sequences, checked.

    Raises:
        ScanError: Something does not fit.
    """
    if operator.bare:
        _check_rows(asked, raw)

    def events(form: tree.Structure) -> tuple[int, ...]:
        return Action(operator.step, event=operator.state_event).events(form)

    return RaggedLoop(*opened(asked, capture(operator, asked.call), elems, state, axis, raw, loop.pose, events))


def _check_rows(asked: Options, raw: Raw) -> None:
    """Without ``xs`` there is one row, whatever batch axes the state has."""
    lengths = given(f"[{asked.call}]", *raw).lengths
    if lengths is not None and raw[2] is None and lengths.size != 1:
        raise errors.ScanError(
            f"[{asked.call}] where xs is None all rows have the same steps; got lengths of shape {lengths.shape}. Rows of "
            "several lengths need xs with the batch axes, as mx.zeros((length, rows)), which step may ignore."
        )


@final
@attrs.frozen(eq=False)
class RaggedLoop(RaggedStates):
    """A loop over sequences."""

    @property
    def held(self) -> int:
        return len(self.acts.results)

    @property
    def kernel_start(self) -> Leaves | None:
        return loop.with_outputs(self.problem, self.start or [])

    def _walk(self, places: Places, asked: Options) -> Walked:
        plan, leaves, captures, start = self._scan(places, asked)
        ys, last = execute(plan, leaves, captures, start)
        return ys[: self.held], ys[self.held :], last[self.held :]

    def _scan(self, places: Places, asked: Options) -> tuple[Plan, Leaves, Captures, Leaves | None]:
        packed = places.packed
        form, x = self.acts.structure[-1][1], tree.unflatten(self.problem.structure, self.elements(places))
        if not packed:
            first = tree.unflatten(form, self._first(False))
            return loop.prepare(asked, self._steps(False), (places.valid, x), first, self.axis)
        elems = (places.head, places.valid, tree.unflatten(form, self.starts(places)), x)
        return loop.prepare(asked, self._steps(True), elems, tree.unflatten(form, self.zeros()), self.axis)

    def _with_mask(self, places: Places, first: Leaves, raw: Raw) -> RaggedStates:
        x = tree.unflatten(self.problem.structure, self.elements(places))
        state = tree.unflatten(self.acts.structure[-1][1], first)
        return opened_loop(self.asked, self._steps(False), (places.valid, x), state, self.axis, raw)

    def _steps(self, heads: bool) -> RaggedSteps:
        """The step on elements with flags."""
        own: loop.Steps = self.captures.root
        starts = tuple(len(leaf.shape) for leaf in self.acts.leaves[self.held :]) if heads else ()
        shows = heads and self.asked.return_carry
        return RaggedSteps(own.step, own.event, own.state_event, own.bare, heads, starts, shows)
