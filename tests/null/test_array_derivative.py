"""Derivatives of array programs against those of the scalar programs that they mean."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from test_array_program import kalman, mine, moved, square, traced

import monoscan as ms
from monoscan.lowering.program import array_derivative
from monoscan.lowering.program.array_derivative import NoRule, reverse_arrays
from monoscan.lowering.program.derivative import differentiable, reverse
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render.loops import Loops
from monoscan.lowering.render.rolled_spec import vectors_of
from monoscan.lowering.render.scan_spec import Loop
from monoscan.monoids.base import Semigroup


def mixed(x: mx.array, y: mx.array) -> mx.array:
    return mx.where(x > y, mx.exp(x * 0.3) + y.sum(axis=0), mx.maximum(x, 0.1)) / (1 + mx.abs(y)) + mx.logaddexp(x, y).T


CASES = [
    (ms.MatMul(), (square(5),)),
    (ms.MatMul(), (square(5, "float64"),)),
    (ms.SemiringMatMul(ms.Log()), (square(5),)),
    (ms.MatrixAffine(), (square(5), Leaf("float32", (5,)))),
    (ms.KalmanFilter(), kalman(4)),
    (ms.KalmanSmoother(), (square(4), Leaf("float32", (4,)), square(4))),
    (ms.Segmented(ms.MatMul()), (Leaf("bool"), square(5))),
    (mine(moved, 2, "moved"), (square(5),)),
    (mine(mixed, 2, "mixed"), (square(5),)),
]


def values(leaves: tuple[Leaf, ...], seed: int = 0) -> list[mx.array]:
    rng = np.random.default_rng(seed)
    found = []
    for leaf in leaves:
        x = rng.normal(size=leaf.shape) / 3
        found.append(mx.array(x > 0) if leaf.dtype == "bool" else mx.array(x.astype(leaf.dtype)))
    return found


@pytest.mark.parametrize(("operator", "leaves"), CASES, ids=[f"{op.name}-{ls[0].dtype}" for op, ls in CASES])
def test_cotangents_equal_those_of_the_scalar_program(operator: Semigroup, leaves: tuple[Leaf, ...]) -> None:
    found = traced(operator, *leaves)
    assert found.arrays is not None
    assert found.program is not None
    live = differentiable(found.program.outputs)
    arrays, scalars = reverse_arrays(found.arrays, live), reverse(found.program, live)
    assert arrays.inputs == scalars.inputs
    assert arrays.outputs == scalars.outputs
    with mx.stream(mx.cpu):
        given = values(arrays.inputs)
        lanes = [x.reshape(-1)[i] for x in given for i in range(x.size)]
        expected = mx.stack(evaluate(scalars, lanes, ARRAYS))
        got = mx.concatenate([y.reshape(-1) for y in evaluate_arrays(arrays, given)])
        np.testing.assert_allclose(np.array(got), np.array(expected), rtol=2e-5, atol=2e-6)


def test_a_product_has_two_contractions() -> None:
    found = traced(ms.MatMul(), square(16))
    assert found.arrays is not None
    assert [instr.form.value for instr in reverse_arrays(found.arrays, (0,)).code] == ["contract", "contract"]


def products(x: mx.array, y: mx.array) -> mx.array:
    return x.prod(axis=0) + y


def test_what_has_no_rule_is_named() -> None:
    found = traced(mine(products, 2, "products"), square(9))
    assert found.arrays is not None
    with pytest.raises(NoRule, match="reduce mul"):
        reverse_arrays(found.arrays, (0,))


@pytest.mark.parametrize("semiring", [ms.MaxPlus(), ms.MinPlus()])
def test_terms_that_tie_and_nan_are_told_apart_as_by_the_scalar_program(semiring: ms.monoids.Semiring) -> None:
    found = traced(ms.SemiringMatMul(semiring), square(5))
    assert found.arrays is not None
    assert found.program is not None
    arrays, scalars = reverse_arrays(found.arrays, (0,)), reverse(found.program, (0,))
    given = np.random.default_rng(0).integers(-1, 2, size=(3, 5, 5)).astype(np.float32)
    given[0, 1, 2], given[1, 4, 4] = np.nan, -np.inf
    lanes = [mx.array(x) for x in given.reshape(-1)]
    expected = mx.stack(evaluate(scalars, lanes, ARRAYS))
    got = mx.concatenate([y.reshape(-1) for y in evaluate_arrays(arrays, [mx.array(x) for x in given])])
    assert np.array_equal(np.array(got), np.array(expected), equal_nan=True)


def test_a_cotangent_that_is_zero_stays_so_beside_infinities() -> None:
    found = traced(ms.Segmented(ms.MatMul()), Leaf("bool"), square(5))
    assert found.arrays is not None
    step = reverse_arrays(found.arrays, (1,))
    given = [mx.array(False), mx.full((5, 5), mx.inf), mx.array(True), mx.ones((5, 5)), mx.ones((5, 5))]
    left, _ = evaluate_arrays(step, given)
    assert np.array_equal(np.array(left), np.zeros((5, 5)))


@pytest.mark.parametrize("loop", [Loop.EVENTS, Loop.BATCH])
def test_gradients_of_best_paths_hold_matrices_and_no_terms(loop: Loop) -> None:
    found = traced(ms.SemiringMatMul(ms.MaxPlus()), square(32))
    assert found.arrays is not None
    step = reverse_arrays(found.arrays, (0,))
    vectors = vectors_of(step, loop, 32)
    matrix = 4 * 32 * (32 + vectors.lanes) * vectors.rows
    assert Loops(step, vectors).peak() < 10 * matrix < 4 * 32**3 * vectors.rows


def test_shares_of_log_sums_may_be_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(ms.SemiringMatMul(ms.Log()), square(5))
    assert found.arrays is not None
    held = reverse_arrays(found.arrays, (0,))
    monkeypatch.setattr(array_derivative, "HELD", 0)
    anew = reverse_arrays(found.arrays, (0,))
    assert anew != held
    given = np.random.default_rng(1).normal(size=(3, 5, 5)).astype(np.float32)
    given[0, 1], given[1, :, 3] = -np.inf, -np.inf
    leaves = [mx.array(x) for x in given]
    for got, expected in zip(evaluate_arrays(anew, leaves), evaluate_arrays(held, leaves), strict=True):
        assert np.isfinite(np.array(expected)).all()
        np.testing.assert_allclose(np.array(got), np.array(expected), rtol=2e-6, atol=1e-6)
