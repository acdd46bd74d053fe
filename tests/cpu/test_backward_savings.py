"""What the adjoint's loop leaves out, and whose memory it takes."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from backward_support import primitives, random, without_loops
from selection import thinned

import monoscan as ms
from monoscan.lowering.gradient.steps import heard_leaves
from monoscan.lowering.targets.cpu import build

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")


def test_the_gradient_of_the_carry_runs_the_scan_again_and_saves_nothing() -> None:
    a = mx.ones((6, 8))
    names = primitives(mx.grad(lambda a: ms.fold(ms.Affine(), (a, a), strategy="sequential")[1].sum())(a))
    assert (names.count("monoscan"), names.count("monoscan_adjoint")) == (1, 1)


def test_the_gradient_by_inputs_alone_reads_no_states() -> None:
    a = mx.ones((6, 8))
    names = primitives(mx.grad(lambda b: ms.fold(ms.Affine(), (a, b), strategy="sequential")[1].sum())(a))
    assert (names.count("monoscan"), names.count("monoscan_adjoint")) == (0, 1)


def test_a_cotangent_that_reaches_nothing_that_is_asked_for_is_not_carried() -> None:
    """Counts move the means that come later, but what a value does to a mean asks for no cotangent of a count."""
    x = mx.zeros((8,))
    step = ms.explain(ms.Mean(), (x, x)).kernels[0].straight.combine
    assert heard_leaves(step, (0, 1), (1,), (), ()) == (1,)
    assert heard_leaves(step, (0, 1), (0,), (), ()) == (0, 1)
    assert heard_leaves(step, (0, 1), (1,), (), (0,)) == (0, 1)
    n, y, w = (random(np.random.default_rng(3), 50) ** 2 for _ in range(3))
    loss = lambda n, y: (ms.scan(ms.Mean(), (n, y))[1] * w).sum()  # noqa: E731
    np.testing.assert_array_equal(np.array(mx.grad(loss, 1)(n, y)), np.array(mx.grad(loss, (0, 1))(n, y)[1]))


def test_zero_times_infinity_is_looked_for_in_the_results_and_done_again_with_care(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In half of the rows an infinite value stands where no loss reads: there alone the careful step runs."""
    rng = np.random.default_rng(8)
    n, x = random(rng, 40, 20) ** 2, np.array(random(rng, 40, 20))
    x[::2, 12], x[3, 4], x[5, 13] = np.inf, np.nan, np.nan
    w = np.array(random(rng, 40, 20))
    w[:, 10:] = 0
    loss = lambda n, x: (mx.where(w == 0, 0, ms.scan(ms.Mean(), (n, x), axis=1)[1]) * w).sum()  # noqa: E731
    found = mx.grad(loss, (0, 1))(n, mx.array(x))
    without_loops(monkeypatch)
    for got, expected in zip(found, mx.grad(loss, (0, 1))(n, mx.array(x)), strict=True):
        np.testing.assert_allclose(np.array(got), np.array(expected), rtol=1e-4, atol=1e-6, equal_nan=True)
        assert np.isfinite(np.array(got)[::2]).all()


@pytest.mark.long
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "array operations"])
@pytest.mark.parametrize("carry", thinned([True, False], [False]), ids=["carry", "results"])
def test_gradients_by_some_arrays_are_those_by_all(carry: bool, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    arrays = random(rng, 9, 5), random(rng, 9, 5), random(rng, 5), mx.array(0.4), mx.array(-0.3)
    if not fused:
        without_loops(monkeypatch)

    def loss(a: mx.array, b: mx.array, h: mx.array, rate: mx.array, shift: mx.array) -> mx.array:
        operator = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + rate * r[1] + shift))
        (_, y), (_, last) = ms.scan(operator, (a, b), init=(h, h), return_carry=True, strategy="sequential")
        return ((last if carry else y) ** 2).sum()

    whole = mx.grad(loss, argnums=range(5))(*arrays)
    for some in [(0,), (1,), (2,), (3,), (4,), (0, 3), (1, 2), (1, 4)]:
        found = mx.grad(loss, argnums=some)(*arrays)
        for i, got in zip(some, found if len(some) > 1 else (found,), strict=True):
            np.testing.assert_allclose(np.array(got), np.array(whole[i]), rtol=1e-5, atol=1e-6)


def test_a_cotangent_that_others_hold_is_not_written_over() -> None:
    rng = np.random.default_rng(4)
    a, b, w = (random(rng, 16, 8) for _ in range(3))
    kept = np.array(w)
    states = lambda a, b: ms.scan(ms.Affine(), (a, b), strategy="sequential")  # noqa: E731
    once = mx.vjp(states, [a, b], [w, w])[1]
    mx.eval(once)
    np.testing.assert_array_equal(np.array(w), kept)
    again = mx.vjp(states, [a, b], [mx.array(kept), mx.array(kept)])[1]
    for x, y in zip(once, again, strict=True):
        np.testing.assert_array_equal(np.array(x), np.array(y))


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"inclusive": False}], ids=str)
def test_buffers_that_nobody_else_needs_are_written_over(options: dict[str, Any]) -> None:
    """Cotangents and states that die here hold the gradients, and the gradients are the same."""
    rng = np.random.default_rng(9)
    a, b, w = (random(rng, 70, 40) for _ in range(3))

    def pull(a: mx.array, b: mx.array, w: mx.array) -> list[mx.array]:
        states = lambda a, b: list(ms.scan(ms.Affine(), (a, b), strategy="sequential", **options))  # noqa: E731
        outputs, found = mx.vjp(states, [a, b], [w * 2, w * 3])
        return [*found, *outputs]

    kept = pull(a, b, w)
    mx.eval(kept)  # the states are held by the caller
    dying = mx.compile(lambda *x: pull(*x)[:2])(a, b, w)
    for x, y in zip(dying, kept[:2], strict=True):
        np.testing.assert_array_equal(np.array(x), np.array(y))


def test_a_gradient_needs_two_arrays_beyond_those_of_its_graph() -> None:
    """Inputs a, b; the scan's two results; the cotangent; then both gradients lie where others lay."""
    shape = 4096, 64
    a, b, w = (mx.random.uniform(shape=shape) for _ in range(3))
    mx.eval(a, b, w)
    states = lambda a, b: ms.scan(ms.Affine(), (a, b), strategy="sequential")[1]  # noqa: E731
    pull = mx.compile(lambda a, b, w: mx.vjp(states, [a, b], [w])[1])
    for _ in range(2):
        mx.eval(pull(a, b, w))
    mx.synchronize()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(pull(a, b, w))
    assert mx.get_peak_memory() - before <= 3.1 * a.nbytes


@pytest.mark.parametrize(
    "wrap", [lambda f: f, mx.compile, lambda f: mx.compile(f, shapeless=True)], ids=["eager", "compiled", "shapeless"]
)
def test_an_output_that_no_loss_reads_has_no_part_in_the_gradient(wrap: Any) -> None:
    """Here the product of gates overflows, and zero times infinity would be NaN."""
    a = mx.array([1e3] * 20 + [1e-3] * 40)
    states = lambda a, b: ms.scan(ms.Affine(), (a, b), strategy="sequential")  # noqa: E731
    last = mx.arange(60) == 59
    grad = wrap(mx.grad(lambda a, b: (states(a, b)[1] * last).sum(), argnums=(0, 1)))
    assert mx.isinf(states(a, 0 * a)[0]).any().item()
    assert all(mx.isfinite(x).all().item() for x in grad(a, 0 * a))


def test_zeros_are_known_by_the_way_they_are_made() -> None:
    is_zero, x = build.load().is_zero, mx.ones((3, 2))
    for zeros in (mx.zeros((3, 2)), mx.zeros_like(x), mx.zeros_like(x).astype(mx.float16), mx.zeros((2,), mx.int32)):
        assert is_zero(zeros)
    for other in (x, x * 0, mx.full((3, 2), -0.0), mx.full((3, 2), mx.nan), mx.zeros_like(x)[1:]):
        assert not is_zero(other)
    seen: list[bool] = []

    def traced(k: mx.array) -> mx.array:
        seen.extend(is_zero(y) for y in (k, mx.broadcast_to(k, (3, 2)), k * 0, mx.full((3, 2), k)))
        return k

    zero = mx.array(0.0)  # known here, and not to what is traced: another value may follow
    for transform in (mx.compile, lambda f: mx.compile(f, shapeless=True), mx.grad):
        mx.eval(transform(traced)(zero))
    mx.eval(mx.vmap(traced)(mx.zeros((4,))), mx.jvp(traced, [zero], [zero]))
    assert not any(seen)
