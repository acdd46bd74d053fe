"""What the bridge and a kernel check before they touch memory, and what nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import mlx.core as mx
import numpy as np
import operators
import pytest
from bridge_affine import ROOT, kernel, launch

import monoscan as ms
from monoscan.lowering.render import KernelSpec, Loop, render
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.bridge import protocol
from monoscan.lowering.targets.cpu.kernels import compile_kernel


def launch_of(loop: Loop) -> protocol.Launch:
    program = operators.affine()
    spec = KernelSpec(program, ("float32",) * 2, ("float32",) * 2, (0, 1), loop=loop)
    made = compile_kernel(render(spec))
    leaves = [(mx.float32, ())] * 2
    return build.load().Launch(
        "Affine", schedule=made.schedule, task=made.task, axis=0, rank=2, elements=2, events=[(), ()], outputs=leaves
    )


@pytest.mark.parametrize(("loop", "inner"), [(Loop.ROWS, 5), (Loop.NARROW, 1), (Loop.NARROW, 64)])
def test_a_loop_refuses_rows_that_it_was_not_made_for(loop: Loop, inner: int) -> None:
    x = mx.ones((4, inner))
    with pytest.raises(ValueError, match=f"made for rows of another kind than rows of {inner}"):
        mx.eval(launch_of(loop)([x, x]))


@pytest.mark.parametrize("loop", [Loop.PANELS, Loop.SWEEP, Loop.SEQUENTIAL])
@pytest.mark.parametrize("inner", [1, 3, 8, 70])
def test_the_other_loops_take_rows_of_any_length(loop: Loop, inner: int) -> None:
    got = launch_of(loop)([mx.full((4, inner), 2.0), mx.ones((4, inner))])
    np.testing.assert_array_equal(np.array(got[1]), np.repeat([[1.0], [3.0], [7.0], [15.0]], inner, 1))


def test_elements_of_another_shape_are_refused() -> None:
    x = mx.ones((4, 2))
    with pytest.raises(ValueError, match="made for elements of another shape than those of array 1"):
        launch(0, 1, lanes=3)([x[:, 0], x, x[:1, 0]])


def test_elements_of_two_lengths_are_refused() -> None:
    x = mx.ones((4, 1))
    with pytest.raises(ValueError, match="cannot broadcast axis 0 of array 1, of size 1, to 4"):
        launch_of(Loop.ROWS)([x, x[:1]])


def test_the_carry_of_no_steps_is_the_init_or_the_identity() -> None:
    none = [mx.zeros((0, 3)), mx.zeros((0, 3, 2)), mx.ones((1, 3))]
    start = [mx.array([[7.0]]), mx.arange(6.0).reshape(2, 1, 3).transpose(1, 2, 0)]
    got = launch(0, 2, lanes=2, inits=True, carry=True)([*none, *start])
    assert [x.shape for x in got] == [(0, 3), (0, 3, 2), (3,), (3, 2)]
    assert got[2].tolist() == [7, 7, 7]
    assert got[3].tolist() == [[0, 3], [1, 4], [2, 5]]
    code, leaves = kernel(2), [(mx.float32, ()), (mx.float32, (2,))]
    identity = [np.array(1.0, np.float32).tobytes(), np.array([-1.0, 4.0], np.float32).tobytes()]
    run = build.load().Launch(
        "Affine", schedule=code.schedule, task=code.task, axis=0, rank=2, elements=2, captures=1,
        events=[(), (2,), ()], outputs=leaves, carries=leaves, identity=identity,
    )  # fmt: skip
    got = run(none)
    assert got[2].tolist() == [1, 1, 1]
    assert got[3].tolist() == [[-1, 4]] * 3
    with pytest.raises(ValueError, match="no identity, and the fold of an empty axis is the identity"):
        launch(0, 2, lanes=2, carry=True)(none)


def test_results_that_nobody_reads_take_no_memory_beyond_the_scan() -> None:
    size = 1 << 18
    a, b = mx.full((size,), 0.5), mx.ones((size,))
    mx.eval(a, b, ms.scan(ms.Affine(), (a, b)))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    h = b
    for _ in range(16):
        h = ms.scan(ms.Affine(), (a, h))[1]
    mx.eval(h)
    assert mx.get_peak_memory() - before <= 4 * 4 * size


def test_results_that_somebody_reads_are_there() -> None:
    a, b = mx.full((5,), 2.0), mx.ones((5,))
    decay, h = ms.scan(ms.Affine(), (a, b))
    twice = decay * 2
    mx.eval(h)
    assert decay.tolist() == [2, 4, 8, 16, 32]
    decay = ms.scan(ms.Affine(), (a, h))[0]
    mx.eval(decay)
    assert decay.tolist() == [2, 4, 8, 16, 32]
    assert twice.tolist() == [4, 8, 16, 32, 64]
    pair = ms.scan(ms.Affine(), (a, b), return_carry=True)[1]
    late = pair[0] + 1
    del decay
    mx.eval(pair[1])
    assert (pair[1].item(), late.item()) == (31, 33)
    slope = mx.grad(lambda b: (lambda y: mx.eval(y[1]) or (y[0] * y[1]).sum())(ms.scan(ms.Affine(), (a, b))))(b)
    assert slope.tolist() == [sum(2.0 ** (2 * t + 1 - s) for t in range(s, 5)) for s in range(5)]


ALIGNED = """
import numpy as np
from loop_driver import Call
from operators import traced
import mlx.core as mx
import monoscan as ms
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render import KernelSpec, Loop

names = ("int8", "int64", "float32")
step, shift = mx.array(0, mx.int8), mx.array(0.0)
sums = lambda l, r: (l[0] + r[0] + step, l[1] + r[1], l[2] + r[2] + shift)
program = traced(ms.monoid(sums), tuple(map(Leaf, names)))
for loop, inner in ((Loop.SWEEP, 17), (Loop.PANELS, 17), (Loop.NARROW, 3)):
    spec = KernelSpec(program, names, names, (0, 1, 2), loop=loop)
    apart = [np.arange(5 * inner * 2, dtype=name).reshape(1, 5, 2 * inner)[..., ::2] for name in names]
    zeros = [np.zeros((1, inner), name) for name in ("int8", "float32")]
    for got, x in zip(Call(spec, apart, zeros).run().results, apart, strict=True):
        np.testing.assert_array_equal(got, np.cumsum(x, 1, dtype=x.dtype))
"""


@pytest.mark.long
def test_rows_of_a_buffer_stand_where_their_items_may_stand() -> None:
    folders = os.pathsep.join([ROOT, str(Path(__file__).parent)])
    env = {**os.environ, "PYTHONPATH": folders, "MONOSCAN_SANITIZE": "alignment"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(ALIGNED)], env=env, check=True, timeout=120)
