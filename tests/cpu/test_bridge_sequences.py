"""Lengths and offsets of any values: kernels touch what is theirs alone, and yield what clipped values mean."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

FAR = 2**31 - 1
OFFSETS = [[0, 3, 9, 13], [-FAR - 1, FAR, 4, -1], [5, 2, -7, 11, 11, FAR], [13, 13], [7], [-3, -2, 0], [0, 0, 0, 99]]
LENGTHS = [4, 0, -1, 13, 14, FAR, -FAR - 1]
SHAPES = [((13,), 0), ((13, 5), 0), ((13, 70), 0), ((3, 13), 1), ((40, 13), 1), ((2, 13, 16), 1)]


def clipped(offsets: list[int], n: int) -> list[int]:
    return np.clip(np.maximum.accumulate(offsets), 0, n).tolist()


def both(function: Any, *arrays: mx.array) -> list[np.ndarray]:
    """Results and gradients by all arrays."""
    _, found = mx.value_and_grad(lambda *xs: sum((y * y).sum() for y in flat(function(*xs))), argnums=(0, 1))(*arrays)
    return [np.array(y) for y in (*flat(function(*arrays)), *found)]


def flat(tree: Any) -> list[mx.array]:
    return [tree] if isinstance(tree, mx.array) else [y for each in tree for y in flat(each)]


def drawn(*shape: int) -> mx.array:
    return mx.random.uniform(0.5, 1.5, shape)


@pytest.mark.parametrize(("shape", "axis"), thinned(SHAPES, [((13, 70), 0), ((3, 13), 1)]), ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_offsets_are_read_as_their_running_maximum_within_the_axis(
    shape: tuple[int, ...], axis: int, reverse: bool
) -> None:
    a, b = drawn(*shape), drawn(*shape)
    for wild in OFFSETS:

        def call(offsets: list[int], *xs: mx.array) -> Any:
            options = {"offsets": mx.array(offsets, mx.int32), "reverse": reverse, "return_carry": True}
            return ms.scan(ms.Affine(), xs, axis, **options)

        tame = clipped(wild, 13)
        got = both(lambda *xs, offsets=wild: call(offsets, *xs), a, b)
        want = both(lambda *xs, offsets=tame: call(offsets, *xs), a, b)
        for x, y in zip(got, want, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("shape", "axis"), thinned(SHAPES, [((2, 13, 16), 1), ((40, 13), 1)]), ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_clipped_and_nothing_behind_them_is_read(shape: tuple[int, ...], axis: int, reverse: bool) -> None:
    rows = shape[0] if axis else 1
    lengths = np.resize(np.array(LENGTHS, np.int64), rows)
    counted = np.clip(lengths, 0, 13)
    given = lengths if axis else lengths[0]
    a, b = (np.array(drawn(*shape)) for _ in range(2))
    late = np.arange(13).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    behind = np.broadcast_to(late >= counted.reshape([-1] + [1] * (len(shape) - 1) if axis else []), shape)
    bad, wrong = np.where(behind, np.nan, a).astype(np.float32), np.where(behind, np.inf, b).astype(np.float32)

    def call(*xs: mx.array, lengths: Any) -> Any:
        return ms.scan(ms.Affine(), xs, axis, lengths=lengths, reverse=reverse, return_carry=True)

    got = both(lambda *xs: call(*xs, lengths=mx.array(given, mx.int32)), mx.array(bad), mx.array(wrong))
    want = both(lambda *xs: call(*xs, lengths=mx.array(counted if axis else counted[0])), mx.array(a), mx.array(b))
    for x, y in zip(got, want, strict=True):
        np.testing.assert_array_equal(x, y)
    for gradient in got[-2:]:
        assert not gradient[behind].any()


def test_many_sequences_are_cut_into_tasks() -> None:
    a, b = drawn(30_000, 16), drawn(30_000, 16)
    cuts = np.sort(np.random.default_rng(0).integers(-50, 30_050, 700)).astype(np.int32)
    got = ms.linear_recurrence(a, b, offsets=mx.array(cuts))
    bounds = clipped(cuts.tolist(), 30_000)
    parts = [ms.linear_recurrence(a[i:j], b[i:j]) for i, j in pairwise(bounds) if j > i]
    inside = np.array(got)[bounds[0] : bounds[-1]]
    np.testing.assert_allclose(inside, np.array(mx.concatenate(parts)), rtol=1e-5)
    assert not np.array(got)[: bounds[0]].any()


def test_an_input_that_nobody_needs_gives_its_memory() -> None:
    x = mx.ones((1 << 20,))
    offsets, lengths = mx.array([0, 1 << 19, 1 << 20]), mx.array([1 << 18, 5])
    want = np.concatenate([np.minimum(np.arange(1, (1 << 19) + 1), n) for n in (1 << 18, 5)])
    mx.eval(x, offsets, lengths)
    got = ms.scan(ms.Sum(), mx.abs(x), offsets=offsets, lengths=lengths)
    np.testing.assert_array_equal(np.array(got), want)


def test_each_row_that_is_mapped_has_sequences_of_its_own() -> None:
    a, b = drawn(3, 13, 5), drawn(3, 13, 5)
    offsets, lengths = mx.array([[0, 3, 9], [FAR, 1, -4], [5, 5, 13]]), mx.array([[4, -1], [FAR, 2], [0, 7]])

    def call(a: mx.array, b: mx.array, offsets: mx.array, lengths: mx.array) -> list[mx.array]:
        return flat(ms.scan(ms.Affine(), (a, b), offsets=offsets, lengths=lengths, return_carry=True))

    mapped = mx.vmap(call)(a, b, offsets, lengths)
    for i in range(3):
        for x, y in zip(mapped, call(a[i], b[i], offsets[i], lengths[i]), strict=True):
            np.testing.assert_array_equal(np.array(x[i]), np.array(y))


@pytest.mark.parametrize("loop", thinned(["wide", "act", "fold"], ["fold"]))
def test_loops_of_other_kinds(loop: str) -> None:
    for wild in OFFSETS:
        for offsets in (wild, clipped(wild, 13)):
            given = mx.array(offsets, mx.int32)
            m, states = mx.full((13, 10, 10), 0.1), mx.ones((len(wild) - 1, 10))
            if loop == "wide":
                found = ms.scan(ms.MatMul(), m, offsets=given, return_carry=True)
            elif loop == "act":
                found = ms.act(
                    ms.MatMul(), m, states, offsets=given, lengths=mx.array(LENGTHS[: len(wild) - 1], mx.int32)
                )
            else:
                found = ms.fold(ms.LogSumExp(), m, offsets=given)
            if offsets is wild:
                got = [np.array(y) for y in flat(found)]
        for x, y in zip(got, flat(found), strict=True):
            np.testing.assert_array_equal(x, np.array(y))
