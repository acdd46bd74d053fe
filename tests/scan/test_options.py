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
    LENGTHS,
    MATMUL,
    MAYBE_LAST,
    PORTABLE,
    SEGMENTED_SUM,
    STRATEGIES,
    SUM,
    Model,
    check_scan,
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
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(True, False)]))
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
