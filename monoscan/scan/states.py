"""What is asked of an act: states of which tree, dtypes and shapes, from those of the elements and of the first state."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.problem import Problem, element, trace_alone
from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.lowering.trace.acts import Moves
from monoscan.lowering.trace.combine import Traced
from monoscan.monoids.action import Action
from monoscan.monoids.base import Semigroup
from monoscan.scan import elements
from monoscan.scan.question import Question


@attrs.frozen
class Start:
    """The type of a state that is given: its tree, and the shape and dtype of each leaf."""

    structure: tree.Structure
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]


def pose(
    question: Question, shapes: Sequence[Shape], stored: tuple[str, ...], axis: int, given: Start | None
) -> Problem:
    """The problem of an act, whose functions are traced on one state and one element."""
    captures, structure, asked = question.captures, question.structure, question.asked
    axis, events, moves = opened(question, shapes, stored, axis)
    form, batch = _form(question, moves, given, shapes[0][axis])
    traces = trace_alone(captures, structure, moves.element, asked)
    layout = elements.lay_out(question, shapes, axis, events, None, traces.depends)
    begin = moves.trace_begin(form.structure) if given is None else None
    acts = acting(question, moves, stored, form, layout, batch, begin)
    return Problem(captures, structure, stored, layout, traces, asked, acts=acts)


def opened(
    question: Question, shapes: Sequence[Shape], stored: tuple[str, ...], axis: int
) -> tuple[int, tuple[Shape, ...], Moves]:
    """The axis from the front, the event shape of each leaf of the elements, and what moves states."""
    captures, structure, operator = question.captures, question.structure, question.operator
    operator.check(stored)
    axis, events = elements.event_shapes(question, shapes, axis)
    return axis, events, Moves(captures, structure, element(operator, stored, events), question.asked.call)


def acting(
    question: Question, moves: Moves, stored: tuple[str, ...], form: Form, layout: Layout,
    batch: tuple[Shape, ...] | None, begin: Traced | None = None,
) -> Acts:  # fmt: skip
    """What an act is beside a scan: its programs, on states of the dtypes that they keep.

    Args:
        question: Who asks.
        moves: What moves states.
        stored: The dtype of each leaf of the elements, as given.
        form: What states are.
        layout: The geometry of the elements.
        batch: The batch shapes of the state that is given.
        begin: The program of the first state, where none is given.
    """
    leaves = _fixed(question, moves, form, [leaf.dtype for leaf in form.leaves])
    as_stored = attrs.evolve(moves, element=_as_stored(question.operator, stored, moves.element))
    rounded = _rounded(question, as_stored, form, leaves)[: form.shown]
    act = moves.trace_act(form.structure, leaves)
    acts = Acts(form.structure, leaves, rounded, batch, act, begin, layout, ordered=form.shown is not None)
    _check_batches(question, acts)
    return acts


@attrs.frozen
class Form:
    """The tree of states and the leaves that they start with; halves are float32.

    Args:
        structure: The tree.
        leaves: The leaves in the dtypes that they add up in.
        stored: The dtypes that they start with.
        shown: Of a loop, how many of the first leaves are outputs.
    """

    structure: tree.Structure
    leaves: tuple[Leaf, ...]
    stored: tuple[str, ...]
    shown: int | None = None


def _form(question: Question, moves: Moves, given: Start | None, length: int) -> tuple[Form, tuple[Shape, ...] | None]:
    """What states are, and the batch shapes of the one that is given.

    Raises:
        ScanError: There is neither a state nor a ``begin``, or the state does not fit the action.
    """
    action, asked, where = moves.action, question.asked, question.where
    if given is None:
        if action.begin is None:
            raise errors.ScanError(
                f"{where} acts on a state that no element begins: give {_called(action)}, as in ms.act(operator, elems, "
                "state)."
            )
        if not asked.inclusive:
            raise errors.ScanError(
                f"{where} shows the state before each element (inclusive=False), the first the one given: give state."
            )
        if not length and asked.return_carry:
            raise errors.ScanError(f"{where} has no last state on an empty axis where none is given: give state.")
        structure, leaves = moves.begun()
        return Form(structure, exact(leaves), tuple(leaf.dtype for leaf in leaves)), None
    if action.template is not None and tree.flatten_like(action.template, given.structure) is None:
        raise errors.TreeError(f"{where} acts on {_called(action)}; got a state {tree.show(given.structure)}.")
    parts, batch = parted(question, action, given)
    return Form(given.structure, exact(parts), given.dtypes), batch


def parted(question: Question, action: Action, given: Start) -> tuple[list[Leaf], tuple[Shape, ...]]:
    """The leaves of one state, and the batch shape of each.

    Raises:
        ScanError: One has fewer axes than belong to a state, or that is no number of axes.
    """
    where = question.where
    parts: list[Leaf] = []
    batch: list[Shape] = []
    events = action.events(given.structure)
    if any(type(event) is not int or event < 0 for event in events):
        name = "state_event" if question.asked.call == "loop" else "event of the action"
        raise errors.ScanError(
            f"{where} {name} must be how many trailing axes belong to a state: 0 or more, or a tuple with one for each "
            f"leaf; got {action.event!r}."
        )
    rows = zip(given.shapes, given.dtypes, events, strict=True)
    for name, (shape, dtype, event) in zip(tree.paths(given.structure), rows, strict=True):
        if len(shape) < event:
            raise errors.ScanError(
                f"{where} acts on {_called(action)}; leaf {name or 'x'} of the state has shape {shape}, fewer axes than the "
                f"{event} that belong to a state."
            )
        cut = len(shape) - event
        parts.append(Leaf(dtype, shape[cut:]))
        batch.append(shape[:cut])
    return parts, tuple(batch)


def _called(action: Action) -> str:
    return "a state" if action.template is None else f"a state {tree.describe(action.template)}"


def exact(leaves: Sequence[Leaf]) -> tuple[Leaf, ...]:
    """Leaves in the dtypes that they add up in."""
    return tuple(Leaf(dtypes.accumulation(leaf.dtype), leaf.shape) for leaf in leaves)


def _as_stored(operator: Semigroup, stored: tuple[str, ...], one: Sequence[Leaf]) -> tuple[Leaf, ...]:
    """The leaves of an element, halves as halves."""
    return tuple(Leaf(name, leaf.shape) for name, leaf in zip(operator.promote(stored), one, strict=True))


def _fixed(question: Question, moves: Moves, form: Form, names: Sequence[str]) -> tuple[Leaf, ...]:
    """The leaves of states in the dtypes that ``act`` keeps, the least above these.

    Raises:
        ScanTypeError: ``act`` returns a lesser dtype than a state has.
    """
    while True:
        leaves = tuple(Leaf(name, leaf.shape) for name, leaf in zip(names, form.leaves, strict=True))
        moved = [leaf.dtype for leaf in moves.moved(form.structure, leaves)]
        if moved == list(names):
            return leaves
        wider = [_promoted(a, b) for a, b in zip(names, moved, strict=True)]
        if wider == list(names):
            at = next(i for i, (a, b) in enumerate(zip(names, moved, strict=True)) if a != b)
            raise errors.ScanTypeError(
                f"{question.where}: {moves.part} must keep the dtypes of a state; leaf {tree.paths(form.structure)[at] or 'x'} "
                f"is {names[at]} and {moves.part} returned {moved[at]}. Cast the state with .astype."
            )
        names = wider


def _promoted(a: str, b: str) -> str:
    return dtypes.name_of((mx.zeros((), dtypes.by_name(a)) + mx.zeros((), dtypes.by_name(b))).dtype) if a != b else a


def _rounded(question: Question, moves: Moves, form: Form, leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """The dtypes of results: those of states as given, which halves keep though states of float32 add up.

    Where all that elements hold in floats is of one half, a state of float32 is one that was carried on.
    """
    floats = {leaf.dtype for leaf in moves.element if leaf.dtype in dtypes.FLOATS}
    half = next(iter(floats)) if len(floats) == 1 and floats <= dtypes.HALF else None
    names = [half if half and name == "float32" else name for name in form.stored]
    rounded = [leaf.dtype for leaf in _fixed(question, moves, form, names)]
    pairs = zip(rounded, leaves, strict=True)
    return tuple(name if dtypes.accumulation(name) == leaf.dtype else leaf.dtype for name, leaf in pairs)


def _check_batches(question: Question, acts: Acts) -> None:
    try:
        _ = acts.layout
    except ValueError as error:
        own = ", ".join(f"{name} {shape}" for name, shape in zip(question.names, acts.elements.batch, strict=True))
        given = ", ".join(map(str, acts.given or ()))
        raise errors.ScanError(
            f"{question.where} batch shapes of the state and of elements must broadcast (the {question.verb} axis and event axes "
            f"removed); got a state of {given}, and {own}."
        ) from error
