"""Scans of complex numbers: the fold in order in complex128, by every strategy and loop, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

import monoscan as ms

Array = npt.NDArray[Any]
STRATEGIES = ("auto", "sequential", "blelloch", "hillis_steele", "brent_kung")
SHAPES = [((40,), 0), ((300, 2), 0), ((2, 40), 1), ((33, 20), 0), ((3, 17, 300), 1), ((5, 1, 3), 0)]
RNG = np.random.default_rng(8)


def complexes(*shape: int, size: float = 0.8) -> mx.array:
    phases = np.exp(1j * RNG.uniform(-np.pi, np.pi, shape))
    return mx.array((size * RNG.uniform(0.5, 1.2, shape) * phases).astype(np.complex64))


def reals(*shape: int) -> mx.array:
    return mx.array(RNG.uniform(0.3, 1, shape).astype(np.float32))


def affine(a: mx.array, b: mx.array, axis: int, start: complex = 0) -> tuple[Array, Array]:
    """Products of gates and states, one step after the other."""
    gates, inputs = (np.moveaxis(np.array(x).astype(np.complex128), axis, 0) for x in (a, b))
    decay, h = np.ones_like(gates[0]), np.full_like(inputs[0] * gates[0], start)
    rows = []
    for gate, given in zip(gates, inputs, strict=True):
        decay, h = gate * decay, gate * h + given
        rows.append((decay, h))
    return tuple(np.moveaxis(np.stack(each), 0, axis) for each in zip(*rows, strict=True))  # type: ignore[return-value]


def close(got: mx.array, want: Array, rtol: float = 2e-5) -> None:
    np.testing.assert_allclose(np.array(got), want, rtol=rtol, atol=rtol)


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_a_recurrence(shape: tuple[int, ...], axis: int, strategy: str) -> None:
    a, b = complexes(*shape), complexes(*shape)
    want = affine(a, b, axis)
    for got, expected in zip(ms.scan(ms.Affine(), (a, b), axis=axis, strategy=strategy), want, strict=True):
        assert got.dtype == mx.complex64
        close(got, expected)
    close(ms.linear_recurrence(a, b, mx.array(1 - 2j), axis=axis, strategy=strategy), affine(a, b, axis, 1 - 2j)[1])


@pytest.mark.long
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_every_shape_has_a_kernel_and_its_order_is_that_of_the_fold(shape: tuple[int, ...], axis: int) -> None:
    a, b = complexes(*shape), complexes(*shape)
    plan = ms.explain(ms.Affine(), (a, b), axis=axis)
    assert plan.strategy == "kernel"
    assert "complex" not in plan.source
    flipped = tuple(x[::-1] if axis == 0 else x[:, ::-1] for x in (a, b))
    want = affine(*flipped, axis)[1]
    close(ms.linear_recurrence(a, b, axis=axis, reverse=True), np.flip(want, axis))
    before = ms.scan(ms.Affine(), (a, b), axis=axis, inclusive=False)
    for y, neutral in zip(before, (1, 0), strict=True):
        np.testing.assert_array_equal(np.take(np.array(y), 0, axis), neutral)
    close(np.moveaxis(np.array(before[1]), axis, 0)[1:], np.moveaxis(affine(a, b, axis)[1], axis, 0)[:-1])


@pytest.mark.parametrize("view", ["transposed", "strided", "broadcast", "reversed"])
def test_views_are_read_as_they_lie(view: str) -> None:
    whole = complexes(24, 48)
    x = {"transposed": whole.T, "strided": whole[::2, 1::3], "broadcast": mx.broadcast_to(whole[:, :1], (24, 9)),
         "reversed": whole[::-1, ::-1]}[view]  # fmt: skip
    for axis in (0, 1):
        want = np.cumprod(np.array(x).astype(np.complex128), axis)
        np.testing.assert_allclose(np.array(ms.scan(ms.Product(), x, axis=axis)), want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", ["auto", "blelloch"])
def test_real_gates_stay_real_and_real_inputs_become_complex(strategy: str) -> None:
    gate, z = reals(50, 3), complexes(50, 3)
    decay, h = ms.scan(ms.Affine(), (gate, z), strategy=strategy)
    assert (decay.dtype, h.dtype) == (mx.float32, mx.complex64)
    close(h, affine(gate, z, 0)[1])
    decay, h = ms.scan(ms.Affine(), (z, gate), strategy=strategy)
    assert (decay.dtype, h.dtype) == (mx.complex64, mx.complex64)
    close(h, affine(z, gate, 0)[1])
    close(ms.linear_recurrence(z, mx.ones((50, 3), mx.int32), strategy=strategy), affine(z, mx.ones((50, 3)), 0)[1])
    A, b = complexes(9, 2, 2), reals(9, 2)
    assert ms.scan(ms.MatrixAffine(), (A, b), strategy=strategy)[1].dtype == mx.complex64


def test_a_real_gate_has_one_lane() -> None:
    program = ms.explain(ms.Affine(), (reals(5), complexes(5))).problem.program
    assert program is not None
    assert [leaf.shape for leaf in program.outputs] == [(), (2,)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_running_means(strategy: str) -> None:
    mean, x = ms.Mean(), complexes(70, 2)
    got = mean.project(ms.scan(mean, mean.embed(x), strategy=strategy))
    steps = np.arange(1, 71)[:, None]
    close(got, np.cumsum(np.array(x).astype(np.complex128), 0) / steps)
    weights = reals(70, 2)
    total = mean.project(ms.fold(mean, mean.embed(x, weights), strategy=strategy))
    close(total, np.average(np.array(x).astype(np.complex128), 0, np.array(weights)))


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sums_products_and_folds_with_a_carry(strategy: str) -> None:
    x = complexes(37, 5, size=1)
    wide = np.array(x).astype(np.complex128)
    for operator, ufunc in ((ms.Sum(), np.add), (ms.Product(), np.multiply)):
        y, carry = ms.scan(operator, x, return_carry=True, strategy=strategy)
        close(y, ufunc.accumulate(wide, 0))
        close(carry, ufunc.reduce(wide, 0))
        close(ms.fold(operator, x, strategy=strategy), ufunc.reduce(wide, 0))
        close(
            ms.scan(operator, x, init=2j, strategy=strategy),
            ufunc.accumulate(np.vstack([0 * wide[:1] + 2j, wide]), 0)[1:],
        )


def test_scans_of_parts_are_the_scan_of_the_whole() -> None:
    a, b = complexes(60), complexes(60)
    whole = ms.scan(ms.Affine(), (a, b))
    _, carry = ms.scan(ms.Affine(), (a[:25], b[:25]), return_carry=True)
    rest = ms.scan(ms.Affine(), (a[25:], b[25:]), init=carry)
    for x, y in zip(whole, rest, strict=True):
        close(y, np.array(x[25:]))


def turned(left: Any, right: Any) -> Any:
    """Twist-and-add: every function of a pair in one combine."""
    (p, x), (q, y) = left, right
    return p * q, mx.where(mx.real(q) > 0, x, mx.conj(x)) * mx.exp(1j * mx.imag(q)) + y / (1 + mx.abs(q))


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "sequential", "brent_kung"])
def test_captured_arrays_and_constants_may_be_complex(strategy: str) -> None:
    factor, x = mx.array(0.6 + 0.7j), complexes(31, size=1)
    exact, steps = np.complex128(factor.item()), np.arange(31)
    scaled = ms.monoid(lambda l, r: l * r / factor * 1j, name="scaled")
    want = np.cumprod(np.array(x).astype(np.complex128)) * (1j / exact) ** steps
    np.testing.assert_allclose(np.array(ms.scan(scaled, x, strategy=strategy)), want, rtol=1e-4)

    def last(f: mx.array) -> mx.array:
        return mx.real(ms.fold(ms.monoid(lambda l, r: l * r * f, name="times"), x[:4], strategy=strategy))

    slope = mx.grad(last)(factor)
    product = np.prod(np.array(x[:4]).astype(np.complex128))
    close(slope, np.conj(3 * product * exact**2), 1e-4)


def test_functions_of_all_kinds_run_in_order_as_mlx_runs_them() -> None:
    p, x = complexes(25, 3, size=1), complexes(25, 3)
    got = ms.scan(ms.monoid(turned), (p, x), strategy="sequential")
    state = (p[0], x[0])
    for t in range(1, 25):
        state = turned(state, (p[t], x[t]))
        for y, expected in zip(got, state, strict=True):
            close(y[t], np.array(expected), 1e-4)


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele"])
def test_combinators_of_complex_operators(strategy: str) -> None:
    a, b = complexes(12), complexes(12)
    heads = mx.array([i in (0, 5, 9) for i in range(12)])
    _, (_, h) = ms.scan(ms.Segmented(ms.Affine()), (heads, (a, b)), strategy=strategy)
    want = np.concatenate([affine(a[i:j], b[i:j], 0)[1] for i, j in ((0, 5), (5, 9), (9, 12))])
    close(h, want)
    _, (_, before) = ms.scan(ms.Segmented(ms.Affine()), (heads, (a, b)), inclusive=False, strategy=strategy)
    close(before, np.array([0 if i in (0, 5, 9) else want[i - 1] for i in range(12)]))
    total, product = ms.scan(ms.Tuple(ms.Sum(), ms.Product()), (a, b), strategy=strategy)
    close(total, np.cumsum(np.array(a)))
    close(product, np.cumprod(np.array(b)))
    assert ms.scan(ms.Maybe(ms.Product()), (heads, a), strategy=strategy)[1].dtype == mx.complex64
    matrices = complexes(6, 2, 2)
    flipped = ms.scan(ms.Dual(ms.MatMul()), matrices, strategy=strategy)
    close(flipped[1], np.array(matrices[1]) @ np.array(matrices[0]))


# ---------------------------------------------------------------------------------------- transforms


def recurrence(a: mx.array, b: mx.array) -> mx.array:
    """The same in MLX's own operations."""
    h, rows = mx.zeros_like(b[0]), []
    for t in range(a.shape[0]):
        h = a[t] * h + b[t]
        rows.append(h)
    return mx.stack(rows)


def loss_of(run: Callable[..., mx.array]) -> Callable[..., mx.array]:
    return lambda a, b: (mx.square(mx.abs(run(a, b))) + mx.real(run(a, b) * (0.3 - 1j))).sum()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "columns", [(), (20,), *(pytest.param(each, marks=pytest.mark.long) for each in ((3,), (70,)))]
)
def test_gradients_are_those_of_mlx_and_so_are_second_ones(columns: tuple[int, ...], strategy: str) -> None:
    a, b = complexes(9, *columns), complexes(9, *columns)
    ours = loss_of(lambda a, b: ms.linear_recurrence(a, b, strategy=strategy))
    for got, want in zip(mx.grad(ours, (0, 1))(a, b), mx.grad(loss_of(recurrence), (0, 1))(a, b), strict=True):
        assert got.dtype == mx.complex64
        close(got, np.array(want), 1e-4)

    def second(loss: Callable[..., mx.array]) -> Callable[..., mx.array]:
        return lambda a, b: mx.square(mx.abs(mx.grad(loss)(a, b))).sum()

    for argument in (0, 1):
        got, want = (mx.grad(second(loss), argument)(a, b) for loss in (ours, loss_of(recurrence)))
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-3, atol=1e-3 * float(mx.abs(want).max()))


def test_gradients_of_real_gates_and_inputs_are_real() -> None:
    gate, z = reals(9, 2), complexes(9, 2)
    for args in ((gate, z), (z, gate)):
        ours, theirs = (mx.grad(loss_of(run), (0, 1))(*args) for run in (ms.linear_recurrence, recurrence))
        for x, got, want in zip(args, ours, theirs, strict=True):
            assert got.dtype == x.dtype
            close(got, np.array(want), 1e-4)


def test_tangents_are_those_of_mlx() -> None:
    a, b, da, db = (complexes(9, 2) for _ in range(4))
    for got, want in zip(*(mx.jvp(run, [a, b], [da, db]) for run in (ms.linear_recurrence, recurrence)), strict=True):
        close(got[0], np.array(want[0]), 1e-4)


def test_vmap_compile_and_shapeless_compile() -> None:
    a, b = complexes(9, 4), complexes(9, 4)
    want = np.array(ms.linear_recurrence(a, b))
    for axis in (0, 1):
        mapped = mx.vmap(ms.linear_recurrence, in_axes=(1, 1), out_axes=axis)(a, b)
        close(mapped, want if axis else want.T)
    close(mx.compile(ms.linear_recurrence)(a, b), want)
    anyhow = mx.compile(lambda a, b: ms.linear_recurrence(a, b), shapeless=True)
    close(anyhow(a, b), want)
    close(anyhow(a[:5], b[:5]), want[:5])


def test_slices_of_complex_numbers_have_a_program() -> None:
    a, b = complexes(40, 3), complexes(40, 3)
    got = ms.associative_scan(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (a, b))
    close(got[1], affine(a, b, 0)[1])


def test_values_before_the_first_infinity_keep_their_bits() -> None:
    a, b = complexes(200, 2), complexes(200, 2)
    spoilt = mx.array(b)
    spoilt[150] = complex("inf")
    clean, broken = ms.linear_recurrence(a, b), ms.linear_recurrence(a, spoilt)
    np.testing.assert_array_equal(np.array(clean)[:150], np.array(broken)[:150])


def test_growing_gates_over_zero_inputs_stay_finite() -> None:
    a, b = mx.full((64,), 1e3 * np.exp(1j), mx.complex64), mx.zeros((64,), mx.complex64)
    assert (np.array(ms.linear_recurrence(a, b)) == 0).all()


def test_without_the_bridge_arrays_of_pairs_are_views(monkeypatch: pytest.MonkeyPatch) -> None:
    from monoscan.lowering.targets.cpu import build

    a, b = complexes(9, 2), complexes(9, 2)
    want = np.array(mx.grad(loss_of(recurrence))(a, b))
    monkeypatch.setattr(build.LOADER, "bridge", None)
    run = loss_of(lambda a, b: ms.linear_recurrence(a, b, strategy="brent_kung"))
    close(mx.grad(run)(a, b), want, 1e-4)
    close(
        mx.vmap(lambda a, b: ms.linear_recurrence(a, b, strategy="brent_kung"), 1, 1)(a, b), np.array(recurrence(a, b))
    )
