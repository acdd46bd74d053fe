"""Scans inside mx.compile, mx.grad and the rest, and the gradients of captured arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from recurrence import RNG, close, normal, recurrence
from support import PORTABLE, STRATEGIES

import monoscan as ms

RUNS = ["auto", *PORTABLE]


def scanned(strategy: str) -> Callable[[mx.array, mx.array], mx.array]:
    return lambda a, b: ms.scan(ms.Affine(), (a, b), strategy=strategy)[1]


# ------------------------------------------------------------------------------------ transforms


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_compile_changes_nothing(strategy: str) -> None:
    x = normal(9, 3)
    for reverse in (False, True):
        run = functools.partial(ms.scan, ms.Sum(), reverse=reverse, return_carry=True, strategy=strategy)
        for got, want in zip(mx.compile(run)(x), run(x), strict=True):
            close(got, want)


@pytest.mark.parametrize("strategy", RUNS)
def test_compile_traces_anew_for_another_length(strategy: str) -> None:
    run = mx.compile(scanned(strategy))
    for n in (9, 4, 17, 1):
        a, b = normal(n), normal(n)
        close(run(a, b), recurrence(a, b))


@pytest.mark.parametrize("operator", [ms.Sum(), ms.Product(), ms.Max(), ms.Min(), ms.LogSumExp()], ids=lambda m: m.name)
def test_native_plans_compile_shapeless(operator: ms.Monoid) -> None:
    run = mx.compile(lambda x: ms.scan(operator, x, strategy="native"), shapeless=True)
    for n in (8, 13, 2):
        x = normal(n)
        close(run(x), ms.scan(operator, x, strategy="native"))


def test_kernel_plans_compile_shapeless() -> None:
    a, b = normal(8), normal(8)
    if ms.explain(ms.Affine(), (a, b)).strategy != "kernel":
        pytest.skip("no kernels on this machine")
    run = mx.compile(scanned("kernel"), shapeless=True)
    for n in (8, 13, 2):
        a, b = normal(n), normal(n)
        close(run(a, b), recurrence(a, b))


@pytest.mark.parametrize("strategy", RUNS)
def test_grad_is_that_of_the_recurrence(strategy: str) -> None:
    a, b, weights = normal(9, 2), normal(9, 2), normal(9, 2)
    got = mx.grad(lambda *args: (scanned(strategy)(*args) * weights).sum(), argnums=(0, 1))(a, b)
    want = mx.grad(lambda *args: (recurrence(*args) * weights).sum(), argnums=(0, 1))(a, b)
    for x, y in zip(got, want, strict=True):
        close(x, y)


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_grad_reaches_elements_init_and_carry_under_all_options(reverse: bool, inclusive: bool, strategy: str) -> None:
    a, b, h0, weights = normal(7), normal(7), normal(), normal(8)

    def loss(a: mx.array, b: mx.array, h0: mx.array) -> mx.array:
        (_, h), (_, last) = ms.scan(
            ms.Affine(),
            (a, b),
            init=(mx.array(1.0), h0),
            reverse=reverse,
            inclusive=inclusive,
            return_carry=True,
            strategy=strategy,
        )
        return (h * weights[:7]).sum() + last * weights[7]

    def by_hand(a: mx.array, b: mx.array, h0: mx.array) -> mx.array:
        h, total = h0, mx.array(0.0)
        for t in range(6, -1, -1) if reverse else range(7):
            before, h = h, a[t] * h + b[t]
            total = total + weights[t] * (h if inclusive else before)
        return total + h * weights[7]

    for x, y in zip(mx.grad(loss, (0, 1, 2))(a, b, h0), mx.grad(by_hand, (0, 1, 2))(a, b, h0), strict=True):
        close(x, y)


@pytest.mark.parametrize("strategy", RUNS)
def test_grad_sums_over_broadcast_batch_axes(strategy: str) -> None:
    a, b = normal(6, 2), normal(6, 3, 1)
    got = mx.grad(lambda *args: (scanned(strategy)(*args) ** 2).sum(), argnums=(0, 1))(a, b)
    wide = mx.broadcast_to(a[:, None], (6, 3, 2)), mx.broadcast_to(b, (6, 3, 2))
    want = mx.grad(lambda *args: (recurrence(*args) ** 2).sum(), argnums=(0, 1))(*wide)
    close(got[0], want[0].sum(1))
    close(got[1], want[1].sum(2, keepdims=True))


@pytest.mark.parametrize("strategy", RUNS)
def test_fold_differentiates(strategy: str) -> None:
    a, b = normal(9), normal(9)
    got = mx.grad(lambda *args: ms.fold(ms.Affine(), args, strategy=strategy)[1], argnums=(0, 1))(a, b)
    want = mx.grad(lambda *args: recurrence(*args)[-1], argnums=(0, 1))(a, b)
    for x, y in zip(got, want, strict=True):
        close(x, y)


@pytest.mark.parametrize("strategy", RUNS)
def test_value_and_grad_gives_both(strategy: str) -> None:
    a, b = normal(9), normal(9)
    value, grad = mx.value_and_grad(lambda b: (scanned(strategy)(a, b) ** 2).sum())(b)
    want, want_grad = mx.value_and_grad(lambda b: (recurrence(a, b) ** 2).sum())(b)
    close(value, want)
    close(grad, want_grad)


@pytest.mark.parametrize("strategy", RUNS)
def test_vjp_and_jvp_are_transposes_of_one_another(strategy: str) -> None:
    a, b, u, v, w = (normal(9) for _ in range(5))
    _, (forward,) = mx.jvp(scanned(strategy), (a, b), (u, v))
    _, want = mx.jvp(recurrence, (a, b), (u, v))
    close(forward, want[0])
    _, (to_a, to_b) = mx.vjp(scanned(strategy), (a, b), (w,))
    close((forward * w).sum(), (to_a * u).sum() + (to_b * v).sum())


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("in_axis", [0, 1, -1])
def test_vmap_maps_the_scan(in_axis: int, strategy: str) -> None:
    a, b = normal(5, 5), normal(5, 5)
    got = mx.vmap(scanned(strategy), in_axes=in_axis)(a, b)
    rows = [(a[i], b[i]) if in_axis == 0 else (a[:, i], b[:, i]) for i in range(5)]
    close(got, mx.stack([recurrence(*row) for row in rows]))


@pytest.mark.parametrize("strategy", RUNS)
def test_vmap_may_leave_a_leaf_unmapped(strategy: str) -> None:
    a, b = normal(6), normal(4, 6)
    got = mx.vmap(scanned(strategy), in_axes=(None, 0))(a, b)
    close(got, mx.stack([recurrence(a, b[i]) for i in range(4)]))


@pytest.mark.parametrize("strategy", RUNS)
def test_vmap_of_grad_of_compile_and_the_other_way_round(strategy: str) -> None:
    a, b = normal(3, 6), normal(3, 6)

    def loss(a: mx.array, b: mx.array) -> mx.array:
        return (scanned(strategy)(a, b) ** 2).sum()

    want = mx.stack([mx.grad(lambda a, b: (recurrence(a, b) ** 2).sum())(a[i], b[i]) for i in range(3)])
    close(mx.vmap(mx.grad(loss))(a, b), want)
    close(mx.compile(mx.vmap(mx.grad(loss)))(a, b), want)
    close(mx.grad(lambda a: mx.vmap(loss)(a, b).sum())(a), want)
    close(mx.grad(lambda a: mx.compile(mx.vmap(loss))(a, b).sum())(a), want)


@pytest.mark.parametrize("strategy", RUNS)
def test_the_gradient_of_a_gradient_is_right(strategy: str) -> None:
    a, b = normal(5), normal(5)

    def curvature(states: Any) -> mx.array:
        slope = mx.grad(lambda a: (states(a, b) ** 2).sum())
        return mx.grad(lambda a: (slope(a) ** 2).sum())(a)

    np.testing.assert_allclose(
        np.array(curvature(scanned(strategy))), np.array(curvature(recurrence)), rtol=2e-3, atol=1e-3
    )


@pytest.mark.parametrize("strategy", RUNS)
def test_gradients_of_matrices_reach_every_leaf(strategy: str) -> None:
    a, b = normal(5, 2, 2), normal(5, 2)

    def by_hand(a: mx.array, b: mx.array) -> mx.array:
        h, total = mx.zeros((2,)), mx.array(0.0)
        for t in range(5):
            h = a[t] @ h + b[t]
            total = total + (h * h).sum()
        return total

    got = mx.grad(lambda *x: (ms.scan(ms.MatrixAffine(), x, strategy=strategy)[1] ** 2).sum(), argnums=(0, 1))(a, b)
    for x, y in zip(got, mx.grad(by_hand, argnums=(0, 1))(a, b), strict=True):
        close(x, y)


@pytest.mark.parametrize("strategy", [s for s in RUNS if s != "blelloch"])
def test_gradients_pass_operators_that_cannot_be_traced(strategy: str) -> None:
    x = mx.array(np.sort(RNG.normal(size=(6, 2)), axis=-1).astype(np.float32))
    largest = ms.monoid(lambda l, r: mx.sort(mx.concatenate([l, r]))[-2:], event=1)
    grad = mx.grad(lambda x: ms.fold(largest, x, strategy=strategy).sum())(x)
    order = np.argsort(np.array(x).ravel())[-2:]
    assert sorted(np.flatnonzero(np.array(grad)).tolist()) == sorted(order.tolist())


def test_segmented_exclusive_passes_no_gradient_over_a_head() -> None:
    flags, x = mx.array([True, False, True, False]), mx.array([1.0, 2.0, 3.0, 4.0])

    def total(x: mx.array) -> mx.array:
        return ms.scan(ms.Segmented(ms.Sum()), (flags, x), inclusive=False)[1].sum()

    assert mx.grad(total)(x).tolist() == [1, 0, 1, 0]
