"""Exclusive scans of operators that restart: the identity stands before each head, whatever is around `Segmented`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import tree

STRATEGIES = ("auto", "sequential", "blelloch", "brent_kung")
RNG = np.random.default_rng(5)
N, B = 23, 3
HEADS = RNG.random((N, B)) < 0.3
VALUES = RNG.integers(-4, 5, (N, B))
SEEN = RNG.random((N, B)) < 0.7


def within_segments(heads: np.ndarray, values: np.ndarray, unit: int, combine: Callable[[Any, Any], Any]) -> Any:
    """What comes before each value in its own segment, one value after another."""
    heads, values = np.broadcast_arrays(heads, values)
    shown = np.empty_like(values)
    for column in range(values.shape[1]):
        total = unit
        for t in range(len(values)):
            total = unit if heads[t, column] else total
            shown[t, column] = total
            total = combine(total, values[t, column])
    return shown


SUMS = within_segments(HEADS, VALUES, 0, lambda l, r: l + r)
PRODUCTS = within_segments(HEADS, VALUES, 1, lambda l, r: l * r)
SEGMENTED = ms.Segmented(ms.Sum())
PAIR = (mx.array(HEADS), mx.array(VALUES))


def scaled(n: mx.array, m: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    return m[0], n * m[1]


def there(element: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    return element[0], element[1] * 2


def back(element: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    return element[0], element[1] // 2


def last(tree_of_arrays: Any) -> Any:
    return tree.flatten(tree_of_arrays)[0][-1]


def _seen_products() -> Any:
    """A value that is missing does not count, and a head that is missing starts nothing."""
    values = np.where(SEEN, VALUES, 1)
    shown = within_segments(HEADS & SEEN, values, 1, lambda l, r: l * r)
    anything = np.vstack([np.zeros((1, B), bool), np.logical_or.accumulate(SEEN)[:-1]])
    return np.where(anything, shown, 0)


def _discounted() -> Any:
    """m is multiplied by the product of all n so far; sums of that start anew at heads."""
    n = np.where(VALUES % 2 == 0, 1, -1)
    before = np.vstack([np.ones((1, B), int), np.cumprod(n, axis=0)[:-1]])
    return within_segments(HEADS, before * VALUES, 0, lambda l, r: l + r)


def _outer_heads() -> Any:
    """Two kinds of heads: a segment ends at either."""
    return within_segments(HEADS | HEADS[:, :1], VALUES[:, :1], 0, lambda l, r: l + r)


ALWAYS = mx.full((N, B), True)
SIGNS = mx.where(PAIR[1] % 2 == 0, 1, -1)
WRAPPED: dict[str, tuple[ms.Semigroup, Any, Any]] = {
    "alone": (SEGMENTED, PAIR, SUMS),
    "Maybe": (ms.Maybe(ms.Segmented(ms.Product())), (ALWAYS, PAIR), np.vstack([np.zeros((1, B), int), PRODUCTS[1:]])),
    "Maybe, some missing": (ms.Maybe(ms.Segmented(ms.Product())), (mx.array(SEEN), PAIR), _seen_products()),
    "Dual of Dual": (ms.Dual(ms.Dual(SEGMENTED)), PAIR, SUMS),
    "Dual of Maybe of Dual": (ms.Dual(ms.Maybe(ms.Dual(SEGMENTED))), (ALWAYS, PAIR), SUMS),
    "Dual of Segmented of Dual, all in one": (
        ms.Dual(ms.Segmented(ms.Dual(SEGMENTED))), (mx.zeros((N, B), mx.bool_), PAIR), SUMS),
    "Via": (ms.Via(SEGMENTED, there, back), PAIR, SUMS),
    "Semidirect, acted": (ms.Semidirect(ms.Product(), SEGMENTED, scaled), (SIGNS, PAIR), _discounted()),
    "Segmented twice, fewer inner flags": (
        ms.Segmented(SEGMENTED), (PAIR[0], (PAIR[0][:, 0], PAIR[1][:, 0])), _outer_heads()),
    "Maybe of Tuple": (ms.Maybe(ms.Tuple(ms.Max(), SEGMENTED)), (ALWAYS, (PAIR[1], PAIR)), SUMS),
    "Maybe of Struct": (ms.Maybe(ms.Struct(a=ms.Max(), b=SEGMENTED)), (ALWAYS, {"a": PAIR[1], "b": PAIR}), SUMS),
    "Struct of Maybe": (ms.Struct(a=ms.Max(), b=ms.Maybe(SEGMENTED)), {"a": PAIR[1], "b": (ALWAYS, PAIR)}, SUMS),
}  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", thinned(WRAPPED, list(WRAPPED)[::3]))
def test_the_identity_stands_before_each_head(name: str, strategy: str) -> None:
    operator, elems, want = WRAPPED[name]
    np.testing.assert_array_equal(np.array(last(ms.scan(operator, elems, inclusive=False, strategy=strategy))), want)


@pytest.mark.parametrize("name", thinned(WRAPPED, list(WRAPPED)[1::4]))
def test_reversed_it_is_flipped(name: str) -> None:
    operator, elems, want = WRAPPED[name]
    flipped = tree.map_leaves(lambda x: x[::-1], elems)
    got = last(ms.scan(operator, flipped, inclusive=False, reverse=True))
    np.testing.assert_array_equal(np.array(got), want[::-1])


@pytest.mark.parametrize("name", thinned(WRAPPED, list(WRAPPED)[2::4]))
def test_inside_compile_and_vmap_it_is_the_same(name: str) -> None:
    operator, elems, want = WRAPPED[name]
    leaves, structure = tree.flatten(elems)

    def run(*arrays: mx.array) -> mx.array:
        return last(ms.scan(operator, tree.unflatten(structure, arrays), inclusive=False))

    np.testing.assert_array_equal(np.array(mx.compile(run)(*leaves)), want)
    twice = [mx.stack([x, x]) for x in leaves]
    np.testing.assert_array_equal(np.array(mx.vmap(run)(*twice)), np.stack([want, want]))


def test_compiled_without_shapes_it_holds_for_other_lengths() -> None:
    operator = ms.Maybe(SEGMENTED)
    run = mx.compile(lambda f, x: ms.scan(operator, (f | True, (f, x)), inclusive=False)[1][1], shapeless=True)
    for n in (5, 9, N):
        got = run(PAIR[0][:n], PAIR[1][:n])
        np.testing.assert_array_equal(np.array(got), SUMS[:n])


def test_no_gradient_passes_a_head() -> None:
    weights = RNG.normal(size=(N, B)).astype(np.float32)
    x = mx.array(VALUES.astype(np.float32))

    def loss(values: mx.array) -> mx.array:
        shown = ms.scan(ms.Maybe(SEGMENTED), (ALWAYS, (PAIR[0], values)), inclusive=False)[1][1]
        return (shown * mx.array(weights)).sum()

    want = np.zeros((N, B))
    for column in range(B):
        total = 0.0
        for t in reversed(range(N)):
            want[t, column] = total
            total = 0.0 if HEADS[t, column] else total + weights[t, column]
    np.testing.assert_allclose(np.array(mx.grad(loss)(x)), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["alone", "Maybe, some missing", "Segmented twice, fewer inner flags"])
def test_init_comes_before_the_first_head_only(name: str) -> None:
    operator, elems, want = WRAPPED[name]
    inits = {"alone": (False, 7), "Maybe, some missing": (True, (False, 7)),
             "Segmented twice, fewer inner flags": (False, (False, 7))}  # fmt: skip
    got = np.array(last(ms.scan(operator, elems, inclusive=False, init=inits[name])))
    heads = {"alone": HEADS, "Maybe, some missing": HEADS & SEEN}.get(name, HEADS | HEADS[:, :1])
    first = ~np.logical_or.accumulate(heads)
    np.testing.assert_array_equal(got[~first], want[~first])
    if name == "alone":
        np.testing.assert_array_equal(got[first], want[first] + 7)
    assert (got[0][first[0]] == 7).all()


def test_segments_of_matrices_in_a_maybe() -> None:
    heads = np.array([False, True, False, True, False])
    m = RNG.integers(-3, 4, (5, 2, 2))
    got = last(
        ms.scan(
            ms.Maybe(ms.Segmented(ms.MatMul())), (mx.full((5,), True), (mx.array(heads), mx.array(m))), inclusive=False
        )
    )
    eye = np.eye(2, dtype=int)
    np.testing.assert_array_equal(np.array(got)[1:], [eye, m[1], eye, m[3]])


def test_a_head_in_a_dual_cuts_nothing_off_what_comes_before_it() -> None:
    """In a dual the newer element stands on the left, and a head forgets what is on the left of it."""
    flags, x = mx.array([False, True, False, False]), mx.array([1, 2, 3, 4])
    assert ms.scan(ms.Dual(SEGMENTED), (flags, x), inclusive=False)[1].tolist() == [0, 1, 3, 3]


def test_the_actor_of_a_semidirect_product_may_be_segmented() -> None:
    operator = ms.Semidirect(ms.Segmented(ms.Product()), ms.Sum(), lambda n, m: m)
    (_, product), total = ms.scan(operator, (PAIR, PAIR[1]), inclusive=False)
    np.testing.assert_array_equal(np.array(product), PRODUCTS)
    np.testing.assert_array_equal(np.array(total), np.vstack([np.zeros((1, B), int), np.cumsum(VALUES, 0)[:-1]]))


def test_an_operator_of_ones_own_may_restart() -> None:
    @attrs.frozen
    class SinceZero(ms.Monoid):
        """Sums that start anew after a zero."""

        template = ("zero", "sum")

        def combine(self, left: Any, right: Any) -> Any:
            return left[0] | right[0], mx.where(right[0], right[1], left[1] + right[1])

        def identity(self, like: Any) -> Any:
            return mx.zeros_like(like[0]), mx.zeros_like(like[1])

        def before(self, total: Any, element: Any) -> Any:
            return total[0], mx.where(element[0], -1, total[1])

    x = mx.array([3, 0, 2, 2, 0, 1])
    assert ms.scan(SinceZero(), (x == 0, x), inclusive=False)[1].tolist() == [0, -1, 0, 2, -1, 0]
    assert ms.scan(ms.Maybe(SinceZero()), (x >= 0, (x == 0, x)), inclusive=False)[1][1].tolist() == [0, -1, 0, 2, -1, 0]
    assert ms.scan(SinceZero(), (x == 0, x))[1].tolist() == [3, 0, 2, 4, 0, 1]


def test_without_an_inner_identity_the_part_is_named() -> None:
    elems = (ALWAYS, (PAIR[0], PAIR[1]))
    with pytest.raises(ms.IdentityError, match=r"\[scan\] Segmented\(Last\) has no identity.*head of each segment"):
        ms.scan(ms.Maybe(ms.Segmented(ms.Last())), elems, inclusive=False)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_cannot_be_traced_restarts_as_well(dtype: str) -> None:
    def middle(l: mx.array, r: mx.array) -> mx.array:
        return mx.sort(mx.stack([l, r]), axis=0)[1]  # the greater: sort has no program

    operator = ms.Segmented(ms.monoid(middle, identity=-100.0))
    x = PAIR[1].astype(getattr(mx, dtype))
    assert ms.explain(operator, (PAIR[0], x), inclusive=False).problem.program is None
    got = ms.scan(operator, (PAIR[0], x), inclusive=False)[1]
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(np.array(got), within_segments(HEADS, VALUES, -100, max))
