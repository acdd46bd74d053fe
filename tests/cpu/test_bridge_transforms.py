"""MLX's transformations of the primitive, alone and nested, against a loop of MLX operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from bridge_affine import kernel, loop, scan

from monoscan.lowering.targets.cpu import build

Scan = Callable[..., list[mx.array]]
C = mx.array([[1.5]])


def close(got: Any, want: Any) -> None:
    if isinstance(got, mx.array):
        assert got.shape == want.shape
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-5)
        return
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        close(one, other)


def loss(run: Scan, axis: int = 1) -> Callable[..., mx.array]:
    def value(a: mx.array, b: mx.array, c: mx.array = C) -> mx.array:
        decay, h = run(a, b, c, axis=axis)
        return (mx.sin(h) + decay * decay).sum()

    return value


def row(run: Scan) -> Callable[..., mx.array]:
    return lambda a, b, c=C[0]: (lambda y: (mx.sin(y[1]) * y[0]).sum())(run(a, b, c, axis=0))


def both(make: Callable[[Scan], Any]) -> tuple[Any, Any]:
    return make(scan), make(loop)


@pytest.fixture
def a() -> mx.array:
    return mx.random.uniform(0.5, 1.5, (3, 5), key=mx.random.key(1))


@pytest.fixture
def b() -> mx.array:
    return mx.random.uniform(-1, 1, (3, 5), key=mx.random.key(2))


ARGNUMS: list[Any] = [0, 1, 2, [0, 1], [0, 1, 2]]


@pytest.mark.parametrize("argnums", ARGNUMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_grad(a: mx.array, b: mx.array, argnums: Any, axis: int) -> None:
    close(*both(lambda run: mx.grad(loss(run, axis), argnums=argnums)(a, b, C)))
    close(*both(lambda run: mx.value_and_grad(loss(run, axis), argnums=argnums)(a, b, C)))


def test_grad_of_broadcast_leaves(a: mx.array, b: mx.array) -> None:
    close(*both(lambda run: mx.grad(loss(run), argnums=[0, 1, 2])(a[:1], b, mx.ones((3, 1)))))
    close(*both(lambda run: mx.grad(loss(run), argnums=[0, 1, 2])(a, b[:1], C)))


@pytest.mark.parametrize("axis", [0, 1])
def test_jvp_and_vjp(a: mx.array, b: mx.array, axis: int) -> None:
    primals, tangents = [a, b, C], [b, a, 2 * C]
    close(*both(lambda run: mx.jvp(lambda *x: run(*x, axis=axis), primals, tangents)))
    close(*both(lambda run: mx.vjp(lambda *x: run(*x, axis=axis), primals, [a + b, a - b])))
    close(*both(lambda run: mx.jvp(lambda x: run(a, x, C, axis=0), [b], [a])))


def test_second_order(a: mx.array, b: mx.array) -> None:
    def twice(run: Scan) -> mx.array:
        second: mx.array = mx.grad(lambda x: (mx.grad(loss(run), argnums=0)(x, b, C) ** 2).sum())(a)
        return second

    close(*both(twice))
    close(*both(lambda run: mx.jvp(lambda x: mx.grad(loss(run))(x, b, C), [a], [b])))


@pytest.mark.parametrize("in_axes", [(0, 0), (1, 1), (0, None), (None, 0), (1, 0)])
@pytest.mark.parametrize("out_axis", [0, 1])
def test_vmap(a: mx.array, b: mx.array, in_axes: Any, out_axis: int) -> None:
    square = [a[:, :3], b[:, :3]]
    args = [x if i is not None else x[0] for x, i in zip(square, in_axes, strict=True)]
    close(*both(lambda run: mx.vmap(lambda x, y: run(x, y, C[0], axis=0)[1], in_axes, out_axis)(*args)))


def test_nested_vmap_and_mapped_capture(a: mx.array, b: mx.array) -> None:
    stack = mx.stack([a, 2 * a]), mx.stack([b, b + 1])

    def inner(run: Scan) -> Any:
        return mx.vmap(lambda x, y: tuple(run(x, y, C[0], axis=0)))

    close(*both(lambda run: mx.vmap(inner(run))(*stack)))
    close(*both(lambda run: mx.vmap(lambda x, y, c: run(x, y, c, axis=0)[1])(a, b, mx.ones((3, 1)) * 2)))


def test_vmap_of_grad_and_grad_of_vmap(a: mx.array, b: mx.array) -> None:
    close(*both(lambda run: mx.vmap(mx.grad(row(run), argnums=[0, 1]), in_axes=(0, 0))(a, b)))
    close(*both(lambda run: mx.vmap(mx.grad(row(run)), in_axes=(1, 1))(a, b)))

    def summed(run: Scan) -> Callable[..., mx.array]:
        return lambda x, y: mx.vmap(row(run), in_axes=(0, 0))(x, y).sum()

    close(*both(lambda run: mx.grad(summed(run), argnums=[0, 1])(a, b)))
    close(*both(lambda run: mx.jvp(mx.vmap(row(run), in_axes=(0, 0)), [a, b], [b, a])))
    close(*both(lambda run: mx.vmap(mx.grad(lambda x, y: summed(run)(x, y)), in_axes=(0, 0))(a[None], b[None])))


@pytest.mark.parametrize("shapeless", [False, True])
def test_compile(a: mx.array, b: mx.array, shapeless: bool) -> None:
    run = mx.compile(lambda x, y, c: [z * 2 for z in scan(x + 1, y, c, axis=1)], shapeless=shapeless)
    for _ in range(2):
        close(run(a, b, C), [z * 2 for z in loop(a + 1, b, C, axis=1)])
    wide = mx.concatenate([a, a], axis=1), mx.concatenate([b, a], axis=1)
    close(run(*wide, C), [z * 2 for z in loop(wide[0] + 1, wide[1], C, axis=1)])
    tall = mx.concatenate([a, a]), mx.concatenate([b, a])
    close(run(*tall, C), [z * 2 for z in loop(tall[0] + 1, tall[1], C, axis=1)])


@pytest.mark.long
def test_compile_of_transformations_and_back(a: mx.array, b: mx.array) -> None:
    want = mx.value_and_grad(loss(loop), argnums=[0, 1])(a, b, C)
    for _ in range(2):
        close(mx.compile(mx.value_and_grad(loss(scan), argnums=[0, 1]))(a, b, C), want)
        close(mx.value_and_grad(mx.compile(loss(scan)), argnums=[0, 1])(a, b, C), want)
    per_row = mx.vmap(mx.grad(row(loop)), in_axes=(0, 0))(a, b)
    close(mx.compile(mx.vmap(mx.grad(row(scan)), in_axes=(0, 0)))(a, b), per_row)
    close(mx.vmap(mx.compile(mx.grad(row(scan))), in_axes=(0, 0))(a, b), per_row)
    mapped = mx.compile(mx.vmap(lambda x, y: scan(x, y, C[0], axis=0)[1]), shapeless=True)
    for columns in (5, 3):
        close(mapped(a[:, :columns], b[:, :columns]), loop(a[:, :columns], b[:, :columns], C, axis=1)[1])


def test_equal_scans_are_computed_once(a: mx.array, b: mx.array) -> None:
    bridge = build.load()
    default = bridge.threads()
    run = mx.compile(lambda x, y: scan(x, y, C, axis=1)[1] + scan(x, y, C, axis=1)[1])
    bridge.set_threads(2)
    try:
        mx.eval(run(a, b))
        before = bridge.dispatched()
        close(run(a, b), 2 * loop(a, b, C, axis=1)[1])
        assert bridge.dispatched() - before == 2  # the two phases of one launch
    finally:
        bridge.set_threads(default)


def test_checkpoint_and_custom_function(a: mx.array, b: mx.array) -> None:
    close(mx.grad(mx.checkpoint(loss(scan)))(a, b, C), mx.grad(loss(loop))(a, b, C))


def test_an_error_in_a_rule_reaches_the_caller(a: mx.array) -> None:
    class Broken:
        def vjp(self, *args: Any, **options: Any) -> list[mx.array]:
            raise KeyError("no such rule")

        def jvp(self, *args: Any, **options: Any) -> list[mx.array]:
            return []

    code = kernel()
    run = build.load().Launch(
        "Broken", schedule=code.schedule, task=code.task, axis=1, rank=2, elements=2, captures=1,
        events=[(), (), ()], outputs=[(mx.float32, ())] * 2, rules=Broken(),
    )  # fmt: skip
    with pytest.raises(KeyError, match="no such rule"):
        mx.grad(lambda x: run([x, x, C])[1].sum())(a)
    with pytest.raises(ValueError, match="needs 2 arrays from its jvp rule; got 0"):
        mx.jvp(lambda x: run([x, x, C]), [a], [a])
