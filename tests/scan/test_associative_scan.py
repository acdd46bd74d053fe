"""``associative_scan``: the semantics of ``jax.lax.associative_scan``, and the plans of ``scan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.scan.associative import prepare

RNG = np.random.default_rng(5)


class Pair(NamedTuple):
    gate: Any
    value: Any


def by_definition(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool, axis: int) -> Any:
    """JAX's semantics one slice at a time: flip, fold from the left, flip."""
    leaves, structure = tree.flatten(elems)
    n = leaves[0].shape[axis]
    order = range(n - 1, -1, -1) if reverse else range(n)

    def slice_of(t: int) -> Any:
        cut = [mx.take(x, mx.array([t]), axis=axis) for x in leaves]
        return tree.unflatten(structure, cut)

    state, found = None, []
    for t in order:
        state = slice_of(t) if state is None else fn(state, slice_of(t))
        found.append(tree.flatten(state)[0])
    found = found[::-1] if reverse else found
    return tree.unflatten(structure, [mx.concatenate(list(each), axis) for each in zip(*found, strict=True)])


def equal(got: Any, want: Any) -> None:
    (xs, structure), (ys, expected) = tree.flatten(got), tree.flatten(want)
    assert structure == expected
    for x, y in zip(xs, ys, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-5, atol=1e-6)


def whole(*shape: int) -> mx.array:
    return mx.array(RNG.integers(-3, 4, shape))


# ------------------------------------------------------------------- values that JAX is known to give


def test_the_example_of_the_documentation_of_jax() -> None:
    """``lax.associative_scan(jnp.add, jnp.arange(0, 4))`` is ``[0, 1, 3, 6]``."""
    assert ms.associative_scan(mx.add, mx.arange(0, 4)).tolist() == [0, 1, 3, 6]


def test_the_reversed_example_of_the_documentation_of_jax() -> None:
    """``lax.associative_scan(jnp.add, jnp.arange(0, 4), reverse=True)`` is ``[6, 6, 5, 3]``."""
    assert ms.associative_scan(mx.add, mx.arange(0, 4), reverse=True).tolist() == [6, 6, 5, 3]


def test_the_partial_products_of_the_documentation_of_jax() -> None:
    """The documented example of products of random matrices, here of one that can be known."""
    turn = mx.broadcast_to(mx.array([[0, -1], [1, 0]]).astype(mx.float32), (4, 2, 2))
    result = ms.associative_scan(mx.matmul, turn)
    assert result[3].tolist() == [[1, 0], [0, 1]]
    assert result[1].tolist() == [[-1, 0], [0, -1]]


def test_reverse_gives_the_function_the_later_slice_first() -> None:
    """In JAX ``associative_scan(lambda a, b: a, x, reverse=True)`` repeats the last element."""
    x = mx.arange(5)
    assert ms.associative_scan(lambda l, r: l, x, reverse=True).tolist() == [4] * 5
    assert ms.associative_scan(lambda l, r: r, x, reverse=True).tolist() == [0, 1, 2, 3, 4]


def test_argument_order_is_that_of_jax() -> None:
    assert ms.associative_scan(mx.add, mx.arange(3), True, 0).tolist() == [3, 3, 2]


# ------------------------------------------------------------------------------------ semantics


def affine(left: Any, right: Any) -> Any:
    return right[0] * left[0], right[0] * left[1] + right[1]


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_any_axis_forwards_and_reversed(axis: int, reverse: bool) -> None:
    """Reverse with a negative axis is what JAX refuses."""
    x = whole(4, 5, 6)
    equal(ms.associative_scan(mx.add, x, reverse, axis), by_definition(mx.add, x, reverse, axis))
    elems = (whole(4, 5, 6), whole(4, 5, 6))
    equal(ms.associative_scan(affine, elems, reverse, axis), by_definition(affine, elems, reverse, axis))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 8, 17])
def test_any_length(length: int) -> None:
    elems = (whole(length, 3), whole(length, 3))
    got = ms.associative_scan(affine, elems)
    assert [x.shape for x in got] == [(length, 3)] * 2
    if length:
        equal(got, by_definition(affine, elems, False, 0))


@pytest.mark.parametrize(
    "elems",
    [
        (mx.arange(4), mx.ones((4,))),
        [mx.arange(4)],
        {"b": mx.arange(4), "a": mx.ones((4,))},
        Pair(mx.arange(4), mx.ones((4, 2))),
    ],
    ids=["tuple", "list", "dict", "namedtuple"],
)
def test_the_result_has_the_tree_of_the_elements(elems: Any) -> None:
    def add(left: Any, right: Any) -> Any:
        return tree.map_leaves(mx.add, left, right)

    equal(ms.associative_scan(add, elems), by_definition(add, elems, False, 0))


def test_the_function_gets_whole_slices() -> None:
    ranks = set()

    def add(left: mx.array, right: mx.array) -> mx.array:
        ranks.add((left.ndim, right.ndim))
        return left + right

    ms.associative_scan(add, whole(5, 3, 2), axis=1)
    assert ranks == {(3, 3)}


def test_leaves_may_have_several_ranks() -> None:
    elems = (whole(5, 1), whole(5, 3))
    equal(ms.associative_scan(affine, elems), by_definition(affine, elems, False, 0))


def test_a_function_that_mixes_the_batch_runs_on_slices() -> None:
    """Each column learns from all: legal in JAX, and no operator of single elements."""

    def total(left: mx.array, right: mx.array) -> mx.array:
        return mx.maximum(left, left.max(axis=1, keepdims=True) * 0 + right)

    x = whole(9, 4)
    equal(ms.associative_scan(total, x), by_definition(total, x, False, 0))

    def shifted(left: mx.array, right: mx.array) -> mx.array:
        return mx.maximum(
            mx.maximum(left, right), mx.minimum(left, right) * 0 + right.max(axis=1, keepdims=True) * 0 + left
        )

    equal(ms.associative_scan(shifted, x), by_definition(shifted, x, False, 0))


def test_a_product_along_trailing_axes() -> None:
    x = mx.array(RNG.normal(size=(7, 3, 2, 2)).astype(np.float32))
    equal(ms.associative_scan(mx.matmul, x), by_definition(mx.matmul, x, False, 0))
    y = mx.array(RNG.normal(size=(3, 7, 2, 2)).astype(np.float32))
    equal(ms.associative_scan(mx.matmul, y, True, 1), by_definition(mx.matmul, y, True, 1))
    equal(ms.associative_scan(mx.matmul, y, True, -3), by_definition(mx.matmul, y, True, 1))


def test_a_function_with_an_explicit_axis_on_slices() -> None:
    def concatenated(left: mx.array, right: mx.array) -> mx.array:
        return mx.sort(mx.concatenate([left, right], axis=1), axis=1)[:, -3:]

    x = mx.sort(whole(9, 3), axis=1)
    equal(ms.associative_scan(concatenated, x), by_definition(concatenated, x, False, 0))


def test_a_function_that_cannot_be_traced_runs_on_slices() -> None:
    def sorter(left: mx.array, right: mx.array) -> mx.array:
        return mx.maximum(mx.sort(left, axis=-1), mx.sort(right, axis=-1))

    x = whole(17, 4)
    equal(ms.associative_scan(sorter, mx.sort(x, axis=-1)), by_definition(sorter, mx.sort(x, axis=-1), False, 0))


def test_a_constant_of_the_true_width_serves_the_whole_batch() -> None:
    weights = mx.array([1.0, 2.0, 3.0, 4.0, 5.0])
    x = mx.array(RNG.normal(size=(6, 5)).astype(np.float32))

    def cross(left: mx.array, right: mx.array) -> mx.array:
        return left + right + 0.1 * weights * left * right

    equal(ms.associative_scan(cross, x), by_definition(cross, x, False, 0))


def test_halves_accumulate_in_float32_and_round_once() -> None:
    x = mx.ones((3000,), mx.bfloat16)
    result = ms.associative_scan(mx.add, x)
    assert result.dtype == mx.bfloat16
    assert mx.array_equal(result, mx.arange(1, 3001).astype(mx.float32).astype(mx.bfloat16))


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "bool", "float16", "float64"])
def test_dtypes_stay(dtype: str) -> None:
    x = whole(9).astype(getattr(mx, "bool_" if dtype == "bool" else dtype))
    result = ms.associative_scan(mx.maximum, x)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(
        np.array(result.astype(mx.float32)), np.maximum.accumulate(np.array(x.astype(mx.float32)))
    )


def test_axes_of_size_zero() -> None:
    assert ms.associative_scan(mx.add, mx.zeros((4, 0, 2))).shape == (4, 0, 2)
    assert ms.associative_scan(mx.add, mx.zeros((4, 0, 2)), axis=1).shape == (4, 0, 2)


def test_an_element_wise_function_gets_the_bits_of_the_equal_operator() -> None:
    elems = tuple(mx.array(RNG.normal(size=(65, 3)).astype(np.float32)) for _ in range(2))
    operator = ms.monoid(affine)
    for got, want in zip(ms.associative_scan(affine, elems), ms.scan(operator, elems), strict=True):
        assert mx.array_equal(got, want)


def test_elements_need_not_be_contiguous() -> None:
    base = whole(10, 6)
    for x in (base.T, base[::2, ::3], base[::-1, ::-1], mx.broadcast_to(base[:, :1], (10, 6))):
        for axis in (0, 1):
            equal(ms.associative_scan(mx.add, x, axis=axis), by_definition(mx.add, x, False, axis))


def test_what_the_function_captures_is_read_at_every_call() -> None:
    x, rate = mx.array([1.0, 2.0, 3.0]), 0.5

    def cross(left: mx.array, right: mx.array) -> mx.array:
        return left + right + rate * left * right

    assert ms.associative_scan(cross, x)[1].item() == 4
    rate = 1.0
    assert ms.associative_scan(cross, x)[1].item() == 5


@pytest.mark.parametrize("axis", [0, 1])
def test_functions_of_wide_elements_have_the_kernel_of_the_equal_operator(axis: int) -> None:
    rng = np.random.default_rng(0)
    x = mx.array((rng.normal(size=(6, 4, 9, 9)) / 3).astype(np.float32))

    def product(left: mx.array, right: mx.array) -> mx.array:
        return left @ right

    plan, _, _ = prepare(product, x, False, axis)
    assert plan.strategy == "kernel"
    assert plan.problem.program is None
    found, expected = ms.associative_scan(product, x, axis=axis), ms.scan(ms.MatMul(), x, axis=axis)
    assert np.array_equal(np.array(found), np.array(expected))
    back = ms.associative_scan(product, x, reverse=True, axis=axis)
    assert np.array_equal(np.array(back), np.array(ms.scan(ms.MatMul(), x, axis=axis, reverse=True)))


def test_functions_that_look_at_other_rows_of_wide_elements_run_as_they_stand() -> None:
    def mixed(left: mx.array, right: mx.array) -> mx.array:
        return left + right - right.mean(axis=0, keepdims=True)

    plan, _, _ = prepare(mixed, mx.zeros((3, 5, 9, 9)), False, 1)
    assert plan.strategy != "kernel"
