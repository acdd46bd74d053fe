"""What messages call the leaves of an element."""

from __future__ import annotations

from monoscan import tree
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.flagged import Maybe, Segmented
from monoscan.monoids.combinators.product import Struct


def labels(operator: Semigroup, structure: tree.Structure) -> list[str]:
    """The operator's own names, its parts' names, else keys, fields, and x0, x1, ... for places.

    Args:
        operator: The operator.
        structure: The tree of its elements.
    """
    named = given_names(operator.template, structure)
    if named is not None:
        return named
    if isinstance(operator, (Maybe, Segmented)):
        return [operator.flag, *labels(operator.inner, structure[-1][1])]
    if operator.parts:
        keys = [key for key, _ in operator.items] if isinstance(operator, Struct) else range(len(operator.parts))
        rows = zip(keys, operator.parts, structure[-1], strict=True)
        return [f"{key}.{name}" for key, part, child in rows for name in labels(part, child)]
    return places("x", structure)


def given_names(template: tree.Tree, structure: tree.Structure) -> list[str] | None:
    """The names of a template, if it has this structure."""
    names, given = tree.flatten(template)
    return [str(name) for name in names] if template is not None and given == structure else None


def places(name: str, structure: tree.Structure) -> list[str]:
    """Keys and fields, and numbers behind a name for places."""
    if structure is tree.LEAF:
        return [name]
    keys = structure[1] if structure[0] is dict else getattr(structure[0], "_fields", None)
    inside = "" if name == "x" else f"{name}."
    names = [f"{inside}{key}" for key in keys] if keys else [f"{name}{i}" for i in range(len(structure[-1]))]
    return [label for each, child in zip(names, structure[-1], strict=True) for label in places(each, child)]
