"""Checks the leaves that the caller gave, and makes arrays of those that are none yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx
from monoscan.lowering.plan import shapeless
from monoscan.monoids.base import Semigroup
from monoscan.scan.question import Question


def arrays_of(question: Question, elems: tree.Tree, leaves: Sequence[Any], axis: int | None) -> list[mx.array]:
    """The leaves of elements as arrays of MLX; numbers beside arrays are spread along the axis, if there is one.

    Raises:
        TreeError: They do not form the operator's tree, or one is no array.
        ScanTypeError: One is an array that MLX cannot hold.
    """
    arrays = list(leaves)
    if not all(isinstance(x, mx.array) for x in leaves):
        _check_tree(question, elems)
        pairs = zip(question.names, leaves, strict=True)
        arrays = _spread(question, [to_mlx(f"{question.where} leaf {name}", x) for name, x in pairs], axis)
    check_leaves(question, elems, arrays)
    return arrays


def _spread(question: Question, leaves: list[Any], axis: int | None) -> list[Any]:
    """Numbers as arrays that hold them at each step, without memory; of Python's the dtype is that of the others."""
    others = [x for x in leaves if isinstance(x, mx.array)]
    fits = axis is not None and all(x.ndim and -x.ndim <= axis < x.ndim for x in others)
    if axis is None or not others or not fits or shapeless.tracing():
        return leaves
    events = question.operator.events(question.structure)
    if axis < 0 and any(events):  # counted from the end, it is another axis in a leaf without events
        return leaves
    position = axis if axis >= 0 else axis + others[0].ndim
    shape = (1,) * position + (others[0].shape[axis],) + (1,) * (others[0].ndim - 1 - position if axis < 0 else 0)
    spread = []
    for name, x, event in zip(question.names, leaves, events, strict=True):
        if not event and isinstance(dtypes.number(x), (bool, int, float, complex)):
            x = mx.broadcast_to(_constant(question, name, x, [dtypes.name_of(y.dtype) for y in others]), shape)
        spread.append(x)
    return spread


def _constant(question: Question, name: str, x: Any, others: Sequence[str]) -> mx.array:
    """A number of the dtype that it has, or of the first one that holds it."""
    own = getattr(getattr(x, "dtype", None), "name", None)
    for dtype in (own,) if own in dtypes.NAMES else others:
        value = dtypes.number(x)
        if (dtype == "bool") == isinstance(value, bool) and dtypes.holds(dtype, value):
            return dtypes.constant(value, dtype)
    raise errors.ScanTypeError(
        f"{question.where} leaf {name} is the number {x!r:.40}, which {' and '.join(dict.fromkeys(others))} cannot hold. Cast the "
        "other leaves, or give an array."
    )


def check_leaves(question: Question, elems: tree.Tree, leaves: list[Any]) -> None:
    """The elements form the operator's tree, and each leaf is an array."""
    _check_tree(question, elems)
    for name, leaf in zip(question.names, leaves, strict=True):
        if not isinstance(leaf, mx.array):
            raise errors.TreeError(
                f"{question.where} expects arrays; leaf {name} is {type(leaf).__name__} {leaf!r:.40}. {_remedy(leaf, leaves)}"
            )


def _check_tree(question: Question, elems: tree.Tree) -> None:
    where, operator, structure = question.where, question.operator, question.structure
    if not tree.count(structure):
        raise errors.TreeError(f"{where} expects at least one array; got the empty tree {tree.describe(elems)}.")
    template = operator.template
    if template is not None and tree.flatten_like(template, structure) is None:
        got = f"a single array of shape {tuple(elems.shape)}" if isinstance(elems, mx.array) else tree.describe(elems)
        kind = "a single array" if tree.flatten(template)[1] is tree.LEAF else f"a tree {tree.describe(template)}"
        raise errors.TreeError(f"{where} expects {kind}; got {got}. {_builder(operator, template, elems)}")


def _builder(operator: Semigroup, template: tree.Tree, given: Any) -> str:
    """How to make elements of what was given."""
    if type(operator).embed is not Semigroup.embed:
        return f"{operator.name}.embed builds elements from raw input."
    number = len(tree.flatten(template)[0])
    if number == 1:
        return "Tuple scans several arrays side by side; mx.stack and mx.array make one of several values."
    if not isinstance(given, mx.array) or number not in (given.shape[:1] + given.shape[-1:]):
        return f"Each leaf is an array of its own: {tree.describe(template)}."
    parts = [f"x[{i}]" if given.shape[0] == number else f"x[..., {i}]" for i in range(number)]
    return f"Take a stacked array apart: ({', '.join(parts)})."


def _remedy(leaf: Any, leaves: list[Any]) -> str:
    other = next((x for x in leaves if isinstance(x, mx.array)), None)
    if isinstance(leaf, (bool, int, float)) and other is not None:
        return f"Spread a scalar along the axis: mx.broadcast_to(mx.array({leaf!r}), {tuple(other.shape)})."
    return "Convert it with mx.array(...)."
