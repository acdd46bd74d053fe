"""`Aggregator`: inputs to elements, elements to states, states to outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.held import as_array
from monoscan.monoids import copies
from monoscan.monoids.declared import Declared
from monoscan.monoids.inputs import Position, given
from monoscan.tree import Tree


@attrs.frozen
class Aggregator(Declared):
    """What to scan and how to read it: a map in front of a scan and one behind it.

    Subclass it, decorate the subclass with ``attrs.frozen`` if it has fields, set ``operator``, and write ``prepare``
    and ``present`` for **one position**, in MLX operations. `scan` and `fold` take it in the place of an operator.

    Attributes:
        operator: What acts: its action on the right takes one state to the next.
        event: How many trailing axes of each input belong to a position: an int for all inputs, or a tuple with one
            for each. Default: ``0``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> class RootMeanSquare(ms.Aggregator):
        ...     operator = ms.Mean()
        ...     def prepare(self, x):
        ...         return self.operator.embed(x * x)
        ...     def present(self, state, x):
        ...         return mx.sqrt(self.operator.project(state))
        >>> ms.scan(RootMeanSquare(), mx.array([1.0, 7.0]))
        array([1, 5], dtype=float32)
    """

    operator: ClassVar[Any]
    event: ClassVar[int | tuple[int, ...]] = 0

    @abstractmethod
    def prepare(self, *inputs: Any) -> Any:
        """The element of one position. Leaves with more axes than the operator's are copies, which broadcast."""

    @abstractmethod
    def present(self, state: Any, *inputs: Any) -> Any:
        """The output at one position, of the state there and the inputs."""

    def events(self, number: int) -> tuple[int, ...]:
        """How many trailing axes of each input belong to a position, input by input.

        Raises:
            ScanError: `event` names another number of inputs, or is no number of axes.
        """
        events = self.event if isinstance(self.event, tuple) else (self.event,) * number
        if any(type(event) is not int or event < 0 for event in events):
            raise errors.ScanError(
                f"[{self.name}] event must be how many trailing axes of an input belong to a position: 0 or more, or a "
                f"tuple with one for each input; got {self.event!r}."
            )
        if len(events) != number:
            raise errors.ScanError(f"[{self.name}] event names {len(events)} inputs, {self.event}; got {number}.")
        return events

    def step(self, state: Tree | None, *inputs: Any) -> tuple[Tree, Tree]:
        """One position, as in decoding: what `scan` does at each.

        Args:
            state (array or tree): The state before it, as a scan returns it for the carry; ``None`` where the element
                begins one.
            *inputs (array): The inputs, without a time axis.

        Returns:
            tuple: The next state, and the output.

        Raises:
            ScanError: An input has too few axes, or nothing begins a state.

        Example:
            >>> import mlx.core as mx
            >>> import monoscan as ms
            >>> mean = ms.aggregators.Mean()
            >>> state, first = mean.step(None, mx.array(1.0))
            >>> state, second = mean.step(state, mx.array(4.0))
            >>> second
            array(2.5, dtype=float32)
        """
        return _step(self, state, inputs)


def exact(x: mx.array) -> mx.array:
    """Halves as float32."""
    return x.astype(dtypes.by_name(dtypes.accumulation(dtypes.name_of(x.dtype))))


def element(aggregator: Aggregator, inputs: Sequence[mx.array], where: str) -> Tree:
    """The element of one position, in the dtypes in which the operator combines it.

    Args:
        aggregator: The aggregator.
        inputs: The inputs there.
        where: What messages begin with.

    Raises:
        ScanError: It is no element of the operator.
    """
    operator, returned = aggregator.operator, aggregator.prepare(*inputs)
    leaves, structure = tree.flatten(returned)
    if not leaves or not all(isinstance(x, mx.array) for x in leaves):
        raise errors.TreeError(f"{where}: prepare must return arrays; it returned {tree.describe(returned)}.")
    if operator.template is not None and tree.flatten_like(operator.template, structure) is None:
        raise errors.TreeError(
            f"{where}: prepare must return an element of {operator.name}, {tree.describe(operator.template)}; it returned "
            f"{tree.describe(returned)}."
        )
    for path, x, event in zip(tree.paths(structure), leaves, operator.events(structure), strict=True):
        if x.ndim < event:
            raise errors.ScanError(
                f"{where}: prepare must return an element of {operator.name}; leaf {path or 'x'} has shape {x.shape}, fewer "
                f"axes than the {event} that belong to an element."
            )
    stored = tuple(dtypes.name_of(x.dtype) for x in leaves)
    operator.check(stored)
    names = map(dtypes.accumulation, operator.promote(stored))
    return tree.unflatten(structure, [x.astype(dtypes.by_name(name)) for x, name in zip(leaves, names, strict=True)])


def _step(aggregator: Aggregator, state: Tree | None, inputs: Sequence[Any]) -> tuple[Tree, Tree]:
    where = f"[step] {aggregator.name}"
    arrays = [as_array(f"{where} input {i}", given(x)) for i, x in enumerate(inputs)]
    if not arrays or not all(isinstance(x, mx.array) for x in arrays):
        hint = " The position is an array, mx.array(t)." if any(isinstance(x, Position) for x in arrays) else ""
        raise errors.TreeError(f"{where} expects arrays as inputs; got {tree.describe(tuple(arrays))}.{hint}")
    events = aggregator.events(len(arrays))
    for i, (x, event) in enumerate(zip(arrays, events, strict=True)):
        if x.ndim < event:
            raise errors.ScanError(f"{where} input {i} has shape {x.shape}, fewer axes than the {event} of its event.")
    rank = max(x.ndim - event for x, event in zip(arrays, events, strict=True))
    stored = [copies.with_axes(x, event, 0, rank) for x, event in zip(arrays, events, strict=True)]
    aligned = [exact(x) for x in stored]
    made = copies.on_positions(lambda *xs: element(aggregator, xs, where), aligned, rank, where)
    operator = aggregator.operator
    state = tree.map_leaves(lambda s: as_array(f"{where} state", s), state)
    if state is None:
        after = copies.begun(operator, made, rank, where)
    else:
        after = copies.moved(operator, _padded(operator, made, state, rank), made, rank, where)
    leaves, structure = tree.flatten(after)

    def present(*both: mx.array) -> Tree:
        return aggregator.present(tree.unflatten(structure, both[: len(leaves)]), *both[len(leaves) :])

    output = copies.on_positions(present, [*leaves, *aligned], rank, f"{where}: present")
    one = [mx.zeros(x.shape[rank:], x.dtype) for x in stored]
    rows = zip(leaves, copies.copies_of_states(operator, made, after, rank), strict=True)
    states = [mx.zeros(_one_position(s, c, rank), s.dtype) for s, c in rows]
    return after, _rounded(output, output_dtypes(aggregator, one, tree.unflatten(structure, states)))


def _one_position(x: mx.array, own: copies.Shape, rank: int) -> copies.Shape:
    """The shape at one position of a leaf of a state, with its axes of copies."""
    return own + x.shape[rank + len(own) :]


def _rounded(output: Tree, names: Sequence[str]) -> Tree:
    leaves, form = tree.flatten(output)
    return tree.unflatten(form, [y.astype(dtypes.by_name(name)) for y, name in zip(leaves, names, strict=True)])


def output_dtypes(aggregator: Aggregator, inputs: Sequence[mx.array], state: Tree) -> list[str]:
    """The dtypes that ``present`` has on inputs and states of the inputs' own dtypes.

    Args:
        aggregator: The aggregator.
        inputs: One position, in the dtypes as given.
        state: A state there, in the dtypes in which states add up.
    """
    if dtypes.HALF.intersection(dtypes.name_of(x.dtype) for x in inputs):
        where = f"[{aggregator.name}]"
        made = aggregator.prepare(*inputs)
        names = {dtypes.name_of(x.dtype) for x in tree.flatten(made)[0]} & dtypes.FLOATS
        if len(names) == 1 and names <= dtypes.HALF:
            half = dtypes.by_name(names.pop())
            state = tree.map_leaves(lambda s: s.astype(half) if s.dtype == mx.float32 else s, state)
        state = copies.moved(aggregator.operator, state, made, 0, where)
    return [dtypes.name_of(y.dtype) for y in tree.flatten(aggregator.present(state, *inputs))[0]]


def _padded(operator: Any, element: Tree, state: Tree, rank: int) -> Tree:
    """The leaves of a state with all axes of positions; halves as float32."""
    leaves, form = tree.flatten(state)
    own = copies.copies_of_states(operator, element, state, rank)
    rows = zip(leaves, own, operator.right.events(form), strict=True)
    return tree.unflatten(form, [copies.with_axes(exact(s), event, 0, rank + len(c)) for s, c, event in rows])


@final
@attrs.frozen
class OfOperator(Aggregator):
    """An operator from ``embed`` to ``project``: what `Semigroup.aggregator` returns."""

    operator: Any = attrs.field()  # type: ignore[misc]  # a field here, a class attribute elsewhere

    def __repr__(self) -> str:
        return f"{self.operator!r}.aggregator()"

    def prepare(self, *inputs: Any) -> Any:
        return self.operator.embed(*inputs)

    def present(self, state: Any, *inputs: Any) -> Any:
        return self.operator.project(state)

    @property
    def name(self) -> str:
        name: str = self.operator.name
        return name
