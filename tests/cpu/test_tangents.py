"""Forward derivatives on the CPU: one kernel of values and tangents, of those alone that are not zero throughout."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from backward_support import primitives, random

import monoscan as ms
from monoscan.lowering.gradient.tangents import dual
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.targets.cpu import build
from monoscan.scan.api_explain import explain

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")

RNG = np.random.default_rng(5)


def aligned(operator: ms.Semigroup, *leaves: mx.array, emit: tuple[int, ...]) -> AlignedScan:
    program = explain(operator, leaves).problem.program
    assert program is not None
    return AlignedScan(program, emit, tuple(program.outputs[i].dtype for i in emit))


@pytest.mark.parametrize(("axis", "reverse"), [(0, False), (1, True)])
def test_tangents_of_a_recurrence_are_those_of_a_float64_fold(axis: int, reverse: bool) -> None:
    arrays = [random(RNG, 37, 21) for _ in range(4)]
    run = lambda a, b: ms.scan(ms.Affine(), (a, b), axis=axis, reverse=reverse)[1]  # noqa: E731
    (got,) = mx.jvp(run, arrays[:2], arrays[2:])[1]
    a, b, u, v = (np.array(x, np.float64).swapaxes(0, axis)[:: -1 if reverse else 1] for x in arrays)
    h, d, found = np.zeros(b[0].shape), np.zeros(b[0].shape), []
    for t in range(len(a)):
        h, d = (a[t] * h + b[t] if t else b[0]), (u[t] * h + a[t] * d + v[t] if t else v[0])
        found.append(d)
    np.testing.assert_allclose(np.array(got), np.stack(found)[:: -1 if reverse else 1].swapaxes(0, axis), 1e-4, 1e-5)


@pytest.mark.parametrize("strategy", ["kernel", "native"])
def test_tangents_are_one_kernel(strategy: str) -> None:
    x = mx.ones((40, 8))
    names = primitives(mx.jvp(lambda x: ms.scan(ms.Product(), x, strategy=strategy), [x], [x])[1][0])
    assert names.count("monoscan") == 1
    assert "Scan" not in names


def test_gradients_of_tangents_run_by_kernels() -> None:
    x, t = mx.full((9, 8), 1.1), mx.ones((9, 8))
    grad = mx.grad(lambda x: mx.jvp(lambda x: ms.scan(ms.Product(), x, strategy="kernel"), [x], [t])[1][0].sum())
    names = primitives(grad(x))
    assert "monoscan_adjoint" in names
    assert "Scan" not in names
    want = np.zeros((9, 8))  # the derivative by x_k of the sum of all products without one factor
    for n in range(1, 10):
        want[:n] += (n - 1) * 1.1 ** (n - 2)
    np.testing.assert_allclose(np.array(grad(x)), want, rtol=1e-5)


def test_what_no_tangent_reaches_is_left_out() -> None:
    """The states of Affine move with the inputs alone: no tangent of the gates is held, and no value of a state."""
    a = mx.ones((4,))
    scan = aligned(ms.Affine(), a, a, emit=(1,))
    by_inputs, by_gates = dual(scan, frozenset({1})), dual(scan, frozenset({0}))
    assert by_inputs is not None
    assert by_gates is not None
    assert (by_inputs.moved[0], by_gates.moved[0]) == ((1,), (0, 1))
    assert by_inputs.scan.program.carried(by_inputs.scan.emit, parts=True) == (0, 2)
    assert dual(scan, frozenset()) is None
    assert dual(aligned(ms.Affine(), a, a, emit=(0,)), frozenset({1})) is None


@pytest.mark.long
def test_integers_have_tangents_of_zero_and_narrow_leaves_are_spread() -> None:
    flags, x, t = mx.array([1, 0, 1, 0]) > 0, mx.ones((4, 3)), mx.ones((4, 1))
    outputs, tangents = mx.jvp(
        lambda x, y: list(ms.scan(ms.Tuple(ms.ArgMax(), ms.Sum()), ((x, mx.arange(4)[:, None]), y))[0]),
        [x, t],
        [x, t],
    )
    assert [d.shape for d in tangents] == [y.shape for y in outputs]
    assert not tangents[1].any()
    spread = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[0] + r[1]))
    by_rows: Any = lambda y: ms.scan(ms.Segmented(spread), (flags[:, None], (x, y)))[1][1]  # noqa: E731
    (got,) = mx.jvp(by_rows, [t], [t])[1]
    np.testing.assert_array_equal(np.array(got), np.repeat([[1], [2], [1], [2]], 3, 1))


def test_tangents_of_log_sums_take_minus_infinity() -> None:
    x, t = mx.array([[-np.inf, -np.inf, 0.0, 0.0, -np.inf] * 9] * 3), mx.ones((3, 45))
    for strategy in ("kernel", "native"):
        (got,) = mx.jvp(lambda x, s=strategy: ms.scan(ms.LogSumExp(), x, axis=1, strategy=s), [x], [t])[1]
        np.testing.assert_allclose(np.array(got), 1, rtol=1e-5)  # of shifting all by the same


@pytest.mark.parametrize("given", [True, False], ids=["state", "begun"])
def test_tangents_of_states_are_one_kernel(given: bool) -> None:
    a, b, u, v = (random(RNG, 12, 20) for _ in range(4))
    h, w = random(RNG, 20), random(RNG, 20)

    def run(a: mx.array, b: mx.array, h: mx.array) -> mx.array:
        return ms.act(ms.Affine(), (a, b), h if given else None)

    mx.eval(a, b, u, v, h, w)
    (got,) = mx.jvp(run, [a, b, h], [u, v, w])[1]
    assert primitives(got).count("monoscan") == 1
    state, moved = (np.array(x if given else 0 * x, np.float64) for x in (h, w))
    for t in range(12):
        moved = np.array(u[t]) * state + np.array(a[t]) * moved + np.array(v[t])
        state = np.array(a[t]) * state + np.array(b[t])
        np.testing.assert_allclose(np.array(got[t]), moved, 1e-4, 1e-5)
