"""Lengths, masks and offsets of scans and folds, against a fold of one position after another."""

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
from ragged_oracle import NOTHING, Undefined, scan

import monoscan as ms

LATER = ms.monoid(lambda left, right: mx.where(right % 3 == 0, left, right), name="Later")
"""Not commutative, and without an identity."""


@attrs.frozen
class Case:
    """An operator on integers, and the same in NumPy on tuples."""

    operator: Any
    combine: Callable[[Any, Any], Any]
    identity: Any
    shapes: tuple[tuple[int, ...], ...] = ((),)

    @property
    def events(self) -> list[int]:
        return [len(shape) for shape in self.shapes]

    def elements(self, lead: tuple[int, ...], seed: int) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        return [random.integers(-2, 3, lead + shape).astype(np.int32) for shape in self.shapes]

    def tree(self, leaves: Any) -> Any:
        arrays = tuple(mx.array(x) for x in leaves)
        return arrays if len(self.shapes) > 1 else arrays[0]


CASES = {
    "sum": Case(ms.Sum(), lambda l, r: (l[0] + r[0],), (np.int32(0),)),
    "affine": Case(ms.Affine(), lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (np.int32(1), np.int32(0)), ((), ())),
    "matrices": Case(ms.MatMul(), lambda l, r: (l[0] @ r[0],), (np.eye(2, dtype=np.int32),), ((2, 2),)),
    "max": Case(ms.Max(), lambda l, r: (max(l[0], r[0]),), (np.int32(-(2**31)),)),
    "later": Case(LATER, lambda l, r: l if r[0] % 3 == 0 else r, None),
}


def check(
    case: Case, lead: tuple[int, ...], axis: int, seed: int, given_init: bool, strategy: str = "auto", **options: Any
) -> None:
    """Results, carry and folds of a call, against the oracle; an error where that has none."""
    leaves, batch = case.elements(lead, seed), lead[:axis] + lead[axis + 1 :]
    offsets = options.get("offsets")
    rows = batch if offsets is None else (*batch[:axis], len(offsets) - 1, *batch[axis:])
    starts = case.elements(rows, seed + 1) if given_init else None
    init = None if starts is None else case.tree(starts)
    blank = NOTHING if case.identity is None else case.identity
    arrays = {
        k: mx.array(v) if k in ("lengths", "mask", "offsets") and v is not None else v for k, v in options.items()
    }

    def call(call_of: Any, **more: Any) -> Any:
        return call_of(case.operator, case.tree(leaves), axis, init=init, strategy=strategy, **{**arrays, **more})

    refusable = case.identity is None and starts is None
    try:
        expected, carries = scan(case.combine, leaves, axis, events=case.events, starts=starts, blank=blank, **options)
    except Undefined:
        with pytest.raises(ms.IdentityError, match="has no identity"):
            call(ms.scan, return_carry=True)
        return
    if refusable:  # by type, whatever the values
        with pytest.raises(ms.IdentityError, match="has no identity"):
            call(ms.scan, return_carry=True)
        if options.get("lengths") is None and options.get("mask") is None and options.get("inclusive", True):
            same(call(ms.scan), expected)
        return
    results, carry = call(ms.scan, return_carry=True)
    same(results, expected)
    same(carry, carries)
    same(call(ms.scan), expected)
    if options.pop("inclusive", True):
        arrays.pop("inclusive", None)
        same(call(ms.fold), carries)


def same(got: Any, expected: list[np.ndarray]) -> None:
    leaves = got if isinstance(got, tuple) else (got,)
    for x, y in zip(leaves, expected, strict=True):
        assert x.dtype == mx.int32
        assert tuple(x.shape) == y.shape
        np.testing.assert_array_equal(np.array(x), y)


@given(call=calls(), name=st.sampled_from(sorted(CASES)), init=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_options_together_mean_the_fold_of_valid_positions(call: Any, name: str, init: bool, seed: int) -> None:
    check(CASES[name], call.pop("lead"), call.pop("axis"), seed, init, "hillis_steele", **call)


@pytest.mark.sampled(5)
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "blelloch", "hillis_steele", "brent_kung", "sequential"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_any_options_together_by_every_strategy(strategy: str, name: str) -> None:
    if strategy == "blelloch" and CASES[name].identity is None:
        pytest.skip("no identity to place")

    @given(call=calls(), init=st.booleans(), seed=st.integers(0, 99))
    @settings(max_examples=150, deadline=None)
    def each(call: Any, init: bool, seed: int) -> None:
        check(CASES[name], call.pop("lead"), call.pop("axis"), seed, init, strategy, **call)

    each()
