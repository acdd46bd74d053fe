"""Indices inside combine: negative ones count from the end, what lies outside is clamped, by every strategy."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from support import GRAPH

import monoscan as ms

DTYPES = ("int8", "uint8", "int64", "uint64")


def place(index: int, size: int) -> int:
    return min(max(index + size if index < 0 else index, 0), size - 1)


def strategies(compiled: bool) -> tuple[str, ...]:
    return (*GRAPH, "kernel", "sequential") if compiled else GRAPH


@pytest.mark.parametrize("length", [5, 200])  # few elements, and many
@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_of_maps_that_name_no_state_are_clamped(dtype: str, length: int) -> None:
    rng, info = np.random.default_rng(1), np.iinfo(dtype)
    maps = rng.integers(0, 3, (length, 3)).astype(dtype)
    odd = [info.min, info.max, 3, *([-1, -3, -4] if info.min < 0 else [])]
    maps[rng.random(maps.shape) < 0.4] = rng.choice(np.array(odd, dtype))
    want = [maps[0]]
    for each in maps[1:]:
        want.append(np.array([each[place(int(i), 3)] for i in want[-1]], dtype))
    for strategy in strategies(dtype in ("int8", "uint64")):
        got = ms.scan(ms.FiniteMap(3), mx.array(maps), strategy=strategy)
        np.testing.assert_array_equal(np.array(got), want, err_msg=strategy)


@pytest.mark.long
@pytest.mark.parametrize("size", [1, 100, 128, 200, 256])  # what int8 holds and does not hold
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_captured_table_is_read_inside_its_bounds(dtype: str, size: int) -> None:
    rng, info = np.random.default_rng(2), np.iinfo(dtype)
    held = rng.permutation(size).astype(np.int32)
    table = mx.array(held)
    index = [i for i in (*range(-260, 300, 7), -size, -size - 1, size, info.min, info.max) if info.min <= i <= info.max]
    reads = ms.monoid(lambda left, right: (right[0], table[right[0]]), name="reads")
    elements = mx.array(np.array(index, dtype)), mx.zeros((len(index),), mx.int32)
    for strategy in strategies(size in (1, 200) and dtype in ("int8", "uint64")):
        if strategy != "blelloch":
            _, got = ms.scan(reads, elements, init=(elements[0][0], mx.array(0)), strategy=strategy)
            assert got.tolist() == [held[place(i, size)] for i in index], strategy


@pytest.mark.parametrize("strategy", ["kernel", "hillis_steele", "sequential"])
def test_the_gradient_goes_to_the_row_that_was_read(strategy: str) -> None:
    index = mx.array([0, 3, 9, -1, -9, 1])  # of four rows: 0, 3, 3, 3, 0, 1

    def total(table: mx.array) -> mx.array:
        sums = ms.monoid(lambda left, right: (right[0], left[1] + table[right[0]]))
        return ms.fold(sums, (index, mx.zeros((6,))), strategy=strategy)[1]

    assert mx.grad(total)(mx.array([1.0, 2.0, 4.0, 8.0])).tolist() == [1, 1, 0, 3]  # the first element is not combined


def test_symbols_without_a_row_are_clamped() -> None:
    table = np.arange(600).reshape(300, 2)
    read = ms.FiniteMap(2).embed(mx.array([0, 255], mx.uint8), mx.array(table))
    assert read.tolist() == [[0, 1], [510, 511]]
    read = ms.FiniteMap(2).embed(mx.array([-1, -128, 127], mx.int8), mx.array(table[:100]))
    assert read.tolist() == [[198, 199], [0, 1], [198, 199]]
