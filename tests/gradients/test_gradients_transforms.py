"""Transformations of one another over scans: vmap, jvp, compile, second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from support import GRAPH

import monoscan as ms

RUNS = ["auto", *GRAPH, "sequential"]
RNG = np.random.default_rng(9)
Axes = tuple[int | None, int | None]


def normal(*shape: int) -> mx.array:
    return mx.array(RNG.normal(size=shape).astype(np.float32))


def close(x: Any, y: Any, rtol: float = 2e-4) -> None:
    np.testing.assert_allclose(np.array(x), np.array(y), rtol=rtol, atol=rtol)


def states(a: mx.array, b: mx.array, strategy: str = "auto", **options: Any) -> mx.array:
    return ms.scan(ms.Affine(), (a, b), strategy=strategy, **options)[1]


def loop(a: mx.array, b: mx.array) -> mx.array:
    """The same as a loop that MLX differentiates."""
    h, found = mx.zeros(b.shape[1:]), []
    for t in range(b.shape[0]):
        h = a[t] * h + b[t]
        found.append(h)
    return mx.stack(found)


def loss(strategy: str) -> Callable[[mx.array, mx.array], mx.array]:
    return lambda a, b: (states(a, b, strategy) ** 2).sum()


def loop_loss(a: mx.array, b: mx.array) -> mx.array:
    return (loop(a, b) ** 2).sum()


# ------------------------------------------------------------------------------------------ forward


NATIVE = [ms.Product(), ms.Max(), ms.Min(), ms.LogSumExp(), ms.Sum()]


@pytest.mark.long
@pytest.mark.parametrize("strategy", [*RUNS, "native"])
@pytest.mark.parametrize("operator", thinned(NATIVE, NATIVE[::3]), ids=lambda op: op.name)
def test_jvp_through_primitives_for_which_mlx_has_none(operator: ms.Monoid, strategy: str) -> None:
    x, t = mx.array([0.5, -1.0, 2.0, 1.5, 0.25]), normal(5)

    def by_hand(x: mx.array) -> mx.array:
        total, found = x[0], [x[0]]
        for i in range(1, 5):
            total = operator.combine(total, x[i])
            found.append(total)
        return mx.stack(found)

    _, (want,) = mx.jvp(by_hand, [x], [t])
    _, (got,) = mx.jvp(lambda x: ms.scan(operator, x, strategy=strategy), [x], [t])
    close(got, want)
    _, (last,) = mx.jvp(lambda x: ms.fold(operator, x, strategy=strategy), [x], [t])
    close(last, want[-1])


@pytest.mark.parametrize("strategy", RUNS)
def test_jvp_of_init_carry_and_captures(strategy: str) -> None:
    x, h, rate = normal(6, 2), normal(2), mx.array(0.7)

    def run(x: mx.array, h: mx.array, rate: mx.array) -> list[mx.array]:
        operator = ms.monoid(lambda l, r: l + r + rate * l * r, identity=0)
        return list(ms.scan(operator, x, init=h, return_carry=True, inclusive=False, strategy=strategy))

    def by_hand(x: mx.array, h: mx.array, rate: mx.array) -> list[mx.array]:
        found = []
        for t in range(6):
            found.append(h)
            h = h + x[t] + rate * h * x[t]
        return [mx.stack(found), h]

    tangents = [normal(6, 2), normal(2), mx.array(-0.4)]
    for got, want in zip(
        mx.jvp(run, [x, h, rate], tangents)[1], mx.jvp(by_hand, [x, h, rate], tangents)[1], strict=True
    ):
        close(got, want)


# --------------------------------------------------------------------------------------------- vmap


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("out_axis", [0, 1, 2, -1])
@pytest.mark.parametrize("in_axes", [(0, 0), (1, 2), (2, 0), (-1, 1), (None, 1), (2, None)])
def test_vmap_with_any_axes(in_axes: Axes, out_axis: int, strategy: str) -> None:
    a, b = normal(5, 3), normal(5, 3)
    wide = [
        x if axis is None else mx.stack([x, 2 * x, 0.5 * x, x - 1], axis)
        for x, axis in zip((a, b), in_axes, strict=True)
    ]

    def row(i: int) -> mx.array:
        parts = [x if axis is None else mx.take(x, mx.array(i), axis) for x, axis in zip(wide, in_axes, strict=True)]
        return loop(*parts)

    got = mx.vmap(lambda a, b: states(a, b, strategy), in_axes=in_axes, out_axes=out_axis)(*wide)
    close(got, mx.stack([row(i) for i in range(4)], out_axis))


@pytest.mark.parametrize("strategy", RUNS)
def test_vmap_of_vmap_of_everything_that_a_scan_takes(strategy: str) -> None:
    x, init, rate = normal(2, 3, 6), normal(2, 3), normal(2)

    def one(x: mx.array, init: mx.array, rate: mx.array) -> Any:
        operator = ms.monoid(lambda l, r: l + r + rate * l * r, identity=0)
        return ms.scan(operator, x, init=init, return_carry=True, strategy=strategy)

    inner = mx.vmap(one, in_axes=(0, 0, None))
    ys, carry = mx.vmap(inner, in_axes=(0, 0, 0))(x, init, rate)
    for i in range(2):
        for j in range(3):
            y, c = one(x[i, j], init[i, j], rate[i])
            close(ys[i, j], y)
            close(carry[i, j], c)


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("in_axes", [(0, 0), (1, 0), (None, 0), (0, None), (1, 1)])
def test_vmap_of_grad(in_axes: Axes, strategy: str) -> None:
    wide = [normal(5) if axis is None else mx.swapaxes(normal(3, 5), 0, axis) for axis in in_axes]
    got = mx.vmap(mx.grad(loss(strategy), argnums=(0, 1)), in_axes=in_axes)(*wide)
    for i in range(3):
        parts = [x if axis is None else mx.take(x, mx.array(i), axis) for x, axis in zip(wide, in_axes, strict=True)]
        for ours, want in zip(got, mx.grad(loop_loss, argnums=(0, 1))(*parts), strict=True):
            close(ours[i], want, 1e-3)


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("in_axes", [(0, 0), (1, 0), (None, 0), (0, None)])
def test_grad_of_vmap(in_axes: Axes, strategy: str) -> None:
    wide = [normal(5) if axis is None else mx.swapaxes(normal(3, 5), 0, axis) for axis in in_axes]
    total = mx.grad(lambda a, b: mx.vmap(loss(strategy), in_axes=in_axes)(a, b).sum(), argnums=(0, 1))(*wide)
    want = mx.grad(lambda a, b: mx.vmap(loop_loss, in_axes=in_axes)(a, b).sum(), argnums=(0, 1))(*wide)
    for x, y in zip(total, want, strict=True):
        close(x, y, 1e-3)


@pytest.mark.parametrize("strategy", RUNS)
def test_vmap_of_jvp_and_jvp_of_vmap(strategy: str) -> None:
    a, b, u, v = (normal(3, 5) for _ in range(4))

    def moved(a: mx.array, b: mx.array, u: mx.array, v: mx.array) -> mx.array:
        return mx.jvp(lambda a, b: states(a, b, strategy), [a, b], [u, v])[1][0]

    want = mx.stack([mx.jvp(loop, [a[i], b[i]], [u[i], v[i]])[1][0] for i in range(3)])
    close(mx.vmap(moved)(a, b, u, v), want)
    outer = mx.vmap(lambda a, b: states(a, b, strategy))
    close(mx.jvp(outer, [a, b], [u, v])[1][0], want)


@pytest.mark.parametrize("strategy", ["native", "kernel"])
@pytest.mark.parametrize("operator", [ms.Product(), ms.Max()], ids=lambda op: op.name)
def test_vmap_over_grad_of_native_and_kernel_plans(operator: ms.Monoid, strategy: str) -> None:
    x = normal(4, 3, 5)
    run = mx.grad(lambda x: (ms.scan(operator, x, axis=1, strategy=strategy) ** 2).sum())
    close(mx.vmap(run, in_axes=1)(x), mx.stack([run(x[:, i]) for i in range(3)]), 1e-3)


# ------------------------------------------------------------------------------------------ compile


@pytest.mark.parametrize("strategy", [*RUNS, "kernel"])
def test_compile_around_inside_and_both(strategy: str) -> None:
    a, b = normal(7, 2), normal(7, 2)
    want = mx.grad(loop_loss)(a, b)
    close(mx.compile(mx.grad(loss(strategy)))(a, b), want, 1e-3)
    close(mx.grad(mx.compile(loss(strategy)))(a, b), want, 1e-3)
    close(mx.compile(mx.grad(mx.compile(loss(strategy))))(a, b), want, 1e-3)


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"inclusive": False}], ids=str)
def test_kernels_compile_shapeless_forward_and_backward(options: dict[str, Any]) -> None:
    def run(a: mx.array, b: mx.array) -> mx.array:
        return states(a, b, "kernel", **options)

    def slope(a: mx.array, b: mx.array) -> tuple[mx.array, ...]:
        return mx.grad(lambda a, b: (run(a, b) ** 2).sum(), argnums=(0, 1))(a, b)

    forward, backward = mx.compile(run, shapeless=True), mx.compile(slope, shapeless=True)
    for n in (7, 4, 12):
        a, b = normal(n, 6), normal(n, 6)
        close(forward(a, b), run(a, b))
        for got, want in zip(backward(a, b), slope(a, b), strict=True):
            close(got, want, 1e-3)


@pytest.mark.parametrize(
    "operator", [ms.Sum(), ms.Product(), ms.Max(), ms.Min(), ms.LogSumExp()], ids=lambda op: op.name
)
def test_native_plans_compile_shapeless_forward_and_backward(operator: ms.Monoid) -> None:
    def run(x: mx.array) -> mx.array:
        return ms.scan(operator, x, strategy="native")

    def slope(x: mx.array) -> mx.array:
        return mx.grad(lambda x: (run(x) ** 2).sum())(x)

    forward, backward = mx.compile(run, shapeless=True), mx.compile(slope, shapeless=True)
    for n in (7, 4, 12):
        x = normal(n, 6)
        close(forward(x), run(x))
        close(backward(x), slope(x), 1e-3)


# ------------------------------------------------------------------------------------ second order


@pytest.mark.parametrize("strategy", [*RUNS, "kernel"])
def test_gradients_of_gradients(strategy: str) -> None:
    a, b = 0.6 * normal(5), normal(5)

    def curvature(f: Any) -> tuple[mx.array, ...]:
        slope = mx.grad(f, argnums=(0, 1))
        return mx.grad(lambda a, b: sum(((s**2).sum() for s in slope(a, b)), mx.array(0.0)), argnums=(0, 1))(a, b)

    for got, want in zip(curvature(loss(strategy)), curvature(loop_loss), strict=True):
        scale = max(1.0, float(mx.abs(want).max()))
        close(got / scale, want / scale, 1e-3)


@pytest.mark.parametrize("strategy", [*RUNS, "kernel"])
def test_forward_over_reverse_and_reverse_over_forward(strategy: str) -> None:
    a, b, t = 0.6 * normal(5), normal(5), normal(5)

    def products(f: Any) -> tuple[mx.array, mx.array]:
        ahead = mx.jvp(lambda a: mx.grad(f)(a, b), [a], [t])[1][0]
        back = mx.grad(lambda a: mx.jvp(lambda a: f(a, b), [a], [t])[1][0])(a)
        return ahead, back

    _, want = mx.vjp(lambda a: mx.grad(loop_loss)(a, b), [a], [t])  # the Hessian is symmetric
    want = want[0]
    scale = max(1.0, float(mx.abs(want).max()))
    for got in products(loss(strategy)):
        close(got / scale, want / scale, 1e-3)


@pytest.mark.parametrize("strategy", [*RUNS, "native", "kernel"])
def test_third_derivatives(strategy: str) -> None:
    def third(f: Callable[[mx.array], mx.array]) -> float:
        slope = mx.grad(mx.grad(mx.grad(f)))
        return float(slope(mx.array(0.8)))

    steps = mx.array([1.0, 2.0, 3.0, 0.5])
    got = third(lambda x: ms.fold(ms.Product(), mx.sin(x * steps), strategy=strategy))
    assert got == pytest.approx(third(lambda x: mx.sin(x) * mx.sin(2 * x) * mx.sin(3 * x) * mx.sin(x / 2)), rel=1e-3)
