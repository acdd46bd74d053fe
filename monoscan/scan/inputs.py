"""The inputs of an aggregator: what is given, checked, and where each lies in time and batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.cache import PROGRAMS
from monoscan.held import to_mlx
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.program.ir import Leaf, Shape
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.inputs import Fixed, Position, given
from monoscan.monoids.shapes import insert_axes
from monoscan.scan import elements
from monoscan.tree import Tree

TIMED, FIXED, POSITION = "timed", "fixed", "position"


@attrs.frozen(cache_hash=True)
class Inputs:
    """The geometry of all inputs.

    Args:
        kinds: For each whether it has a time axis, is fixed, or is the position.
        one: The dtype as given and the event shape of each.
        layout: Where they lie; what has no time axis has none there either.
    """

    kinds: tuple[str, ...]
    one: tuple[Leaf, ...]
    layout: Layout

    @property
    def rank(self) -> int:
        """The number of axes of positions: those of the batch, and time."""
        return self.layout.rank + 1

    @cached_property
    def lead(self) -> Shape:
        """The axes of positions in full."""
        layout = self.layout
        batch = tuple(mx.broadcast_shapes(*layout.batch, *(layout.init or ()), ()))
        return layout.with_length(batch, layout.length)

    def align(self, x: Any, i: int) -> mx.array:
        """An input with all these axes, of full size or 1."""
        axis, rank = self.layout.axis, self.layout.rank
        if self.kinds[i] == TIMED:
            return self.layout.align(x, i)
        if self.kinds[i] == POSITION:
            lead = (1,) * axis + (self.layout.length,) + (1,) * (rank - axis)
            return mx.arange(x.start, x.start + self.layout.length, dtype=mx.int32).reshape(lead)
        return mx.expand_dims(self.without_time(x, i), axis)

    def without_time(self, x: mx.array, i: int) -> mx.array:
        """A fixed input with all axes of the batch."""
        missing = self.layout.rank + len(self.one[i].shape) - x.ndim
        return insert_axes(x, 0, missing)


@attrs.frozen
class _Events:
    """The event axes of the inputs with a time axis, in the place of an operator's."""

    event: int | tuple[int, ...]
    own: tuple[int, ...]

    def events(self, structure: object) -> tuple[int, ...]:
        """One for each."""
        return self.own


def listed(aggregator: Aggregator, inputs: Tree, where: str) -> list[Any]:
    """The inputs one by one.

    Raises:
        TreeError: One is none.
    """
    found = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    if _TAKEN.issuperset(map(type, found)):
        return found
    found = [to_mlx(f"{where} input {i}", x) for i, x in enumerate(found)]
    names = _names(aggregator, found)
    for i, x in enumerate(found):
        if not isinstance(x, (mx.array, Fixed, Position)):
            number = isinstance(x, (bool, int, float))
            hint = f"ms.fixed({x!r}) is the same at each position." if number else "Convert it with mx.array(...)."
            raise errors.TreeError(f"{where} expects arrays; input {names[i]} is {tree.shown(x)}. {hint}")
    return found


_TAKEN = frozenset({mx.array, Fixed, Position})


def signature(aggregator: Aggregator, inputs: Sequence[Any], axis: Any, where: str) -> tuple[int, tuple[Any, ...]]:
    """The axis as an int, and what the geometry of inputs follows from beside it."""
    try:
        events = aggregator.events(len(inputs))
    except errors.ScanError:
        _check_number(aggregator, inputs, where)
        raise
    if type(axis) is not int:
        question: Any = _Question(where, [], _Events(0, ()))
        axis = elements.axis_number(question, axis)
    return axis, (events, *[(kind_of(x), *_type_of(x)) for x in inputs])


def _type_of(x: Any) -> tuple[Any, ...]:
    """The shape and the dtype of an input."""
    return () if type(x) is Position else (given(x).shape, given(x).dtype)


def _expected(aggregator: Aggregator) -> list[str] | None:
    """The names of what ``prepare`` takes, where it takes so many and no other number."""
    prepare = aggregator.prepare
    function = getattr(prepare, "__func__", None)
    if function is None:  # whatever the call found
        return _parameters(prepare)
    found: tuple[list[str] | None] = PROGRAMS.get(("parameters", function), lambda: (_parameters(prepare),))
    return found[0]


def _parameters(prepare: Callable[..., Tree]) -> list[str] | None:
    try:
        parameters = list(inspect.signature(prepare).parameters.values())
    except (TypeError, ValueError):
        return None
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    fixed = all(each.kind in plain and each.default is each.empty for each in parameters)
    return [each.name for each in parameters] if fixed else None


def _names(aggregator: Aggregator, inputs: Sequence[object]) -> list[str]:
    expected = _expected(aggregator)
    known = expected is not None and len(expected) == len(inputs)
    return expected if known and expected is not None else [f"[{i}]" for i in range(len(inputs))]


def lay_out(aggregator: Aggregator, inputs: Sequence[Any], axis: int, where: str) -> Inputs:
    """The geometry of inputs.

    Raises:
        TreeError: They are not as many as ``prepare`` takes.
        ScanError: Axis, lengths or shapes do not fit.
    """
    _check_number(aggregator, inputs, where)
    names = _names(aggregator, inputs)
    arrays, events = [given(x) for x in inputs], aggregator.events(len(inputs))
    kinds = tuple(kind_of(x) for x in inputs)
    timed = [i for i, kind in enumerate(kinds) if kind == TIMED]
    if not timed:
        raise errors.ScanError(f"{where} needs an input with a time axis, which says how many positions there are.")
    own = _Events(aggregator.event, tuple(events[i] for i in timed))
    question: Any = _Question(where, [names[i] for i in timed], own)
    shapes = [tuple(arrays[i].shape) for i in timed]
    _check_time(where, [names[i] for i in timed], shapes, own.own, axis)
    axis, _ = elements.event_shapes(question, shapes, axis)
    batch: list[Shape] = []
    one: list[Leaf] = []
    for i, x in enumerate(arrays):
        if kinds[i] == POSITION:
            if events[i]:
                raise errors.ScanError(
                    f"{where} input {names[i]} is the position, which has no event axes; its event is 0."
                )
            batch.append(())
            one.append(Leaf("int32", ()))
            continue
        shape, cut = tuple(x.shape), x.ndim - events[i]
        if cut < 0:
            raise errors.ScanError(
                f"{where} input {names[i]} has shape {shape}, fewer axes than the {events[i]} that belong to a position."
            )
        lead = shape[:axis] + shape[axis + 1 : cut] if kinds[i] == TIMED else shape[:cut]
        batch.append(lead)
        one.append(Leaf(dtypes.name_of(x.dtype), shape[cut:]))
    _check_batches(where, names, batch)
    length = shapes[0][axis]
    alone = tuple((i,) for i in range(len(arrays)))
    layout = Layout(length, axis, tuple(batch), None, tuple(leaf.shape for leaf in one), alone)
    return Inputs(kinds, tuple(one), layout)


def _check_number(aggregator: Aggregator, inputs: Sequence[Any], where: str) -> None:
    expected = _expected(aggregator)
    if not inputs or (expected is not None and len(inputs) != len(expected)):
        taken = "" if expected is None else f" ({', '.join(expected)})"
        raise errors.TreeError(f"{where} expects its inputs{taken}; got {len(inputs)}.")


@attrs.frozen
class _Question:
    """Who asks for what, as `elements` puts it in its messages."""

    where: str
    names: list[str]
    operator: _Events
    structure: object = None


def kind_of(x: object) -> str:
    """Whether an input has a time axis, is fixed, or is the position."""
    return FIXED if type(x) is Fixed else POSITION if type(x) is Position else TIMED


def _check_time(where: str, names: Sequence[str], shapes: Sequence[Shape], events: Sequence[int], axis: int) -> None:
    """Inputs that have no time axis, or one of size 1 beside longer ones, are not spread along time."""
    rows = list(zip(names, shapes, events, strict=True))
    lengths = [shape[axis] for _, shape, event in rows if 0 <= axis < len(shape) - event]
    for name, shape, event in rows:
        free = len(shape) - event
        if free == 0 or (0 <= axis < free and shape[axis] == 1 < max(lengths)):
            raise errors.ScanError(
                f"{where} input {name} of shape {shape} has no time axis as long as those of other inputs. What is the same at "
                "each position is ms.fixed(x), without that axis."
            )


def _check_batches(where: str, names: Sequence[str], batch: Sequence[Shape]) -> None:
    try:
        mx.broadcast_shapes(*batch, ())
    except ValueError as error:
        own = ", ".join(f"{name} {shape}" for name, shape in zip(names, batch, strict=True))
        raise errors.ScanError(
            f"{where} batch shapes of inputs must broadcast (the scan axis and event axes removed); got {own}."
        ) from error
