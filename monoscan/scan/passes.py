"""A pass of an aggregator over its inputs, and its three parts by array operations: elements, states, outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.cache import PLANS
from monoscan.held import to_mlx
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.options import Options
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.lowering.trace.reads.key import Key
from monoscan.lowering.trace.roles import Role
from monoscan.monoids import copies
from monoscan.monoids.aggregator import Aggregator, element, exact
from monoscan.monoids.inputs import Position, given
from monoscan.monoids.shapes import align, insert_axes
from monoscan.scan.inputs import FIXED, TIMED, Inputs, lay_out, listed, signature
from monoscan.scan.positions import Types, analyse
from monoscan.tree import Tree


@attrs.frozen(eq=False)
class Pass:
    """One pass over inputs.

    Args:
        aggregator: The aggregator.
        captures: The arrays that it captures.
        geometry: Where inputs and the state lie.
        types: What its functions return.
        inputs: The inputs as given; of the position, what stands for it.
        leaves: The leaves of the state before the first position; none without one.
        where: What messages begin with.
    """

    aggregator: Aggregator
    captures: Captures
    geometry: Inputs
    types: Types
    inputs: list[Any]
    leaves: list[mx.array]
    where: str

    @property
    def axis(self) -> int:
        """The scan axis."""
        return self.geometry.layout.axis

    @property
    def rank(self) -> int:
        """The number of axes of positions."""
        return self.geometry.rank

    @property
    def lead(self) -> Shape:
        """The axes of positions in full."""
        return self.geometry.lead

    def aligned(self) -> list[mx.array]:
        """The inputs in the dtypes in which they are computed with."""
        return [exact(self.geometry.align(x, i)) for i, x in enumerate(self.inputs)]

    def elements(self) -> Tree:
        """The elements, with all axes of copies."""
        types, operator = self.types, self.aggregator.operator
        events = operator.events(types.structure)
        layout = self.geometry.layout
        if 0 in self.lead:
            lead = layout.with_length((1,) * layout.rank, layout.length) if layout.length == 0 else self.lead
            leaves = [mx.zeros(lead + leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in types.elements]
        else:
            found = self._mapped("prepare", self._element, self.aligned(), self.rank)
            leaves = tree.flatten(found)[0]
        rows = zip(leaves, events, strict=True)
        return tree.unflatten(types.structure, [copies.with_axes(x, e, self.rank, types.copies) for x, e in rows])

    def start(self) -> Tree | None:
        """The state before the first position, with all axes of copies."""
        if not self.leaves:
            return None
        rows = zip(self.leaves, self.types.states, strict=True)
        return tree.unflatten(self.types.form, [self._first(s, len(h.copies), len(h.event)) for s, h in rows])

    def aligned_state(self, several: bool = False) -> list[mx.array]:
        """The leaves of the state before the first position, with all axes of positions, that of time of size 1.

        Args:
            several: There is a state for each of several sequences, in the place of the axis of time.
        """
        first = []
        for s, held in zip(self.leaves, self.types.states, strict=True):
            event = len(held.copies) + len(held.event)
            if several:
                s = align(s, self.axis, self.rank, event) if s.ndim > event else insert_axes(s, 0, self.rank)
            else:
                s = mx.expand_dims(insert_axes(s, 0, self.rank - 1 + event - s.ndim), self.axis)
            s = s.astype(dtypes.by_name(held.dtype))
            try:
                first.append(mx.broadcast_to(s, s.shape[: self.rank] + held.shape))
            except ValueError as error:
                raise errors.ScanError(
                    f"{self.where} a state has the shape {held.shape} behind its batch axes; got {s.shape[self.rank :]}."
                ) from error
        return first

    def _first(self, s: mx.array, number: int, event: int) -> mx.array:
        s = insert_axes(s, 0, number + event - s.ndim)
        return copies.with_axes(s, event, s.ndim - number - event, self.types.copies)

    def states(self, found: Tree) -> Tree:
        """The states at all positions, each with its own axes of copies."""
        return self._cut(found, self.lead)

    def last(self, found: Tree) -> Tree:
        """The last state."""
        return self._cut(found, (*self.lead[: self.axis], *self.lead[self.axis + 1 :]))

    def _cut(self, found: Tree, lead: Shape) -> Tree:
        types = self.types
        leaves = tree.flatten(found)[0]
        shaped = []
        for s, held in zip(leaves, types.states, strict=True):
            padded = (1,) * (types.copies - len(held.copies)) + held.copies
            shaped.append(mx.broadcast_to(s, lead + padded + held.event).reshape(lead + held.shape))
        return tree.unflatten(types.form, shaped)

    def present(self, states: Tree) -> Tree:
        """The outputs of all positions."""
        if 0 in self.lead:
            leaves = [mx.zeros(self.lead + leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in self.types.outputs]
            return tree.unflatten(self.types.output, leaves)
        return self._presented(states, self.aligned(), self.rank)

    def present_last(self, state: Tree, several: bool = False) -> Tree:
        """The output of the last state, of which the inputs that have a time axis are no part.

        Args:
            state: The state.
            several: There are those of several sequences, in the place of the scan axis.
        """
        rank = self.rank if several else self.rank - 1
        arrays = []
        for i, (kind, leaf) in enumerate(zip(self.geometry.kinds, self.geometry.one, strict=True)):
            if kind == FIXED:
                x = self.geometry.without_time(self.inputs[i], i)
                arrays.append(exact(mx.expand_dims(x, self.axis) if several else x))
            else:
                arrays.append(exact(mx.zeros((1,) * rank + leaf.shape, dtypes.by_name(leaf.dtype))))
        return self._presented(state, arrays, rank)

    def check_fold(self) -> None:
        """Refuses a ``present`` that reads what is not there after the last position.

        Raises:
            ScanError: It does.
        """
        rows = zip(self.types.reads, self.geometry.kinds, strict=True)
        read = [i for i, (reads, kind) in enumerate(rows) if reads and kind != FIXED]
        if read:
            what = (
                "the position" if self.geometry.kinds[read[0]] != TIMED else f"input {read[0]}, which has a time axis"
            )
            raise errors.ScanError(
                f"{self.where}: present reads {what}, and a fold presents the state after all of them. Give it by ms.fixed, or "
                "take the last output of scan."
            )

    def _presented(self, states: Tree, inputs: Sequence[mx.array], rank: int) -> Tree:
        found = self._mapped("present", self._output, [*tree.flatten(states)[0], *inputs], rank)
        rows = zip(tree.flatten(found)[0], self.types.outputs, strict=True)
        return tree.unflatten(self.types.output, [y.astype(dtypes.by_name(leaf.dtype)) for y, leaf in rows])

    def _element(self, aggregator: Aggregator, *inputs: mx.array) -> Tree:
        return element(aggregator, inputs, self.where)

    def _output(self, aggregator: Aggregator, *both: mx.array) -> Tree:
        number = len(self.types.states)
        return aggregator.present(tree.unflatten(self.types.form, both[:number]), *both[number:])

    def _mapped(self, part: str, function: Callable[..., Tree], arrays: Sequence[mx.array], rank: int) -> Tree:
        """A function of the aggregator and one position on all positions."""
        number, held = len(arrays), list[mx.array]()
        if self.types.ruled:  # whose rules see nothing but arguments
            held = [insert_axes(c, 0, rank) for c in self.captures.operands]

        def one(*xs: mx.array) -> Tree:
            return function(self.captures.rebuild(xs[number:]) if held else self.aggregator, *xs[:number])

        with Role(self.where, part, "arrays of one position"):
            return copies.on_positions(one, [*arrays, *held], rank, f"{self.where}: {part}", self.types.ruled)


def sized(where: str) -> errors.StrategyError:
    """What a shapeless trace is told whose sizes would be held."""
    return errors.StrategyError(
        f"{where} has no plan that fits every size, as mx.compile(..., shapeless=True) asks. Compile without "
        "shapeless=True: each shape is traced anew then."
    )


def pass_over(
    aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, sequences: int | None = None
) -> Pass:
    """The pass that a call asks for.

    Args:
        aggregator: The aggregator.
        inputs: Its inputs.
        axis: The scan axis.
        state: The state before the first position, if there is one.
        asked: The options.
        sequences: How many sequences there are on the axis; the state then has an axis of this size in its place.

    Raises:
        ScanError: Inputs or the state do not fit.
    """
    where = f"[{asked.call}] {aggregator.name}"
    if state is None and not asked.inclusive:
        raise errors.ScanError(
            f"{where} presents the state before each position (inclusive=False), the first the one given: give state=."
        )
    found = listed(aggregator, inputs, where)
    if any(type(x) is Position for x in found) and shapeless.tracing():
        raise sized(where)
    axis, own = signature(aggregator, found, axis, where)
    captures = capture(aggregator, asked.call)
    leaves, form = ([], None) if state is None else _state(state, where)
    start = tuple([(s.shape, s.dtype) for s in leaves])
    key = ("pass over", captures.key, own, axis, form, start, where, sequences)

    def decide() -> tuple[Inputs, Types]:
        return _decided(
            aggregator, captures.key, lay_out(aggregator, found, axis, where), leaves, form, where, sequences
        )

    geometry, types = PLANS.get(key, decide)
    return Pass(aggregator, captures, geometry, types, [given(x) for x in found], leaves, where)


def _decided(
    aggregator: Aggregator, known: Key, geometry: Inputs, leaves: Sequence[mx.array], form: tree.Structure | None,
    where: str, sequences: int | None,
) -> tuple[Inputs, Types]:  # fmt: skip
    """The geometry with that of the state, and what the functions return."""
    typed = tuple((dtypes.name_of(s.dtype), tuple(s.shape)) for s in leaves)
    key = ("aggregator", known, geometry.one, form, typed, where)
    types: Types = PLANS.get(key, lambda: analyse(aggregator, geometry.one, form, typed, where))
    batch = None if form is None else tuple(types.batch_of(shape, i) for i, (_, shape) in enumerate(typed))
    if batch is not None and sequences is not None:
        names = [f"state leaf {path or 'x'}" for path in tree.paths(types.form)]
        batch = without_sequences(where, names, batch, geometry.layout.axis, sequences)
    geometry = attrs.evolve(geometry, layout=attrs.evolve(geometry.layout, init=batch))
    _check_state(where, geometry)
    return geometry, types


def without_sequences(
    where: str, names: Sequence[str], batches: Sequence[Shape], axis: int, sequences: int
) -> tuple[Shape, ...]:
    """The batch axes of leaves of what sequences start from, without that of the sequences.

    Raises:
        ScanError: One has batch axes, and no such axis.
    """
    for name, batch in zip(names, batches, strict=True):
        if batch and (len(batch) <= axis or batch[axis] not in (1, sequences)):
            raise errors.ScanError(
                f"{where} {name} has the batch axes {batch}; with offsets it has the {sequences} sequences in the place of the scan "
                f"axis, as its axis {axis}."
            )
    return tuple(batch[:axis] + batch[axis + 1 :] for batch in batches)


def _state(state: Tree, where: str) -> tuple[list[mx.array], tree.Structure]:
    leaves, form = tree.flatten(state)
    if {*map(type, leaves)} == {mx.array}:
        return leaves, form
    leaves = [to_mlx(f"{where} state", x) for x in leaves]
    leaves = [mx.array(x) if isinstance(dtypes.number(x), (bool, int, float, complex)) else x for x in leaves]
    if not leaves or not all(isinstance(x, mx.array) for x in leaves):
        raise errors.TreeError(f"{where} expects a state of arrays; got {tree.describe(state)}.")
    return leaves, form


def _check_state(where: str, geometry: Inputs) -> None:
    layout = geometry.layout
    try:
        mx.broadcast_shapes(*layout.batch, *(layout.init or ()), ())
    except ValueError as error:
        own, held = (", ".join(map(str, shapes)) for shapes in (layout.batch, layout.init or ()))
        raise errors.ScanError(
            f"{where} batch shapes of the state and of inputs must broadcast (the scan axis and event axes removed); got a "
            f"state of {held}, and inputs of {own}."
        ) from error
