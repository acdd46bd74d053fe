"""Real inputs under complex gates: kernels read them as they are, and nothing else changes by it, not a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

RNG = np.random.default_rng(5)
SHAPES = [((40,), 0), ((300, 2), 0), ((2, 40), 1), ((64, 12), 1), ((33, 20), 0), ((3, 17, 300), 1), ((9, 3, 2), 0)]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"reverse": True},
    "exclusive": {"inclusive": False},
    "carry": {"return_carry": True},
    "sequential": {"strategy": "sequential"},
}


def gates(*shape: int) -> mx.array:
    turned = RNG.uniform(0.5, 1, shape) * np.exp(1j * RNG.uniform(-np.pi, np.pi, shape))
    return mx.array(turned.astype(np.complex64))


def inputs(*shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
    return mx.array(RNG.uniform(-3, 3, shape).astype(np.float32)).astype(dtype)


def leaves(tree: Any) -> list[mx.array]:
    return [tree] if isinstance(tree, mx.array) else [x for each in tree for x in leaves(each)]


def same(run: Callable[[mx.array, mx.array], Any], a: mx.array, b: mx.array) -> None:
    """The results are those of inputs that were complex before, bit for bit."""
    for got, want in zip(leaves(run(a, b)), leaves(run(a, b.astype(mx.complex64))), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(np.array(got), np.array(want))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "shape_axis", [pytest.param(x, id=str(x), marks=[pytest.mark.long] * (x not in SHAPES[1:2])) for x in SHAPES]
)
def test_results_are_those_of_complex_inputs(shape_axis: tuple[tuple[int, ...], int], option: str) -> None:
    shape, axis = shape_axis
    a, b = gates(*shape), inputs(*shape)
    same(lambda a, b: ms.scan(ms.Affine(), (a, b), axis=axis, **OPTIONS[option]), a, b)
    if option != "exclusive":
        same(lambda a, b: ms.linear_recurrence(a, b, mx.array(1 - 2j), axis=axis, **OPTIONS[option]), a, b)


@pytest.mark.parametrize("dtype", thinned([mx.int32, mx.float16, mx.bfloat16, mx.uint8], quick=[mx.float16]))
def test_other_real_dtypes_become_real_parts(dtype: mx.Dtype) -> None:
    same(lambda a, b: ms.linear_recurrence(a, b), gates(50, 20), inputs(50, 20, dtype=dtype))


@pytest.mark.parametrize("view", ["transposed", "strided", "broadcast", "reversed"])
def test_views_are_read_as_they_lie(view: str) -> None:
    whole, a = inputs(24, 48), gates(24, 48)
    b = {"transposed": inputs(48, 24).T, "strided": inputs(48, 96)[::2, 1::2], "reversed": whole[::-1, ::-1],
         "broadcast": mx.broadcast_to(whole[:, :1], (24, 48))}[view]  # fmt: skip
    for axis in (0, 1):
        same(lambda a, b, axis=axis: ms.scan(ms.Affine(), (a, b), axis=axis), a, b)


def test_vectors_under_complex_matrices_and_acts() -> None:
    A, b = gates(40, 3, 2, 2), inputs(40, 3, 2)
    same(lambda A, b: ms.scan(ms.MatrixAffine(), (A, b)), A, b)
    same(lambda A, b: ms.act(ms.MatrixAffine(), (A, b)), A, b)
    same(lambda a, b: ms.act(ms.Affine(), (a, b), mx.full((20,), 1j)), gates(40, 20), inputs(40, 20))


def test_kernels_read_them_without_a_copy() -> None:
    plan = ms.explain(ms.Affine(), (gates(40, 20), inputs(40, 20)))
    assert "real<leaf<1, float32, &input::s2>, &input::s3>" in plan.source


def loss(a: mx.array, b: mx.array) -> mx.array:
    h = ms.linear_recurrence(a, b)
    return (mx.square(mx.abs(h)) + mx.real(h * (0.3 - 1j))).sum()


def slope(a: mx.array, b: mx.array) -> mx.array:
    return mx.square(mx.abs(mx.grad(loss)(a, b))).sum()


@pytest.mark.parametrize("shape", [(9,), pytest.param((9, 20), marks=pytest.mark.long)])
@pytest.mark.parametrize("function", [loss, slope])
def test_gradients_are_the_real_parts(function: Callable[..., mx.array], shape: tuple[int, ...]) -> None:
    a, b = gates(*shape), inputs(*shape)
    (da, db), (whole_a, whole_b) = (mx.grad(function, (0, 1))(a, x) for x in (b, b.astype(mx.complex64)))
    assert db.dtype == mx.float32
    np.testing.assert_array_equal(np.array(da), np.array(whole_a))
    np.testing.assert_array_equal(np.array(db), np.array(whole_b).real)


def test_gradients_of_last_states_and_products() -> None:
    a, b = gates(9, 3), inputs(9, 3)
    A, v = gates(6, 2, 2), inputs(6, 2)
    for function, x, y in (
        (lambda a, b: mx.real(ms.fold(ms.Affine(), (a, b))[1] * 2j).sum(), a, b),
        (lambda A, b: mx.real(ms.scan(ms.MatrixAffine(), (A, b))[1] * (1 + 2j)).sum(), A, v),
    ):
        (dx, dy), (whole_x, whole_y) = (mx.grad(function, (0, 1))(x, each) for each in (y, y.astype(mx.complex64)))
        np.testing.assert_array_equal(np.array(dx), np.array(whole_x))
        np.testing.assert_array_equal(np.array(dy), np.array(whole_y).real)


def test_tangents_maps_and_compiled_functions() -> None:
    a, b, da, db = gates(9, 4), inputs(9, 4), gates(9, 4), inputs(9, 4)
    (got,) = mx.jvp(ms.linear_recurrence, [a, b], [da, db])[1]
    (want,) = mx.jvp(ms.linear_recurrence, [a, b.astype(mx.complex64)], [da, db.astype(mx.complex64)])[1]
    np.testing.assert_array_equal(np.array(got), np.array(want))
    same(mx.vmap(lambda a, b: ms.linear_recurrence(a, b), in_axes=1), a, b)
    same(mx.vmap(mx.grad(lambda a, b: mx.real(ms.linear_recurrence(a, b)).sum()), in_axes=1), a, b)
    same(mx.compile(lambda a, b: ms.linear_recurrence(a, b)), a, b)
    same(mx.compile(lambda a, b: ms.linear_recurrence(a, b), shapeless=True), a, b)


def test_compiled_for_every_size() -> None:
    read = []

    def loss(a: mx.array, b: mx.array) -> mx.array:
        plan = ms.explain(ms.Affine(), (a, b), act=True)
        read.append([fused.real for fused in plan.kernels])
        return mx.real(ms.linear_recurrence(a, b) * (1 - 2j)).sum()

    gradient = mx.grad(loss, (0, 1))
    compiled = mx.compile(gradient, shapeless=True)
    for shape in ((9, 40), (21, 40), (30, 7)):
        a, b = gates(*shape), inputs(*shape)
        for got, want in zip(compiled(a, b), gradient(a, b), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-4)
    assert read[0] == [(1,)], "the first call is the trace for every size"
