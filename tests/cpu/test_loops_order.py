"""The order witness on every loop: intervals combine only with their neighbours, else they are poisoned."""

from __future__ import annotations

import functools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from loop_driver import Call
from operators import traced
from selection import thinned

import monoscan as ms
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render import KernelSpec, Loop

LENGTHS = [*range(1, 66), 71, 72, 73, 95, 96, 97, 103, 104, 105, 127, 128, 129, 511, 512, 513, 1025]
SOME_LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 72, 128, 129, 513]
lengths = pytest.mark.parametrize(
    "lengths", [SOME_LENGTHS, pytest.param(LENGTHS, marks=pytest.mark.long)], ids=["some", "all"]
)
LAYOUTS = {
    Loop.ROWS: [1], Loop.SEQUENTIAL: [1, 3, 17], Loop.SWEEP: [8, 15, 16, 17, 64], Loop.NARROW: [2, 3, 5, 6, 7],
    Loop.PANELS: [8, 15, 16, 17, 41], Loop.SHORT: [1],
}  # fmt: skip
POISON = 1 << 20
SWITCHES = [(False, True), (False, False), (True, True), (True, False)]
"""Reverse and inclusive."""


@functools.cache
def witness(weight: int = 0) -> Program:
    """(i, j) . (j, k) = (i, k), and a third lane that says whether a mismatch occurred.

    Args:
        weight: Instructions that change nothing, so that the loops for heavy programs run.
    """

    def combine(l: Any, r: Any) -> Any:
        wrong = (l[1] != r[0]).astype(mx.int32) | l[2] | r[2]
        for _ in range(weight):
            wrong = mx.abs(wrong)
        return l[0], r[1], wrong

    program = traced(ms.monoid(combine), (Leaf("int32"),) * 3)
    assert len(program.code) >= weight
    return program


def spec(loop: Loop, reverse: bool, inclusive: bool, weight: int = 0, vector_bytes: int = 32) -> KernelSpec:
    return KernelSpec(
        combine=witness(weight), elements=("int32",) * 3, results=("int32",) * 3, emit=(0, 1, 2), loop=loop,
        reverse=reverse, inclusive=inclusive, identity=(-7, -8, -9), vector_bytes=vector_bytes,
    )  # fmt: skip


def intervals(shape: tuple[int, ...], reverse: bool) -> list[np.ndarray]:
    """Elements (t, t + 1, 0), at a distance for every column, so that no other column fits."""
    outer, n, inner = shape
    steps = np.arange(n)[::-1] if reverse else np.arange(n)
    column = (np.arange(outer * inner) * POISON * 2).reshape(outer, 1, inner).astype(np.int32)
    low = np.ascontiguousarray(column + steps[None, :, None].astype(np.int32))
    return [low, low + 1, np.zeros_like(low)]


def check(
    kernel: KernelSpec, shape: tuple[int, ...], with_init: bool, elements: list[np.ndarray] | None = None
) -> None:
    low, high, _ = intervals(shape, kernel.reverse)
    first = -1 if kernel.reverse else 0
    start = low[:, first]
    init = [start - 3, start, np.zeros_like(start)] if with_init else None
    call = Call(kernel, elements or intervals(shape, kernel.reverse), init=init, carry=True)
    answer = call.run()
    begin = np.broadcast_to((start - 3 if with_init else start)[:, None], low.shape)
    if kernel.inclusive:
        expected = [begin, high, np.zeros_like(low)]
    else:
        expected = [begin.copy(), low.copy(), np.zeros_like(low)]
        if not with_init:
            for lane, value in zip(expected, (-7, -8, -9), strict=True):
                lane[:, first] = value
    for lane, (got, want) in enumerate(zip(answer.results, expected, strict=True)):
        np.testing.assert_array_equal(got, want, err_msg=f"lane {lane} of {shape}")
    last = [begin[:, first], high[:, 0 if kernel.reverse else -1], np.zeros_like(start)]
    for got, want in zip(answer.carries, last, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.sampled(16)
@pytest.mark.parametrize("with_init", thinned([False, True], [True]), ids=["bare", "init"])
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(True, False)]))
@pytest.mark.parametrize("loop", thinned(list(LAYOUTS), [Loop.ROWS, Loop.NARROW]))
@lengths
def test_every_length(lengths: list[int], loop: Loop, reverse: bool, inclusive: bool, with_init: bool) -> None:
    for inner in LAYOUTS[loop]:
        for n in lengths:
            check(spec(loop, reverse, inclusive), (2, n, inner), with_init)


@pytest.mark.sampled(16)
@pytest.mark.long
@pytest.mark.parametrize("weight", thinned([30, 90], [90]), ids=["runs-of-8", "called"])
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(True, False)]))
@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.PANELS, Loop.SWEEP, Loop.NARROW, Loop.SHORT])
@lengths
def test_heavy_programs(lengths: list[int], loop: Loop, inclusive: bool, reverse: bool, weight: int) -> None:
    for n in lengths:
        check(spec(loop, reverse, inclusive, weight), (1, n, LAYOUTS[loop][-1]), with_init=n % 2 == 0)


# Registers that the machine lacks are emulated, and long programs on them compile for minutes.
@pytest.mark.sampled(16)
@pytest.mark.parametrize(("vector_bytes", "weight"), thinned([(16, 0), (16, 30), (64, 0)], [(64, 0)]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.PANELS, Loop.SWEEP, Loop.NARROW])
@lengths
@pytest.mark.long
def test_other_vector_widths(lengths: list[int], loop: Loop, reverse: bool, weight: int, vector_bytes: int) -> None:
    inner = {Loop.ROWS: 1, Loop.PANELS: 19, Loop.SWEEP: 19, Loop.NARROW: 3}[loop]
    for n in lengths:
        check(spec(loop, reverse, True, weight, vector_bytes), (2, n, inner), with_init=n % 2 == 0)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("inclusive", thinned([True, False], [True]), ids=["inclusive", "exclusive"])
@pytest.mark.parametrize(
    ("loop", "shape"),
    [
        (Loop.ROWS, (1, 300_001, 1)), (Loop.ROWS, (3, 100_003, 1)), (Loop.ROWS, (9, 50_001, 1)),
        (Loop.PANELS, (1, 30_011, 17)), (Loop.PANELS, (5, 8007, 32)), (Loop.SWEEP, (1, 30_011, 17)),
        (Loop.SWEEP, (1, 4000, 300)), (Loop.NARROW, (1, 100_003, 3)), (Loop.SHORT, (8001, 21, 1)),
        (Loop.SHORT, (80_003, 2, 1)),
    ],
    ids=str,
)  # fmt: skip
def test_parts_and_tasks(loop: Loop, shape: tuple[int, ...], inclusive: bool, reverse: bool) -> None:
    kernel = spec(loop, reverse, inclusive)
    call = Call(kernel, intervals(shape, reverse))
    assert call.schedule.tasks[0] > 1
    for with_init in (False, True):
        check(kernel, shape, with_init)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("loop", thinned(list(LAYOUTS), [Loop.SWEEP]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_folds(loop: Loop, reverse: bool) -> None:
    base = spec(loop, reverse, inclusive=True)
    kernel = KernelSpec(
        combine=base.combine, elements=base.elements, results=(), emit=(0, 1, 2), want_results=False, loop=loop,
        reverse=reverse,
    )  # fmt: skip
    for n in [*LENGTHS, 300_001]:
        for inner in LAYOUTS[loop][:2] if n < 1000 else LAYOUTS[loop][:1]:
            low, high, zero = intervals((2, n, inner), reverse)
            answer = Call(kernel, [low, high, zero], carry=True).run()
            ends = (-1, 0) if reverse else (0, -1)
            np.testing.assert_array_equal(answer.carries[0], low[:, ends[0]])
            np.testing.assert_array_equal(answer.carries[1], high[:, ends[1]])
            assert not answer.carries[2].any()


@pytest.mark.long
@pytest.mark.parametrize("loop", LAYOUTS)
@pytest.mark.parametrize("inclusive", [True, False], ids=["inclusive", "exclusive"])
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_in_place(loop: Loop, inclusive: bool, reverse: bool) -> None:
    for inner in LAYOUTS[loop]:
        for n in (1, 2, 7, 40, 131, 600):
            elements = intervals((2, n, inner), reverse)
            fresh = Call(spec(loop, reverse, inclusive), [e.copy() for e in elements]).run()
            there = Call(spec(loop, reverse, inclusive), elements, results=elements).run()
            for got, want in zip(there.results, fresh.results, strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.long
@pytest.mark.parametrize("loop", LAYOUTS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_strided_elements(loop: Loop, reverse: bool) -> None:
    for inner in LAYOUTS[loop]:
        for n in (1, 33, 64, 700):
            elements = intervals((2, n, inner), reverse)
            spread = np.zeros((2, n, 3, inner), np.int32)
            spread[:, :, 1] = elements[0]
            backwards = elements[1][:, ::-1].copy()[:, ::-1]
            constant = np.broadcast_to(np.zeros((2, 1, 1), np.int32), elements[2].shape)
            check(spec(loop, reverse, True), (2, n, inner), False, [spread[:, :, 1], backwards, constant])


@pytest.mark.parametrize("with_init", thinned([False, True], [True]), ids=["bare", "init"])
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(True, False)]))
def test_rows_side_by_side(reverse: bool, inclusive: bool, with_init: bool) -> None:
    for rows in (1, 3, 4, 16, 31, 32, 33, 71, 131, 260):
        for n in (1, 2, 3, 4, 5, 16, 17, 22, 40):
            check(spec(Loop.SHORT, reverse, inclusive), (rows, n, 1), with_init)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_rows_side_by_side_that_stand_apart(reverse: bool) -> None:
    shape = (37, 19, 1)
    low, high, zero = intervals(shape, reverse)
    apart = np.zeros((37, 3, 19, 2, 1), np.int32)
    apart[:, 1, :, 1] = low
    by_steps = np.ascontiguousarray(high.transpose(1, 0, 2)).transpose(1, 0, 2)
    check(
        spec(Loop.SHORT, reverse, True),
        shape,
        True,
        [apart[:, 1, :, 1], by_steps, np.broadcast_to(zero[:1, :1], shape)],
    )


@pytest.mark.parametrize("with_init", [False, True], ids=["bare", "init"])
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(False, True), (True, False)]))
def test_elements_that_columns_share(reverse: bool, inclusive: bool, with_init: bool) -> None:
    kernel = spec(Loop.NARROW, reverse, inclusive)
    for inner in LAYOUTS[Loop.NARROW]:
        for n in (1, 2, 3, 7, 8, 9, 16, 17, 40, 300, 700):
            low, high, _ = intervals((2, n, 1), reverse)
            shape, first = (2, n, inner), -1 if reverse else 0
            columns = np.broadcast_to(np.arange(inner, dtype=np.int32) << 1, shape).copy()  # no bit says wrong
            shared = [np.broadcast_to(low, shape), np.broadcast_to(high, shape)]
            init = [shared[0][:, first] - 3, shared[0][:, first] + 0, columns[:, first]] if with_init else None
            begin = np.broadcast_to(low[:, [first]] - (3 if with_init else 0), shape)
            expected = [begin, shared[1], columns] if inclusive else [begin.copy(), shared[0].copy(), columns.copy()]
            if not inclusive and not with_init:
                for leaf, value in zip(expected, (-7, -8, -9), strict=True):
                    leaf[:, first] = value
            for elements in ([*shared, columns], [shared[0], shared[1].copy(), columns]):
                answer = Call(kernel, elements, init=init, carry=True).run()
                for lane, (got, want) in enumerate(zip(answer.results, expected, strict=True)):
                    np.testing.assert_array_equal(got, want, err_msg=f"lane {lane} of {shape}")


@pytest.mark.parametrize("loop", thinned([Loop.ROWS, Loop.SWEEP], [Loop.SWEEP]))
def test_results_past_the_caches(loop: Loop) -> None:
    shape = (1, 4096, 1) if loop is Loop.ROWS else (1, 64, 64)
    pool = np.zeros((3, 4096 + 16), np.int32)
    results = [row[-row.ctypes.data % 64 // 4 :][:4096].reshape(shape) for row in pool]
    for reverse in (False, True):
        plain = Call(spec(loop, reverse, True), intervals(shape, reverse)).run()
        kernel = spec(loop, reverse, True)
        past = Call(kernel, intervals(shape, reverse), results=results, last_level_cache=1).run()
        for got, want in zip(past.results, plain.results, strict=True):
            np.testing.assert_array_equal(got, want)
