"""Hypothesis strategies for elements that are reachable: embedded input, and products of it.

Most operators say enough by their `template`, `event` and ``embed``. The table at the end is
for those that need raw input of their own kind. An operator of yours that needs it too
passes ``elements=`` to `check_laws`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from typing import Any

import attrs
import mlx.core as mx
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from monoscan import dtypes, errors, tree
from monoscan.monoids.base import Element, Semigroup
from monoscan.testing.search.values import arrays, below_infinity, numbers, tame

Elements = SearchStrategy[Element]
Source = Callable[[Any, "Kind"], Elements]

_MOST_LEAVES = 8


@attrs.frozen
class Kind:
    """What elements are made of.

    Args:
        dtype: What raw numbers are drawn in.
        size: The length of event axes.
        tame: Whether numbers are so small that products of many stay in range.
    """

    dtype: str = "float32"
    size: int = 2
    tame: bool = False

    def numbers(self, **special: bool) -> SearchStrategy[Any]:
        """Numbers of the dtype; ``special`` is that of `monoscan.testing.search.values.numbers`."""
        return tame(self.dtype) if self.tame else numbers(self.dtype, **special)

    def array(self, *shape: int, values: SearchStrategy[Any] | None = None) -> SearchStrategy[mx.array]:
        """Arrays of the dtype."""
        return arrays(self.dtype, shape, self.numbers() if values is None else values)


def elements(operator: Semigroup, dtype: str = "float32", *, size: int = 2) -> Elements:
    """Reachable elements: products of up to three embedded ones, or the identity.

    Args:
        operator (Semigroup): The operator.
        dtype (str, optional): What raw numbers are drawn in. Default: ``"float32"``.
        size (int, optional): The length of event axes. Default: ``2``.

    Example:
        >>> import monoscan as ms
        >>> from monoscan.testing import elements
        >>> pairs = elements(ms.Affine(), "float32")
    """
    return words(embedded(operator, Kind(dtype, size))).map(lambda word: _product(operator, word))


def words(letters: Elements, shortest: int = 1, longest: int = 3) -> SearchStrategy[tuple[Element, ...]]:
    """Sequences of embedded elements, to be combined in whatever arithmetic; most have one."""
    lengths = [length for length in (shortest, 1, 1, 2, 1, 3) if length <= longest]
    return st.sampled_from(lengths).flatmap(lambda length: st.tuples(*[letters] * length))


def _product(operator: Semigroup, word: tuple[Element, ...]) -> Element:
    wide = [tree.map_leaves(lambda x: x.astype(_accumulation(x.dtype)), element) for element in word]
    return reduce(operator.combine, wide)


def _accumulation(dtype: mx.Dtype) -> mx.Dtype:
    return dtypes.by_name(dtypes.accumulation(dtypes.name_of(dtype)))


def embedded(operator: Semigroup, kind: Kind = Kind()) -> Elements:
    """Elements of one raw input each.

    Raises:
        ScanError: Nothing says which tree the operator's elements form.
    """
    source = _SOURCES.get(type(operator).__name__) if type(operator).__module__.startswith("monoscan.") else None
    if source is not None:
        return source(operator, kind)
    values = _domain(operator, kind)
    inputs = _own_embed(operator)
    if inputs is not None:
        raw = st.tuples(*[kind.array(values=values)] * inputs)
        return raw.map(lambda given: operator.embed(*given))
    structure = _structure(operator, kind)
    shapes = [(kind.size,) * event for event in operator.events(structure)]
    leaves = st.tuples(*(kind.array(*shape, values=values) for shape in shapes))
    return leaves.map(lambda given: tree.unflatten(structure, given))


def _domain(operator: Semigroup, kind: Kind) -> SearchStrategy[Any]:
    """Infinities and NaN belong to the domain of what claims to be exact on floats."""
    exact = kind.dtype in dtypes.FLOATS and operator.facts((kind.dtype,)).associativity == "exact"
    return kind.numbers(infinities=exact, nans=exact)


def _own_embed(operator: Semigroup) -> int | None:
    """How many inputs the operator's own ``embed`` takes, or ``None`` if it has none of its own."""
    function = getattr(operator, "embedding", None)
    if function is None and type(operator).embed is not Semigroup.embed and not hasattr(operator, "embedding"):
        function = operator.embed
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 1
    return len(
        [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    )


def _structure(operator: Semigroup, kind: Kind) -> tree.Structure:
    """The tree of an element: from the template, the identity, or by trying."""
    if operator.template is not None:
        return tree.flatten(operator.template)[1]
    neutral = getattr(operator, "neutral", None)
    if neutral is not None and not callable(neutral) and tree.flatten(neutral)[1] != tree.LEAF:
        return tree.flatten(neutral)[1]
    tuples = [(tuple, (tree.LEAF,) * number) for number in range(2, _MOST_LEAVES + 1)]
    for structure in (tree.LEAF, *tuples):
        if _fits(operator, structure, kind):
            return structure
    raise errors.ScanError(
        f"[laws] nothing says which tree the elements of {operator.name} form, and no tuple of up to {_MOST_LEAVES} "
        f"arrays of {kind.dtype} works. Give the operator a `template`, or pass elements= a strategy that draws elements."
    )


def _fits(operator: Semigroup, structure: tree.Structure, kind: Kind) -> bool:
    """Whether ``combine`` takes this tree and returns it."""
    try:
        shapes = [(kind.size,) * event for event in operator.events(structure)]
        element = tree.unflatten(structure, [mx.ones(shape, dtypes.by_name(kind.dtype)) for shape in shapes])
        result, got = tree.flatten(operator.combine(element, element))
    except Exception:  # whatever a combine raises on the wrong tree, the tree does not fit
        return False
    return got == structure and [tuple(leaf.shape) for leaf in result] == shapes


def _extremes(operator: Any, kind: Kind) -> Elements:
    return kind.array(values=kind.numbers(infinities=True, nans=True)).map(operator.embed)


def _indexed(operator: Any, kind: Kind) -> Elements:
    raw = st.tuples(_plain(operator, kind), arrays("int32", (), st.integers(0, 4)))
    return raw.map(lambda given: operator.embed(*given))


def _plain(operator: Any, kind: Kind) -> Elements:
    return kind.array(values=kind.numbers(infinities=True, nans=True))


def _below_infinity(operator: Any, kind: Kind) -> Elements:
    values = kind.numbers() if kind.tame else below_infinity(kind.dtype)
    return kind.array(values=values).map(operator.embed)


def _flagged(operator: Any, kind: Kind) -> Elements:
    return st.tuples(arrays("bool", ()), embedded(operator.inner, kind))


def _maybe(operator: Any, kind: Kind) -> Elements:
    def missing(given: tuple[mx.array, Element]) -> Element:
        valid, value = given
        return valid, tree.map_leaves(lambda x: mx.where(valid, x, 0).astype(x.dtype), value)

    return _flagged(operator, kind).map(missing)


def _tuple(operator: Any, kind: Kind) -> Elements:
    return st.tuples(*(embedded(part, kind) for part in operator.parts))


def _struct(operator: Any, kind: Kind) -> Elements:
    keys = [key for key, _ in operator.items]  # fixed_dictionaries would shuffle them, and their order counts
    return _tuple(operator, kind).map(lambda given: dict(zip(keys, given, strict=True)))


def _semidirect(operator: Any, kind: Kind) -> Elements:
    return st.tuples(embedded(operator.actor, kind), embedded(operator.acted, kind))


def _small(kind: Kind, *shape: int) -> SearchStrategy[mx.array]:
    low, high = (0, 1) if kind.dtype in dtypes.UNSIGNED | {"bool"} else (-1, 1) if kind.tame else (-3, 3)
    return kind.array(*shape, values=st.integers(low, high))


def _covariance(kind: Kind) -> SearchStrategy[mx.array]:
    def square(root: mx.array) -> mx.array:
        return (root[:, None] * root[None]).sum(axis=-1).astype(root.dtype)

    return _small(kind, kind.size, kind.size).map(square)


def _weights(operator: Any, kind: Kind) -> Elements:
    """Matrices without negative entries."""
    sizes = st.integers(0, 2 if kind.tame else 64).map(lambda k: k / 4)
    return kind.array(kind.size, kind.size, values=sizes).map(operator.embed)


def _filters(operator: Any, kind: Kind) -> Elements:
    """Every Gaussian pair is an element: any A, b and eta, any covariances C and J."""
    matrix, vector, covariance = _small(kind, kind.size, kind.size), _small(kind, kind.size), _covariance(kind)
    return st.tuples(matrix, vector, covariance, vector, covariance)


def _smoothers(operator: Any, kind: Kind) -> Elements:
    return st.tuples(_small(kind, kind.size, kind.size), _small(kind, kind.size), _covariance(kind))


def _vectors(*lengths: int) -> Source:
    def source(operator: Any, kind: Kind) -> Elements:
        leaves = [kind.array(length) for length in lengths]
        return st.tuples(*leaves) if len(leaves) > 1 else leaves[0]

    return source


def _counts(operator: Any, kind: Kind) -> Elements:
    return st.tuples(*[kind.array(values=st.integers(0, 6))] * 2)


def _maps(operator: Any, kind: Kind) -> Elements:
    return arrays("int32", (operator.k,), st.integers(0, operator.k - 1))


_SOURCES: dict[str, Source] = {
    "Max": _extremes,
    "Min": _extremes,
    "First": _extremes,
    "Last": _extremes,
    "MinMax": _extremes,
    "ArgMax": _indexed,
    "ArgMin": _indexed,
    "LogSumExp": _below_infinity,
    "OnlineSoftmax": _below_infinity,
    "MaxSubarray": _below_infinity,
    "ScaledMatMul": _weights,
    "KalmanFilter": _filters,
    "KalmanSmoother": _smoothers,
    "Quaternion": _vectors(4),
    "Rigid3": _vectors(4, 3),
    "Bracket": _counts,
    "FiniteMap": _maps,
    "Dual": lambda operator, kind: embedded(operator.inner, kind),
    "Maybe": _maybe,
    "Segmented": _flagged,
    "Tuple": _tuple,
    "Struct": _struct,
    "Semidirect": _semidirect,
}
"""How to draw elements of the operators of this library that need it, by the name of their type."""
