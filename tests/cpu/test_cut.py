"""What a plan says of the cut of a kernel's work is what the kernel does."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from loop_driver import Call
from selection import thinned

import monoscan as ms

SHAPES = [
    (100, 1, 1),
    (300_000, 1, 1),
    (150_000, 1, 2),
    (20_000, 1, 40),
    (2, 1, 100_000),
    (9, 5, 3),
    (4000, 64, 3),
    (500, 300, 1),
    (400, 900, 1),
    (20, 1, 5),
    (20, 1, 9000),
]
"""Steps, columns and rows: of each loop some that are cut and some that are not."""


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize(("steps", "inner", "rows"), thinned(SHAPES, [SHAPES[0], *SHAPES[3:5]]))
@pytest.mark.parametrize("fold", thinned([False, True], [False]), ids=["scan", "fold"])
def test_a_kernel_is_cut_as_its_plan_says(steps: int, inner: int, rows: int, fold: bool) -> None:
    x = mx.zeros((rows, steps, inner))
    problem = ms.explain(ms.Affine(), (x, x), axis=1, return_carry=fold)
    (kernel,) = problem.kernels
    zeros = np.zeros((rows, steps, inner), np.float32)
    schedule = Call(kernel.spec, [zeros, zeros], carry=fold).schedule
    assert schedule.tasks[0] == kernel.cut.tasks
    assert (schedule.phases > 1) == (kernel.cut.parts > 1)


def test_some_rows_are_cut_in_parts_and_some_in_tasks_alone() -> None:
    cuts = []
    for steps, inner, rows in SHAPES:
        x = mx.zeros((rows, steps, inner))
        cuts += [kernel.cut for kernel in ms.explain(ms.Affine(), (x, x), axis=1).kernels]
    assert {cut.parts for cut in cuts} == {1, 3}
    assert {cut.tasks for cut in cuts} >= {1, 2, 8}
    assert len({cut.tile for cut in cuts}) == 5


def test_a_plan_prints_its_kernels() -> None:
    x = mx.zeros((300_000,))
    text = str(ms.explain(ms.Affine(), (x, x)))
    assert "kernel    loop rows, vectors of " in text
    assert ", tiles of 512 steps; 3 parts in time, up to 2 threads; 4.58 MiB" in text
    a, b = mx.zeros((40, 1)), mx.zeros((40, 3))
    text = str(ms.explain(ms.Affine(), (a, b)))
    assert "kernel    1 of 2, of leaves 0: loop " in text
    assert "kernel    2 of 2, of leaves 1: loop narrow" in text
    assert "one step at a time; 1 part in time, 1 thread; 640 B" in str(
        ms.explain(ms.Affine(), (a, a), strategy="sequential")
    )


def test_a_plan_prints_what_comes_after_an_exclusive_scan() -> None:
    heads, x = mx.zeros((8,)) > 0, mx.zeros((8,))
    assert "restart   what comes before each segment, by lanes" in str(
        ms.explain(ms.Segmented(ms.Sum()), (heads, x), inclusive=False)
    )
    assert "restart" not in str(ms.explain(ms.Segmented(ms.Sum()), (heads, x)))
