"""The primitive reads and writes arrays of any strides, and plays by MLX's rules."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from bridge_affine import Rules, fold, kernel, launch, loop, scan
from hypothesis import given, settings
from hypothesis import strategies as st

from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu.bridge import protocol

SHAPES = [((7,), 0), ((5, 6), 0), ((5, 6), 1), ((2, 5, 3), 0), ((2, 5, 3), 1), ((2, 3, 4, 2, 3), 2), ((1, 4, 1, 3), 1)]


def random(*shape: int) -> mx.array:
    return mx.random.uniform(0.5, 1.5, shape)


def check(got: list[mx.array], arrays: list[mx.array], axis: int, lanes: int = 1) -> None:
    want = fold([np.array(x) for x in arrays], axis, lanes)
    for one, other in zip(got, want, strict=False):
        assert one.shape == other.shape
        np.testing.assert_allclose(np.array(one), other, rtol=2e-5)


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_any_axis(shape: tuple[int, ...], axis: int) -> None:
    arrays = [random(*shape), random(*shape), random(*[1] * len(shape))]
    check(scan(*arrays, axis=axis), arrays, axis)


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_init_and_carry(shape: tuple[int, ...], axis: int, lanes: int) -> None:
    event = (lanes,) if lanes > 1 else ()
    short = tuple(1 if d == axis else size for d, size in enumerate(shape))
    arrays = [random(*shape), random(*shape, *event), random(*short), random(*short), random(*short, *event)]
    got = launch(axis, len(shape), lanes, inits=True, carry=True)(arrays)
    assert len(got) == 4
    check(got, arrays, axis, lanes)


VIEWS: dict[str, Callable[[mx.array], mx.array]] = {
    "plain": lambda x: x,
    "transposed": lambda x: mx.contiguous(x.T).T,
    "swapped": lambda x: mx.contiguous(mx.swapaxes(x, 0, 1)).swapaxes(0, 1),
    "flipped": lambda x: mx.contiguous(x[::-1])[::-1],
    "flipped inside": lambda x: mx.contiguous(x[..., ::-1])[..., ::-1],
    "every second": lambda x: mx.repeat(x, 2, axis=1)[:, ::2],
    "every second inside": lambda x: mx.repeat(x, 2, axis=-1)[..., ::2],
    "offset": lambda x: mx.concatenate([x[:1], x])[1:],
    "row": lambda x: x[:1],
    "column": lambda x: x[:, :1],
    "broadcast": lambda x: mx.broadcast_to(x[:, :, :1], x.shape),
}


@pytest.mark.parametrize("left", VIEWS)
@pytest.mark.parametrize("right", VIEWS)
def test_views(left: str, right: str) -> None:
    a, b = VIEWS[left](random(4, 5, 6)), VIEWS[right](random(4, 5, 6))
    for axis in range(3):
        whole = mx.broadcast_to(random(1), (4, 5, 6))[
            tuple(slice(0, 1) if d == axis else slice(None) for d in range(3))
        ]
        check(scan(a, b, whole, axis=axis), [a, b, whole], axis)


@pytest.mark.parametrize("view", ["plain", "transposed", "flipped inside", "every second inside", "broadcast"])
def test_event_lanes(view: str) -> None:
    a, b, c = random(4, 5), VIEWS[view](random(4, 5, 3)), random(1, 1)
    for axis in range(2):
        check(launch(axis, 2, 3)([a, b, c]), [a, b, c], axis, lanes=3)


def test_event_lanes_without_one_stride_are_copied() -> None:
    code = kernel(6)
    leaves = [(mx.float32, ()), (mx.float32, (2, 3))]
    run = build.load().Launch(
        "Affine", schedule=code.schedule, task=code.task, axis=0, rank=1, elements=2, captures=1,
        events=[(), (2, 3), ()], outputs=leaves,
    )  # fmt: skip
    a, b, c = random(4), mx.contiguous(random(4, 3, 2)).swapaxes(1, 2), random(1)
    got = run([a, b, c])
    check([got[0], got[1].reshape(4, 6)], [a, b.reshape(4, 6), c], 0, lanes=6)


def test_more_outer_axes_than_the_kernel_holds() -> None:
    sizes = (2,) * 22
    a = random(*(2 if d % 2 else 1 for d in range(22)))
    b = random(*(1 if d % 2 and d != 21 else 2 for d in range(22)))
    c = random(*[1] * 22)
    got = scan(a, b, c, axis=21)
    assert got[0].shape == sizes
    check(got, [a, b, c], 21)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_shapes_and_strides(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 5))
    shape = [data.draw(st.integers(1, 4)) for _ in range(rank)]
    axis = data.draw(st.integers(0, rank - 1))

    def draw(along: bool) -> mx.array:
        dropped = [data.draw(st.booleans()) if d != axis else not along for d in range(rank)]
        sizes = [1 if gone else size for gone, size in zip(dropped, shape, strict=True)]
        order = data.draw(st.permutations(range(rank)))
        step = [data.draw(st.sampled_from([1, 1, 2, -1, -2])) for _ in range(rank)]
        base = random(*(sizes[d] * abs(step[d]) for d in order))
        return base.transpose(*np.argsort(order).tolist())[tuple(slice(None, None, s) for s in step)]

    arrays = [draw(True), draw(True), draw(False), draw(False), draw(False)]
    got = launch(axis, rank, inits=True, carry=True)(arrays)
    check(got, arrays, axis)


def test_it_is_lazy_and_takes_a_stream() -> None:
    x = random(8)
    assert "Affine" not in repr(scan(x, x, x[:1]))
    check(launch(0, 1)([x, x, x[:1]], mx.new_stream(mx.cpu)), [x, x, x[:1]], 0)
    check(launch(0, 1)([x, x, x[:1]], stream=mx.cpu), [x, x, x[:1]], 0)


def test_order_on_one_stream() -> None:
    x = random(4, 5000)
    y = x
    for _ in range(20):
        y = scan(mx.tanh(y), y * 0.5, mx.ones((1, 1)), axis=1)[1] / 3.0
    z = x
    for _ in range(20):
        z = scan(mx.tanh(z), z * 0.5, mx.ones((1, 1)), axis=1)[1] / 3.0
        mx.eval(z)
    assert mx.array_equal(y, z)


def test_donation_reuses_the_buffers() -> None:
    size = 1 << 20
    run = launch(0, 1, donors=(0, 1))

    def peak(donated: protocol.Launch) -> int:
        x = mx.ones(size)
        mx.eval(x)
        gc.collect()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(donated([x * 0.5, x + 1.0, mx.ones(1)]))
        return mx.get_peak_memory() - before

    assert peak(run) < 2.1 * 4 * size
    assert peak(launch(0, 1)) > 2.9 * 4 * size
    x = mx.arange(100.0) / 100
    check(run([x * 0.5, x + 1.0, mx.ones(1)]), [x * 0.5, x + 1.0, mx.ones(1)], 0)


def test_an_array_in_use_is_not_donated() -> None:
    a, b, c = random(64), random(64), random(1)
    kept = np.array(a)
    mx.eval(launch(0, 1, donors=(0, 1))([a, b, c]))
    y = a * 2.0
    both = launch(0, 1, donors=(0, 1))([y, y, c])
    mx.eval(both, y)
    check(both, [y, y, c], 0)
    np.testing.assert_array_equal(np.array(a), kept)


def test_large_outputs() -> None:
    x = mx.full((1 << 23,), 0.5)
    mx.eval(x)
    decay, h = scan(x, x, mx.ones(1))
    assert h[-1].item() == 1.0
    assert decay[1].item() == 0.25


def test_errors() -> None:
    x = random(3)
    with pytest.raises(ValueError, match=r"Affine takes 3 arrays; got 2"):
        launch(0, 1)([x, x])
    with pytest.raises(ValueError, match=r"cannot broadcast axis 0 of array 1, of size 4, to 3"):
        launch(0, 1)([x, random(4), x[:1]])
    with pytest.raises(ValueError, match=r"cannot broadcast axis 1 of array 2"):
        launch(1, 2)([random(2, 1), random(2, 1), random(2, 3)])
    with pytest.raises(ValueError, match=r"needs 2 axes in array 0; got 1"):
        launch(0, 2)([x, x, x])
    with pytest.raises(ValueError, match=r"no vjp rule"):
        mx.grad(lambda a: launch(0, 1, rules=False)([a, x, x[:1]])[1].sum())(x)


def test_empty_arrays() -> None:
    assert scan(mx.zeros((0, 3)), mx.zeros((0, 3)), mx.ones((1, 1)))[1].shape == (0, 3)
    got = launch(0, 2, carry=True)([mx.zeros((4, 0)), mx.zeros((4, 0)), mx.ones((1, 1))])
    mx.eval(got)
    assert [x.shape for x in got] == [(4, 0), (4, 0), (0,), (0,)]


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    module = build.load()
    arrays = [random(64, 1000, 3), random(64, 1000, 3), random(1, 1, 1)]
    default = module.threads()
    results = []
    try:
        for threads in (1, 2, 5):
            module.set_threads(threads)
            results.append(np.array(scan(*arrays, axis=1)[1]))
    finally:
        module.set_threads(default)
    assert all(np.array_equal(results[0], other) for other in results)


def test_one_task_leaves_the_pool_alone() -> None:
    module = build.load()
    before = module.dispatched()
    mx.eval(scan(random(100), random(100), random(1)))
    assert module.dispatched() == before


def test_threads_on_their_own_streams() -> None:
    module = build.load()
    default = module.threads()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            with mx.stream(mx.new_stream(mx.cpu)):
                key = mx.random.key(seed)
                for n in (1, 3, 50, 200):
                    arrays = [mx.random.uniform(0.5, 1.5, (n, 9, 4), key=key), mx.ones((n, 9, 4)), mx.ones((1, 1, 1))]
                    for _ in range(10):
                        check(scan(*arrays, axis=1), arrays, 1)
        except BaseException as failure:
            failures.append(failure)

    module.set_threads(4)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        module.set_threads(default)
    assert not failures


def test_many_small_parallel_launches() -> None:
    module = build.load()
    default = module.threads()
    try:
        for threads in (2, 8):
            module.set_threads(threads)
            x = random(16, 8)
            y = x
            for _ in range(500):
                y = scan(x, y, mx.ones((1, 1)), axis=1)[0]
            check([y], [x, x, mx.ones((1, 1))], 1)
    finally:
        module.set_threads(default)


def test_rules_are_released() -> None:
    released: list[int] = []

    class Mine(Rules):
        plan: Any = None

        def __del__(self) -> None:
            released.append(1)

    code = kernel()

    def make() -> protocol.Launch:
        rules = Mine()
        rules.plan = build.load().Launch(
            "Affine", schedule=code.schedule, task=code.task, axis=0, rank=1, elements=2, captures=1,
            events=[(), (), ()], outputs=[(mx.float32, ())] * 2, rules=rules,
        )  # fmt: skip
        plan: protocol.Launch = rules.plan
        return plan

    mx.eval(make()([random(4), random(4), random(1)]))
    gc.collect()
    mx.synchronize()
    gc.collect()
    mx.eval(scan(random(4), random(4), random(1)))
    assert released == [1]


def test_loop_is_the_same_function() -> None:
    arrays = [random(3, 4), random(3, 1), random(1, 4)]
    check(loop(*arrays), arrays, 0)
