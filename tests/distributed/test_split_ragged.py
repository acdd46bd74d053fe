"""Lengths, masks and offsets of split sequences: what one machine gives for the whole."""

from __future__ import annotations

from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
import ranks

import monoscan as ms
import monoscan.distributed as md
from monoscan.distributed.ragged import local_bounds


@pytest.mark.long
@pytest.mark.parametrize("parts", [[5, 7], [3, 0, 9]])
def test_every_call_gives_what_one_machine_gives_for_the_whole(parts: list[int]) -> None:
    for answer in ranks.run("ragged", len(parts), parts):
        for name, here, whole in answer:
            for x, y in zip(here, whole, strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype), name
                np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.long
def test_lengths_that_differ_between_ranks_are_an_error_on_all() -> None:
    for words in ranks.run("disagreeing", 2):
        assert "ranks do not make the same call" in words
        assert words.count("with lengths [2] (values ") == 2


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_a_part_name_the_positions_that_are_valid_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 20))
    cuts, lengths = rng.integers(-2, size + 3, 4), rng.integers(-2, 9, (2, 3))
    lo, hi = sorted(rng.integers(0, size + 1, 2))

    def valid(offsets: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
        found = np.full((2, size), -1)
        ends = np.clip(np.maximum.accumulate(offsets), 0, size)
        for k, (start, stop) in enumerate(pairwise(ends)):
            for row in range(2):
                found[row, start : start + min(max(lengths[row, k], 0), stop - start)] = k
        return found

    own = local_bounds({"offsets": cuts, "lengths": lengths}, int(lo), int(hi - lo), size, 1)
    found = valid(np.array(own["offsets"]), np.array(own["lengths"]), int(hi - lo))
    np.testing.assert_array_equal(found, valid(cuts, lengths, size)[:, lo:hi])


def test_one_rank_is_one_machine() -> None:
    x = mx.arange(6)
    found = md.scan(ms.Sum(), x, offsets=mx.array([0, 2, 6]), lengths=mx.array([2, 3]))
    assert found.tolist() == ms.scan(ms.Sum(), x, offsets=mx.array([0, 2, 6]), lengths=mx.array([2, 3])).tolist()
