"""What a plan holds beside its row: how it combines, what it costs, and what is said where kernels are missing."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.lowering import planner
from monoscan.lowering.plan.plan import Kernels, Plan
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.targets.cpu import target as cpu

OPAQUE = ms.monoid(lambda l, r: mx.sort(l) + r, event=1, name="opaque")

OPAQUE_MONOID = ms.monoid(lambda l, r: mx.sort(l) + r, event=1, identity=0, name="opaque")


def pair(*shape: int) -> tuple[mx.array, mx.array]:
    return mx.zeros(shape), mx.zeros(shape)


# ------------------------------------------------------------------------------ how it combines


def test_a_program_on_lanes_needs_eight_elements_for_each_operation() -> None:
    """Products of 2 x 2 matrices are 8 multiplications and 4 additions."""
    found = {n: ms.explain(ms.MatMul(), mx.zeros((n, 2, 2)), strategy="blelloch").combine for n in (95, 96, 97)}
    assert found == {95: "vmap", 96: "lanes", 97: "lanes"}


@pytest.mark.parametrize("batch", [1, 48])
def test_all_elements_of_a_batch_count(batch: int) -> None:
    found = ms.explain(ms.MatMul(), mx.zeros((2, batch, 2, 2)), strategy="hillis_steele")
    assert found.combine == ("lanes" if 2 * batch >= 96 else "vmap")


def test_scalars_are_lanes_as_they_are() -> None:
    assert ms.explain(ms.Affine(), pair(2), strategy="brent_kung").combine == "lanes"


def test_what_has_no_program_is_mapped_or_runs_on_slices() -> None:
    assert ms.explain(OPAQUE, mx.zeros((500, 2))).combine == "vmap"


# -------------------------------------------------------------------------------- what it costs


@pytest.mark.parametrize(
    ("strategy", "work", "depth"),
    [
        ("sequential", 99, 99),
        ("hillis_steele", 100 * 7 - 127, 7),  # 100 - 1, 100 - 2, ..., 100 - 64
        ("brent_kung", 50 + (50 * 6 - 63) + 49, 8),  # pairs, their scan, what lies between
        ("blelloch", 50 + (50 * 6 - 63) + 49, 8),
    ],
)
def test_combines_and_depth_of_a_hundred_elements(strategy: str, work: int, depth: int) -> None:
    found = ms.explain(OPAQUE if strategy != "blelloch" else ms.MatMul(), elements(strategy), strategy=strategy)
    assert (found.work, found.depth) == (work, depth)
    batch = ms.explain(OPAQUE if strategy != "blelloch" else ms.MatMul(), elements(strategy, 3), strategy=strategy)
    assert (batch.work, batch.depth) == (3 * work, depth)


def elements(strategy: str, *batch: int) -> mx.array:
    return mx.zeros((100, *batch, 2, 2) if strategy == "blelloch" else (100, *batch, 2))


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung", "blelloch"])
def test_a_fold_is_a_tree_of_one_combine_fewer(strategy: str) -> None:
    problem = ms.explain(ms.MatMul(), mx.zeros((100, 2, 2)), strategy=strategy).problem
    found = planner.plan(attrs.evolve(problem, options=attrs.evolve(problem.options, results=False)))
    assert (found.work, found.depth) == (99, 7)


@pytest.mark.parametrize("strategy", ["kernel", "blelloch", "hillis_steele"])
def test_bytes_are_those_of_the_kernels_or_of_the_array_operations(strategy: str) -> None:
    """At least each leaf is read once and written once."""
    found = ms.explain(ms.Affine(), pair(100), strategy=strategy)
    assert found.bytes >= 2 * 2 * 4 * 100
    if strategy == "kernel":
        assert found.bytes == sum(kernel.bytes for kernel in found.kernels) == 2 * 2 * 4 * 100


def test_a_product_costs_what_its_parts_cost() -> None:
    both = ms.explain(ms.Tuple(ms.Sum(), OPAQUE), (mx.zeros((100,)), mx.zeros((100, 2))))
    assert both.work == sum(part.work for part in both.parts)
    assert both.depth == max(part.depth for part in both.parts)
    assert both.bytes == sum(part.bytes for part in both.parts)
    assert {part.depth for part in both.parts} == {7, 99}


# ------------------------------------------------------------------ where kernels cannot be built


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is announced, on a machine that builds no kernel."""
    heard: list[str] = []
    monkeypatch.setattr(cpu, "not_built", lambda kernels: "a compiler is missing")
    monkeypatch.setattr(cpu, "announce", heard.append)
    return heard


def test_a_scan_that_could_have_a_kernel_says_why_it_has_none(said: list[str]) -> None:
    found = ms.explain(ms.Affine(), pair(100, 1013))  # a batch that no other test has: plans are kept
    assert (found.row, found.strategy) == (6, "blelloch")
    assert said == ["a compiler is missing"]
    assert next(reason.text for reason in found.reasons if reason.row == 5) == "a compiler is missing"


def test_so_does_a_forced_loop_that_cannot_be_one(said: list[str]) -> None:
    assert ms.explain(ms.Affine(), pair(100, 12), strategy="sequential").combine == "lanes"
    assert said == ["a compiler is missing"]


def test_nothing_is_said_where_no_kernel_would_run(said: list[str]) -> None:
    assert ms.explain(ms.Sum(), mx.zeros((100, 13))).row == 4
    assert ms.explain(OPAQUE, mx.zeros((100, 13, 2))).row == 7
    assert ms.explain(ms.Affine(), pair(1, 13)).row == 2
    assert ms.explain(ms.Affine(), pair(100, 13), strategy="blelloch").row == 1
    assert said == []


def test_sums_after_an_init_are_a_loop_where_there_is_one(said: list[str]) -> None:
    assert ms.explain(ms.Sum(), mx.zeros((100, 16)), init=1.0).row == 4
    assert said == []


def test_a_forced_kernel_is_an_error_with_the_reason(said: list[str]) -> None:
    with pytest.raises(ms.StrategyError, match="strategy='kernel' cannot run Affine: a compiler is missing"):
        ms.explain(ms.Affine(), pair(100, 14), strategy="kernel")


def test_parts_without_kernels_go_their_own_ways(said: list[str]) -> None:
    found = ms.explain(ms.Tuple(ms.Affine(), ms.Sum()), (pair(100, 15), mx.zeros((100, 15))))
    assert (found.row, found.strategy) == (3, "parts")
    assert [part.strategy for part in found.parts] == ["blelloch", "native"]


# ---------------------------------------------------------------------- plans for every size


def shapeless(operator: ms.Semigroup, elems: Any, **options: Any) -> Plan:
    """The plan of a scan in a shapeless compile."""
    problem = ms.explain(operator, elems, **options).problem
    forced = attrs.evolve(problem.options, shapeless=True, strategy=options.get("strategy", "auto"))
    return planner.plan(attrs.evolve(problem, options=forced))


def reason(plan: Plan, row: int) -> str:
    return next(reason.text for reason in plan.reasons if reason.row == row)


def test_no_length_makes_a_scan_trivial_where_lengths_change() -> None:
    found = shapeless(ms.Affine(), pair(1))
    assert (found.row, found.strategy, found.sized) == (5, "kernel", False)
    assert reason(found, 2) == "a shapeless compile knows no length"
    assert reason(found, 6) == "array operations hold the sizes of a trace"


def test_a_forced_strategy_is_none_for_one_element_but_where_lengths_change() -> None:
    for strategy in ("sequential", "kernel"):
        assert shapeless(ms.Affine(), pair(1), strategy=strategy).combine == "kernel"
    for strategy in ("sequential", "kernel", "blelloch"):
        short = ms.explain(ms.Affine(), pair(1), strategy=strategy)
        assert (short.row, short.strategy) == (1, "trivial")
        assert ms.explain(ms.Affine(), pair(2), strategy=strategy).strategy == strategy


def test_scans_of_mlx_fit_every_size_without_an_init() -> None:
    x = mx.zeros((9,), mx.int32)
    assert shapeless(ms.Sum(), x).row == 4
    for options in ({"init": 1}, {"return_carry": True}):
        found = shapeless(ms.Sum(), x, **options)
        assert found.row == 5
        assert "an init and a carry are slices" in reason(found, 4)


def test_array_operations_fit_one_size() -> None:
    with pytest.raises(ms.StrategyError, match=r"opaque has no plan that fits every size.*native: .*; kernel: "):
        shapeless(OPAQUE, mx.zeros((9, 2)))
    for strategy in ("blelloch", "hillis_steele", "brent_kung"):
        with pytest.raises(ms.StrategyError, match="array operations hold the sizes of a trace, and mx"):
            shapeless(ms.Affine(), pair(9), strategy=strategy)
    for strategy in ("sequential", "kernel"):
        assert shapeless(ms.Affine(), pair(9), strategy=strategy).combine == "kernel"


def test_heads_of_an_exclusive_scan_hold_sizes_where_elements_have_axes() -> None:
    heads = mx.zeros((9,), mx.bool_)
    assert shapeless(ms.Segmented(ms.Affine()), (heads, pair(9)), inclusive=False).row == 5
    with pytest.raises(ms.StrategyError, match="what an exclusive scan shows at heads is made of slices"):
        shapeless(ms.Segmented(ms.MatMul()), (heads, mx.zeros((9, 2, 2))), inclusive=False)


def test_a_plan_knows_whether_it_holds_sizes() -> None:
    x = mx.zeros((9,), mx.int32)
    assert not ms.explain(ms.Sum(), x).sized
    assert ms.explain(ms.Sum(), x, return_carry=True).sized
    assert ms.explain(ms.Affine(), pair(9)).sized
    assert not ms.explain(ms.Struct(a=ms.Sum(), b=ms.Max()), {"a": x, "b": x}).sized
    assert ms.explain(ms.Tuple(ms.Sum(), OPAQUE), (x, mx.zeros((9, 2)))).sized


# --------------------------------------------------------------- what comes after the scan


def test_an_exclusive_scan_of_segments_is_given_its_heads_after_it() -> None:
    heads, x = mx.zeros((9,), mx.bool_), mx.zeros((9,))
    sums = ms.explain(ms.Segmented(ms.Sum()), (heads, x), inclusive=False).restart
    assert sums is not None
    assert sums.program is not None
    matrices = ms.explain(ms.Segmented(ms.MatMul()), (heads, mx.zeros((9, 2, 2))), inclusive=False).restart
    assert matrices is not None
    assert matrices.program is None  # by the function itself, on slices
    assert ms.explain(ms.Segmented(ms.Sum()), (heads, x)).restart is None
    both = ms.explain(ms.Tuple(ms.Segmented(ms.Sum()), OPAQUE_MONOID), ((heads, x), mx.zeros((9, 2))), inclusive=False)
    assert both.restart is None
    assert [part.restart is not None for part in both.parts] == [True, False]


# ---------------------------------------------------------------- where one loop serves all parts


def test_parts_are_one_loop_where_each_would_be_one() -> None:
    both = ms.explain(ms.Tuple(ms.Affine(), ms.MaxSubarray()), (pair(9), (mx.zeros((9,)),) * 4))
    assert (both.row, both.strategy, both.combine) == (3, "kernel", "kernel")
    assert reason(both, 3) == "each part would be a kernel: one loop for all"
    apart = ms.explain(ms.Tuple(ms.Affine(), ms.Max()), (pair(9), mx.zeros((9,))))
    assert [part.strategy for part in apart.parts] == ["kernel", "native"]


def test_no_more_share_a_loop_than_registers_hold() -> None:
    """Sixteen maxima in one loop took six to twenty times as long as one after the other."""
    x = mx.zeros((9000, 3))
    found = ms.explain(ms.Tuple(*[ms.Max()] * 16), (x,) * 16)
    assert [kernel.emit for kernel in found.kernels] == [tuple(range(6)), tuple(range(6, 12)), tuple(range(12, 16))]
    assert reason(found, 3) == "each part would be a kernel: 3 loops for all"
    ten = ms.monoid(lambda left, right: tuple(map(mx.maximum, left, right)))
    assert [len(kernel.emit) for kernel in ms.explain(ten, (x,) * 10).kernels] == [6, 4]


def test_what_depends_on_something_in_common_stays_in_one_loop() -> None:
    def combine(left: tuple[mx.array, ...], right: tuple[mx.array, ...]) -> tuple[mx.array, ...]:
        sums = tuple(map(mx.add, left, right))
        return (*sums[:3], sums[3] + left[9] * right[0], *sums[4:9], sums[9])

    found = ms.explain(ms.monoid(combine), (mx.zeros((9000,)),) * 10)
    assert [kernel.emit for kernel in found.kernels] == [(1, 2, 4, 5, 6, 7), (0, 3, 8, 9)]


def test_complex_numbers_count_twice_where_loops_are_shared() -> None:
    x = mx.zeros((9000,), mx.complex64)
    assert [len(each.emit) for each in ms.explain(ms.Tuple(*[ms.Sum()] * 5), (x,) * 5).kernels] == [3, 2]


def test_the_rows_after_the_one_that_was_taken_say_so() -> None:
    found = ms.explain(ms.Sum(), mx.zeros((9,), mx.int32))
    assert reason(found, 3) == "not a Tuple or Struct"
    assert [reason(found, row) for row in (5, 6, 7)] == ["would do, but row 4 comes first"] * 3
    assert reason(ms.explain(ms.Tuple(ms.Sum()), (mx.zeros((1,)),)), 3) == "a row before it was taken"


# ---------------------------------------------------------------- which loop


def loop_of(operator: ms.Semigroup, *elems: mx.array) -> str:
    way = ms.explain(operator, elems[0] if len(elems) == 1 else elems, strategy="kernel").way
    assert isinstance(way, Kernels)
    return way.fused[0].spec.loop.value


@pytest.mark.parametrize(("columns", "loop"), [(64, "panels"), (500, "sweep")])
@pytest.mark.parametrize("steps", [145, 150, 370])
def test_long_programs_over_columns_run_in_vectors(steps: int, columns: int, loop: str) -> None:
    def combine(l: mx.array, r: mx.array) -> mx.array:
        x = l * r
        for _ in range(steps):
            x = x * 0.999 + l * 0.001
        return x

    assert loop_of(ms.monoid(combine), mx.zeros((10, columns))) == loop


def test_the_entries_of_tables_count() -> None:
    """In vectors a look-up is a choice for each entry: 32 entries are chosen from, 64 are read."""
    maps = {k: mx.zeros((10, 64, k), mx.uint8) for k in (32, 64)}
    assert {k: loop_of(ms.FiniteMap(k), x) for k, x in maps.items()} == {32: "panels", 64: "sequential"}


@pytest.mark.parametrize(
    ("operator", "dtype", "shape", "axis", "strategy"),
    [
        (ms.Max(), mx.float32, (4, 200), 1, "kernel"),
        (ms.Max(), mx.float32, (200, 64), 1, "native"),
        (ms.Max(), mx.float32, (200, 65), 1, "kernel"),
        (ms.Max(), mx.float32, (100, 5), 0, "native"),
        (ms.Sum(), mx.int32, (200, 40), 0, "kernel"),
        (ms.Sum(), mx.int8, (9000,), 0, "kernel"),
        (ms.Sum(), mx.int16, (900, 63), 0, "kernel"),
        (ms.Sum(), mx.int16, (900, 64), 0, "kernel"),
        (ms.Any(), mx.bool_, (9000,), 0, "kernel"),
        (ms.All(), mx.bool_, (900, 64), 0, "kernel"),
        (ms.Sum(), mx.float32, (9000,), 0, "native"),
        (ms.Sum(), mx.float32, (20000,), 0, "kernel"),
        (ms.Sum(), mx.float32, (300, 64), 1, "native"),
        (ms.Sum(), mx.float32, (9000, 8), 0, "kernel"),
        (ms.Sum(), mx.float32, (90, 100), 0, "native"),
        (ms.Sum(), mx.float64, (20000,), 0, "kernel"),
        (ms.Product(), mx.float64, (20000,), 0, "kernel"),
        (ms.Product(), mx.float64, (90, 200), 0, "kernel"),
        (ms.Sum(), mx.float16, (1000, 5), 1, "kernel"),
        (ms.Product(), mx.bfloat16, (9000,), 0, "kernel"),
        (ms.LogSumExp(), mx.float32, (9000,), 0, "kernel"),
        (ms.Max(), mx.float32, (500,), 0, "native"),
    ],
    ids=str,
)
def test_the_faster_of_kernels_and_scans_of_mlx_is_chosen(
    operator: ms.Semigroup, dtype: mx.Dtype, shape: tuple[int, ...], axis: int, strategy: str
) -> None:
    assert ms.explain(operator, mx.zeros(shape, dtype), axis=axis).strategy == strategy


@pytest.mark.parametrize(
    ("k", "shape", "rolled"),
    [(2, (9,), False), (4, (9,), True), (4, (9, 512), False), (7, (9, 64), True), (7, (64, 9), True)],
)
def test_products_of_matrices_are_loops_where_those_are_faster(k: int, shape: tuple[int, ...], rolled: bool) -> None:
    axis = int(shape == (64, 9))
    for operator in (ms.MatMul(), ms.SemiringMatMul(ms.MaxPlus())):
        (kernel,) = ms.explain(operator, mx.zeros((*shape, k, k)), axis=axis).kernels
        assert isinstance(kernel.spec, RolledSpec) is rolled
