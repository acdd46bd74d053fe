"""Gates of a linear recurrence that are one number, or logarithms."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from recurrence import close, normal, recurrence

import monoscan as ms


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("gate", [0.9, np.float32(0.5), 1])
def test_a_number_is_the_same_gate_at_every_step(gate: Any, axis: int) -> None:
    b = normal(20, 33)
    for reverse in (False, True):
        found = ms.linear_recurrence(gate, b, axis=axis, reverse=reverse)
        expected = ms.linear_recurrence(mx.full(b.shape, float(gate)), b, axis=axis, reverse=reverse)
        close(found, expected)


def test_a_number_takes_the_dtype_of_the_inputs() -> None:
    x = mx.ones((3,))
    assert ms.linear_recurrence(2, mx.ones((3,), mx.int32)).tolist() == [1, 3, 7]
    assert ms.linear_recurrence(0.5, x.astype(mx.float16)).dtype == mx.float16
    assert ms.linear_recurrence(1j, x.astype(mx.complex64)).tolist() == [1, 1 + 1j, 1j]
    with pytest.raises(ms.ScanTypeError, match=r"leaf a is the number 0.5, which int32 cannot hold"):
        ms.linear_recurrence(0.5, mx.ones((3,), mx.int32))


def test_a_number_beside_leaves_with_events_has_its_own() -> None:
    b, matrices = mx.array([1.0, 2.0, 4.0]), mx.ones((3, 2, 2))
    _, (_, found) = ms.scan(ms.Tuple(ms.Sum(), ms.Semidirect(ms.Product(), ms.Sum())), (b, (0.5, b)))
    close(found, ms.scan(ms.Semidirect(ms.Product(), ms.Sum()), (mx.full((3,), 0.5), b))[1])
    close(ms.scan(ms.Tuple(ms.Sum(), ms.MatMul()), (0.5, matrices))[0], mx.array([0.5, 1.0, 1.5]))
    for elems, axis in ((0.5, matrices), -3), ((b, 0.5), 0):
        with pytest.raises(ms.TreeError, match=r"is float 0\.5"):
            ms.scan(ms.Tuple(ms.Sum(), ms.MatMul()), elems, axis)


def test_a_number_fits_every_size_and_has_gradients_of_the_inputs() -> None:
    run = mx.compile(lambda b: ms.linear_recurrence(0.5, b), shapeless=True)
    for n in (4, 9):
        b = normal(n, 3)
        close(run(b), recurrence(mx.full((n, 3), 0.5), b))
    b = normal(9, 3)
    found = mx.grad(lambda b: (ms.linear_recurrence(0.5, b) ** 2).sum())(b)
    close(found, mx.grad(lambda b: (recurrence(mx.full((9, 3), 0.5), b) ** 2).sum())(b))


@pytest.mark.parametrize("shape", [(40, 33), (3, 700)])
def test_logarithms_of_gates_are_the_same_recurrence(shape: tuple[int, int]) -> None:
    axis = int(shape[0] < shape[1])
    log_a, b, h = -mx.abs(normal(*shape)), normal(*shape), normal(shape[1 - axis])
    for options in (
        {},
        {"reverse": True},
        {"return_carry": True},
        {"strategy": "brent_kung"},
        {"strategy": "sequential"},
    ):
        found = ms.linear_recurrence(log_a, b, h, axis=axis, log_gates=True, **options)
        expected = ms.linear_recurrence(mx.exp(log_a), b, h, axis=axis, **options)
        for x, y in zip(found, expected, strict=True) if "return_carry" in options else [(found, expected)]:
            close(x, y)


def test_a_gate_whose_logarithm_is_minus_infinity_forgets() -> None:
    log_a = mx.array([0.0, -float("inf"), 0.0])
    assert ms.linear_recurrence(log_a, mx.array([1.0, 2.0, 3.0]), log_gates=True).tolist() == [1, 2, 5]


def test_logarithms_have_gradients() -> None:
    log_a, b = -mx.abs(normal(12, 3)), normal(12, 3)
    found = mx.grad(lambda *xs: (ms.linear_recurrence(*xs, log_gates=True) ** 2).sum(), (0, 1))(log_a, b)
    expected = mx.grad(lambda log_a, b: (recurrence(mx.exp(log_a), b) ** 2).sum(), (0, 1))(log_a, b)
    for x, y in zip(found, expected, strict=True):
        close(x, y)


def test_logarithms_of_a_number_and_of_integers() -> None:
    b = normal(9)
    close(ms.linear_recurrence(-0.5, b, log_gates=True), ms.linear_recurrence(float(np.exp(-0.5)), b))
    with pytest.raises(ms.ScanTypeError, match=r"LogAffine"):
        ms.linear_recurrence(mx.zeros((3,), mx.int32), mx.zeros((3,), mx.int32), log_gates=True)
    with pytest.raises(ms.ScanTypeError, match=r"log_gates must be True or False; got 1"):
        ms.linear_recurrence(b, b, log_gates=1)  # type: ignore[arg-type]
