"""The table of docs/sequences.md, cell by cell: what stands at each kind of position."""

from __future__ import annotations

from functools import reduce

import mlx.core as mx
import numpy as np
import pytest
from ragged_oracle import row

import monoscan as ms

OFFSETS, LENGTHS = [1, 5, 5, 8], [3, 2, 9]
MASK = [True, True, False, True, True, False, True, True]
"""Position 0 is in no sequence; 1 to 4 are the first, of which 2 is a gap and 4 behind its length; the second is empty; 5 to
7 are the third, of which 5 does not count."""

COLUMNS = [(False, True), (False, False), (True, True), (True, False)]
"""Reversed or not, inclusive or not."""

TABLE = {
    "valid": (3, ["i0 x1 x3", "i0 x1", "i0 x3", "i0"]),
    "valid, in the middle of a fold from the end": (1, ["i0 x1", "i0", "i0 x3 x1", "i0 x3"]),
    "the first in fold order": (1, ["i0 x1", "i0", "i0 x3 x1", "i0 x3"]),
    "the first in fold order from the end": (7, ["i2 x6 x7", "i2 x6", "i2 x7", "i2"]),
    "a gap": (2, ["i0 x1", "i0 x1", "i0 x3", "i0 x3"]),
    "behind the length": (4, ["i0 x1 x3", "i0 x1 x3", "i0", "i0"]),
    "before the first valid one": (5, ["i2", "i2", "i2 x7 x6", "i2 x7 x6"]),
    "in no sequence": (0, ["", "", "", ""]),
}
CARRIES = {0: ["i0 x1 x3", "i0 x3 x1"], 1: ["i1", "i1"], 2: ["i2 x6 x7", "i2 x7 x6"]}

RANDOM = np.random.default_rng(5)
X, INIT = RANDOM.integers(-1, 3, (8, 2, 2)).astype(np.int32), RANDOM.integers(-1, 3, (3, 2, 2)).astype(np.int32)


def product(words: str, seeded: bool) -> np.ndarray:
    """The product of what the words name, in order."""
    named = {"x": X, "i": INIT}
    factors = [named[word[0]][int(word[1:])] for word in words.split() if seeded or word[0] != "i"]
    return reduce(np.matmul, factors, np.eye(2, dtype=np.int32))


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele"])
@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize(("reverse", "inclusive"), COLUMNS)
def test_each_cell(reverse: bool, inclusive: bool, seeded: bool, strategy: str) -> None:
    y, carry = ms.scan(
        ms.MatMul(), mx.array(X), offsets=mx.array(OFFSETS), lengths=mx.array(LENGTHS), mask=mx.array(MASK),
        init=mx.array(INIT) if seeded else None, reverse=reverse, inclusive=inclusive, return_carry=True,
        strategy=strategy,
    )  # fmt: skip
    column = COLUMNS.index((reverse, inclusive))
    for kind, (at, words) in TABLE.items():
        np.testing.assert_array_equal(np.array(y[at]), product(words[column], seeded), kind)
    for number, each in CARRIES.items():
        np.testing.assert_array_equal(np.array(carry[number]), product(each[reverse], seeded))


@pytest.mark.parametrize(("reverse", "inclusive"), COLUMNS)
def test_the_oracle_says_the_same_words(reverse: bool, inclusive: bool) -> None:
    shown, carries = row(
        lambda state, x: f"{state} {x}", [f"x{t}" for t in range(8)], starts=["i0", "i1", "i2"], blank="", outside="",
        reverse=reverse, inclusive=inclusive, lengths=LENGTHS, mask=MASK, offsets=OFFSETS,
    )  # fmt: skip
    column = COLUMNS.index((reverse, inclusive))
    assert {kind: shown[at] for kind, (at, _) in TABLE.items()} == {k: words[column] for k, (_, words) in TABLE.items()}
    assert dict(enumerate(carries)) == {number: each[reverse] for number, each in CARRIES.items()}


def test_pandas_by_key_and_with_gaps() -> None:
    pandas = pytest.importorskip("pandas")
    key = np.array([7, 7, 4, 4, 4, 9])
    series = pandas.Series([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    cuts = [0, *np.flatnonzero(np.diff(key)) + 1, len(key)]
    filled = series.fillna(0.0)
    assert ms.scan(ms.Sum(), filled, offsets=cuts).tolist() == filled.groupby(key).cumsum().tolist()
    assert ms.scan(ms.Max(), filled, offsets=cuts).tolist() == filled.groupby(key).cummax().tolist()
    found = ms.scan(ms.Sum(), series, mask=series.notna())
    assert found.tolist() == series.cumsum().ffill().tolist()
    assert ms.fold(ms.Sum(), series, mask=series.notna(), offsets=cuts).tolist() == [3, 9, 6]
