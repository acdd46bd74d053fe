"""Trees of arrays: tuples, lists, dicts, NamedTuples, dataclasses and attrs classes, nested at will.

A structure is a hashable value: `LEAF` for an array, else ``(type, children)``, with the
keys in front of a dict's children. It takes part in cache keys, so it is cheap to build.
None is a tree without leaves, as in JAX.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from numbers import Number
from typing import Any

import attrs
import mlx.core as mx

Tree = Any
Structure = Any
LEAF = "*"
NOTHING = (type(None), ())


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """The leaves of a tree, left to right, and its structure."""
    kind: Any = type(tree)
    if kind is tuple:  # of leaves alone: the common case, which is on every call's path
        for child in tree:
            if type(child) is not mx.array:
                break
        else:
            return list(tree), (tuple, (LEAF,) * len(tree))
    if kind is tuple or kind is list or _is_namedtuple(kind):
        children = list(tree)
    elif kind is dict:
        children = list(tree.values())
    elif tree is None:
        return [], NOTHING
    elif fields := _fields(kind):
        children = [getattr(tree, name) for name in fields]
    else:
        return [tree], LEAF
    leaves: list[Any] = []
    structures = []
    for child in children:
        child_leaves, structure = flatten(child)
        leaves += child_leaves
        structures.append(structure)
    if kind is dict:
        return leaves, (dict, tuple(tree), tuple(structures))
    return leaves, (kind, tuple(structures))


def flatten_like(tree: Tree, structure: Structure) -> list[Any] | None:
    """The leaves of a tree in the order of a structure, or ``None`` if it is another tree.

    Tuples, lists and NamedTuples of one length stand for one another, and the order of a
    dict's keys does not matter.
    """
    leaves, own = flatten(tree)
    return leaves if own == structure else _in_order(tree, structure)


def _in_order(tree: Tree, structure: Structure) -> list[Any] | None:
    """The same of a tree whose own structure is another one."""
    if structure is LEAF:
        return [tree] if flatten(tree)[1] is LEAF else None
    children = structure[-1]
    if structure[0] is dict:
        if type(tree) is not dict or set(tree) != set(structure[1]):
            return None
        values = [tree[key] for key in structure[1]]
    elif structure == NOTHING:
        return [] if tree is None else None
    elif fields := _fields(structure[0]):
        if type(tree) is not structure[0]:
            return None
        values = [getattr(tree, name) for name in fields]
    elif isinstance(tree, (tuple, list)) and len(tree) == len(children):
        values = list(tree)
    else:
        return None
    leaves = [_in_order(value, child) for value, child in zip(values, children, strict=True)]
    return None if any(each is None for each in leaves) else [leaf for each in leaves for leaf in each or ()]


def show(structure: Structure) -> str:
    """A structure in one line."""
    if structure is LEAF:
        return "array"
    kind = structure[0]
    return _line(kind, structure[1] if kind is dict else _names(kind), [show(child) for child in structure[-1]])


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Tree:
    """The tree of this structure with these leaves."""
    if structure is LEAF:
        return leaves[0]
    if structure[0] is tuple and structure[1].count(LEAF) == len(structure[1]):
        return tuple(leaves)
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Tree:
    if structure is LEAF:
        return next(leaves)
    kind, children = structure[0], [_build(child, leaves) for child in structure[-1]]
    if kind is dict:
        return dict(zip(structure[1], children, strict=True))
    if kind is type(None):
        return None
    if fields := _fields(kind):
        return kind(**dict(zip(_arguments(kind, fields), children, strict=True)))
    return kind(*children) if _is_namedtuple(kind) else kind(children)


@functools.lru_cache(maxsize=1024)
def _fields(kind: Any) -> tuple[str, ...]:
    """The fields that a dataclass or an attrs class is made of; classes of this package are no trees."""
    if kind.__module__.split(".")[0] == __name__.split(".")[0]:
        return ()
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind) if field.init)
    return tuple(field.name for field in attrs.fields(kind) if field.init) if attrs.has(kind) else ()


def _arguments(kind: type, fields: Sequence[str]) -> list[str]:
    """What its fields are called where one is made: attrs takes an underscore off."""
    if not attrs.has(kind):
        return list(fields)
    aliases = {field.name: field.alias or field.name for field in attrs.fields(kind)}
    return [aliases[name] for name in fields]


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Applies ``function`` leaf by leaf to trees of one structure."""
    leaves, structure = flatten(tree)
    rest = [flatten(other)[0] for other in others]
    return unflatten(structure, [function(*each) for each in zip(leaves, *rest, strict=True)])


def count(structure: Structure) -> int:
    """How many leaves a structure has."""
    return 1 if structure is LEAF else sum(count(child) for child in structure[-1])


def paths(structure: Structure) -> list[str]:
    """How each leaf is reached, as Python would index it: ``[0]``, ``['a'][1]``, ``.mean``."""
    if structure is LEAF:
        return [""]
    kind, children = structure[0], structure[-1]
    if kind is dict:
        steps = [f"[{key!r}]" for key in structure[1]]
    elif names := _names(kind):
        steps = [f".{name}" for name in names]
    else:
        steps = [f"[{i}]" for i in range(len(children))]
    return [step + path for step, child in zip(steps, children, strict=True) for path in paths(child)]


def shown(value: Any) -> str:
    """What was given in place of something else, in a few words."""
    return repr(value) if isinstance(value, (str, bool, Number)) else describe(value)


def describe(tree: Tree) -> str:
    """A tree in one line, with each array as its dtype and shape."""
    kind: Any = type(tree)
    if tree is None or kind in (dict, list, tuple) or _is_namedtuple(kind) or _fields(kind):
        names = tuple(tree) if kind is dict else _names(kind)
        values = tree.values() if kind is dict else [getattr(tree, name) for name in names] if names else tree or ()
        return _line(kind, names, [describe(value) for value in values])
    if hasattr(tree, "shape") and hasattr(tree, "dtype"):
        return f"{str(tree.dtype).removeprefix('mlx.core.')}{tuple(tree.shape)}"
    return tree if isinstance(tree, str) else f"{kind.__name__} {tree!r:.40}"


def _names(kind: Any) -> tuple[str, ...]:
    """The names of the children of a NamedTuple, a dataclass or an attrs class; none of other trees."""
    return _fields(kind) or tuple(getattr(kind, "_fields", ()))


def _line(kind: type, names: Sequence[Any], children: Sequence[str]) -> str:
    """A tree of these children in one line."""
    if kind is type(None):
        return "None"
    if kind is dict:
        return "{" + ", ".join(f"{key!r}: {child}" for key, child in zip(names, children, strict=True)) + "}"
    if kind is list:
        return "[" + ", ".join(children) + "]"
    if names:
        named = ", ".join(f"{name}={child}" for name, child in zip(names, children, strict=True))
        return f"{kind.__name__}({named})"
    return "(" + ", ".join(children) + ("," if len(children) == 1 else "") + ")"
