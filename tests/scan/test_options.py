"""Options: reverse, exclusive, init, carry, fold; laziness and streams."""

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
    LENGTHS,
    MATMUL,
    MATRIX_AFFINE,
    MAYBE_LAST,
    PORTABLE,
    SEGMENTED_SUM,
    STRATEGIES,
    SUM,
    Model,
    check_scan,
    name_of,
    numpy_of,
    random_array,
    random_leaves,
)

import monoscan as ms
from monoscan import tree

RNG = np.random.default_rng(2)
SWITCHES = [(reverse, inclusive) for reverse in (False, True) for inclusive in (True, False)]


def leaves_of(model: Model, length: int, dtypes: Sequence[str]) -> list[mx.array]:
    shapes = [(length, 3), (length, 2, 1)][: model.arity]
    return random_leaves(model, RNG, shapes, dtypes)


def init_of(model: Model, dtypes: Sequence[str], batch: tuple[int, ...] = ()) -> list[mx.array]:
    return random_leaves(model, RNG, [batch] * model.arity, dtypes)


# ------------------------------------------------------------------------- every option at once


@pytest.mark.parametrize("seeded", [False, True], ids=["", "init"])
@pytest.mark.parametrize(("reverse", "inclusive"), SWITCHES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_options_agree_with_the_fold_by_definition(
    strategy: str, reverse: bool, inclusive: bool, seeded: bool
) -> None:
    options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "strategy": strategy}
    for length in LENGTHS if strategy != "sequential" else LENGTHS[:1]:
        init = init_of(SUM, ["int32"]) if seeded else None
        check_scan(SUM, leaves_of(SUM, length, ["int32"]), init=init, **options)


@pytest.mark.parametrize("seeded", [False, True], ids=["", "init"])
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(False, False), (True, True)]))
@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_all_options_agree_where_order_matters(strategy: str, reverse: bool, inclusive: bool, seeded: bool) -> None:
    options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "strategy": strategy}
    for length in LENGTHS:
        for model in (AFFINE,) if strategy in COMPILED else (AFFINE, MATMUL):
            dtypes = ["float32"] * model.arity
            init = init_of(model, dtypes) if seeded else None
            check_scan(model, leaves_of(model, length, dtypes), init=init, **options)


# --------------------------------------------------------------------------------------- reverse


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_reverse_walks_back_from_the_last_element(strategy: str) -> None:
    a, b = random_leaves(AFFINE, RNG, [(9,), (9,)], ["float64"] * 2)
    h, want = 0.0, []
    for gate, value in reversed(list(zip(a.tolist(), b.tolist(), strict=True))):
        h = gate * h + value
        want.append(h)
    np.testing.assert_allclose(ms.scan(ms.Affine(), (a, b), reverse=True, strategy=strategy)[1].tolist(), want[::-1])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_reverse_is_flip_scan_flip(strategy: str, axis: int) -> None:
    x = random_array(RNG, (6, 7), "int16")
    flipped = np.flip(np.cumsum(np.flip(np.array(x), axis), axis, dtype=np.int16), axis)
    np.testing.assert_array_equal(np.array(ms.scan(ms.Sum(), x, axis, reverse=True, strategy=strategy)), flipped)


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung", "sequential", "auto"])
def test_reverse_keeps_the_last_of_first(strategy: str) -> None:
    x = mx.arange(9)
    assert ms.scan(ms.First(), x, reverse=True, strategy=strategy).tolist() == [8] * 9
    assert ms.scan(ms.Dual(ms.First()), x, reverse=True, strategy=strategy).tolist() == list(range(9))


def test_suffix_products_in_array_order_are_the_dual_reversed() -> None:
    matrices = random_leaves(MATMUL, RNG, [(6,)], ["float64"])[0]
    want = [np.array(matrices[5])]
    for t in range(4, -1, -1):
        want.append(np.array(matrices[t]) @ want[-1])
    np.testing.assert_allclose(np.array(ms.scan(ms.Dual(ms.MatMul()), matrices, reverse=True)), want[::-1])


# ------------------------------------------------------------------------------------- exclusive


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exclusive_starts_with_the_identity(strategy: str) -> None:
    assert ms.scan(ms.Sum(), mx.array([1, 2, 3]), inclusive=False, strategy=strategy).tolist() == [0, 1, 3]
    assert ms.scan(ms.Product(), mx.array([2, 3, 4]), inclusive=False, strategy=strategy).tolist() == [1, 2, 6]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exclusive_starts_with_init(strategy: str) -> None:
    x = mx.array([1, 2, 3])
    assert ms.scan(ms.Sum(), x, inclusive=False, init=mx.array(10), strategy=strategy).tolist() == [10, 11, 13]
    assert ms.scan(ms.Sum(), x, inclusive=False, init=10, reverse=True, strategy=strategy).tolist() == [15, 13, 10]


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung", "sequential", "auto"])
def test_exclusive_needs_no_identity_where_there_is_init(strategy: str) -> None:
    x = mx.arange(5)
    assert ms.scan(ms.Last(), x, inclusive=False, init=9, strategy=strategy).tolist() == [9, 0, 1, 2, 3]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_the_init_of_an_exclusive_scan_is_there_bit_for_bit(strategy: str) -> None:
    init = (mx.array(mx.nan), mx.array(mx.inf))
    a, b = ms.scan(ms.Affine(), (mx.ones((9,)), mx.ones((9,))), inclusive=False, init=init, strategy=strategy)
    assert mx.isnan(a[0]).item()
    assert b[0].item() == float("inf")


SEGMENTS = mx.array([True, False, False, True, True, False, False, False, False, True, False])
VALUES = mx.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_exclusive_segmented_scan_gives_the_identity_at_every_head(strategy: str) -> None:
    _, before = ms.scan(ms.Segmented(ms.Sum()), (SEGMENTS, VALUES), inclusive=False, strategy=strategy)
    assert before.tolist() == [0, 1, 3, 0, 0, 5, 11, 18, 26, 0, 10]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_exclusive_segmented_scan_reversed_gives_the_identity_at_the_last_of_each_segment(strategy: str) -> None:
    _, before = ms.scan(ms.Segmented(ms.Sum()), (SEGMENTS, VALUES), inclusive=False, reverse=True, strategy=strategy)
    state, want = 0, []
    for start, value in reversed(list(zip(SEGMENTS.tolist(), VALUES.tolist(), strict=True))):
        want.append(0 if start else state)
        state = value if start else state + value
    assert before.tolist() == want[::-1]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_the_init_of_an_exclusive_segmented_scan_comes_before_the_first_head_only(strategy: str) -> None:
    flags = mx.array([False, False, True, False, True])
    init = (mx.array(False), mx.array(100))
    _, before = ms.scan(ms.Segmented(ms.Sum()), (flags, mx.arange(1, 6)), inclusive=False, init=init, strategy=strategy)
    assert before.tolist() == [100, 101, 0, 3, 0]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_a_part_of_a_tuple_is_segmented_like_the_whole(strategy: str) -> None:
    both = ms.Tuple(ms.Segmented(ms.Sum()), ms.Sum())
    (_, before), total = ms.scan(both, ((SEGMENTS, VALUES), VALUES), inclusive=False, strategy=strategy)
    assert before.tolist() == [0, 1, 3, 0, 0, 5, 11, 18, 26, 0, 10]
    assert total.tolist() == [0, *np.cumsum(VALUES)[:-1].tolist()]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_segments_of_matrices_have_heads_over_batch_axes(strategy: str) -> None:
    flags = mx.array([[True, False], [False, True], [True, True], [False, False]])
    matrices = mx.array(RNG.integers(-3, 3, (4, 1, 2, 2)))
    _, before = ms.scan(ms.Segmented(ms.MatMul()), (flags, matrices), inclusive=False, strategy=strategy)
    eye, m = np.eye(2, dtype=int), np.array(matrices)[:, 0]
    want = [[eye, eye], [m[0], eye], [eye, eye], [m[2], m[2]]]
    np.testing.assert_array_equal(np.array(before), want)


@pytest.mark.parametrize("length", [0, 1])
def test_a_short_exclusive_segmented_scan_obeys_its_head(length: int) -> None:
    elems = mx.full((length,), True), mx.full((length,), 5)
    init = (mx.array(True), mx.array(7))
    assert ms.scan(ms.Segmented(ms.Sum()), elems, inclusive=False, init=init)[1].tolist() == [0] * length
    assert ms.scan(ms.Segmented(ms.Sum()), elems, inclusive=False)[1].tolist() == [0] * length


def test_a_segmented_operator_without_identity_cannot_be_scanned_exclusively() -> None:
    with pytest.raises(ms.IdentityError, match=r"Segmented\(Last\) has no identity"):
        ms.scan(ms.Segmented(ms.Last()), (SEGMENTS, VALUES), inclusive=False)


def test_an_inclusive_segmented_scan_and_its_carry_reset_at_heads() -> None:
    for strategy in ("auto", *PORTABLE):
        check_scan(SEGMENTED_SUM, [SEGMENTS, VALUES], strategy=strategy)


# ------------------------------------------------------------------------------------------ init


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


# ------------------------------------------------------------------------------- carry and dtype


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
    for strategy in STRATEGIES:
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


# ---------------------------------------------------------------------------- laziness, streams


def test_nothing_is_evaluated_before_it_is_asked_for() -> None:
    before = mx.get_active_memory()
    x = mx.random.normal((1 << 20,))
    for strategy in ("auto", "blelloch", "hillis_steele", "brent_kung"):
        results = ms.scan(ms.Affine(), (x, x), return_carry=True, strategy=strategy)
        assert mx.get_active_memory() - before < 1 << 20
        del results


@pytest.mark.parametrize("stream", [mx.cpu, mx.Device(mx.cpu), mx.new_stream(mx.cpu)], ids=["type", "device", "stream"])
def test_stream_may_be_a_device_or_a_stream(stream: Any) -> None:
    x = mx.arange(9)
    for strategy in STRATEGIES:
        result, carry = ms.scan(ms.Sum(), x, stream=stream, return_carry=True, strategy=strategy)
        assert (result.tolist(), carry.item()) == (np.cumsum(np.arange(9)).tolist(), 36)
        assert ms.fold(ms.Sum(), x, stream=stream, strategy=strategy).item() == 36
        assert ms.explain(ms.Sum(), x, stream=stream, strategy=strategy).device == "cpu"
    assert ms.linear_recurrence(mx.ones((3,)), mx.ones((3,)), stream=stream).tolist() == [1, 2, 3]


def test_the_callers_stream_is_used_and_left_as_it_was() -> None:
    mine = mx.new_stream(mx.cpu)
    before = mx.default_stream(mx.cpu)
    with mx.stream(mine):
        assert ms.scan(ms.Sum(), mx.arange(4)).tolist() == [0, 1, 3, 6]
        assert mx.default_stream(mx.cpu) == mine
    ms.scan(ms.Affine(), (mx.ones((4,)), mx.ones((4,))), stream=mine)
    assert mx.default_stream(mx.cpu) == before


def test_linear_recurrence_is_the_second_leaf_of_affine() -> None:
    a, b = random_leaves(AFFINE, RNG, [(9, 2), (9, 3, 2)], ["float32"] * 2)
    for strategy in ("auto", *PORTABLE):
        for reverse in (False, True):
            options: dict[str, Any] = {"reverse": reverse, "return_carry": True, "strategy": strategy}
            h, last = ms.linear_recurrence(a, b, **options)
            (_, want), (_, carry) = ms.scan(ms.Affine(), (a, b), **options)
            assert (h.shape, last.shape) == (want.shape, carry.shape)
            np.testing.assert_allclose(np.array(h), np.array(want), rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(np.array(last), np.array(carry), rtol=1e-6, atol=1e-6)


def test_linear_recurrence_takes_an_axis_a_state_and_halves() -> None:
    a, b = mx.full((2, 5), 0.5, mx.float16), mx.ones((2, 5), mx.float16)
    h, last = ms.linear_recurrence(a, b, mx.array([2.0, 0.0]), axis=-1, return_carry=True)
    assert (h.shape, h.dtype, last.shape, last.dtype) == ((2, 5), mx.float16, (2,), mx.float32)
    assert h[0].tolist() == [2] * 5
    assert h[1].tolist() == [1, 1.5, 1.75, 1.875, 1.9375]


def test_missing_values_do_not_matter_whatever_they_are() -> None:
    valid = mx.array([True, False, False, True, False])
    values = mx.array([4.0, mx.nan, mx.inf, 6.0, mx.nan])
    for strategy in PORTABLE:
        check_scan(MAYBE_LAST, [valid, values], strategy=strategy)
        filled = ms.scan(ms.Maybe(ms.Sum()), (valid, values), strategy=strategy)[1]
        assert filled.tolist() == [4, 4, 4, 10, 10]


def test_explain_takes_every_option_and_runs_nothing() -> None:
    leaves = random_leaves(AFFINE, RNG, [(9,), (9,)], ["float32"] * 2)
    for reverse, inclusive in SWITCHES:
        plan = ms.explain(
            ms.Affine(),
            leaves,
            0,
            reverse=reverse,
            inclusive=inclusive,
            init=(1, 0),
            return_carry=True,
            strategy="blelloch",
        )
        assert isinstance(plan, ms.Plan)
        assert plan.strategy == "blelloch"
        assert ("reverse" in str(plan)) == reverse
        assert ("exclusive" in str(plan)) != inclusive


def test_elements_are_never_changed() -> None:
    x, y = mx.arange(9), mx.arange(9)
    for strategy in STRATEGIES:
        mx.eval(ms.scan(ms.Sum(), x, strategy=strategy))
    assert tree.flatten(x)[0][0] is x
    assert mx.array_equal(x, y)


# ------------------------------------------------------------------------------- init comes first


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
@pytest.mark.parametrize("inclusive", [True, False], ids=["inclusive", "exclusive"])
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
    np.testing.assert_array_equal(got if columns is None else got[:, 1], want)
    np.testing.assert_array_equal(np.array(carry).ravel()[0], in_order(operation, ordered, init, True)[-1])


@pytest.mark.parametrize("operator", [ms.Sum(), ms.Product(), ms.LogSumExp()], ids=lambda m: m.name)
@pytest.mark.parametrize("strategy", ["auto", "native"])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
@pytest.mark.parametrize(("shape", "axis"), [((100,), 0), ((100, 3), 0), ((2, 100), 1), ((100, 20), 0)])
def test_chained_calls_have_the_bits_of_one_call(
    operator: ms.Monoid, strategy: str, dtype: mx.Dtype, shape: tuple[int, ...], axis: int
) -> None:
    x = mx.array(1 + RNG.normal(size=shape) / 8).astype(dtype)
    for reverse, inclusive in ((False, True), (True, True), (False, False), (True, False)):
        options = {"reverse": reverse, "inclusive": inclusive, "return_carry": True, "strategy": strategy}
        whole, last = ms.scan(operator, x, axis, **options)
        pieces = mx.split(x, [37], axis)
        first, carry = ms.scan(operator, pieces[reverse], axis, **options)
        second, final = ms.scan(operator, pieces[not reverse], axis, init=carry, **options)
        joined = mx.concatenate([second, first] if reverse else [first, second], axis)
        np.testing.assert_array_equal(np.array(joined), np.array(whole))
        np.testing.assert_array_equal(np.array(final), np.array(last))


def test_what_is_exact_stays_a_native_scan_with_an_init() -> None:
    for operator, x in ((ms.Sum(), mx.arange(9)), (ms.Max(), mx.ones((9,)))):
        assert ms.explain(operator, x, init=1).strategy == "native"
    assert ms.scan(ms.Sum(), mx.arange(5), init=10).tolist() == [10, 11, 13, 16, 20]
