"""Lengths, masks and offsets of aggregators, against a fold of one position after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_calls import calls
from ragged_oracle import counting, row_shape, scan

import monoscan as ms
from monoscan import tree


class Gated(ms.Aggregator):
    """One number of state; reads a fixed input and the position."""

    operator = ms.Affine()

    def prepare(self, x: Any, c: Any, t: Any) -> Any:
        return c - t % 2, x * c

    def present(self, h: Any, x: Any, c: Any, t: Any) -> Any:
        return h * 10 + x + t + c


class Wide(ms.Aggregator):
    """Copies of an operator: three numbers of state."""

    operator = ms.Affine()
    event = (0, 1, 0)

    def prepare(self, x: Any, c: Any, t: Any) -> Any:
        return c, c * x + t

    def present(self, h: Any, x: Any, c: Any, t: Any) -> Any:
        return (h * c).sum() + x, h


class Folded(ms.Aggregator):
    """What a fold can present."""

    operator = ms.Tuple(ms.Sum(), ms.Max())

    def prepare(self, x: Any, c: Any, t: Any) -> Any:
        return x + t, x

    def present(self, s: Any, x: Any, c: Any, t: Any) -> Any:
        return s[0] * c - s[1]


@attrs.frozen
class Case:
    """An aggregator, its action in NumPy on tuples, and its outputs."""

    aggregator: ms.Aggregator
    fixed: Any
    step: Callable[[Any, Any], Any]
    begin: Callable[[Any], Any]
    present: Callable[[Any, Any, Any], Any]
    states: int = 1
    copies: tuple[int, ...] = ()


C = np.array([1, 2, -1], np.int32)
CASES = {
    "gated": Case(
        Gated(), np.int32(2), lambda s, x: ((2 - x[1] % 2) * s[0] + 2 * x[0],), lambda x: (2 * x[0],),
        lambda s, x, t: (s[0] * 10 + x + t + 2,),
    ),
    "wide": Case(
        Wide(), C, lambda s, x: (C * s[0] + C * x[0] + x[1],), lambda x: (C * x[0] + x[1],),
        lambda s, x, t: ((s[0] * C).sum(-1) + x, s[0]), copies=(3,),
    ),
    "folded": Case(
        Folded(), np.int32(3), lambda s, x: (s[0] + x[0] + x[1], max(s[1], x[0])), lambda x: (x[0] + x[1], x[0]),
        lambda s, x, t: (s[0] * 3 - s[1],), states=2,
    ),
}  # fmt: skip


def check(
    case: Case, lead: tuple[int, ...], axis: int, seed: int, started: bool, strategy: str, **options: Any
) -> None:
    random = np.random.default_rng(seed)
    started = started or not options["inclusive"]
    x = random.integers(-2, 3, lead).astype(np.int32)
    offsets = options.get("offsets")
    rows = row_shape(lead, axis, offsets)
    starts = [random.integers(-2, 3, rows + case.copies).astype(np.int32) for _ in range(case.states)]
    counts, index = counting(lead, axis, **options)
    zeros = (np.zeros(case.copies, np.int32),) * case.states
    folded = case.states > 1 and not started
    blank = (np.int32(0), np.int32(-(2**31))) if folded else zeros  # states on elements: the identity
    options["starts"] = starts if started else None
    found, last = scan(
        case.step, [x, index], axis, events=[0, 0], begin=case.begin, blank=blank, outside=zeros, **options
    )
    options.pop("starts")
    expected = case.present(found, x, index)
    wide = [counts.reshape(counts.shape + (1,) * (y.ndim - counts.ndim)) for y in expected]
    expected = [np.where(c, y, 0) for c, y in zip(wide, expected, strict=True)]
    arrays = {k: mx.array(v) if k in ("lengths", "mask", "offsets") else v for k, v in options.items()}
    state = None if not started else mx.array(starts[0]) if case.states == 1 else tuple(map(mx.array, starts))
    inputs = (mx.array(x), ms.fixed(mx.array(case.fixed)), ms.position)
    outputs, carry = ms.scan(case.aggregator, inputs, axis, state=state, return_carry=True, strategy=strategy, **arrays)
    same(outputs, expected)
    same(carry, last)
    same(ms.scan(case.aggregator, inputs, axis, state=state, strategy=strategy, **arrays), expected)
    if case.states > 1 and options["inclusive"]:
        arrays.pop("inclusive")
        total = ms.fold(case.aggregator, inputs, axis, state=state, strategy=strategy, **arrays)
        same(total, case.present(last, None, None))


def same(got: Any, expected: Any) -> None:
    for a, b in zip(tree.flatten(got)[0], expected, strict=True):
        assert a.dtype == mx.int32
        np.testing.assert_array_equal(np.array(a), b.astype(np.int32))


@given(call=calls(), name=st.sampled_from(sorted(CASES)), started=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_any_options_of_an_aggregator_mean_the_valid_positions(call: Any, name: str, started: bool, seed: int) -> None:
    check(CASES[name], call.pop("lead"), call.pop("axis"), seed, started, "hillis_steele", **call)


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "hillis_steele"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_any_options_of_an_aggregator_in_one_pass_and_in_three(strategy: str, name: str) -> None:
    @given(call=calls(), started=st.booleans(), seed=st.integers(0, 99))
    @settings(max_examples=120, deadline=None)
    def each(call: Any, started: bool, seed: int) -> None:
        check(CASES[name], call.pop("lead"), call.pop("axis"), seed, started, strategy, **call)

    each()
