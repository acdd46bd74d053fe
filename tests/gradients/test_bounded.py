"""Scans of sequences with bounds on aligned arrays, as derivatives of kernels use them: the same as the public calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.lowering.gradient import bounded
from monoscan.lowering.plan.plan import Kernels, Portable

X = mx.array(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
A = mx.array(np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32))
H = mx.array(np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32))
OFFSETS, LENGTHS = mx.array([1, 3, 5]), mx.array([[1, 2, 0], [2, 1, 5]])


def lowered(plan: Any, arrays: Sequence[mx.array], lengths: mx.array | None, outputs: int = 0) -> list[mx.array]:
    way = plan.way
    assert isinstance(way, (Kernels, Portable))
    scan = way.fused[0].scan if isinstance(way, Kernels) else way.scan
    return bounded.run(scan, arrays, lengths, OFFSETS[:, None], 0, 2, outputs)


def same(found: Sequence[mx.array], expected: Sequence[mx.array]) -> None:
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_acts_and_loops_are_those_of_the_public_calls(reverse: bool, inclusive: bool, lengths: Any) -> None:
    options = {"reverse": reverse, "inclusive": inclusive, "return_carry": True}
    plan = ms.explain(ms.Affine(), (A, X), state=H[0], act=True, strategy="hillis_steele", **options)
    expected = ms.act(ms.Affine(), (A, X), H, offsets=OFFSETS, lengths=lengths, strategy="brent_kung", **options)
    same(lowered(plan, (A, X, H), lengths), expected)

    def step(h: Any, x: Any) -> Any:
        return x[0] * h + x[1], h

    options.pop("inclusive")
    plan = ms.explain(step, (A, X), state=H[0], loop=True, **options)
    found = lowered(plan, (A, X, mx.zeros((1, 1)), H), lengths, 1)
    expected = ms.loop(step, (A, X), H, offsets=OFFSETS, lengths=lengths, **options)
    same([found[0], found[-1]], expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_scans_are_those_of_the_public_calls(reverse: bool, lengths: Any) -> None:
    x = mx.abs(X)
    for init in (None, H):
        options = {"reverse": reverse, "return_carry": True, "strategy": "brent_kung"}
        plan = ms.explain(ms.Product(), x, init=None if init is None else init[0], **options)
        expected = ms.scan(ms.Product(), x, init=init, offsets=OFFSETS, lengths=lengths, **options)
        found = lowered(plan, (x,) if init is None else (x, init), lengths)
        if init is None:  # where nothing came stands a constant, of which derivatives know nothing
            found = [mx.where(y == 0, 1, y) for y in found]
        covered = (mx.arange(6) >= 1) & (mx.arange(6) < 5)
        same([mx.where(covered[:, None], found[0], 1), found[1]], expected)


def test_offsets_of_their_own_for_each_row() -> None:
    plan = ms.explain(ms.Affine(), (A, X), state=H[0], act=True, strategy="hillis_steele", return_carry=True)
    rows = mx.array([[1, 3, 5], [0, 0, 6], [2, 4, 4]])
    ys, last = bounded.run(plan.way.scan, (A, X, H), None, rows.T, 0, 2)
    for i in range(3):
        column = slice(i, i + 1)
        expected = ms.act(ms.Affine(), (A[:, column], X[:, column]), H[:, column], offsets=rows[i], return_carry=True)
        same((ys[:, column], last[:, column]), expected)


def test_tangents_know_nothing_of_what_does_not_count() -> None:
    plan = ms.explain(ms.Affine(), (A, X), state=H[0], act=True, strategy="hillis_steele")
    holes = mx.where(mx.arange(6)[:, None] < 1, mx.nan, X)

    def of(x: mx.array) -> mx.array:
        return bounded.run(plan.way.scan, (A, x, H), None, OFFSETS[:, None], 0, 2)[0]

    _, (moved,) = mx.jvp(of, [holes], [mx.ones_like(X)])
    assert not mx.isnan(moved).any()
    second = mx.grad(lambda x: mx.grad(lambda x: (of(x) ** 3).sum())(x).sum())(holes)
    assert not mx.isnan(second).any()
    assert not second[0].any()
