"""Carries, folds and the dtypes of results: halves are accumulated in float32 and rounded once."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support import (
    COMPILED,
    PORTABLE,
    STRATEGIES,
    name_of,
    numpy_of,
    random_array,
)

import monoscan as ms

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_carry_of_halves_is_float32_and_the_result_half(dtype: str, strategy: str) -> None:
    x = random_array(RNG, (9, 2), dtype)
    result, carry = ms.scan(ms.Sum(), x, return_carry=True, strategy=strategy)
    assert (name_of(result), name_of(carry)) == (dtype, "float32")
    np.testing.assert_allclose(numpy_of(carry), numpy_of(x).astype(np.float64).sum(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint64", "complex64"])
def test_the_carry_of_other_dtypes_keeps_them(dtype: str) -> None:
    x = mx.ones((4,), getattr(mx, dtype))
    for strategy in [s for s in STRATEGIES if dtype != "complex64" or s != "native"]:
        result, carry = ms.scan(ms.Sum(), x, return_carry=True, strategy=strategy)
        assert (name_of(result), name_of(carry)) == (dtype, dtype)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sum_of_bool_counts_in_int32(strategy: str) -> None:
    x = mx.array([True, True, False, True])
    result, carry = ms.scan(ms.Sum(), x, return_carry=True, strategy=strategy)
    total = ms.fold(ms.Sum(), x, strategy=strategy)
    assert (result.tolist(), carry.item(), total.item()) == ([1, 2, 2, 3], 3, 3)
    assert {name_of(result), name_of(carry), name_of(total)} == {"int32"}


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "sequential"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integers_keep_their_dtype_and_wrap(dtype: str, strategy: str) -> None:
    x = random_array(RNG, (17, 2), dtype)
    for operator, ufunc in ((ms.Sum(), np.add), (ms.Product(), np.multiply)):
        want = ufunc.accumulate(np.array(x), 0, dtype=dtype)
        np.testing.assert_array_equal(np.array(ms.scan(operator, x, strategy=strategy)), want)
        total = ms.fold(operator, x, strategy=strategy)
        assert name_of(total) == dtype
        np.testing.assert_array_equal(np.array(total), want[-1])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_accumulate_in_float32_and_round_once(dtype: str, strategy: str) -> None:
    """2048 + 1 is 2048 in float16, and 256 + 1 is 256 in bfloat16: rounding each step would stand still."""
    x = mx.ones((3000,), getattr(mx, dtype))
    want = mx.arange(1, 3001).astype(mx.float32).astype(x.dtype)
    result = ms.scan(ms.Sum(), x, strategy="hillis_steele" if strategy == "sequential" else strategy)
    assert mx.array_equal(result, want)
    assert ms.fold(ms.Sum(), x, strategy=strategy).item() == want[-1].item()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int32"])
def test_chained_calls_equal_one_call(dtype: str, strategy: str, reverse: bool) -> None:
    """Reversed, the second half runs first. Values are small enough to be exact in every order."""
    a = mx.array(RNG.integers(-1, 2, (13, 2))).astype(getattr(mx, dtype))
    b = mx.array(RNG.integers(-3, 4, (13, 2))).astype(getattr(mx, dtype))
    whole, total = ms.scan(ms.Affine(), (a, b), reverse=reverse, return_carry=True, strategy=strategy)
    cuts = [slice(8, 13), slice(3, 8), slice(0, 3)] if reverse else [slice(0, 3), slice(3, 8), slice(8, 13)]
    carry, pieces = None, {}
    for cut in cuts:
        options: dict[str, Any] = {"init": carry, "reverse": reverse, "return_carry": True, "strategy": strategy}
        pieces[cut.start], carry = ms.scan(ms.Affine(), (a[cut], b[cut]), **options)
    assert carry is not None
    for i in (0, 1):
        joined = mx.concatenate([pieces[start][i] for start in sorted(pieces)])
        assert mx.array_equal(joined, whole[i])
        assert mx.array_equal(carry[i], total[i])
        assert carry[i].dtype == total[i].dtype


def test_chaining_halves_loses_nothing_between_calls() -> None:
    x = mx.full((3000,), 1.0, mx.bfloat16)
    whole, carry = ms.scan(ms.Sum(), x), None
    pieces = []
    for start in range(0, 3000, 7):
        piece, carry = ms.scan(ms.Sum(), x[start : start + 7], init=carry, return_carry=True)
        pieces.append(piece)
    assert mx.array_equal(mx.concatenate(pieces), whole)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_exclusive_scan_carries_the_last_inclusive_value(strategy: str) -> None:
    for reverse in (False, True):
        options: dict[str, Any] = {"inclusive": False, "return_carry": True, "reverse": reverse, "strategy": strategy}
        assert ms.scan(ms.Sum(), mx.arange(1, 8), **options)[1].item() == 28


def test_the_carry_of_an_empty_axis_is_init_or_the_identity() -> None:
    for strategy in STRATEGIES:
        _, carry = ms.scan(ms.Sum(), mx.zeros((0, 2), mx.float16), return_carry=True, strategy=strategy)
        assert (carry.tolist(), carry.dtype) == ([0, 0], mx.float32)
        _, carry = ms.scan(ms.Sum(), mx.zeros((0, 2)), init=mx.array([3.0, 4.0]), return_carry=True, strategy=strategy)
        assert carry.tolist() == [3, 4]
        assert ms.fold(ms.Sum(), mx.zeros((0, 2), mx.float16), strategy=strategy).dtype == mx.float16
    assert ms.fold(ms.Last(), mx.zeros((0,)), init=2.5).item() == 2.5


def test_the_scan_of_an_empty_axis_without_identity_is_empty() -> None:
    assert ms.scan(ms.First(), mx.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "bool"])
def test_fold_equals_the_last_value_of_scan_with_its_dtype(dtype: str, reverse: bool, strategy: str) -> None:
    """Small whole numbers, so that the order of a strategy cannot matter."""
    x = mx.array(RNG.integers(0, 2, (11, 3))).astype(getattr(mx, "bool_" if dtype == "bool" else dtype))
    operators: list[ms.Monoid] = [ms.Sum(), ms.Max(), ms.Product()]
    if strategy in COMPILED:
        operators = [ms.All()] if dtype in ("float16", "int8") else []
    for operator in operators:
        scanned = ms.scan(operator, x, reverse=reverse, strategy=strategy)
        total = ms.fold(operator, x, reverse=reverse, strategy=strategy)
        assert total.dtype == scanned.dtype
        assert mx.array_equal(total, scanned[0 if reverse else -1])


def test_a_native_fold_keeps_small_integers_small() -> None:
    for operator in (ms.Sum(), ms.Product(), ms.Max(), ms.Min()):
        total = ms.fold(operator, mx.array([100, 100, 2], mx.int8), strategy="native")
        assert total.dtype == mx.int8
        assert total.item() == ms.scan(operator, mx.array([100, 100, 2], mx.int8), strategy="native")[-1].item()
