"""The final text for Metal, compiled by Clang as it stands, on the machine of fibres: order, options, bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import pytest
from metal_driver import MetalShim, needs_clang
from scans import scan
from selection import thinned
from shim_driver import Fault, Shim, needs_shim
from test_catalogue import COLUMNS as ONE_RUN_OF_COLUMNS
from test_catalogue import NAMES, same
from test_catalogue import ROWS as ONE_RUN
from test_order import COLUMNS, ROWS, among_columns

import monoscan as ms
from monoscan import tree
from monoscan.cli import target
from monoscan.monoids import named
from monoscan.testing import check_order
from monoscan.testing.witness import OrderError

pytestmark = [needs_shim, needs_clang]

OPTIONS = [(False, True, False), (True, True, True), (False, False, True), (True, False, False)]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("reverse", "inclusive", "init"), thinned(OPTIONS, [OPTIONS[1]]))
@pytest.mark.parametrize("body", thinned(sorted(ROWS.keys() - {"looking back"}), ["rows", "short rows"]))
def test_rows_keep_the_order(body: str, reverse: bool, inclusive: bool, init: bool) -> None:
    plan, lengths = ROWS[body]
    for seed, n in enumerate(lengths):
        run = partial(scan, plan=plan, start=MetalShim(seed))
        check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=True)


@pytest.mark.parametrize(("reverse", "inclusive", "init"), thinned(OPTIONS, [OPTIONS[2]]))
@pytest.mark.parametrize("body", thinned(COLUMNS, ["columns"]))
def test_columns_keep_the_order(body: str, reverse: bool, inclusive: bool, init: bool) -> None:
    plan, lengths = COLUMNS[body]
    for seed, n in enumerate(lengths):
        run = partial(among_columns, plan, MetalShim(seed), 1 + seed % 2, (2, 31, 33)[seed % 3])
        check_order(run, n, reverse=reverse, inclusive=inclusive, init=init, strict=True)


CASES = {
    "Affine, 1 by 5000": (ms.Affine(), (1, 5000), 1, "float32", {"init": True, "return_carry": True}),
    "Affine, 70 by 33, columns": (ms.Affine(), (70, 33), 0, "float32", {"reverse": True}),
    "Affine of halves": (ms.Affine(), (3, 300), 1, "float16", {"reverse": True, "return_carry": True}),
    "Affine of bfloat16": (ms.Affine(), (3, 300), 1, "bfloat16", {"inclusive": False, "init": True}),
    "LogSumExp": (ms.LogSumExp(), (2, 300), 1, "float32", {}),
    "Moments": (ms.Moments(2), (2, 300), 1, "float32", {}),
    "Sum of int64": (ms.Sum(), (2, 600), 1, "int64", {"return_carry": True}),
    "All": (ms.All(), (2, 600), 1, "bool", {}),
    "Segmented(Max())": (ms.Segmented(ms.Max()), (40, 3), 0, "float32", {}),
    "MatMul": (ms.MatMul(), (3, 90), 1, "float32", {}),
}


@pytest.mark.long
@pytest.mark.parametrize("name", thinned(CASES, ["Affine of bfloat16", "LogSumExp"]))
def test_bits_are_those_of_the_same_bodies_as_cpp(name: str) -> None:
    operator, lead, axis, dtype, options = CASES[name]
    elems = target.example(operator, lead, dtype)
    options = dict(options)
    if options.pop("init", False):
        first = tree.map_leaves(lambda x: mx.take(x, 0, axis), elems)
        options["init"] = tree.map_leaves(lambda x: x.astype(mx.float32), first)
    found, expected = (scan(operator, elems, axis, start=start, **options) for start in (MetalShim(), Shim()))
    same(found, expected)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", thinned(NAMES, []))
def test_the_catalogue_gives_the_cpus_bits_where_the_order_is_the_same(name: str) -> None:
    operator = named.operator(name)
    for lead, axis, plan in (((5, 4), 1, ONE_RUN), ((4, 33), 0, ONE_RUN_OF_COLUMNS)):
        elems = target.example(operator, lead)
        expected = ms.scan(operator, elems, axis, strategy="sequential", stream=mx.cpu)
        same(scan(operator, elems, axis, plan=plan, start=MetalShim()), expected)


MISTAKES = {
    "no barrier": ("BARRIER();", ""),
    "a run writes past its end": ("if (v < count) store", "if (v <= count) store"),
    "operands of the wave's scan swapped": ("combine(left, x, k)", "combine(x, left, k)"),
    "another lane's place": ("threadgroup_position_in_grid.x +", "threadgroup_position_in_grid.y +"),
}


@pytest.mark.parametrize("name", thinned(MISTAKES, ["a run writes past its end"]))
def test_a_mistake_is_found(name: str) -> None:
    with pytest.raises((Fault, OrderError)):
        check_some(MISTAKES[name])


def check_some(faulty: tuple[str, str]) -> None:
    for seed, n in enumerate((129, 513, 1029)):
        check_order(partial(two_rows, plan=ROWS["rows"][0], start=MetalShim(seed, faulty)), n)


def two_rows(operator: Any, elems: Any, **options: Any) -> Any:
    """The scan of a row as the second of two, which are equal."""
    assert options.pop("init") is None
    twice = tree.map_leaves(lambda x: mx.stack([x, x]), elems)
    results, carry = scan(operator, twice, 1, **options)
    return tree.map_leaves(lambda x: x[1], results), tree.map_leaves(lambda x: x[1], carry)
