"""Elements: trees, event and batch axes, the order of operands, identities, embed and project."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest
from support import AFFINE, MATMUL, MATRIX_AFFINE, PORTABLE, STRATEGIES, SUM, check_scan, random_leaves

import monoscan as ms
from monoscan import tree

RNG = np.random.default_rng(1)


class Pair(NamedTuple):
    gate: Any
    value: Any


def affine_of_pairs(left: Pair, right: Pair) -> Pair:
    return Pair(right.gate * left.gate, right.gate * left.value + right.value)


def every_leaf(function: Any) -> ms.CustomMonoid:
    """An operator that combines each leaf of any tree alike."""
    operator = ms.monoid(lambda l, r: tree.map_leaves(function, l, r), identity=0)
    assert isinstance(operator, ms.CustomMonoid)
    return operator


# ------------------------------------------------------------------------------------------ trees


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])  # MLX's own scan takes single arrays
@pytest.mark.parametrize(
    "elems",
    [
        (mx.arange(5), mx.ones((5,))),
        (mx.arange(5),),
        [mx.arange(5), mx.ones((5,))],
        {"b": mx.arange(5), "a": mx.ones((5,))},
        Pair(mx.arange(5), mx.ones((5,))),
        {"x": [mx.arange(5), (mx.ones((5,)),)], "y": Pair(mx.arange(5), {"z": mx.ones((5,))})},
    ],
    ids=["tuple", "one-tuple", "list", "dict", "namedtuple", "nested"],
)
def test_the_result_is_the_same_tree_as_the_elements(elems: Any, strategy: str) -> None:
    total = every_leaf(mx.add)
    results, carry = ms.scan(total, elems, return_carry=True, strategy=strategy)
    assert tree.flatten(results)[1] == tree.flatten(elems)[1]
    assert tree.flatten(carry)[1] == tree.flatten(elems)[1]
    assert tree.flatten(ms.fold(total, elems, strategy=strategy))[1] == tree.flatten(elems)[1]
    for y, x in zip(tree.flatten(results)[0], tree.flatten(elems)[0], strict=True):
        assert y.tolist() == np.cumsum(np.array(x)).tolist()


def test_a_dict_keeps_the_order_of_its_keys() -> None:
    assert list(ms.scan(every_leaf(mx.add), {"b": mx.arange(3), "a": mx.arange(3)})) == ["b", "a"]


def test_combine_sees_the_tree_of_the_elements() -> None:
    h = ms.scan(ms.monoid(affine_of_pairs), Pair(mx.full((3,), 0.5), mx.ones((3,))))
    assert type(h) is Pair
    assert h.value.tolist() == [1, 1.5, 1.75]


def test_combine_may_return_a_list_for_a_tuple() -> None:
    operator = ms.monoid(lambda l, r: [l[0] + r[0], l[1] * r[1]])
    result = ms.scan(operator, (mx.arange(3), mx.ones((3,))))
    assert isinstance(result, tuple)
    assert result[0].tolist() == [0, 1, 3]


def test_combine_may_return_the_keys_of_a_dict_in_any_order() -> None:
    operator = ms.monoid(lambda l, r: {"b": l["b"] * r["b"], "a": l["a"] + r["a"]})
    result = ms.scan(operator, {"a": mx.arange(1, 4), "b": mx.arange(1, 4)})
    assert list(result) == ["a", "b"]
    assert result["a"].tolist() == [1, 3, 6]
    assert result["b"].tolist() == [1, 2, 6]


def test_a_list_stands_for_the_tuple_of_an_operator() -> None:
    result = ms.scan(ms.Affine(), [mx.full((3,), 0.5), mx.ones((3,))])
    assert isinstance(result, list)
    assert result[1].tolist() == [1, 1.5, 1.75]


def test_an_operator_of_a_struct_takes_and_returns_its_dict() -> None:
    both = ms.Struct(total=ms.Sum(), top=ms.Max())
    x = mx.array([2, 1, 3])
    result = ms.scan(both, both.embed(x))
    assert {key: y.tolist() for key, y in result.items()} == {"total": [2, 3, 6], "top": [2, 2, 3]}


# ------------------------------------------------------------------------------- the one element


@pytest.mark.parametrize("strategy", PORTABLE)
def test_left_comes_first(strategy: str) -> None:
    digits = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[0] + r[1]), identity=(1, 0))
    elems = mx.full((9,), 10), mx.arange(1, 10)
    want = [int("123456789"[: i + 1]) for i in range(9)]
    assert ms.scan(digits, elems, strategy=strategy)[1].tolist() == want


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "brent_kung", "sequential"])
def test_first_keeps_the_first_and_last_the_last(strategy: str) -> None:
    x = mx.arange(10)
    assert ms.scan(ms.First(), x, strategy=strategy).tolist() == [0] * 10
    assert ms.scan(ms.Last(), x, strategy=strategy).tolist() == list(range(10))


def test_combine_sees_one_element_without_scan_and_batch_axes() -> None:
    seen = set()

    def combine(left: Any, right: Any) -> Any:
        seen.update([left[0].shape, right[0].shape, left[1].shape, right[1].shape])
        return left[0] + right[0], left[1] + right[1]

    elems = mx.zeros((5, 7, 2, 3)), mx.zeros((5, 7, 2))
    for strategy in ("auto", *PORTABLE):
        mx.eval(ms.scan(ms.monoid(combine, event=(2, 1), identity=0), elems, strategy=strategy))
    assert seen == {(2, 3), (2,)}


def test_combine_sees_one_element_where_it_is_not_traceable() -> None:
    seen = set()

    def combine(left: mx.array, right: mx.array) -> mx.array:
        seen.add(left.shape)
        return mx.sort(mx.concatenate([left, right]))[-3:]

    x = mx.array(RNG.integers(0, 100, (9, 4, 3)))
    result = ms.scan(ms.monoid(combine, event=1), x)
    assert seen == {(3,)}
    want = [np.sort(np.array(x)[: i + 1].transpose(1, 0, 2).reshape(4, -1), axis=1)[:, -3:] for i in range(1, 9)]
    np.testing.assert_array_equal(np.array(result)[1:], want)


def test_the_largest_three_of_so_far_batch_under_every_strategy() -> None:
    def combine(left: mx.array, right: mx.array) -> mx.array:
        return mx.sort(mx.concatenate([left, right]))[-3:]

    x = mx.array(np.sort(RNG.integers(0, 100, (13, 2, 3)), axis=-1))
    top = ms.monoid(combine, event=1, identity=lambda like: mx.full(like.shape, -1, like.dtype))
    want = [np.sort(np.array(x)[: i + 1].transpose(1, 0, 2).reshape(2, -1), axis=1)[:, -3:] for i in range(13)]
    for strategy in PORTABLE:
        np.testing.assert_array_equal(np.array(ms.scan(top, x, strategy=strategy)), want)


# ------------------------------------------------------------------------------ event and batch


@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_event_axes_are_the_last_of_each_leaf(strategy: str, axis: int) -> None:
    check_scan(MATMUL, random_leaves(MATMUL, RNG, [(5, 6, 4)], ["float64"]), axis, strategy=strategy)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_event_may_differ_from_leaf_to_leaf(strategy: str) -> None:
    leaves = random_leaves(MATRIX_AFFINE, RNG, [(6, 3), (6, 3)], ["float32", "float32"])
    assert [x.ndim for x in leaves] == [4, 3]
    check_scan(MATRIX_AFFINE, leaves, strategy=strategy)


def test_one_event_serves_all_leaves() -> None:
    operator = ms.monoid(lambda l, r: (l[0] + r[0][::-1], r[1]), event=1)
    x = mx.array(RNG.integers(0, 9, (4, 2)))
    want = [np.array(x[0])]
    for t in range(1, 4):
        want.append(want[-1] + np.array(x[t])[::-1])
    result = ms.scan(ms.monoid(operator.function, event=1), (x, x), strategy="sequential")
    np.testing.assert_array_equal(np.array(result[0]), want)


BATCHES = [
    ((6,), (6, 4)),
    ((6, 4), (6,)),
    ((6, 1), (6, 4)),
    ((6, 1, 4), (6, 3, 1)),
    ((6, 4), (6, 3, 4)),
    ((6, 1), (6,)),
]


@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("shapes", BATCHES)
def test_batch_axes_broadcast_by_numpys_rule_once_the_scan_axis_is_removed(shapes: Any, strategy: str) -> None:
    for model in (AFFINE, MATRIX_AFFINE):
        check_scan(model, random_leaves(model, RNG, shapes, ["float32"] * 2), strategy=strategy)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_batch_axes_broadcast_around_a_scan_axis_in_the_middle(strategy: str) -> None:
    """Removed, the scan axis 1 leaves (2,) and (3, 2): the axis before it is not the first of both."""
    leaves = random_leaves(AFFINE, RNG, [(2, 6), (3, 6, 2)], ["float32"] * 2)
    check_scan(AFFINE, leaves, 1, strategy=strategy)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_result_leaf_has_the_shape_of_the_leaves_that_it_depends_on(strategy: str) -> None:
    a, b = mx.full((5, 1, 2), 0.5), mx.ones((5, 3, 1))
    decay, h = ms.scan(ms.Affine(), (a, b), strategy=strategy)
    assert decay.shape == (5, 1, 2)
    assert h.shape == (5, 3, 2)
    (decay, h), (last_decay, last) = ms.scan(ms.Affine(), (a, b), strategy=strategy, return_carry=True)
    assert (last_decay.shape, last.shape) == ((1, 2), (3, 2))
    total = ms.fold(ms.Affine(), (a, b), strategy=strategy)
    assert [x.shape for x in total] == [(1, 2), (3, 2)]


@pytest.mark.parametrize("length", [0, 1, 2])
def test_result_shapes_do_not_depend_on_the_length(length: int) -> None:
    results, carry = ms.scan(ms.Affine(), (mx.ones((length, 2)), mx.ones((length, 3, 1))), return_carry=True)
    assert [x.shape for x in results] == [(length, 2), (length, 3, 2)]
    assert [x.shape for x in carry] == [(2,), (3, 2)]


def test_leaves_that_do_not_meet_keep_their_own_shapes() -> None:
    both = ms.Tuple(ms.Sum(), ms.Max())
    total, top = ms.scan(both, (mx.ones((4, 3)), mx.ones((4, 1))))
    assert (total.shape, top.shape) == ((4, 3), (4, 1))


def test_dependence_goes_through_other_leaves() -> None:
    chain = ms.monoid(lambda l, r: (l[0] + r[0], l[1] + r[0], l[2] + l[1]))
    x, y, z = ms.scan(chain, (mx.ones((4, 3)), mx.ones((4, 1)), mx.ones((4,))))
    assert (x.shape, y.shape, z.shape) == ((4, 3), (4, 3), (4, 3))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_axis_may_be_the_scan_axis(axis: int, strategy: str) -> None:
    x = mx.array(RNG.integers(0, 9, (5, 6, 7)))
    result = ms.scan(ms.Sum(), x, axis=axis, strategy=strategy)
    np.testing.assert_array_equal(np.array(result), np.cumsum(np.array(x), axis=axis))
    total = ms.fold(ms.Sum(), x, axis=axis, strategy=strategy)
    np.testing.assert_array_equal(np.array(total), np.sum(np.array(x), axis=axis))


def test_a_negative_axis_counts_all_axes_of_a_leaf_event_axes_too() -> None:
    x = random_leaves(MATMUL, RNG, [(5, 6)], ["float32"])[0]
    assert mx.array_equal(ms.scan(ms.MatMul(), x, axis=-3), ms.scan(ms.MatMul(), x, axis=1))


def test_a_negative_axis_of_leaves_of_equal_rank_is_the_same_axis_from_the_front() -> None:
    leaves = random_leaves(AFFINE, RNG, [(3, 6), (1, 6)], ["float32"] * 2)
    same = zip(ms.scan(ms.Affine(), leaves, axis=-1), ms.scan(ms.Affine(), leaves, axis=1), strict=True)
    assert all(mx.array_equal(x, y) for x, y in same)


@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1, 0), (0, 0), (2, 0, 3)])
def test_axes_of_size_zero_give_empty_results(shape: tuple[int, ...], strategy: str) -> None:
    for model in (SUM, AFFINE, MATMUL):
        for axis in range(len(shape)):
            check_scan(
                model,
                random_leaves(model, RNG, [shape] * model.arity, ["float32"] * model.arity),
                axis,
                strategy=strategy,
            )


def test_an_axis_of_size_zero_within_the_event_is_no_trouble() -> None:
    operator = ms.monoid(lambda l, r: l + r, event=1, identity=0)
    for strategy in PORTABLE:
        assert ms.scan(operator, mx.ones((5, 0)), strategy=strategy).shape == (5, 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["transposed", "every second", "backwards", "broadcast", "offset"])
def test_elements_need_not_be_contiguous(name: str, strategy: str) -> None:
    base = mx.array(RNG.integers(-9, 9, (14, 6)))
    views = {
        "transposed": base.T,
        "every second": base[::2, ::3],
        "backwards": base[::-1, ::-1],
        "broadcast": mx.broadcast_to(base[:, :1], (14, 6)),
        "offset": base[3:, 2:],
    }
    x = views[name]
    for axis in (0, 1):
        got = ms.scan(ms.Sum(), x, axis=axis, strategy=strategy)
        np.testing.assert_array_equal(np.array(got), np.cumsum(np.array(x), axis=axis))
    if strategy != "native":
        check_scan(
            AFFINE, [views[name], base[:14, :6] if x.shape == (14, 6) else mx.array(np.array(x))], strategy=strategy
        )


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "blelloch"])
@pytest.mark.parametrize("shape", [(64, 20, 3), (3, 20, 64), (5, 9, 2), (17, 9, 40), (64, 2, 1)])
def test_elements_may_lie_in_memory_in_any_order(shape: tuple[int, ...], strategy: str) -> None:
    """A loop must not take the axis that is innermost in memory for the one that the plan means."""
    for order in permutations(range(3)):
        back = [order.index(i) for i in range(3)]
        leaves = [mx.array(RNG.integers(-2, 3, [shape[i] for i in order])).transpose(*back) for _ in range(2)]
        for axis in range(3):
            check_scan(AFFINE, leaves, axis, strategy=strategy)
            check_scan(AFFINE, [mx.contiguous(leaves[0]), leaves[1]], axis, strategy=strategy)
