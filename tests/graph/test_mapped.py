"""A function of one element on arrays of elements: axes that are mapped, that broadcast, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import errors, mapped, tree
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.strategies.combine import (
    by_lanes,
    by_slices,
    by_vmap,
    join_lanes,
    on_lanes,
    on_leaves,
    split_lanes,
    trim,
)
from monoscan.lowering.strategies.slices import Combine, Leaves
from monoscan.lowering.trace.combine import trace_combine
from monoscan.lowering.trace.reads.captures import capture

RNG = np.random.default_rng(11)


def floats(*shape: int) -> mx.array:
    return mx.array(RNG.normal(size=shape).astype(np.float32))


def same(got: mx.array, want: Any) -> None:
    assert tuple(got.shape) == np.shape(want)
    np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-5, atol=1e-6)


def product(x: mx.array, y: mx.array) -> list[mx.array]:
    """Of a matrix and a vector, and the vector again; each is one element."""
    assert (x.ndim, y.ndim) == (2, 1)
    return [x @ y, y * 2]


@pytest.mark.parametrize("run", [mapped.run, mapped.ruled])
@pytest.mark.parametrize(
    ("left", "right"),
    [((), ()), ((4,), (4,)), ((4, 3), (4, 3)), ((4, 1), (1, 3)), ((1, 3), (4, 1)), ((1, 1), (1, 1)), ((4, 3), (1, 1))],
)
def test_axes_in_front_broadcast(run: Callable[..., Leaves], left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = floats(*left, 2, 2), floats(*right, 2)
    lead = np.broadcast_shapes(left, right)
    first, second = run(product, [x, y], len(left))
    same(first, np.broadcast_to(np.einsum("...ij,...j->...i", np.array(x), np.array(y)), (*lead, 2)))
    same(second, np.broadcast_to(2 * np.array(y), (*lead, 2)))


def test_whole_numbers_are_mapped_along_every_axis() -> None:
    """MLX's bit operations under ``mx.vmap`` need it."""
    seen: list[tuple[int, ...]] = []

    def either(x: mx.array, y: mx.array) -> list[mx.array]:
        seen.append((x.ndim, y.ndim))
        return [x | y]

    x, y = RNG.integers(0, 99, (4, 1, 2)), RNG.integers(0, 99, (1, 3, 2))
    (got,) = mapped.run(either, [mx.array(x), mx.array(y)], 2)
    np.testing.assert_array_equal(np.array(got), x | y)
    assert seen == [(1, 1)]


@pytest.mark.parametrize(
    ("dtype", "whole"),
    [("bool", True), ("int8", True), ("uint64", True), ("float16", False), ("float64", False), ("complex64", False)],
)
def test_which_dtypes_are_mapped_whole(dtype: str, whole: bool) -> None:
    assert mapped.whole(dtype) is whole


# ------------------------------------------------------------- functions with derivatives of their own


@mx.custom_function
def tripled(x: mx.array) -> mx.array:
    """The identity, whose derivative its author calls 3."""
    return x * 1.0


@tripled.vjp
def tripled_vjp(primals: Any, cotangents: Any, _: Any) -> Any:
    return 3 * cotangents


@tripled.jvp
def tripled_jvp(primals: Any, tangents: Any) -> Any:
    return 3 * (tangents[0] if isinstance(tangents, (list, tuple)) else tangents)


def scaled(x: mx.array, k: mx.array, y: mx.array) -> list[mx.array]:
    assert (x.ndim, k.ndim, y.ndim) == (0, 0, 0)
    return [tripled(x) * y * k]


X, K, Y = floats(4, 1), mx.array([[2], [3], [1], [2]]), floats(1, 3)


def total(x: mx.array, y: mx.array) -> mx.array:
    return mapped.ruled(scaled, [x, K, y], 2)[0].sum()


def test_a_derivative_of_ones_own_is_used_for_each_element() -> None:
    x, k, y = (np.array(each, np.float64) for each in (X, K, Y))
    dx, dy = mx.grad(total, argnums=(0, 1))(X, Y)
    same(dx, 3 * k * y.sum())
    same(dy, (x * k).sum(0, keepdims=True) * np.ones((1, 3)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_is_the_same_for_all_gets_the_sum_of_all_gradients(size: int) -> None:
    x, y = floats(size, 1), floats(1, size)
    both = lambda x, y: mapped.ruled(lambda x, y: [tripled(x) * y], [x, y], 2)[0].sum()  # noqa: E731
    dx, dy = mx.grad(both, argnums=(0, 1))(x, y)
    same(dx, np.full((size, 1), 3 * np.array(y).sum()))
    same(dy, np.full((1, size), np.array(x).sum()))


def test_its_tangent_is_used_too() -> None:
    x, k, y = (np.array(each, np.float64) for each in (X, K, Y))
    _, (moved,) = mx.jvp(lambda x: mapped.ruled(scaled, [x, K, Y], 2)[0], [X], [mx.ones_like(X)])
    same(moved, 3 * k * y * np.ones_like(x))


def test_it_maps_over_an_axis_of_its_own() -> None:
    many = mx.stack([X, 2 * X, 3 * X], axis=1)
    got = mx.vmap(lambda x: mx.grad(total)(x, Y), in_axes=1)(many)
    same(got, np.stack([np.array(mx.grad(total)(i * X, Y)) for i in (1, 2, 3)]))
    values = mx.vmap(lambda x: mapped.ruled(scaled, [x, K, Y], 2)[0], in_axes=1)(many)
    same(values, np.stack([i * np.array(X * K * Y) for i in (1, 2, 3)]))


def test_whole_numbers_have_no_gradient() -> None:
    _, (dk,) = mx.vjp(lambda k: mapped.ruled(scaled, [X, k, Y], 2)[0], [K], [mx.ones((4, 3))])
    assert not mx.any(dk).item()


def test_a_checkpoint_within_is_told_the_way_out() -> None:
    def kept(x: mx.array) -> list[mx.array]:
        return [mx.checkpoint(lambda x: mx.sin(tripled(x)))(x)]

    with pytest.raises(errors.TraceError, match="Leave the checkpoint out"):
        mx.grad(lambda x: mapped.ruled(kept, [x], 1)[0].sum())(floats(4))


def test_other_errors_of_a_function_pass() -> None:
    def broken(primals: Any, cotangents: Any, _: Any) -> Any:
        raise ValueError("mine")

    @mx.custom_function
    def breaks(x: mx.array) -> mx.array:
        return x * 1.0

    breaks.vjp(broken)
    with pytest.raises(ValueError, match="mine"):
        mx.grad(lambda x: mapped.ruled(lambda x: [breaks(x)], [x], 1)[0].sum())(floats(4))


@pytest.mark.parametrize(("axis", "shape"), [(0, (2, 3)), (1, (3, 2)), (None, (1, 2, 3)), (-1, (1, 2, 3))])
def test_mapped_axes_come_first_and_others_are_of_size_one(axis: int | None, shape: tuple[int, ...]) -> None:
    (got,) = mapped.to_front([mx.zeros((2, 3))], [axis])
    assert got.shape == shape


# ------------------------------------------------------------------------------- leaves and lanes

EVENTS = ((), (2,), (2, 3), (1,))


def test_lanes_are_the_items_of_events_in_order() -> None:
    leaves = [floats(5, 4), floats(5, 4, 2), floats(5, 4, 2, 3), floats(5, 4, 1)]
    lanes = split_lanes(leaves, EVENTS)
    assert [lane.shape for lane in lanes] == [(5, 4)] * 10
    assert mx.array_equal(lanes[0], leaves[0])
    assert mx.array_equal(lanes[2], leaves[1][..., 1])
    assert mx.array_equal(lanes[3 + 4], leaves[2][..., 1, 1])
    for back, leaf in zip(join_lanes(lanes, EVENTS), leaves, strict=True):
        assert mx.array_equal(back, leaf)


def test_a_combine_of_leaves_is_one_of_lanes_and_back() -> None:
    def minus(left: Leaves, right: Leaves) -> Leaves:
        return [2 * a - b for a, b in zip(left, right, strict=True)]

    left, right = ([floats(3), floats(3, 2), floats(3, 2, 3), floats(3, 1)] for _ in range(2))
    for make, given in ((on_lanes, lambda x: x), (on_leaves, lambda x: split_lanes(x, EVENTS))):
        combine: Combine = make(minus, EVENTS)
        for got, want in zip(combine(given(left), given(right)), given(minus(left, right)), strict=True):
            assert mx.array_equal(got, want)


def test_rows_that_are_all_the_same_are_cut_off() -> None:
    wide = mx.broadcast_to(floats(4, 1), (4, 3))
    assert mx.array_equal(trim(wide, (4, 1)), wide[:, :1])
    assert trim(wide, (4, 3)) is wide


# ------------------------------------------------------------------- functions of slices and elements


@pytest.mark.parametrize("wrong", [lambda x: x[:1], lambda x: x.astype(mx.float16), lambda x: 1.0, lambda x: x[None]])
def test_a_function_of_slices_must_return_slices(wrong: Callable[[mx.array], Any]) -> None:
    combine = by_slices(ms.monoid(lambda l, r: wrong(l + r), name="mine"), tree.LEAF)
    with pytest.raises(
        ms.ScanError, match=r"mine must return slices like those it gets; leaf 0 should be float32\(4, 3\)"
    ):
        combine([floats(4, 1)], [floats(4, 3)])


def test_a_lane_that_depends_on_no_element_is_one_for_each() -> None:
    """Of a constant, of a captured number, and of one of two operands that broadcast."""
    rate = mx.array(0.5)
    operator = ms.monoid(lambda l, r: (l[0] * 0 + 1, rate * 1.0, r[2], l[3] + r[3]))
    leaves = (Leaf("float32"),) * 4
    _, structure = tree.flatten(leaves)
    found = trace_combine(operator, structure, leaves, capture(operator))
    assert found.program is not None
    left, right = [floats(5, 1) for _ in range(4)], [floats(5, 3) for _ in range(4)]
    got = by_lanes(found.program, [rate])(left, right)
    assert [y.shape for y in got] == [(5, 3)] * 4
    same(got[1], np.full((5, 3), 0.5))
    same(got[2], np.array(right[2]))


def test_leaves_of_several_numbers_of_axes_go_to_the_operands_in_order() -> None:
    operator = ms.monoid(lambda l, r: (l[0] - 2 * r[0], l[1] - 2 * r[1], l[2] - 2 * r[2]))
    structure = tree.flatten((0, 0, 0))[1]
    left, right = [floats(4, 3) for _ in range(3)], [floats(4, 3) for _ in range(3)]
    for got, a, b in zip(by_vmap(lambda _: operator, structure, [], [()] * 3)(left, right), left, right, strict=True):
        same(got, np.array(a) - 2 * np.array(b))


def test_a_function_of_slices_gets_them_whole() -> None:
    x, y = floats(4, 1), floats(4, 3)
    (got,) = by_slices(ms.monoid(lambda l, r: l * 2 + r), tree.LEAF)([x], [y])
    same(got, 2 * np.array(x) + np.array(y))


@pytest.mark.parametrize("shared", [0, 1])
def test_captured_arrays_are_the_same_for_all_elements_or_one_a_row(shared: int) -> None:
    """``shared`` counts the batch axes of what is captured, which stand before its own."""
    rates = floats(3, 2) if shared else floats(2)
    combine = by_vmap(lambda held: ms.monoid(lambda l, r: l * held[0] + r), tree.LEAF, [rates], [(2,)], shared=shared)
    x, y = floats(5, 3, 2), floats(5, 3, 2)
    (got,) = combine([x], [y])
    same(got, np.array(x) * np.array(rates) + np.array(y))


@pytest.mark.parametrize("own_rules", [False, True])
def test_derivatives_of_ones_own_are_kept_where_they_are_known(own_rules: bool) -> None:
    combine = by_vmap(lambda _: ms.monoid(lambda l, r: tripled(l) + r), tree.LEAF, [], [()], own_rules=own_rules)
    slope = mx.grad(lambda x: combine([x], [x])[0].sum())(floats(4))
    same(slope, np.full(4, 4.0 if own_rules else 2.0))  # mx.vmap drops them


def test_they_are_lost_where_nobody_said_that_there_are_any() -> None:
    combine = by_vmap(lambda _: ms.monoid(lambda l, r: tripled(l) + r), tree.LEAF, [], [()])
    same(mx.grad(lambda x: combine([x], [x])[0].sum())(floats(4)), np.full(4, 2.0))
