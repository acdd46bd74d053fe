"""Identities are placed and never combined; embed and project are for callers."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from support import FIRST, PORTABLE, STRATEGIES, check_scan, name_of, random_leaves

import monoscan as ms
from monoscan import tree

RNG = np.random.default_rng(1)


def first_exclusive(operator: ms.Semigroup, elems: Any, strategy: str = "auto") -> list[mx.array]:
    results = ms.scan(operator, elems, inclusive=False, strategy=strategy)
    return [x[0] for x in tree.flatten(results)[0]]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_identity_is_one_scalar_for_all_leaves(strategy: str) -> None:
    operator = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[1]), identity=1)
    x, y = first_exclusive(operator, (mx.arange(4), mx.ones((4,))), strategy)
    assert (x.item(), y.item()) == (1, 1)
    assert (x.dtype, y.dtype) == (mx.int32, mx.float32)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_identity_is_a_scalar_for_each_leaf(strategy: str) -> None:
    operator = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), identity=(1, 0))
    x, y = first_exclusive(operator, (mx.ones((4, 2)), mx.ones((4, 3, 1))), strategy)
    assert (x.tolist(), y.shape, float(y.sum())) == ([1, 1], (3, 2), 0)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_identity_may_be_a_tree_of_scalars(strategy: str) -> None:
    operator = ms.monoid(
        lambda l, r: {"low": mx.minimum(l["low"], r["low"]), "sum": [l["sum"][0] + r["sum"][0]]},
        identity={"low": mx.inf, "sum": [0]},
    )
    low, total = first_exclusive(operator, {"low": mx.ones((4,)), "sum": [mx.ones((4,))]}, strategy)
    assert (low.item(), total.item()) == (float("inf"), 0)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_an_identity_is_a_callable_on_an_element_without_scan_and_batch_axes(strategy: str) -> None:
    seen = set()

    def eye(like: mx.array) -> mx.array:
        seen.add((like.shape, like.dtype))
        return mx.eye(2, dtype=like.dtype)

    operator = ms.monoid(lambda l, r: l @ r, event=2, identity=eye)
    (x,) = first_exclusive(operator, mx.ones((4, 3, 2, 2)), strategy)
    assert x.tolist() == [[[1, 0], [0, 1]]] * 3
    assert seen == {((2, 2), mx.float32)}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "bool"])
def test_the_identity_of_max_is_the_least_value_of_its_dtype(dtype: str, strategy: str) -> None:
    x = mx.ones((3,), getattr(mx, "bool_" if dtype == "bool" else dtype))
    (first,) = first_exclusive(ms.Max(), x, strategy)
    least = False if dtype == "bool" else -float("inf") if dtype.startswith("float") else np.iinfo(dtype).min
    assert first.item() == least
    assert name_of(first) == dtype


def test_the_identity_of_matmul_is_the_identity_matrix() -> None:
    (first,) = first_exclusive(ms.MatMul(), mx.full((3, 2, 2), 5.0))
    assert first.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("strategy", PORTABLE)
def test_the_identity_is_placed_and_never_combined(strategy: str) -> None:
    """Combined, ``0 * inf`` of an affine identity would turn infinities into NaN."""
    infinite = mx.full((12,), mx.inf)
    for inclusive in (True, False):
        decay, h = ms.scan(ms.Affine(), (infinite, infinite), inclusive=inclusive, strategy=strategy)
        assert not mx.isnan(decay).any()
        assert not mx.isnan(h).any()


def test_a_wrong_identity_cannot_hurt_an_inclusive_scan() -> None:
    wrong = ms.monoid(lambda l, r: l + r, identity=1000)
    for strategy in PORTABLE:
        assert ms.scan(wrong, mx.arange(20), strategy=strategy).tolist() == np.cumsum(np.arange(20)).tolist()


@attrs.frozen
class Unembedded(ms.Monoid):
    """Whatever calls ``embed`` or ``project`` here fails."""

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)

    def embed(self, *raw: Any, **options: Any) -> Any:
        raise AssertionError("embed was called")

    def project(self, element: Any) -> Any:
        raise AssertionError("project was called")


@pytest.mark.parametrize("strategy", PORTABLE)
def test_scan_and_fold_call_neither_embed_nor_project(strategy: str) -> None:
    x = mx.arange(5)
    for operator in (Unembedded(), ms.Tuple(Unembedded()), ms.Dual(Unembedded())):
        elems = (x,) if isinstance(operator, ms.Tuple) else x
        ms.scan(operator, elems, strategy=strategy, return_carry=True)
        ms.fold(operator, elems, strategy=strategy)
        ms.explain(operator, elems, strategy=strategy)


def test_embed_and_project_do_nothing_by_default() -> None:
    x, y = mx.arange(3), mx.arange(3)
    assert ms.Sum().embed(x) is x
    assert ms.Affine().embed(x, y) == (x, y)
    assert ms.Sum().project(x) is x


def test_embed_makes_elements_and_project_answers() -> None:
    mean = ms.Mean()
    assert mean.project(ms.scan(mean, mean.embed(mx.array([1.0, 3.0, 8.0])))).tolist() == [1, 2, 4]
    argmax = ms.ArgMax()
    index = mx.array([30, 10, 20])
    assert argmax.project(ms.fold(argmax, argmax.embed(mx.array([1.0, 3.0, 3.0]), index))).item() == 10


def test_a_custom_embed_and_project_are_the_operators() -> None:
    norm = ms.monoid(lambda l, r: l + r, embed=lambda x: x * x, project=mx.sqrt, identity=0)
    assert norm.project(ms.fold(norm, norm.embed(mx.array([3.0, 4.0])))).item() == 5


def test_first_needs_no_identity() -> None:
    for axis, strategy in [(0, "auto"), (1, "hillis_steele"), (0, "brent_kung"), (1, "sequential")]:
        check_scan(FIRST, random_leaves(FIRST, RNG, [(9, 9)], ["int16"]), axis, strategy=strategy)
