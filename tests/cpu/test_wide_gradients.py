"""Gradients of scans of wide elements, against differences of the fold in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from wide_support import PRODUCTS, Combine, affine, close, elements_of_a_filter, folded, kalman, matrices, numeric

import monoscan as ms
from monoscan.lowering.program.ir import Program
from monoscan.lowering.targets.cpu.backward import differentiates
from monoscan.lowering.targets.cpu.rules import Rules

pytestmark = pytest.mark.usefixtures("kernels_are_built")


def gradient(operator: ms.Monoid, x: mx.array, strategy: str) -> mx.array:
    weights = mx.array(matrices(x.shape, 7))
    return mx.grad(lambda a: (ms.scan(operator, a, strategy=strategy) * weights).sum())(x)


@pytest.mark.parametrize("name", ["matmul", "log"])
def test_gradients_equal_those_of_array_operations(name: str) -> None:
    operator = PRODUCTS[name][0]
    x = mx.array(matrices((6, 2, 9, 9)))
    close(gradient(operator, x, "auto"), np.array(gradient(operator, x, "brent_kung")))


def test_maps_and_tangents() -> None:
    x = mx.array(matrices((4, 6, 9, 9)))
    mapped = mx.vmap(lambda a: ms.scan(ms.MatMul(), a))(x)
    assert np.array_equal(np.array(mapped), np.array(ms.scan(ms.MatMul(), x, axis=1)))
    _, found = mx.jvp(lambda a: ms.scan(ms.MatMul(), a, axis=1), [x], [mx.ones_like(x)])
    h = 1e-3
    ends = [np.array(ms.scan(ms.MatMul(), x + s * h, axis=1), np.float64) for s in (1, -1)]
    np.testing.assert_allclose(np.array(found[0]), (ends[0] - ends[1]) / (2 * h), atol=2e-2)


GRADIENTS: dict[str, tuple[ms.Monoid, Combine, Callable[[], list[np.ndarray]]]] = {
    "matmul": (*PRODUCTS["matmul"], lambda: [matrices((5, 2, 9, 9))]),
    "log": (*PRODUCTS["log"], lambda: [matrices((5, 2, 9, 9))]),
    "affine": (ms.MatrixAffine(), affine, lambda: [matrices((5, 2, 10, 10)), matrices((5, 2, 10), 1)]),
    "filter": (ms.KalmanFilter(), kalman, lambda: [np.array(x) for x in elements_of_a_filter(5, 6)]),
    "small filter": (ms.KalmanFilter(), kalman, lambda: [np.array(x) for x in elements_of_a_filter(3, 6)]),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", thinned(list(GRADIENTS), list(GRADIENTS)[::2]))
@pytest.mark.parametrize(
    "options", thinned([{}, {"reverse": True}, {"inclusive": False}, {"fold": True}], [{}]), ids=str
)
def test_gradients_equal_differences_of_the_fold_in_order(name: str, options: dict[str, bool]) -> None:
    operator, combine, make = GRADIENTS[name]
    arrays = make()
    start = [x[0] * 0.5 for x in arrays]
    if "filter" in name:
        n = arrays[1].shape[-1]
        start = [np.array(x) for x in ms.KalmanFilter().prior(mx.ones((n,)), mx.eye(n))]
    weights = [matrices(x.shape, 7 + i).astype(np.float64) for i, x in enumerate(arrays)]
    fold, reverse, late = options.get("fold", False), options.get("reverse", False), not options.get("inclusive", True)

    def exact(given: list[np.ndarray]) -> float:
        elements, init = tuple(given[: len(arrays)]), tuple(given[len(arrays) :])
        elements = tuple(np.flip(x, 0) for x in elements) if reverse else elements
        ys = folded(combine, elements, 0, init)
        if late:
            ys = [np.concatenate([i[None], y[:-1]]) for i, y in zip(init, ys, strict=True)]
        if fold:
            return float(sum((y[-1] * w[0]).sum() for y, w in zip(ys, weights, strict=True)))
        ys = [np.flip(y, 0) for y in ys] if reverse else ys
        return float(sum((y * w).sum() for y, w in zip(ys, weights, strict=True)))

    def loss(*given: mx.array) -> mx.array:
        leaves, init = given[: len(arrays)], given[len(arrays) :]
        elems, first = (leaves, init) if len(leaves) > 1 else (leaves[0], init[0])
        if fold:
            found = ms.fold(operator, elems, init=first)
        else:
            found = ms.scan(operator, elems, init=first, reverse=reverse, inclusive=not late)
        ys = found if isinstance(found, tuple) else (found,)
        return sum(
            (y * mx.array((w[0] if fold else w).astype(np.float32))).sum() for y, w in zip(ys, weights, strict=True)
        )

    given = [*arrays, *start]
    found = mx.grad(loss, argnums=list(range(len(given))))(*map(mx.array, given))
    for place in range(len(given)):
        for at, expected in numeric(exact, given, place, 4):
            assert abs(float(found[place][at]) - expected) <= 3e-3 * max(1.0, abs(expected)), (place, at)


def test_a_long_step_runs_written_out_and_its_derivative_as_loops() -> None:
    """Written out, the derivative has six times as many operations: seconds of the compiler."""
    scans = [ms.explain(ms.KalmanFilter(), elements_of_a_filter(n, 6)).kernels[0].scan for n in (2, 3)]
    assert [isinstance(scan.program, Program) for scan in scans] == [True, True]
    assert [scan.rolled is not None for scan in scans] == [False, True]


def test_gradients_of_captured_arrays_are_summed() -> None:
    x, w = matrices((5, 2, 9, 9)), matrices((9, 9), 3)

    def loss(weights: mx.array) -> mx.array:
        operator = ms.monoid(lambda left, right: left @ weights + right, event=2)
        return ms.scan(operator, mx.array(x)).sum()

    def exact(given: list[np.ndarray]) -> float:
        return float(folded(lambda a, b: (a[0] @ given[0] + b[0],), (x.astype(np.float64),), 0)[0].sum())

    found = mx.grad(loss)(mx.array(w))
    for at, expected in numeric(exact, [w], 0):
        assert abs(float(found[at]) - expected) <= 2e-3 * max(1.0, abs(expected))


def test_gradients_of_the_first_element_alone_and_of_one_step() -> None:
    x = mx.array(matrices((1, 9, 9)))
    assert np.array_equal(np.array(mx.grad(lambda a: ms.scan(ms.MatMul(), a).sum())(x)), np.ones((1, 9, 9)))


def test_second_derivatives() -> None:
    x, v = mx.array(matrices((3, 9, 9))), mx.array(matrices((3, 9, 9), 4))

    def along(strategy: str) -> mx.array:
        first = mx.grad(lambda a: (ms.scan(ms.MatMul(), a, strategy=strategy) ** 2).sum())
        return mx.grad(lambda a: (first(a) * v).sum())(x)

    close(along("auto"), np.array(along("brent_kung")), 1e-4)


@pytest.mark.parametrize("name", thinned(["max.plus", "min.plus"], ["max.plus"]))
def test_the_last_of_the_best_paths_takes_the_whole_gradient(name: str) -> None:
    operator, extreme = PRODUCTS[name][0], mx.maximum if name == "max.plus" else mx.minimum
    x = mx.array(np.random.default_rng(0).integers(-2, 3, size=(5, 2, 9, 9)).astype(np.float32))  # many tie
    weights = mx.array(matrices(x.shape, 7))

    def in_order(a: mx.array) -> mx.array:
        states = [a[0]]
        for right in a[1:]:
            left = states[-1]
            states.append(reduce(extreme, [left[..., :, k, None] + right[..., k, None, :] for k in range(9)]))
        return (mx.stack(states) * weights).sum()

    found = mx.grad(lambda a: (ms.scan(operator, a) * weights).sum())(x)
    assert array_step_of(operator, x)
    close(found, np.array(mx.grad(in_order)(x)))


def array_step_of(operator: ms.Monoid, x: mx.array) -> bool:
    """Whether its gradient has a loop."""
    (kernel,) = ms.explain(operator, x).way.fused
    return differentiates(kernel.scan.program)


def test_more_captured_arrays_than_leaves_of_the_state() -> None:
    """Their sums stand behind the state's own cotangents, and are zero where there are no steps."""
    x, given = matrices((5, 9)), [matrices((9,), i) for i in range(4)]

    def loss(x: mx.array, *arrays: mx.array) -> mx.array:
        a, b, c, first = arrays

        def step(h: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
            h = a * h + mx.tanh(b) * x
            return h, (h * c).sum()

        y, last = ms.loop(step, x, first, event=1, state_event=1, return_carry=True)
        return y.sum() + last.sum()

    def exact(arrays: list[np.ndarray]) -> float:
        a, b, c, h = arrays
        total = 0.0
        for each in x:
            h = a * h + np.tanh(b) * each
            total += float((h * c).sum())
        return total + float(h.sum())

    grad = mx.grad(loss, argnums=(1, 2, 3, 4))
    found = grad(mx.array(x), *map(mx.array, given))
    for place in range(4):
        for at, expected in numeric(exact, given, place, 4):
            assert abs(float(found[place][at]) - expected) <= 1e-3 * max(1.0, abs(expected)), (place, at)
    for compiled in (grad, mx.compile(grad, shapeless=True)):
        mx.eval(compiled(mx.array(x), *map(mx.array, given)))
        *sums, first = compiled(mx.zeros((0, 9)), *map(mx.array, given))
        assert not any(np.array(each).any() for each in sums)
        np.testing.assert_array_equal(np.array(first), 1)


class Scaled(ms.Aggregator):
    """Products of matrices that the first one begins, each scaled by a fixed input and a captured array."""

    operator, event = ms.monoid(lambda x, y: x @ y, event=2, name="product"), (2, 2)

    def prepare(self, m: mx.array, scale: mx.array) -> mx.array:
        return m * scale

    def present(self, state: mx.array, m: mx.array, scale: mx.array) -> mx.array:
        return state * 2.0


@pytest.mark.parametrize(("reverse", "rows"), thinned([(r, n) for r in (False, True) for n in (1, 18)], [(True, 1)]))
def test_what_the_first_element_begins_is_differentiated_by_the_kernel(
    reverse: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, (n, steps) = np.random.default_rng(5), (9, 6)
    m, scale = rng.normal(size=(steps, rows, n, n)) / n**0.5, rng.uniform(0.5, 1.5, size=(n, n))
    of_results, of_last = rng.normal(size=m.shape), rng.normal(size=(rows, n, n))

    def loss(m: mx.array, scale: mx.array) -> mx.array:
        found, last = ms.scan(Scaled(), (m, ms.fixed(scale)), reverse=reverse, return_carry=True)
        return (found * mx.array(of_results.astype(np.float32))).sum() + (
            last * mx.array(of_last.astype(np.float32))
        ).sum()

    def not_asked(*_: object) -> None:
        raise AssertionError("by arrays")

    monkeypatch.setattr(Rules, "_by_arrays", not_asked)
    found = mx.grad(loss, (0, 1))(mx.array(m.astype(np.float32)), mx.array(scale.astype(np.float32)))
    order = list(range(steps))[:: -1 if reverse else 1]
    states, x = [m[order[0]] * scale], m * scale
    for t in order[1:]:
        states.append(states[-1] @ x[t])
    behind, of_x = of_last.copy(), np.zeros_like(m)
    for place in range(steps - 1, -1, -1):
        t = order[place]
        behind = behind + 2 * of_results[t]
        before = states[place - 1]
        of_x[t] = behind if place == 0 else before.swapaxes(-1, -2) @ behind
        behind = behind @ x[t].swapaxes(-1, -2)
    np.testing.assert_allclose(np.array(found[0]), of_x * scale, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(np.array(found[1]), (of_x * m).sum((0, 1)), rtol=2e-4, atol=2e-4)
