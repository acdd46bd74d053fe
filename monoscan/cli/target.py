"""Elements to plan or to time for an operator that a command line names."""

from __future__ import annotations

import contextlib
import math
import os
from typing import Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.monoids import Dual, Maybe, Segmented, Semidirect, Struct, Tuple, Via
from monoscan.monoids.base import Semigroup
from monoscan.tree import Tree

_BOOL_LEAVES = frozenset({"flag", "valid"})
_INDEX_LEAVES = frozenset({"index"})
_EVENT_SIZES = {"q": 4, "t": 3}
_DTYPES = ("float32", "int32", "bool")


def example(
    found: Semigroup, shape: tuple[int, ...], dtype: str | None = None, event: int | None = None, *, drawn: bool = True
) -> Tree:
    """Elements of the operator: leaves of this shape, with event axes behind it.

    Args:
        found: The operator.
        shape: The shape of each leaf, without event axes.
        dtype: Of the elements. Default: the first of float32, int32 and bool that the operator takes.
        event: The size of event axes. Default: what the operator needs, else 2.
        drawn: Whether leaves are random; else they are zeros that nobody computes, of any size.

    Raises:
        ScanError: They take more memory than there is.
    """
    names, structure = tree.flatten(_template(found))
    kinds = _kinds(found, names, dtype)
    sizes = [event or _EVENT_SIZES.get(name) or getattr(found, "k", 2) for name in names]
    shapes = [(*shape, *(size,) * axes) for size, axes in zip(sizes, found.events(structure), strict=True)]
    pairs = list(zip(shapes, kinds, strict=True))
    if not drawn:
        return tree.unflatten(structure, [mx.zeros(s, dtypes.by_name(kind)) for s, kind in pairs])
    _check_memory(shapes)
    random = np.random.default_rng(0)
    return tree.unflatten(structure, [_leaf(random, s, kind) for s, kind in pairs])


def _check_memory(shapes: list[tuple[int, ...]]) -> None:
    """Refuses what would not fit beside what is drawn from, in float64."""
    needed = 2 * 8 * sum(map(math.prod, shapes))
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise errors.ScanError(
            f"[bench] elements of this --shape take about {needed / 2**30:.3g} GiB; this machine has {there / 2**30:.3g}."
        )


def _template(found: Any) -> Tree:
    """The tree of an element with a name for each leaf, by that of its parts where the operator does not say."""
    if found.template is not None:
        return found.template
    if isinstance(found, Struct):
        return {key: _template(part) for key, part in found.items}
    if isinstance(found, Tuple):
        return tuple(map(_template, found.parts))
    if isinstance(found, Semidirect):
        return _template(found.actor), _template(found.acted)
    if isinstance(found, (Maybe, Segmented)):
        return found.flag, _template(found.inner)
    if isinstance(found, (Dual, Via)):
        return _template(found.inner)
    neutral = getattr(found, "neutral", None)  # of monoid(..., identity=(0, 1))
    return "x" if neutral is None or callable(neutral) else tree.map_leaves(lambda _: "x", neutral)


def _kinds(found: Semigroup, names: list[str], dtype: str | None) -> tuple[str, ...]:
    """The dtype of each leaf."""
    for candidate in (dtype,) if dtype else _DTYPES:
        kinds = tuple("bool" if n in _BOOL_LEAVES else "int32" if n in _INDEX_LEAVES else candidate for n in names)
        with contextlib.suppress(errors.ScanTypeError):
            found.check(kinds)
            break
    return kinds


def _leaf(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> mx.array:
    """Values that no operator finds hard: from 0.5 to 1, or 0 and 1."""
    if kind in dtypes.FLOATS | dtypes.COMPLEX:
        return mx.array(random.uniform(0.5, 1, shape).astype(np.float32)).astype(dtypes.by_name(kind), stream=mx.cpu)
    return mx.array(random.integers(0, 2, shape, np.int8)).astype(dtypes.by_name(kind), stream=mx.cpu)
