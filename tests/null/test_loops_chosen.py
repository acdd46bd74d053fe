"""Which loop a kernel runs, and the estimates that say so."""

from __future__ import annotations

import re

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.lowering.program.cost_table import COSTS, chain
from monoscan.lowering.program.ir import Op
from monoscan.lowering.render.scan_spec import Loop


@pytest.mark.parametrize(
    ("operator", "shape", "axis", "loop"),
    [
        (ms.Affine(), (100_000,), 0, Loop.ROWS),
        (ms.Affine(), (2, 8), 1, Loop.SEQUENTIAL),
        (ms.Affine(), (100, 16), 1, Loop.SHORT),
        (ms.Affine(), (100, 1600), 1, Loop.ROWS),
        (ms.OnlineSoftmax(), (100, 200), 1, Loop.SHORT),
        (ms.OnlineSoftmax(), (100, 1000), 1, Loop.SHORT),
        (ms.OnlineSoftmax(), (100, 1024), 1, Loop.ROWS),  # rows side by side would meet in the cache
        (ms.OnlineSoftmax(), (100, 256), 1, Loop.ROWS),
        (ms.Affine(), (10_000, 2), 0, Loop.NARROW),
        (ms.OnlineSoftmax(), (10_000, 7), 0, Loop.PANELS),
        (ms.Affine(), (10_000, 16), 0, Loop.PANELS),
        (ms.Affine(), (10_000, 200), 0, Loop.SWEEP),
    ],
    ids=str,
)
def test_the_loop_that_should_take_the_least_time_is_chosen(
    operator: ms.Semigroup, shape: tuple[int, ...], axis: int, loop: Loop
) -> None:
    x = mx.zeros(shape)
    assert {kernel.spec.loop for kernel in ms.explain(operator, (x, x), axis=axis).kernels} == {loop}


def test_the_estimates_that_were_compared_are_shown_the_least_first() -> None:
    x = mx.zeros((100_000,))
    plan = ms.explain(ms.Affine(), (x, x))
    (kernel,) = plan.kernels
    assert [loop for loop, _ in kernel.compared] == [Loop.ROWS, Loop.SEQUENTIAL, Loop.SHORT]
    assert sorted(time for _, time in kernel.compared) == [time for _, time in kernel.compared]
    assert re.search(r"estimates rows [0-9.]+ [um]s, sequential [0-9.]+ [um]s, short [0-9.]+ [um]s\n", str(plan))
    assert "estimates" not in str(ms.explain(ms.Affine(), (x, x), strategy="sequential"))


def test_a_chain_is_what_one_step_of_a_lane_waits_for_and_not_what_is_computed_beside_it() -> None:
    def of(operator: ms.Semigroup) -> int:
        x = mx.zeros((8,))
        return chain(ms.explain(operator, (x, x)).kernels[0].straight.combine, 8)

    sums = ms.monoid(lambda l, r: (l[0] + r[0], mx.logaddexp(l[1] + r[0], r[1])))
    assert of(ms.Affine()) == 2  # a product and a sum
    assert of(ms.OnlineSoftmax()) < COSTS[Op.EXP].cycles <= COSTS[Op.LOGADDEXP].cycles < of(sums)
