"""Layouts: where the scan axis is among batch axes of different rank."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.program.ir import closure


def layout(axis: int, *batch: tuple[int, ...], length: int = 4, **changes: object) -> Layout:
    leaves = range(len(batch))
    known: dict[str, object] = {
        "init": None,
        "event": ((),) * len(batch),
        "depends": tuple(tuple(leaves) for _ in leaves),
    }
    return Layout(length=length, axis=axis, batch=batch, **(known | changes))  # type: ignore[arg-type]


def test_aligned_leaves_differ_in_sizes_of_one_only() -> None:
    geometry = layout(1, (2,), (3, 2))
    x = mx.arange(8).reshape(2, 4)
    aligned = geometry.align(x, 0)
    assert aligned.shape == (1, 4, 2)
    np.testing.assert_array_equal(np.array(aligned)[0], np.array(x).T)


@given(st.integers(0, 3), st.lists(st.integers(1, 3), max_size=3), st.integers(0, 3), st.integers(0, 2))
def test_restore_undoes_align(axis: int, full: list[int], cut: int, event: int) -> None:
    small = tuple(full[min(cut, len(full)) :])
    axis = min(axis, len(small))
    geometry = layout(axis, small, tuple(full), event=((2,) * event, ()), depends=((0,), (0, 1)))
    shape = (*small[:axis], 4, *small[axis:], *(2,) * event)
    x = mx.arange(int(np.prod(shape))).reshape(shape)
    assert geometry.align(x, 0).ndim == len(full) + 1 + event
    assert mx.array_equal(geometry.restore(geometry.align(x, 0), 0), x)


def test_result_shapes_follow_dependence() -> None:
    geometry = layout(0, (2,), (3, 1), depends=((0,), (0, 1)))
    assert geometry.result_shape(0) == (4, 2)
    assert geometry.result_shape(1) == (4, 3, 2)
    assert geometry.carry_shape(1) == (3, 2)


def test_init_takes_part_in_result_shapes() -> None:
    geometry = layout(0, (2,), init=((3, 1),), depends=((0,),))
    assert geometry.result_shape(0) == (4, 3, 2)


@pytest.mark.parametrize(
    ("batch", "length", "trivial", "empty"),
    [
        (((2,),), 4, False, False), (((2,),), 1, True, False), (((2,),), 0, True, False), (((0,),), 4, True, True),
        (((0,), (1,)), 4, True, True),
    ],
)  # fmt: skip
def test_what_is_trivial(batch: tuple[tuple[int, ...], ...], length: int, trivial: bool, empty: bool) -> None:
    geometry = layout(0, *batch, length=length)
    assert (geometry.trivial, geometry.empty) == (trivial, empty)


def test_a_leaf_of_its_own_is_not_empty_because_another_is() -> None:
    geometry = layout(0, (0,), (1,), depends=((0,), (1,)))
    assert not geometry.empty
    assert not geometry.trivial
    assert geometry.items == 0


def test_closure_follows_chains_and_keeps_itself() -> None:
    reads = [frozenset({0}), frozenset({0}), frozenset({1})]
    assert closure(reads) == ((0,), (0, 1), (0, 1, 2))
    assert closure([frozenset(), frozenset({0})]) == ((0,), (0, 1))
