"""The portable strategies as functions: values, what is combined with what, and how often."""

from __future__ import annotations

from itertools import accumulate
from math import ceil, log2

import mlx.core as mx
import numpy as np
import pytest
from support import PORTABLE

from monoscan.lowering.strategies.run import run_strategy
from monoscan.lowering.strategies.slices import Leaves, flip

Pair = tuple[int, int]
N = [*range(1, 20), 33]
BASES = [1, 2, 3, 64]
WRAP = 1 << 32


class Recorder:
    """Affine maps of whole numbers, which wrap and so are exact; counts what it is asked for.

    The third leaf marks what may be placed and never combined.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, left: Leaves, right: Leaves) -> Leaves:
        (a, b, placed), (c, d, placed_too) = left, right
        assert not mx.any(placed | placed_too).item()
        self.lengths.append(a.shape[1])
        return [c * a, c * b + d, placed | placed_too]


def after(left: Pair, right: Pair) -> Pair:
    return right[0] * left[0] % WRAP, (right[0] * left[1] + right[1]) % WRAP


def elements(n: int) -> list[Pair]:
    return [((7 * t + 3) % 11, (5 * t + 2) % 13) for t in range(n)]


def arrays(pairs: list[Pair], placed: bool = False) -> Leaves:
    """Along the second of three axes."""
    leaves = [mx.array([pair[i] for pair in pairs], mx.uint32).reshape(1, -1, 1) for i in (0, 1)]
    return [mx.broadcast_to(x, (2, len(pairs), 3)) for x in (*leaves, mx.full((1, len(pairs), 1), placed))]


def pairs_of(leaves: Leaves) -> list[Pair]:
    for x in leaves:
        assert mx.all(x == x[:1, :, :1]).item()
    return [(int(a), int(b)) for a, b in zip(leaves[0][0, :, 0].tolist(), leaves[1][0, :, 0].tolist(), strict=True)]


FIRST = (3, 5)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("inclusive", [True, False], ids=["inclusive", "exclusive"])
@pytest.mark.parametrize("seeded", [True, False], ids=["init", "identity"])
def test_scans(strategy: str, inclusive: bool, seeded: bool, base: int) -> None:
    for n in N:
        given = elements(n)
        found, last = run_strategy(
            strategy, Recorder(), arrays(given), arrays([FIRST], placed=not seeded), 1,
            seeded=seeded, inclusive=inclusive, results=True, base=base,
        )  # fmt: skip
        want = list(accumulate(given, after, initial=FIRST))[1:] if seeded else list(accumulate(given, after))
        assert pairs_of(last) == want[-1:]
        assert pairs_of(found) == (want if inclusive else [FIRST, *want[:-1]])


@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize("seeded", [True, False], ids=["init", "none"])
def test_folds(strategy: str, seeded: bool) -> None:
    for n in N:
        given = elements(n)
        found, last = run_strategy(
            strategy, Recorder(), arrays(given), arrays([FIRST]) if seeded else None, 1,
            seeded=seeded, inclusive=True, results=False,
        )  # fmt: skip
        assert found == []
        assert pairs_of(last) == list(accumulate(([FIRST] if seeded else []) + given, after))[-1:]


def combined(strategy: str, n: int, *, results: bool = True, **options: int) -> list[int]:
    """The length of each array operation."""
    recorder = Recorder()
    first = arrays([FIRST], placed=True)
    run_strategy(
        strategy, recorder, arrays(elements(n)), first, 1, seeded=False, inclusive=True, results=results, **options
    )
    return recorder.lengths


@pytest.mark.parametrize("n", N)
def test_each_strategy_takes_its_steps(n: int) -> None:
    assert combined("sequential", n) == [1] * (n - 1)
    assert combined("hillis_steele", n) == [n - 2**k for k in range(ceil(log2(n)))]
    assert 0 not in combined("brent_kung", n, base=1)
    for strategy in ("blelloch", "brent_kung"):
        steps = combined(strategy, n, base=1)
        assert len([length for length in steps if length]) <= 2 * ceil(log2(n))
        assert sum(steps) <= 2 * n


@pytest.mark.parametrize("n", N)
def test_a_fold_is_a_tree_or_in_order(n: int) -> None:
    assert combined("sequential", n, results=False) == [1] * (n - 1)
    for strategy in ("blelloch", "brent_kung", "hillis_steele"):
        steps = combined(strategy, n, results=False)
        assert len(steps) == ceil(log2(n))
        assert sum(steps) == n - 1


@pytest.mark.parametrize("strategy", ["blelloch", "brent_kung"])
def test_a_tree_ends_where_arrays_are_short(strategy: str) -> None:
    assert combined(strategy, 64) == combined("hillis_steele", 64)
    assert sum(combined(strategy, 65)) < sum(combined("hillis_steele", 65))


def test_the_fold_in_order_is_that_of_any_function() -> None:
    def minus(left: Leaves, right: Leaves) -> Leaves:
        return [2 * a - b for a, b in zip(left, right, strict=True)]

    xs = [mx.arange(1, 9)]
    want = list(accumulate(range(1, 9), lambda a, b: 2 * a - b))
    found, last = run_strategy("sequential", minus, xs, None, 0, seeded=False, inclusive=True, results=True)
    assert found[0].tolist() == want
    assert last[0].tolist() == want[-1:]
    _, last = run_strategy("sequential", minus, xs, None, 0, seeded=False, inclusive=True, results=False)
    assert last[0].tolist() == want[-1:]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipped_leaves_run_backwards_along_one_axis(axis: int) -> None:
    x = mx.arange(24).reshape(2, 3, 4)
    (got,) = flip([x], axis)
    np.testing.assert_array_equal(np.array(got), np.flip(np.array(x), axis))
