"""What the functions of an aggregator return at one position: found by running them there, without a value computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.lowering.trace import stops
from monoscan.lowering.trace.roles import Role
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator, element, output_dtypes
from monoscan.tree import Structure, Tree

_HINT = "`event` of the aggregator says how many trailing axes of an input belong to a position."


@attrs.frozen
class Held:
    """A leaf of a state at one position.

    Args:
        copies: Its axes of copies.
        event: Its event axes.
        dtype: The dtype in which it adds up.
    """

    copies: Shape
    event: Shape
    dtype: str

    @property
    def shape(self) -> Shape:
        """All axes."""
        return self.copies + self.event


@attrs.frozen(cache_hash=True)
class Types:
    """The types of elements, states and outputs at one position.

    Args:
        structure: The tree of an element.
        elements: Its leaves, with their axes of copies.
        form: The tree of a state.
        states: Its leaves.
        output: The tree of an output.
        outputs: Its leaves, in the dtypes of results.
        computed: The same in the dtypes that ``present`` returns.
        reads: For each input whether ``present`` reads it.
        ruled: Whether a function has derivatives of its own.
    """

    structure: Structure
    elements: tuple[Leaf, ...]
    form: Structure
    states: tuple[Held, ...]
    output: Structure
    outputs: tuple[Leaf, ...]
    computed: tuple[Leaf, ...]
    reads: tuple[bool, ...]
    ruled: bool

    @property
    def copies(self) -> int:
        """The most axes of copies that a leaf has."""
        return max(len(held.copies) for held in self.states)

    def batch_of(self, shape: Shape, leaf: int) -> Shape:
        """The batch axes of a leaf of a state that is given."""
        return shape[: max(len(shape) - len(self.states[leaf].shape), 0)]


Start = Sequence[tuple[str, Shape]]
"""The dtype and the shape of each leaf of a state that is given."""


def analyse(aggregator: Aggregator, one: Sequence[Leaf], form: Structure | None, given: Start, where: str) -> Types:
    """Runs the functions of an aggregator at one position.

    Args:
        aggregator: The aggregator.
        one: The dtype as given and the event shape of each input.
        form: The tree of the state that is given; ``None`` where the first element begins it.
        given: Its leaves.
        where: What messages begin with.

    Raises:
        ScanError: They do not fit each other.
    """
    stored = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in one]
    exact = [x.astype(dtypes.by_name(dtypes.accumulation(leaf.dtype))) for x, leaf in zip(stored, one, strict=True)]
    told, operator = ", ".join(map(tree.describe, exact)), aggregator.operator
    with Role(where, "prepare", told, _HINT):
        made = element(aggregator, exact, where)
    with Role(
        where, "act", f"{tree.describe(made)}", "`event` of the operator says how many trailing axes are its own."
    ):
        state = _state(operator, made, form, given, where)
    leaves, form = tree.flatten(state)
    leaves = [mx.zeros(s.shape, s.dtype) for s in leaves]  # which the drawing does not follow to the inputs
    state = tree.unflatten(form, leaves)
    with Role(where, "present", f"a state {tree.describe(state)} and {told}", _HINT):
        output = aggregator.present(state, *exact)
        outputs, shown = tree.flatten(output)
        if not outputs or not all(isinstance(y, mx.array) for y in outputs):
            raise errors.TreeError(f"{where}: present must return arrays; it returned {tree.describe(output)}.")
        rounded = output_dtypes(aggregator, stored, state)
    elements, structure = tree.flatten(made)
    drawing = stops.draw([*exact, *leaves], outputs)
    read = {name for node in stops.parsed(drawing) for name in node.inputs}
    own = copies.copies_of_states(operator, made, state, 0)
    return Types(
        structure,
        tuple(Leaf(dtypes.name_of(x.dtype), tuple(x.shape)) for x in elements),
        form,
        tuple(Held(c, tuple(s.shape[len(c) :]), dtypes.name_of(s.dtype)) for c, s in zip(own, leaves, strict=True)),
        shown,
        tuple(Leaf(name, tuple(y.shape)) for name, y in zip(rounded, outputs, strict=True)),
        tuple(Leaf(dtypes.name_of(y.dtype), tuple(y.shape)) for y in outputs),
        tuple(f"i{k}" in read for k in range(len(exact))),
        stops.has_own_rules(drawing) or stops.has_own_rules(stops.draw(exact, elements)),
    )


def _state(operator: Any, made: Tree, form: Structure | None, given: Start, where: str) -> Tree:
    """A state after an element."""
    if form is None:
        return _settled(operator, copies.begun(operator, made, 0, where), made, where)
    action = operator.right
    if action.template is not None and tree.flatten_like(action.template, form) is None:
        raise errors.TreeError(
            f"{where} acts on a state {tree.describe(action.template)}; got a state {tree.show(form)}."
        )
    shapes = copies.copies_of_states(operator, made, tree.unflatten(form, ["state"] * len(given)), 0)
    leaves = []
    rows = zip(tree.paths(form), given, shapes, action.events(form), strict=True)
    for path, (name, shape), own, event in rows:
        if len(shape) < event:
            raise errors.ScanError(
                f"{where}: leaf {path or 'x'} of the state has shape {shape}, fewer axes than the {event} that belong to a state."
            )
        event_shape = shape[len(shape) - event :]
        leaves.append(mx.zeros(own + event_shape, dtypes.by_name(dtypes.accumulation(name))))
    return _settled(operator, tree.unflatten(form, leaves), made, where)


def _settled(operator: Any, state: Tree, made: Tree, where: str) -> Tree:
    """The state in the dtypes that it keeps from one element to the next."""
    while True:
        after = copies.moved(operator, state, made, 0, where)
        if [s.dtype for s in tree.flatten(after)[0]] == [s.dtype for s in tree.flatten(state)[0]]:
            return after
        wider = tree.map_leaves(lambda s, t: s if s.dtype == t.dtype else s + t, state, after)
        if [s.dtype for s in tree.flatten(wider)[0]] == [s.dtype for s in tree.flatten(state)[0]]:
            return wider  # act says what it thinks of that
        state = wider
