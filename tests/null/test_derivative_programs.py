"""Derivatives of whole programs: cotangents, tangents, Jacobians and second derivatives of every operator."""

from __future__ import annotations

import numpy as np
import pytest
from derivative_oracle import (
    POINTS,
    Array,
    slopes,
    traced,
)
from gradient_oracle import evaluate

import monoscan as ms
from monoscan.lowering.program.derivative import forward, jacobian, reverse

OPERATORS: list[tuple[ms.Semigroup, tuple[tuple[int, ...], ...]]] = [
    (ms.Product(), ((),)), (ms.LogSumExp(), ((),)), (ms.Affine(), ((), ())), (ms.MatMul(), ((3, 3),)),
    (ms.MatrixAffine(), ((2, 2), (2,))), (ms.OnlineSoftmax(), ((), ())), (ms.Quaternion(), ((4,),)), (ms.Rigid3(), ((4,), (3,))),
    (ms.KalmanFilter(), ((2, 2), (2,), (2, 2), (2,), (2, 2))), (ms.Moments(4), ((), (), (), (), ())), (ms.MaxSubarray(), ((),) * 4),
    (ms.SemiringMatMul(ms.Log()), ((2, 2),)), (ms.Mean(), ((), ())),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_the_cotangents_of_a_combine(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> None:
    source, lanes = traced(operator, events)
    weights = np.random.default_rng(4).normal(size=(len(source.results), POINTS))

    def run(*given: Array) -> Array:
        return sum((w * y for w, y in zip(weights, evaluate(source, given), strict=True)), np.zeros(()))

    want = slopes(run, lanes, np.ones(POINTS))
    got = evaluate(reverse(source), [*lanes, *weights])
    for ours, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(np.broadcast_to(ours, (POINTS,)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_tangents_are_the_transpose_of_cotangents(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> None:
    source, lanes = traced(operator, events)
    rng = np.random.default_rng(6)
    weights, tangents = rng.normal(size=(len(source.results), POINTS)), rng.normal(size=(len(lanes), POINTS))
    back = evaluate(reverse(source), [*lanes, *weights])
    ahead = evaluate(forward(source), [*lanes, *tangents])[len(source.results) :]
    left = sum(w * y for w, y in zip(weights, ahead, strict=True))
    right = sum(t * x for t, x in zip(tangents, back, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_the_jacobian_of_a_combine_is_its_cotangents_of_unit_vectors(
    operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]
) -> None:
    source, lanes = traced(operator, events)
    live = tuple(range(source.arity))
    pairs, entries = jacobian(source, live)
    known = dict(zip(pairs, evaluate(entries, lanes), strict=True))
    number = len(source.results)
    for j in range(number):
        unit = [np.full(POINTS, float(i == j)) for i in range(number)]
        for i, want in enumerate(evaluate(reverse(source), [*lanes, *unit])[:number]):
            np.testing.assert_allclose(
                np.broadcast_to(known.get((i, j), 0.0), (POINTS,)), np.broadcast_to(want, (POINTS,))
            )


@pytest.mark.parametrize(("operator", "events"), OPERATORS, ids=lambda x: getattr(x, "name", ""))
def test_second_derivatives_by_tangents_of_cotangents(
    operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]
) -> None:
    source, lanes = traced(operator, events)
    rng = np.random.default_rng(7)
    weights, tangents = rng.normal(size=(len(source.results), POINTS)), rng.normal(size=(len(lanes), POINTS))
    zeros = np.zeros((len(source.results), POINTS))
    back = reverse(source)
    got = evaluate(forward(back), [*lanes, *weights, *tangents, *zeros])[len(back.results) :]
    step = 1e-6
    ahead, behind = (
        evaluate(back, [*(x + s * t for x, t in zip(lanes, tangents, strict=True)), *weights]) for s in (step, -step)
    )
    for ours, a, b in zip(got, ahead, behind, strict=True):
        want = np.broadcast_to((a - b) / (2 * step), (POINTS,))
        np.testing.assert_allclose(np.broadcast_to(ours, (POINTS,)), want, rtol=1e-5, atol=1e-5)


def test_only_the_leaves_asked_for_have_cotangents() -> None:
    source, lanes = traced(ms.Affine(), ((), ()))
    found = reverse(source, live=(1,))
    (a, b), (c, d), g = lanes[:2], lanes[2:], np.ones(POINTS)
    left_b, right_a, right_b = evaluate(found, [a, b, c, d, g])
    np.testing.assert_array_equal(left_b, c)
    np.testing.assert_array_equal(right_a, b)
    np.testing.assert_array_equal(right_b, g)
