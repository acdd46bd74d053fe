"""The order witness on every body, at the edges of runs, waves, tiles and chunks."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import Planned, fixed, scan
from selection import thinned
from shim_driver import Shim, needs_shim

import monoscan as ms
from monoscan import tree
from monoscan.lowering.render.gpu_spec import Body
from monoscan.testing import check_order

pytestmark = needs_shim

# Small tiles, so that short rows have many of them; a run of 1 has no four items to read at once.
ROWS = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), (1, 3, 4, 5, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1029, 3587)),
    "rows, single": (fixed(Body.ROWS, 1, 2, 4), (1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 517, 1795)),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), (1, 255, 256, 257, 8191, 8192, 8193, 8449, 25_607)),
    "short rows": (fixed(Body.SHORT, 4, 1, 2, 32), (1, 2, 3, 4, 5, 31, 32, 33, 127, 128)),
    "shorter rows": (fixed(Body.SHORT, 2, 1, 1, 4), (1, 2, 3, 7, 8)),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), (1, 511, 512, 513, 767, 768, 769, 2565, 5123)),
}
COLUMNS = {
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), (1, 3, 7, 8, 9, 43)),
    "columns in three launches": (fixed(Body.COLUMNS, 2, 1, 4, chunk=2), (1, 15, 16, 17, 33, 83)),
}
OPTIONS = list(product([False, True], repeat=3))
QUICK = {
    "rows": [(True, False, True)],
    "rows, single": [(True, True, True)],
    "looking back": [(True, False, False)],
    "short rows": [(False, False, False), (True, True, True)],
    "shorter rows": [(False, True, False)],
    "three launches": [(True, False, True)],
    "columns": [(False, False, False), (True, True, True)],
    "columns in three launches": [(True, False, False)],
}


def cases(bodies: Any) -> list[Any]:
    every = [(name, *options) for name in bodies for options in OPTIONS]
    return thinned(every, [(name, *options) for name in bodies for options in QUICK[name]])


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("body", "reverse", "inclusive", "init"), cases(ROWS))
def test_rows_keep_the_order(body: str, reverse: bool, inclusive: bool, init: bool) -> None:
    plan, lengths = ROWS[body]
    for seed, n in enumerate(lengths):
        run = partial(scan, plan=plan, start=Shim(seed, 1 + seed % 3))
        check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=True)


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("body", "reverse", "inclusive", "init"), cases(COLUMNS))
def test_columns_keep_the_order(body: str, reverse: bool, inclusive: bool, init: bool) -> None:
    plan, lengths = COLUMNS[body]
    for seed, n in enumerate(lengths):
        inner = (2, 31, 33)[seed % 3]
        run = partial(among_columns, plan, Shim(seed), 1 + seed % 2, inner)
        check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=True)


def among_columns(plan: Planned, start: Shim, outer: int, inner: int, operator: Any, elems: Any, **options: Any) -> Any:
    """The scan of a row as columns of many, all equal; the last of them is what is looked at."""

    def spread(x: mx.array) -> mx.array:
        return mx.broadcast_to(x[None, :, None], (outer, x.size, inner))

    init = options.pop("init")
    if init is not None:
        options["init"] = tree.map_leaves(lambda x: mx.broadcast_to(x, (outer, inner)), init)
    results, carry = scan(operator, tree.map_leaves(spread, elems), 1, plan=plan, start=start, **options)
    return tree.map_leaves(lambda x: x[-1, :, -1], results), tree.map_leaves(lambda x: x[-1, -1], carry)


@pytest.mark.parametrize(("body", "length"), [("rows", 1000), ("looking back", 17_003)])
def test_bits_do_not_depend_on_the_schedule(body: str, length: int) -> None:
    x = mx.random.uniform(-1.02, 1.02, (2, length), key=mx.random.key(0))
    plan = ROWS[body][0]
    first = scan(ms.Affine(), (x, x), 1, plan=plan, start=Shim(1, 1))
    for seed, resident in ((2, 2), (3, 7), (4, 40), (5, 40)):
        again = scan(ms.Affine(), (x, x), 1, plan=plan, start=Shim(seed, resident, starve=seed % 2 == 0))
        assert all(mx.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("narrow", "seeded"),
    thinned([((2, 600, 1, 5), False), ((2, 600, 3, 5), True)], [((2, 600, 1, 5), False)]),
)
def test_arrays_that_spread_over_fewer_axes(narrow: tuple[int, ...], seeded: bool) -> None:
    """Each launch reads some arrays of a scan, which alone could be laid out as fewer axes than it was planned with."""
    shape, random, shim = (2, 600, 3, 5), np.random.default_rng(0), Shim()
    a, b = random.integers(1, 99, shape, np.uint32), random.integers(0, 99, narrow, np.uint32)
    h = random.integers(0, 99, (2, 1, 5), np.uint32) * seeded
    init = (mx.ones_like(mx.array(h)), mx.array(h)) if seeded else None
    found = scan(ms.Affine(), (mx.array(a), mx.array(b)), 1, start=shim, init=init)[1]
    expected = np.empty_like(a)
    for t in range(shape[1]):
        h = expected[:, t] = a[:, t] * h + b[:, t]
    np.testing.assert_array_equal(np.array(found), expected)
    assert len(shim.started) == 3
