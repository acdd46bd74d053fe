"""``init`` stands before the first element: combined in front, broadcast, chained, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from support import (
    AFFINE,
    COMPILED,
    GRAPH,
    MATRIX_AFFINE,
    PORTABLE,
    STRATEGIES,
    SUM,
    Model,
    check_scan,
    random_leaves,
)

import monoscan as ms

RNG = np.random.default_rng(2)


def leaves_of(model: Model, length: int, dtypes: Sequence[str]) -> list[mx.array]:
    shapes = [(length, 3), (length, 2, 1)][: model.arity]
    return random_leaves(model, RNG, shapes, dtypes)


def init_of(model: Model, dtypes: Sequence[str], batch: tuple[int, ...] = ()) -> list[mx.array]:
    return random_leaves(model, RNG, [batch] * model.arity, dtypes)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_init_is_combined_in_front(strategy: str) -> None:
    assert ms.scan(ms.Sum(), mx.array([1, 2, 3]), init=10, strategy=strategy).tolist() == [11, 13, 16]
    assert ms.fold(ms.Sum(), mx.array([1, 2, 3]), init=10, strategy=strategy).item() == 16


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung", "sequential", "auto"])
def test_init_is_the_first_operand(strategy: str) -> None:
    x = mx.arange(1, 6)
    for reverse in (False, True):
        assert ms.scan(ms.First(), x, init=99, reverse=reverse, strategy=strategy).tolist() == [99] * 5


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1), (4, 2, 3), (4, 1, 1)])
def test_init_has_no_scan_axis_and_broadcasts(batch: tuple[int, ...], strategy: str) -> None:
    for model in (AFFINE,) if strategy in COMPILED else (AFFINE, MATRIX_AFFINE):
        leaves = random_leaves(model, RNG, [(5, 3), (5, 2, 1)], ["float32"] * 2)
        check_scan(model, leaves, init=init_of(model, ["float32"] * 2, batch), strategy=strategy)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_init_broadcasts_around_a_scan_axis_in_the_middle(strategy: str) -> None:
    leaves = random_leaves(AFFINE, RNG, [(3, 5, 2), (3, 5, 2)], ["float32"] * 2)
    check_scan(AFFINE, leaves, 1, init=init_of(AFFINE, ["float32"] * 2, (4, 3, 2)), strategy=strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_init_may_widen_the_batch_of_a_native_scan(strategy: str) -> None:
    check_scan(SUM, leaves_of(SUM, 5, ["float32"]), init=init_of(SUM, ["float32"], (4, 1)), strategy=strategy)


def test_an_init_of_scalars_needs_no_arrays() -> None:
    _, h = ms.scan(ms.Affine(), (mx.full((2, 3), 0.5), mx.ones((2, 3))), init=(1, 4))
    assert h.tolist() == [[3, 3, 3], [2.5, 2.5, 2.5]]


@pytest.mark.parametrize(
    ("dtype", "init"),
    [("float32", np.float32(2)), ("float16", np.float64(2)), ("float32", np.int64(2)), ("int32", np.uint8(2)),
     ("int8", np.int64(2)), ("uint64", np.uint64(2)), ("complex64", np.complex64(2)), ("int32", np.int32(2))],
)  # fmt: skip
def test_numpy_scalars_are_numbers(dtype: str, init: object) -> None:
    x = mx.array([1, 0, 1]).astype(getattr(mx, dtype))
    assert ms.scan(ms.Sum(), x, init=init).tolist() == [3, 3, 4]
    assert ms.scan(ms.monoid(mx.add, identity=init), x, inclusive=False).tolist() == [2, 1, 1]


def test_numpy_truth_values_are_numbers() -> None:
    assert ms.scan(ms.Sum(), mx.array([1, 0]), init=np.bool_(True)).tolist() == [2, 2]
    assert ms.scan(ms.All(), mx.array([True, False]), init=np.bool_(True)).tolist() == [True, False]


@pytest.mark.parametrize("strategy", [*GRAPH, "auto", "native", "kernel", "sequential"])
def test_the_upper_half_of_uint64_is_there_as_init_and_as_identity(strategy: str) -> None:
    top, x = 2**64 - 1, mx.array(np.array([2**63, 6], np.uint64))
    assert ms.scan(ms.Max(), x, init=top, strategy=strategy).tolist() == [top, top]
    assert ms.scan(ms.Max(), x, init=2**63 + 1, strategy=strategy).tolist() == [2**63 + 1] * 2
    assert ms.fold(ms.Max(), x, init=np.uint64(top), strategy=strategy).item() == top
    if strategy != "native":
        least = ms.monoid(mx.minimum, identity=top)
        assert ms.scan(least, x, inclusive=False, strategy=strategy).tolist() == [top, 2**63]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_init_of_halves_may_be_half_or_float32(dtype: str) -> None:
    x = mx.ones((3,), getattr(mx, dtype))
    for init in (mx.array(0.25, mx.float32), mx.array(0.25, x.dtype), 0.25):
        result = ms.scan(ms.Sum(), x, init=init)
        assert (result.tolist(), result.dtype) == ([1.25, 2.25, 3.25], x.dtype)


def test_the_state_before_the_first_step_of_a_linear_recurrence_is_h0() -> None:
    a, b = mx.full((3,), 0.5), mx.ones((3,))
    assert ms.linear_recurrence(a, b, h0=mx.array(4.0)).tolist() == [3, 2.5, 2.25]
    assert ms.linear_recurrence(a, b, 4.0, reverse=True).tolist() == [2.25, 2.5, 3]
    assert ms.linear_recurrence(a, b, h0=mx.array([4.0, 0.0])[:, None][:, 0][:1][0]).tolist() == [3, 2.5, 2.25]


def in_order(operation: np.ufunc, x: np.ndarray, init: object, inclusive: bool) -> np.ndarray:
    """The fold in order in the elements' own dtype."""
    state, out = x.dtype.type(init), []
    for value in x:
        out.append(state)
        with np.errstate(over="ignore", invalid="ignore"):
            state = operation(state, value)
    return np.array([*out[1:], state] if inclusive else out)


FIRST = {
    "a product after zero": (ms.Product(), np.multiply, [2.0] * 200, 0.0),
    "a product after something small": (ms.Product(), np.multiply, [1e30, 1e30, 1e-30], 1e-30),
    "a sum after its opposite": (ms.Sum(), np.add, [3e38, 3e38, -3e38], -3e38),
    "a sum after what it rounds away": (ms.Sum(), np.add, [1.0] * 9, 2.0**24),
}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("strategy", ["auto", "native", "sequential"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("inclusive", thinned([True, False], [True]), ids=["inclusive", "exclusive"])
@pytest.mark.parametrize("columns", [None, 3])
def test_init_comes_before_the_first_float(
    name: str, strategy: str, reverse: bool, inclusive: bool, columns: int | None
) -> None:
    operator, operation, values, init = FIRST[name]
    ordered = np.array(values, np.float32)
    want = in_order(operation, ordered, init, inclusive)
    x = mx.array(ordered[::-1].copy() if reverse else ordered)
    x = x if columns is None else mx.broadcast_to(x[:, None], (len(values), columns))
    y, carry = ms.scan(
        operator, x, init=init, reverse=reverse, inclusive=inclusive, return_carry=True, strategy=strategy
    )
    got = np.array(y)[::-1] if reverse else np.array(y)
    rounding = 1e-6 if strategy == "auto" else 0  # a kernel may add the elements up before it adds them to the init
    np.testing.assert_allclose(got if columns is None else got[:, 1], want, rtol=rounding)
    np.testing.assert_allclose(np.array(carry).ravel()[0], in_order(operation, ordered, init, True)[-1], rtol=rounding)


def chained(operator: ms.Monoid, x: mx.array, axis: int, options: dict[str, Any]) -> tuple[mx.array, mx.array]:
    """The scan and the carry of two calls, the second after the carry of the first."""
    options, pieces, reverse = {**options, "return_carry": True}, mx.split(x, [37], axis), options["reverse"]
    first, carry = ms.scan(operator, pieces[reverse], axis, **options)
    second, final = ms.scan(operator, pieces[not reverse], axis, init=carry, **options)
    return mx.concatenate([second, first] if reverse else [first, second], axis), final


WAYS = [{"reverse": reverse, "inclusive": inclusive} for reverse in (False, True) for inclusive in (False, True)]
SHAPES_TO_CHAIN = [((100,), 0), ((100, 3), 0), ((2, 100), 1), ((100, 20), 0)]


CHAINED = [ms.Sum(), ms.Product(), ms.LogSumExp(), ms.Max()]


@pytest.mark.parametrize("operator", thinned(CHAINED, CHAINED[:1]), ids=lambda m: m.name)
@pytest.mark.parametrize("strategy", ["sequential", "native"])
@pytest.mark.parametrize("dtype", thinned([mx.float32, mx.float16], [mx.float16]))
@pytest.mark.parametrize(("shape", "axis"), SHAPES_TO_CHAIN)
def test_chained_calls_in_order_have_the_bits_of_one_call(
    operator: ms.Monoid, strategy: str, dtype: mx.Dtype, shape: tuple[int, ...], axis: int
) -> None:
    x = mx.array(1 + RNG.normal(size=shape) / 8).astype(dtype)
    for way in WAYS:
        joined, final = chained(operator, x, axis, {**way, "strategy": strategy})
        whole, last = ms.scan(operator, x, axis, strategy=strategy, return_carry=True, **way)
        np.testing.assert_array_equal(np.array(joined), np.array(whole))
        np.testing.assert_array_equal(np.array(final), np.array(last))


@pytest.mark.sampled(4)
@pytest.mark.long
@pytest.mark.parametrize("operator", thinned(CHAINED, CHAINED[-2:-1]), ids=lambda m: m.name)
@pytest.mark.parametrize("dtype", thinned([mx.float32, mx.float16], [mx.float16]))
@pytest.mark.parametrize(("shape", "axis"), thinned(SHAPES_TO_CHAIN, SHAPES_TO_CHAIN[1:2]))
def test_chained_calls_equal_one_call_to_the_rounding_of_the_carry(
    operator: ms.Monoid, dtype: mx.Dtype, shape: tuple[int, ...], axis: int
) -> None:
    """Halves too add up in float32, and are rounded once more at the end; what is exact keeps its bits."""
    x = mx.array(1 + RNG.normal(size=shape) / 8).astype(dtype)
    exact = operator == ms.Max()
    for way in WAYS:
        joined, final = chained(operator, x, axis, way)
        whole, last = ms.scan(operator, x, axis, return_carry=True, **way)
        spacing = 2.0**-10 if dtype == mx.float16 else 2.0**-20
        np.testing.assert_allclose(np.array(joined), np.array(whole), rtol=0 if exact else spacing)
        np.testing.assert_allclose(np.array(final), np.array(last), rtol=0 if exact else 2.0**-20)


def test_what_is_exact_stays_a_native_scan_with_an_init() -> None:
    for operator, x in ((ms.Sum(), mx.arange(9)), (ms.Max(), mx.ones((9,)))):
        assert ms.explain(operator, x, init=1).strategy == "native"
    assert ms.scan(ms.Sum(), mx.arange(5), init=10).tolist() == [10, 11, 13, 16, 20]
