"""Trees: flatten and unflatten are inverse, structures are keys, paths read as Python."""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoscan import tree


class Pair(NamedTuple):
    a: Any
    b: Any


class Other(NamedTuple):
    a: Any
    b: Any


TREES = st.recursive(
    st.integers(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Pair(*pair)),
    ),
    max_leaves=8,
)


@given(TREES)
def test_unflatten_is_the_inverse_of_flatten(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    again = tree.unflatten(structure, leaves)
    assert again == value
    assert type(again) is type(value)
    assert tree.flatten(again) == (leaves, structure)


@given(TREES)
def test_structures_are_hashable_and_count_their_leaves(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    assert tree.count(structure) == len(leaves) == len(tree.paths(structure))
    assert hash(structure) == hash(tree.flatten(value)[1])


@given(TREES)
def test_paths_lead_to_the_leaves(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    for leaf, path in zip(leaves, tree.paths(structure), strict=True):
        assert eval(f"value{path}", {"value": value}) == leaf


@given(TREES)
def test_map_leaves_keeps_the_tree(value: Any) -> None:
    doubled = tree.map_leaves(lambda x, y: x + y, value, value)
    assert tree.flatten(doubled)[1] == tree.flatten(value)[1]
    assert tree.flatten(doubled)[0] == [2 * x for x in tree.flatten(value)[0]]


@pytest.mark.parametrize(
    ("one", "two"), [((1, 2), [1, 2]), ((1, 2), Pair(1, 2)), (Pair(1, 2), Other(1, 2)), ({"a": 1}, {"b": 1}), ((1,), 1)]
)
def test_different_trees_have_different_structures(one: Any, two: Any) -> None:
    assert tree.flatten(one)[1] != tree.flatten(two)[1]


def test_sequences_of_one_length_stand_for_one_another() -> None:
    structure = tree.flatten((1, (2, 3)))[1]
    assert tree.flatten_like([1, Pair(2, 3)], structure) == [1, 2, 3]
    assert tree.flatten_like((1, (2,)), structure) is None
    assert tree.flatten_like((1, {"a": 2, "b": 3}), structure) is None
    assert tree.flatten_like(1, structure) is None
    assert tree.flatten_like((1, 2), tree.LEAF) is None


def test_the_order_of_keys_does_not_matter_to_flatten_like() -> None:
    structure = tree.flatten({"a": 1, "b": 2})[1]
    assert tree.flatten_like({"b": 20, "a": 10}, structure) == [10, 20]
    assert tree.flatten_like({"a": 1, "c": 2}, structure) is None


def test_descriptions_read_as_python() -> None:
    value = {"x": (mx.zeros((2, 3)), [mx.array(1)]), "y": Pair(mx.array(True), (None,))}
    assert tree.describe(value) == "{'x': (float32(2, 3), [int32()]), 'y': Pair(a=bool(), b=(None,))}"
    assert tree.show(tree.flatten((1, [2]))[1]) == "(array, [array])"
