"""How ``loop`` runs: steps in order, as those of ``lax.scan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem, Traces
from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.lowering.trace.acts import Moves
from monoscan.lowering.trace.combine import Traced
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.lowering.trace.roles import Role
from monoscan.monoids import domain
from monoscan.monoids.action import Action
from monoscan.monoids.base import Element, Semigroup
from monoscan.scan import call, elements
from monoscan.scan.act import start_of
from monoscan.scan.question import Question
from monoscan.scan.states import Form, Start, acting, exact, opened, parted
from monoscan.tree import Tree

Step = Callable[[Any, Any], Any]
"""``step(state, x) -> (state, output)``."""

Events = int | tuple[int, ...]


def steps_of(
    step: Step, xs: Tree | None, axis: int, event: Events, state_event: Events, length: int | None
) -> tuple[Steps, Tree]:
    """The step in an operator's place, and what it runs on.

    Raises:
        ScanError: There are both ``xs`` and ``length``, or neither.
        ScanTypeError: The step is no function.
    """
    if not callable(step) or isinstance(step, Semigroup):
        raise errors.ScanTypeError(f"[loop] expects a function step(state, x); got {tree.shown(step)}.")
    if xs is None:
        return Steps(step, 0, state_event, True), _positions(length, axis)
    if length is not None:
        raise errors.ScanError("[loop] length says how many steps there are where xs is None; xs has its own.")
    return Steps(step, event, state_event), xs


def _positions(length: int | None, axis: int) -> mx.array:
    """Something that has so many positions and nothing in them."""
    length, axis = domain.whole(length), domain.whole(axis)
    if type(length) is not int or not 0 <= length < 1 << 31:
        raise errors.ScanError(f"[loop] without xs needs length, the number of steps; got {tree.shown(length)}.")
    if type(axis) is not int or axis < 0:
        raise errors.ScanError(f"[loop] without xs needs an axis from the front, as axis=0; got {tree.shown(axis)}.")
    return mx.broadcast_to(mx.array(False), (1,) * axis + (length,))


def run(asked: Options, operator: Steps, elems: Tree, state: Tree, axis: int) -> tuple[Tree, Tree | None]:
    """The outputs, and the last state where it is wanted, as trees."""
    plan, leaves, captures, start = prepare(asked, operator, elems, state, axis, exact=False)
    outputs, last = execute(plan, leaves, captures, start)
    assert plan.problem.acts is not None, "that is what it was made for"
    shown, carried = plan.problem.acts.structure[-1]
    results = tree.unflatten(shown, outputs)
    return results, tree.unflatten(carried, last[tree.count(shown) :]) if asked.return_carry else None


@attrs.frozen
class Steps(Semigroup):
    """The step of a loop in an operator's place: elements act on pairs (output, state), and are never combined.

    Args:
        step: The step.
        event: How many trailing axes of each leaf of an element it sees.
        state_event: The same of the state.
        bare: It sees no element.
    """

    step: Step
    event: Events = attrs.field(  # type: ignore[misc]  # a field here, a class attribute elsewhere
        default=0, converter=domain.trailing
    )
    state_event: Events = attrs.field(default=0, converter=domain.trailing)
    bare: bool = False

    def combine(self, left: Element, right: Element) -> Element:
        raise errors.ScanTypeError("[loop] a loop combines no elements.")

    @property
    def right(self) -> Action:
        return Action(self._moved)

    def _moved(self, state: Any, element: Element) -> Any:
        after, output = self.taken(state[1], element)
        return output, after

    def taken(self, state: Any, element: Element) -> Any:
        """What a step returns."""
        return self.step(state, None if self.bare else element)

    @property
    def name(self) -> str:
        return errors.called(self.step)


def prepare(
    asked: Options, operator: Steps, elems: Tree, state: Tree, axis: int, exact: bool = True
) -> tuple[Plan, list[mx.array], Captures, list[mx.array]]:
    """The plan of a loop, and the arrays to run it on."""
    captures = capture(operator, asked.call)
    plan, leaves, start = call.prepare(asked, captures, elems, axis, state, pose, start_of, exact)
    return plan, leaves, captures, with_outputs(plan.problem, start or [])


def with_outputs(problem: Problem, start: Sequence[mx.array]) -> list[mx.array]:
    """The state before the first step behind outputs there, which no step reads."""
    assert problem.acts is not None, "of a loop"
    shown = problem.acts.leaves[: len(problem.acts.leaves) - len(start)]
    return [*(mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in shown), *start]


def pose(
    question: Question, shapes: Sequence[Shape], stored: tuple[str, ...], axis: int, given: Start | None
) -> Problem:
    """The problem of a loop: an act on pairs (output, state), of which the outputs are shown.

    Raises:
        ScanError: Something does not fit, or no state is given.
    """
    if given is None:
        raise errors.TreeError(f"{question.where} needs the state before the first step; got None.")
    captures, structure, operator = question.captures, question.structure, question.captures.root
    axis, events, moves = opened(question, shapes, stored, axis)
    moves = attrs.evolve(moves, part="step")
    parts, batch = parted(question, Action(operator.step, event=operator.state_event), given)
    shown, outputs = _outputs(question, moves, given, exact(parts))
    pair = (tuple, (shown, given.structure))
    names = tuple(leaf.dtype for leaf in outputs) + given.dtypes
    form = Form(pair, (*outputs, *exact(parts)), names, len(outputs))
    traces = Traces(len(stored), Traced(None, "a loop combines no elements"))
    alone = tuple((leaf,) for leaf in range(len(stored)))
    layout = elements.lay_out(question, shapes, axis, events, None, alone)
    acts = acting(question, moves, stored, form, layout, ((),) * len(outputs) + batch)
    return Problem(captures, structure, stored, layout, traces, question.asked, acts=acts)


def _outputs(
    question: Question, moves: Moves, given: Start, state: tuple[Leaf, ...]
) -> tuple[tree.Structure, tuple[Leaf, ...]]:
    """The tree and the leaves of what a step puts out.

    Raises:
        TreeError: It returns no pair, a state of another tree, or an output without arrays.
        ScanError: It returns a state of another shape.
    """
    operator: Steps = question.captures.root
    where = f"[{question.asked.call}] {operator.name}"
    zeros = [
        tree.unflatten(kind, [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in leaves])
        for kind, leaves in ((given.structure, state), (moves.structure, moves.element))
    ]
    seen = f"a state, {tree.describe(zeros[0])}, and {'None' if operator.bare else tree.describe(zeros[1])}"
    with Role(where, "step", seen, form="It is step(state, x) and returns a pair (state, output)."):
        pair = operator.taken(*zeros)
    if type(pair) is not tuple or len(pair) != 2:
        raise errors.TreeError(f"{where}: step must return a pair (state, output); it returned {tree.describe(pair)}.")
    after = tree.flatten_like(pair[0], given.structure)
    outputs, structure = tree.flatten(pair[1])
    if after is None or not all(isinstance(leaf, mx.array) for leaf in after):
        raise errors.TreeError(
            f"{where}: step must return the tree of the state, {tree.show(given.structure)}; it returned "
            f"{tree.describe(pair[0])}."
        )
    for path, leaf, new in zip(tree.paths(given.structure), state, after, strict=True):
        if leaf.shape != tuple(new.shape):
            raise errors.ScanError(
                f"{where}: step must keep the shape of the state; leaf {path or 'x'} has {leaf.shape} and step returned "
                f"{tuple(new.shape)}. state_event says how many trailing axes one step sees."
            )
    if not outputs or not all(isinstance(leaf, mx.array) for leaf in outputs):
        raise errors.TreeError(
            f"{where}: step must return arrays as its output; it returned {tree.describe(pair[1])}. Where nothing but the "
            "last state is wanted, return a part of it."
        )
    return structure, exact([Leaf(dtypes.name_of(leaf.dtype), tuple(leaf.shape)) for leaf in outputs])
