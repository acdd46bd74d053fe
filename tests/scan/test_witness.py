"""The order witness on every strategy, at every short length and around powers of two."""

from __future__ import annotations

import itertools
import subprocess
import sys
from functools import partial
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import strategies as st
from laws_support import right
from selection import thinned

import monoscan as ms
from monoscan.testing import Intervals, check_laws, check_order, check_orders
from monoscan.testing.search.values import array_of

PORTABLE = ("blelloch", "hillis_steele", "brent_kung", "sequential")
POWERS = (127, 128, 129, 255, 256, 257, 1024)


OPTIONS = list(itertools.product([False, True], repeat=3))


def without_identity(monoid: Intervals, elems: Any, **options: Any) -> Any:
    """The same operator as a semigroup: strategies that need no identity must not ask for one."""
    return ms.scan(ms.monoid(monoid.combine, name="Intervals"), elems, **options)


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize("strategy", PORTABLE)
@pytest.mark.parametrize(
    ("reverse", "inclusive", "init"), thinned(OPTIONS, [(False, False, True), (True, True, False)])
)
def test_every_option_keeps_the_order(strategy: str, reverse: bool, inclusive: bool, init: bool) -> None:
    """At every length up to 65 and around powers of two, in both directions; the carry is always checked."""
    run = partial(ms.scan, strategy=strategy)
    for n in (*range(66), *POWERS):
        check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=True)


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung", "sequential"])
def test_strategies_without_identity_keep_the_order(strategy: str) -> None:
    """A semigroup's scan touches elements only."""
    for n in range(1, 34):
        check_order(partial(without_identity, strategy=strategy), n)
        check_order(partial(without_identity, strategy=strategy), n, reverse=True, inclusive=False, init=True)


@pytest.mark.long
def test_what_auto_chooses_keeps_the_order() -> None:
    """Whatever the planner chooses here."""
    check_orders(ms.scan, (0, 1, 2, 7, 64, 65), strict=True)


def test_the_witness_is_lawful() -> None:
    """The operator itself is associative with an identity; strict, it has none."""
    check_laws(Intervals(), dtypes=("int32",), elements=_touching(), examples=40)


def _touching() -> Any:
    ends = st.integers(0, 3)
    return st.tuples(ends, ends).map(lambda e: tuple(array_of(v, "int32") for v in (1, min(e), max(e) + 1)))


def test_a_scan_in_order_passes() -> None:
    """The reference that the wrong strategies depart from is right, so that they are wrong for one reason."""
    check_orders(right, range(1, 20), strict=True)


def test_the_witness_runs_on_int32_lanes() -> None:
    """So that it runs in fused kernels."""
    like = (mx.array(1, mx.int32),) * 3
    assert [leaf.dtype for leaf in Intervals().combine(like, like)] == [mx.int32] * 3


def test_importing_monoscan_imports_no_hypothesis() -> None:
    """Only monoscan.testing needs it."""
    code = "import sys, monoscan; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
