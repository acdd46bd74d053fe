"""Functions that are not traced and run by ``mx.vmap``: what that gets wrong, or has no rule for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

RNG = np.random.default_rng(3)
Function = Callable[[Any, Any], Any]


def untraced(value: mx.array) -> mx.array:
    """The same value, by an operation that MLX does not record: ``~``."""
    return ~~value


def ints(*shape: int) -> Any:
    return RNG.integers(0, 256, shape).astype(np.int32)


def fold_in_order(function: Function, x: Any) -> Any:
    found = [x[0]]
    for row in x[1:]:
        found.append(function(found[-1], row))
    return np.stack(found)


MASK = mx.array([0xF0, 0x3C, 0x55], mx.int32)
SHIFT = mx.array([1, 2, 3], mx.int32)
STEPS = np.array([1, 2, 3], np.int32)
NUMBERS = np.array([0xF0, 0x3C, 0x55], np.int32)
RIGHT: dict[str, tuple[Function, Function, int]] = {
    "both elements": (lambda l, r: untraced(l) ^ r, lambda l, r: l ^ r, 0),
    "a number second": (lambda l, r: untraced(l ^ r) & 0x7F, lambda l, r: (l ^ r) & 0x7F, 0),
    "a number second in a row": (lambda l, r: untraced(l | r) & 0x7F, lambda l, r: (l | r) & 0x7F, 1),
    "a captured row second": (lambda l, r: untraced(l ^ r) & MASK, lambda l, r: (l ^ r) & NUMBERS, 1),
    "a captured row first": (lambda l, r: MASK & untraced(l ^ r), lambda l, r: NUMBERS & (l ^ r), 1),
    "a captured shift": (
        lambda l, r: ((untraced(l) >> SHIFT) ^ (r >> SHIFT)) << SHIFT,
        lambda l, r: ((l >> STEPS) ^ (r >> STEPS)) << STEPS,
        1,
    ),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("strategy", ["auto", "brent_kung", "sequential"])
def test_bit_operations_of_an_untraced_function(name: str, strategy: str) -> None:
    function, oracle, event = RIGHT[name]
    for shape in ((9, 3), (9, 4, 3), (9, 2, 4, 3)):
        x = ints(*shape)
        got = ms.scan(ms.monoid(function, event=event), mx.array(x), strategy=strategy)
        np.testing.assert_array_equal(np.array(got), fold_in_order(oracle, x), err_msg=str(shape))


def test_leaves_that_broadcast_meet_in_bit_operations() -> None:
    def function(l: Any, r: Any) -> Any:
        return untraced(l[0]) | r[0], r[0] ^ untraced(l[1] ^ r[1])

    mask, x = ints(6, 1), ints(6, 5)
    _, got = ms.scan(ms.monoid(function), (mx.array(mask), mx.array(x)), strategy="sequential")
    want = [x[0]]
    for m, row in zip(mask[1:], x[1:], strict=True):
        want.append(m ^ want[-1] ^ row)
    np.testing.assert_array_equal(np.array(got), np.stack(want))


WRONG: dict[str, tuple[Function, int]] = {
    "a number first": (lambda l, r: mx.array(0x7F) & untraced(l ^ r), 0),
    "a shift of one": (lambda l, r: untraced(l) | mx.left_shift(mx.array(1), r & 7), 0),
    "a row first": (lambda l, r: mx.array([1, 2, 3]) ^ untraced(l ^ r), 1),
    "a row second": (lambda l, r: untraced(l ^ r) & mx.array([[1, 2, 3], [4, 5, 6]]), 2),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bit_operation_that_vmap_gets_wrong_is_refused(name: str) -> None:
    function, event = WRONG[name]
    operator = ms.monoid(function, event=event, name="mine")
    x = mx.array(ints(*(9, 2, 3)[: 1 + event or 1])) if event != 1 else mx.array(ints(9, 3))
    for call in (ms.scan, ms.explain, ms.fold):
        with pytest.raises(ms.StrategyError, match="wrong for bit operations between an element and a constant"):
            call(operator, x)


def test_what_the_refusal_proposes_works() -> None:
    x, mask = ints(9), mx.array(0x7F)
    want = fold_in_order(lambda l, r: 0x7F & (l ^ r), x)
    operator = ms.monoid(lambda l, r: mx.array(0x7F) & untraced(l ^ r))
    held = ms.monoid(lambda l, r: mask & untraced(l ^ r))
    with pytest.raises(ms.StrategyError, match=r'strategy="sequential".*associative_scan.*outside of combine'):
        ms.scan(operator, mx.array(x))
    for got in (
        ms.scan(operator, mx.array(x), strategy="sequential"),
        ms.associative_scan(lambda l, r: mx.array(0x7F) & untraced(l ^ r), mx.array(x)),
        ms.scan(held, mx.array(x)),
    ):
        np.testing.assert_array_equal(np.array(got), want)


def solved(left: mx.array, right: mx.array) -> mx.array:
    return left @ mx.linalg.inv(
        mx.linalg.solve(right, mx.broadcast_to(mx.eye(2), right.shape), stream=mx.cpu), stream=mx.cpu
    )


def test_a_function_that_vmap_has_no_rule_for_is_told_what_to_do() -> None:
    """``mx.linalg.solve`` factors a matrix, and MLX does not map that."""
    x = (RNG.normal(size=(5, 2, 2)) + 3 * np.eye(2)).astype(np.float32)
    operator = ms.monoid(solved, event=2, name="mine")
    want = fold_in_order(lambda l, r: l @ r, x.astype(np.float64))
    with pytest.raises(
        ms.StrategyError, match=r'\[scan\] mine.*no rule for LUF.*strategy="sequential".*associative_scan'
    ):
        ms.scan(operator, mx.array(x))
    for got in (ms.scan(operator, mx.array(x), strategy="sequential"), ms.associative_scan(solved, mx.array(x))):
        np.testing.assert_allclose(np.array(got), want, rtol=1e-3)


def test_with_a_batch_only_whole_slices_are_proposed() -> None:
    x = (RNG.normal(size=(5, 3, 2, 2)) + 3 * np.eye(2)).astype(np.float32)
    operator = ms.monoid(solved, event=2, name="mine")
    for options in ({}, {"strategy": "sequential"}, {"init": mx.zeros((3, 2, 2))}):
        with pytest.raises(ms.StrategyError, match="no rule for LUF") as caught:
            ms.scan(operator, mx.array(x), **options)  # type: ignore[arg-type]
        assert "associative_scan" in str(caught.value)
        assert "sequential" not in str(caught.value)
    with pytest.raises(ms.StrategyError, match="no rule for LUF"):
        ms.scan(operator, mx.array(x[:1]), init=mx.zeros((3, 2, 2)))
    np.testing.assert_array_equal(np.array(ms.scan(operator, mx.array(x[:1]))), x[:1])  # nothing is combined
    want = fold_in_order(lambda l, r: l @ r, x.astype(np.float64))
    np.testing.assert_allclose(np.array(ms.associative_scan(solved, mx.array(x))), want, rtol=1e-3)
