"""Elements with more axes than their operator's: copies of one element, on each of which the operator acts by itself.

All arrays here have ``rank`` axes of positions in front, then the axes of copies, which broadcast between the leaves
of one operator, and then their event axes. A product's parts have copies of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from monoscan import errors, mapped, tree
from monoscan.monoids.shapes import insert_axes
from monoscan.tree import Structure, Tree

Shape = tuple[int, ...]


def on_positions(
    function: Callable[..., Tree], arrays: Sequence[mx.array], rank: int, call: str, ruled: bool = False
) -> Tree:
    """A function of one position on arrays of positions.

    Args:
        function: Takes an array for each input and returns a tree of arrays.
        arrays: The inputs, with ``rank`` axes of positions in front, of full size or 1.
        rank: The number of these axes.
        call: What messages call the function.
        ruled: It holds a function with derivatives of its own.

    Raises:
        TreeError: It returns what is no array.
    """
    structure: Structure = tree.LEAF

    def one(*xs: mx.array) -> list[mx.array]:
        nonlocal structure
        result = function(*xs)
        leaves, structure = tree.flatten(result)
        if not leaves or not all(isinstance(leaf, mx.array) for leaf in leaves):
            raise errors.TreeError(f"{call} must return arrays; it returned {tree.describe(result)}.")
        return leaves

    leaves = (mapped.ruled if ruled else mapped.run)(one, arrays, rank)
    return tree.unflatten(structure, leaves)


def copies(operator: Any, element: Tree, rank: int) -> list[Shape]:
    """The axes of copies of each leaf of an element, which are those in front of its event axes."""
    leaves, structure = tree.flatten(element)
    return [x.shape[rank : x.ndim - event] for x, event in zip(leaves, operator.events(structure), strict=True)]


def copies_of_states(operator: Any, element: Tree, state: Tree, rank: int) -> list[Shape]:
    """The axes of copies of each leaf of a state: all that the operator's elements have."""
    if operator.parts:
        rows = zip(operator.parts, entries(element), entries(state), strict=True)
        return [shape for part, x, s in rows for shape in copies_of_states(part, x, s, rank)]
    own = tuple(mx.broadcast_shapes(*copies(operator, element, rank), ()))
    return [own] * len(tree.flatten(state)[0])


def moved(operator: Any, state: Tree, element: Tree, rank: int, call: str) -> Tree:
    """The states after elements, by the operator's action on the right."""
    if operator.parts:
        rows = zip(operator.parts, entries(state), entries(element), strict=True)
        return like(state, [moved(part, s, x, rank, call) for part, s, x in rows])
    states, form = tree.flatten(state)
    elements, structure = tree.flatten(element)
    events = [*operator.right.events(form), *operator.events(structure)]

    def act(*arrays: mx.array) -> Tree:
        s, x = tree.unflatten(form, arrays[: len(states)]), tree.unflatten(structure, arrays[len(states) :])
        after = operator.right.act(s, x)
        leaves = tree.flatten_like(after, form)
        if leaves is None:
            raise errors.TreeError(f"{call}: act must return the tree of a state; it returned {tree.describe(after)}.")
        return tree.unflatten(form, leaves)

    return _on_copies(act, [*states, *elements], events, rank, call)


def begun(operator: Any, element: Tree, rank: int, call: str) -> Tree:
    """The states that first elements begin.

    Raises:
        ScanError: There is no ``begin``.
    """
    if operator.parts:
        return like(element, [begun(p, x, rank, call) for p, x in zip(operator.parts, entries(element), strict=True)])
    begin = operator.right.begin
    if begin is None:
        raise errors.ScanError(f"{call}: no element begins a state of {operator.name}; give state=.")
    leaves, structure = tree.flatten(element)

    def first(*arrays: mx.array) -> Tree:
        return begin(tree.unflatten(structure, arrays))

    return _on_copies(first, leaves, operator.events(structure), rank, call)


def spread(operator: Any, element: Tree, rank: int) -> Tree:
    """Elements of which each leaf has all the copies that its operator's states have."""
    if operator.parts:
        return like(element, [spread(p, x, rank) for p, x in zip(operator.parts, entries(element), strict=True)])
    own = tuple(mx.broadcast_shapes(*copies(operator, element, rank), ()))
    leaves, structure = tree.flatten(element)
    events = operator.events(structure)
    padded = [with_axes(x, event, rank, len(own)) for x, event in zip(leaves, events, strict=True)]
    found = [
        mx.broadcast_to(x, x.shape[:rank] + own + x.shape[x.ndim - event :])
        for x, event in zip(padded, events, strict=True)
    ]
    return tree.unflatten(structure, found)


def combined(operator: Any, left: Tree, right: Tree, rank: int, call: str) -> Tree:
    """The products of such elements."""
    if operator.parts:
        rows = zip(operator.parts, entries(left), entries(right), strict=True)
        return like(left, [combined(part, x, y, rank, call) for part, x, y in rows])
    arrays, structure = [*tree.flatten(left)[0], *tree.flatten(right)[0]], tree.flatten(left)[1]
    number = len(arrays) // 2

    def combine(*xs: mx.array) -> Tree:
        return operator.combine(*(tree.unflatten(structure, side) for side in (xs[:number], xs[number:])))

    return _on_copies(combine, arrays, [*operator.events(structure)] * 2, rank, call)


def _on_copies(
    function: Callable[..., Tree], arrays: Sequence[mx.array], events: Sequence[int], rank: int, call: str
) -> Tree:
    number = max(x.ndim - event for x, event in zip(arrays, events, strict=True)) - rank
    padded = [with_axes(x, event, rank, number) for x, event in zip(arrays, events, strict=True)]
    return on_positions(function, padded, rank + number, call)


def with_axes(x: mx.array, event: int, rank: int, number: int) -> mx.array:
    """An array with this many axes of copies, those that it has not of size 1."""
    missing = rank + number + event - x.ndim
    return insert_axes(x, rank, missing)


def entries(given: Tree) -> list[Any]:
    """What a tuple or a dict holds."""
    return list(given.values()) if isinstance(given, dict) else list(given)


def like(given: Tree, children: Sequence[Any]) -> Tree:
    """A tuple, or a dict with the same keys, of these."""
    return dict(zip(given, children, strict=True)) if isinstance(given, dict) else tuple(children)
