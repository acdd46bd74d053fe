"""Strategies: each can be forced, does what it says, and costs what it should."""

from __future__ import annotations

import io
from collections.abc import Callable
from math import log2
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support import AFFINE, GRAPH, MATMUL, PORTABLE, STRATEGIES, check_scan, random_leaves

import monoscan as ms

RNG = np.random.default_rng(4)
NATIVE = {
    "cumsum": ms.Sum(),
    "cumprod": ms.Product(),
    "cummax": ms.Max(),
    "cummin": ms.Min(),
    "logcumsumexp": ms.LogSumExp(),
}


def affine(n: int) -> list[mx.array]:
    return random_leaves(AFFINE, RNG, [(n,), (n,)], ["float32"] * 2)


def graph_of(*outputs: mx.array) -> list[str]:
    """The nodes of the graph behind lazy arrays, as MLX prints them."""
    text = io.StringIO()
    mx.export_to_dot(text, *outputs)
    return [line for line in text.getvalue().splitlines() if "label" in line]


def scans(strategy: str, reverse: bool = False) -> Callable[..., Any]:
    return lambda a, b: ms.scan(ms.Affine(), (a, b), strategy=strategy, reverse=reverse)[1]


def states(a: mx.array, b: mx.array) -> list[float]:
    h, found = 0.0, []
    for gate, value in zip(a.tolist(), b.tolist(), strict=True):
        h = gate * h + value
        found.append(h)
    return found


# ----------------------------------------------------------------------------------------- forced


@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_forced_strategy_is_the_one_that_runs(strategy: str) -> None:
    plan = ms.explain(ms.Affine(), affine(64), strategy=strategy)
    assert (plan.strategy, plan.row) == (strategy, 1)


@pytest.mark.parametrize("operator", NATIVE.values(), ids=NATIVE)
def test_native_is_mlx_own_scan(operator: ms.Monoid) -> None:
    assert ms.explain(operator, mx.ones((9,)), strategy="native").strategy == "native"
    faster = "kernel" if operator == ms.LogSumExp() else "native"
    assert ms.explain(operator, mx.ones((9,))).strategy == faster
    nodes = graph_of(ms.scan(operator, mx.ones((9,)), strategy="native"))
    assert any("Cum" in node or "Scan" in node for node in nodes), nodes


@pytest.mark.parametrize("name", NATIVE)
def test_native_equals_the_function_of_mlx(name: str) -> None:
    x = mx.array(RNG.normal(size=(9, 5)).astype(np.float32))
    for axis in (0, 1):
        for reverse in (False, True):
            for inclusive in (False, True):
                want = getattr(mx, name)(x, axis=axis, reverse=reverse, inclusive=inclusive)
                got = ms.scan(NATIVE[name], x, axis, reverse=reverse, inclusive=inclusive, strategy="native")
                assert mx.array_equal(got, want)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_forced_strategy_holds_for_each_part_of_a_tuple(strategy: str) -> None:
    both = ms.Tuple(ms.Sum(), ms.Affine())
    elems = (mx.ones((9,)), tuple(affine(9)))
    plan = ms.explain(both, elems, strategy=strategy)
    assert [part.strategy for part in plan.parts] == [strategy, strategy]
    total, (_, h) = ms.scan(both, elems, strategy=strategy)
    assert total.tolist() == list(range(1, 10))
    np.testing.assert_allclose(h.tolist(), states(*elems[1]), rtol=1e-4, atol=1e-5)


def test_native_may_be_forced_for_a_tuple_of_native_parts() -> None:
    both = ms.Struct(total=ms.Sum(), top=ms.Max())
    result = ms.scan(both, both.embed(mx.array([2.0, 1.0, 3.0])), strategy="native")
    assert result["total"].tolist() == [2, 3, 6]
    assert result["top"].tolist() == [2, 2, 3]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_forced_strategy_serves_short_axes_too(strategy: str) -> None:
    for n in (0, 1):
        assert ms.scan(ms.Sum(), mx.ones((n,)), strategy=strategy).tolist() == [1.0] * n


def test_a_forced_strategy_that_cannot_work_is_an_error_on_short_axes_too() -> None:
    for n in (0, 1, 2):
        with pytest.raises(ms.StrategyError, match="no identity"):
            ms.scan(ms.First(), mx.ones((n,)), strategy="blelloch")
        with pytest.raises(ms.StrategyError, match="MLX has no scan"):
            ms.scan(ms.Affine(), (mx.ones((n,)), mx.ones((n,))), strategy="native")


def test_native_never_runs_what_does_not_commute() -> None:
    assert ms.explain(ms.Dual(ms.Sum()), mx.ones((9,)), strategy="native").strategy == "native"
    for operator in (ms.First(), ms.Last()):
        with pytest.raises(ms.StrategyError, match="native"):
            ms.scan(operator, mx.ones((9,)), strategy="native")


# ------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("strategy", GRAPH)
def test_every_length_up_to_seventy(strategy: str) -> None:
    """Small whole numbers: exact in any order, so that one wrong combine shows."""
    for n in range(71):
        a, b = mx.array(RNG.integers(-1, 2, n)), mx.array(RNG.integers(-9, 10, n))
        for reverse in (False, True):
            got = ms.scan(ms.Affine(), (a, b), reverse=reverse, strategy=strategy)[1]
            want = states(a[::-1], b[::-1])[::-1] if reverse else states(a, b)
            assert got.tolist() == want


@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("n", [127, 128, 129, 255, 256, 257, 1000])
def test_lengths_around_powers_of_two(n: int, strategy: str) -> None:
    check_scan(AFFINE, affine(n), strategy=strategy)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_long_scan_of_matrices(strategy: str) -> None:
    check_scan(MATMUL, random_leaves(MATMUL, RNG, [(100,)], ["float64"]), strategy=strategy)


@pytest.mark.parametrize("strategy", PORTABLE)
def test_bits_before_the_first_infinity_are_kept(strategy: str) -> None:
    a, b = affine(64)
    clean = ms.scan(ms.Affine(), (a, b), strategy=strategy)
    spoiled = mx.where(mx.arange(64) == 40, mx.inf, b)
    got = ms.scan(ms.Affine(), (a, spoiled), strategy=strategy)
    for x, y in zip(got, clean, strict=True):
        assert mx.array_equal(x[:40], y[:40])


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("n", [2, 200])
def test_an_init_comes_in_front_of_the_first_element_and_not_behind_others(n: int, strategy: str) -> None:
    """3e38 + 3e38 overflows; -3e38 + 3e38 + 3e38 does not."""
    x = mx.where(mx.arange(n) < 2, 3e38, 0.0)
    want = np.where(np.arange(n) < 1, np.float32(0), np.float32(3e38))
    got, carry = ms.scan(ms.Sum(), x, init=-3e38, return_carry=True, strategy=strategy)
    np.testing.assert_array_equal(got, want)
    assert carry.item() == ms.fold(ms.Sum(), x, init=-3e38, strategy=strategy).item() == np.float32(3e38)
    before = ms.scan(ms.Sum(), x, init=-3e38, inclusive=False, strategy=strategy)
    np.testing.assert_array_equal(before, [np.float32(-3e38), *want[:-1]])


@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_segment_after_a_reset_is_clean(strategy: str) -> None:
    flags = mx.arange(64) % 16 == 0
    x = mx.where(mx.arange(64) == 5, mx.nan, mx.ones((64,)))
    total = ms.scan(ms.Segmented(ms.Sum()), (flags, x), strategy=strategy)[1]
    assert total[16:].tolist() == [*range(1, 17)] * 3


def test_sequential_is_the_fold_in_order_bit_for_bit() -> None:
    a, b = affine(50)
    h, want = b[0], [b[0]]
    for t in range(1, 50):
        h = a[t] * h + b[t]
        want.append(h)
    assert mx.array_equal(ms.scan(ms.Affine(), (a, b), strategy="sequential")[1], mx.stack(want))


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_the_same_call_gives_the_same_bits(strategy: str) -> None:
    a, b = affine(1000)
    first = ms.scan(ms.Affine(), (a, b), strategy=strategy)[1]
    for _ in range(3):
        assert mx.array_equal(ms.scan(ms.Affine(), (a, b), strategy=strategy)[1], first)


# ----------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize("strategy", GRAPH)
def test_the_graph_grows_with_the_logarithm_of_the_length(strategy: str) -> None:
    sizes = [len(graph_of(scans(strategy)(*affine(n)))) for n in (256, 4096, 65536)]
    assert sizes[1] - sizes[0] == pytest.approx(sizes[2] - sizes[1], abs=4)
    assert sizes[0] < sizes[1] < sizes[2] < 60 * log2(65536)


@pytest.mark.parametrize("strategy", ["blelloch", "brent_kung"])
def test_memory_grows_in_proportion_to_the_length(strategy: str) -> None:
    def peak(n: int) -> int:
        a, b = affine(n)
        mx.eval(a, b)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(scans(strategy)(a, b))
        return mx.get_peak_memory() - before

    # What is freed in time varies from run to run; log2 n arrays of the length, as a doubling scan takes, would be 30.
    for n in (1 << 14, 1 << 17, 1 << 19):
        assert peak(n) <= 13 * 4 * n


@pytest.mark.parametrize("strategy", GRAPH)
def test_no_graph_holds_a_python_loop_over_the_batch(strategy: str) -> None:
    narrow, wide = (mx.ones((64, k)) for k in (2, 512))
    assert len(graph_of(scans(strategy)(narrow, narrow))) == len(graph_of(scans(strategy)(wide, wide)))


# ------------------------------------------------------------------------------------------ plans


def test_the_rows_of_the_table() -> None:
    untraceable = ms.monoid(lambda l, r: mx.sort(l) + r, event=1)
    with_identity = ms.monoid(lambda l, r: mx.sort(l) + r, event=1, identity=0)
    assert ms.explain(ms.Affine(), affine(1)).row == 2
    assert ms.explain(ms.Affine(), affine(0)).row == 2
    assert ms.explain(ms.Tuple(ms.Sum(), ms.First()), (mx.ones((9,)), mx.ones((9,)))).row == 3
    assert ms.explain(ms.Sum(), mx.ones((9,))).row == 4
    assert ms.explain(with_identity, mx.ones((9, 2))).strategy in ("blelloch", "hillis_steele")
    plan = ms.explain(untraceable, mx.ones((9, 2)))
    assert (plan.row, plan.strategy) == (7, "hillis_steele")
    plan = ms.explain(untraceable, mx.ones((100_000, 2)))
    assert (plan.row, plan.strategy) == (7, "brent_kung")


def test_a_plan_prints_the_reason_against_every_row_that_was_passed() -> None:
    plan = ms.explain(ms.monoid(lambda l, r: mx.sort(l) + r, event=1, name="sorter"), mx.ones((9, 2)))
    text = str(plan)
    for row in range(1, plan.row + 1):
        assert f" {row} " in text, text
    assert "sorter" in text
    assert "the operation Sort" in text
    assert "float32[9, 2]" in text
    assert "hillis_steele" in text


def test_a_plan_counts_work_depth_and_bytes() -> None:
    tree, line = (ms.explain(ms.Affine(), affine(1024), strategy=s) for s in ("blelloch", "sequential"))
    steps = ms.explain(ms.Affine(), affine(1024), strategy="hillis_steele")
    assert line.work == line.depth == 1023
    assert 1023 <= tree.work <= 2.5 * 1024
    assert tree.depth <= 2 * 10
    assert steps.depth == 10
    assert steps.work > tree.work
    assert min(plan.bytes for plan in (tree, line, steps)) >= 2 * 2 * 4 * 1024


def test_a_plan_names_what_was_captured() -> None:
    rate = mx.ones((3,), mx.float16)
    plan = ms.explain(ms.monoid(lambda l, r: l + r * rate[0].astype(l.dtype)), mx.ones((9,)))
    assert "captured" in str(plan)
    assert "[3]" in str(plan)
