"""Sequences of several lengths on GPUs: flags of heads and ends beside the elements, by the bodies of every scan."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import started
from selection import thinned
from shim_driver import Shim, needs_shim

import monoscan as ms
from monoscan.scan import call
from monoscan.scan.ragged import scans

pytestmark = needs_shim

LENGTHS = np.array([70, 300, 0, 1], np.int32)
OFFSETS = np.array([0, 3, 3, 150, 300], np.int32)
MASK = np.random.default_rng(1).random((4, 300)) < 0.7


def totals(x: Any, counted: Any, starts: Any, reverse: bool) -> Any:
    """Sums of what counts, from each start on, one step after the other."""
    found = np.zeros_like(x)
    for row in range(x.shape[0]):
        pieces = zip(starts, [*starts[1:], x.shape[1]], strict=True)
        for first, end in pieces:
            total = 0
            for t in range(first, end)[:: -1 if reverse else 1]:
                total += x[row, t] * counted[row, t]
                found[row, t] = total
    return found


@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
@pytest.mark.parametrize("given", thinned(["lengths", "mask", "offsets"], ["lengths", "offsets"]))
def test_sums_of_sequences(given: str, reverse: bool) -> None:
    x = np.random.default_rng(0).integers(1, 99, (4, 300)).astype(np.int32)
    places = np.arange(300)[None]
    counted = {"lengths": places < LENGTHS[:, None], "mask": MASK, "offsets": np.ones_like(MASK)}[given]
    starts = sorted(set(OFFSETS[:-1].tolist())) if given == "offsets" else [0]
    raw = tuple(
        mx.array(value) if name == given else None
        for name, value in (("lengths", LENGTHS), ("mask", MASK), ("offsets", OFFSETS))
    )
    shim = Shim()
    asked = call.options("scan", reverse=reverse, return_carry=True, stream=mx.gpu)
    with started(shim, None):
        found, last = scans.run(asked, ms.Sum(), mx.array(x), 1, None, raw)
    expected = totals(x, counted, starts, reverse)
    shown = counted if given == "lengths" else np.ones_like(counted)
    np.testing.assert_array_equal(np.array(found)[shown], expected[shown])
    assert bool(shim.started) == (given != "mask"), "by kernels, but where zeros in the place of what is masked do"
    if given == "offsets":
        sums = [x[:, first:end].sum(1) for first, end in pairwise(OFFSETS)]
        np.testing.assert_array_equal(np.array(last), np.stack(sums, 1))
    else:
        np.testing.assert_array_equal(np.array(last), (x * counted).sum(1))


def test_gates_of_what_does_not_count_are_not_read() -> None:
    """Padding may hold NaN."""
    a, b = (mx.random.uniform(0.5, 1, (3, 150), key=mx.random.key(k)) for k in (0, 1))
    lengths = mx.array([150, 20, 0])
    padding = mx.arange(150) >= lengths[:, None]
    odd = (mx.where(padding, float("nan"), a), mx.where(padding, float("inf"), b))
    shim = Shim()
    with started(shim, None):
        found, last = scans.run(
            call.options("scan", return_carry=True, stream=mx.gpu), ms.Affine(), odd, 1, None, (lengths, None, None)
        )
    expected, total = ms.scan(ms.Affine(), (a, b), 1, lengths=lengths, return_carry=True, stream=mx.cpu)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(*(np.array(mx.where(padding, 0, y)) for y in (got, want)), rtol=1e-4)
    for got, want in zip(last, total, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4)
    assert shim.started
