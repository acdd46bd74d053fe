"""Combinators: nesting, and everything that they infer from their parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from monoscan import errors, tree
from monoscan import monoids as ms
from monoscan.monoids.base import inverse_of


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def _values(element: Any) -> Any:
    return tree.map_leaves(lambda leaf: leaf.tolist(), element)


def _flag(value: bool) -> mx.array:
    return mx.array(value)


def test_nesting_infers_everything() -> None:
    nested = ms.Segmented(ms.Tuple(ms.Sum(), ms.Maybe(ms.Last())))
    assert nested.name == "Segmented(Tuple(Sum, Maybe(Last)))"
    assert nested.template == ("flag", ("x", ("valid", "x")))
    assert nested.events(tree.flatten(nested.template)[1]) == (0, 0, 0, 0)
    assert nested.promote(("bool", "bool", "bool", "float16")) == ("bool", "int32", "bool", "float16")
    assert nested.has_identity
    like = (_flag(True), (mx.array(2), (_flag(True), mx.array(3.0))))
    assert _values(nested.identity(like)) == (False, (0, (False, 0.0)))
    facts = nested.facts(("bool", "int32", "bool", "float32"))
    assert facts == ms.Facts(False, False, False, "exact")
    assert nested.facts(("bool", "float32", "bool", "float32")).associativity == "rounding"


def test_nesting_folds() -> None:
    nested = ms.Segmented(ms.Tuple(ms.Sum(), ms.Maybe(ms.Last())))
    rows = [(False, 1, False, 10), (False, 2, True, 20), (True, 3, False, 30), (False, 4, False, 40)]
    elements = [(_flag(f), (mx.array(x), (_flag(v), mx.array(y)))) for f, x, v, y in rows]
    assert _values(reduce(nested.combine, elements[:2])) == (False, (3, (True, 20)))
    flag, (total, (seen, _)) = _values(reduce(nested.combine, elements))
    assert (flag, total, seen) == (True, 7, False)
    assert _values(nested.project(reduce(nested.combine, elements[:2]))) == (3, (True, 20))


def test_events_of_parts() -> None:
    both = ms.Tuple(ms.MatrixAffine(), ms.Dual(ms.MatMul()), ms.Max())
    assert both.events(tree.flatten(both.template)[1]) == (2, 1, 2, 0)
    assert ms.Maybe(both).events(tree.flatten(ms.Maybe(both).template)[1]) == (0, 2, 1, 2, 0)
    assert ms.Struct(m=ms.MatMul(), x=ms.Sum()).events((dict, ("m", "x"), ("*", "*"))) == (2, 0)


def test_wrong_trees_are_named() -> None:
    with pytest.raises(errors.TreeError, match=r"\[Tuple\(Sum, Max\)\] expects a tree \(x, x\); got"):
        ms.Tuple(ms.Sum(), ms.Max()).events(tree.LEAF)
    with pytest.raises(errors.TreeError, match=r"expects a tree \(flag, x\); got \(array, array, array\)"):
        ms.Segmented(ms.Sum()).events((tuple, ("*", "*", "*")))
    with pytest.raises(errors.TreeError, match=r"keys a, b, in this order; got \{'b'"):
        ms.Struct(a=ms.Sum(), b=ms.Sum()).events((dict, ("b", "a"), ("*", "*")))


@pytest.mark.parametrize("wrap", [ms.Tuple, ms.Dual, ms.Maybe, ms.Segmented], ids=lambda w: w.__name__)
def test_operators_are_expected(wrap: Any) -> None:
    with pytest.raises(
        errors.ScanTypeError, match=rf"\[{wrap.__name__}\] expects operators; got the class Sum; write Sum\(\)"
    ):
        wrap(ms.Sum)
    with pytest.raises(errors.ScanTypeError, match="got 3"):
        wrap(3)


def test_empty_products_are_refused() -> None:
    for empty in (ms.Tuple, ms.Struct):
        with pytest.raises(errors.ScanError, match="at least one operator"):
            empty()


def test_identity_follows_the_parts() -> None:
    for wrap in (ms.Tuple, ms.Dual, ms.Segmented):
        assert wrap(ms.Max()).has_identity
        assert not wrap(ms.First()).has_identity
    assert ms.Maybe(ms.First()).has_identity
    assert not ms.Struct(a=ms.Max(), b=ms.Last()).has_identity
    assert not ms.Semidirect(ms.Product(), ms.First()).has_identity
    with pytest.raises(errors.IdentityError, match=r"First has no identity; Maybe\(First\(\)\) adds one"):
        ms.Segmented(ms.First()).identity((_flag(True), mx.array(1)))


def test_facts_of_products_hold_where_all_hold() -> None:
    assert ms.Tuple(ms.Max(), ms.Min()).facts(("float32",) * 2) == ms.Facts(True, True, False, "exact")
    assert ms.Tuple(ms.Sum(), ms.Max()).facts(("int32",) * 2) == ms.Facts(True, False, False, "exact")
    assert ms.Tuple(ms.Sum(), ms.Sum()).facts(("int32", "float32")) == ms.Facts(True, False, True, "rounding")
    assert not ms.Struct(a=ms.Sum(), b=ms.Affine()).facts(("int32",) * 3).commutative


def test_facts_of_wrappers() -> None:
    assert ms.Dual(ms.Sum()).facts(("int32",)).native == "cumsum"
    assert ms.Maybe(ms.Sum()).facts(("bool", "int32")) == ms.Facts(True, False, False, "exact")
    assert ms.Segmented(ms.Max()).facts(("bool", "int32")) == ms.Facts(False, True, False, "exact")
    assert ms.Via(ms.Sum(), mx.log, mx.exp).facts(("int32",)) == ms.Facts(True, False, True, "rounding")
    assert ms.Semidirect(ms.Sum(), ms.Sum()).facts(("int32",) * 2) == ms.Facts(False, False, True, "exact")


def test_parts_without_a_template() -> None:
    decay = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), identity=(1, 0), name="decay")
    one = ms.Tuple(ms.Sum(), decay, ms.All())
    assert one.template is None
    assert one.promote(("bool", "float32", "float32", "int8")) == ("int32", "float32", "float32", "bool")
    two = ms.Tuple(ms.Sum(), decay, decay, ms.MaxPlusAffine())
    assert two.promote(("bool", *("int32",) * 4, "float32", "float32"))[0] == "int32"
    assert two.facts(("int32",) * 7).associativity == "exact"
    assert two.facts(("int32", "float32", *("int32",) * 5)).associativity == "rounding"
    with pytest.raises(errors.ScanTypeError, match="MaxPlusAffine"):
        two.check(("int32",) * 7)
    with pytest.raises(errors.TreeError, match="Sum: it stands between operators without a `template`"):
        ms.Tuple(decay, ms.Sum(), decay).promote(("int32",) * 5)


def test_tuple_embeds_one_input_for_all_or_one_for_each() -> None:
    both = ms.Tuple(ms.Mean(), ms.Affine())
    x, a, b = mx.array(1.0), mx.array(2.0), mx.array(3.0)
    assert _values(both.embed(x, (a, b))) == ((1, 1.0), (2.0, 3.0))
    assert _values(ms.Tuple(ms.Min(), ms.Max()).embed(x)) == (1.0, 1.0)
    with pytest.raises(errors.ScanError, match="takes one input for all parts, or 2; got 3"):
        both.embed(x, a, b)
    assert _values(ms.Tuple(ms.Mean(), ms.Max()).project(((mx.array(1), x), a))) == (1.0, 2.0)


def test_struct_embeds_by_name() -> None:
    summary, x = ms.Struct(mean=ms.Mean(), peak=ms.Max()), mx.array(4.0)
    assert _values(summary.embed(x)) == {"mean": (1, 4.0), "peak": 4.0}
    assert _values(summary.embed(peak=x, mean=x)) == _values(summary.embed(x))
    assert _values(summary.combine(summary.embed(x), summary.embed(x + 2)))["mean"] == (2, 5.0)
    with pytest.raises(errors.ScanError, match="or the names mean, peak"):
        summary.embed(mean=x)


def test_maybe_ignores_what_is_not_valid() -> None:
    total = ms.Maybe(ms.Sum())
    nan = mx.array(np.nan)
    cases = [((True, 2.0), (True, 3.0), (True, 5.0)), ((True, 2.0), (False, nan), (True, 2.0)),
             ((False, nan), (True, 3.0), (True, 3.0))]  # fmt: skip
    for left, right, expected in cases:
        got = total.combine(*((_flag(v), mx.array(x)) for v, x in (left, right)))
        assert _values(got) == expected


def test_maybe_embeds_zeros_where_not_valid() -> None:
    valid = mx.array([True, False])
    assert _values(ms.Maybe(ms.Sum()).embed(valid, mx.array([1.0, np.nan]))) == ([True, False], [1.0, 0.0])
    assert _values(ms.Maybe(ms.MatMul()).embed(valid, mx.ones((2, 2, 2))))[1][1] == [[0.0, 0.0]] * 2
    batched = ms.Maybe(ms.Max()).embed(valid, mx.ones((2, 3)))[1]
    assert batched.tolist() == [[1.0] * 3, [0.0] * 3]
    along = ms.Maybe(ms.Max()).embed(valid, mx.ones((3, 2)), axis=1)[1]
    assert along.tolist() == [[1.0, 0.0]] * 3


def test_a_segment_is_clean_of_what_came_before() -> None:
    segmented = ms.Segmented(ms.Affine())
    bad = _flag(False), (mx.array(np.nan), mx.array(np.inf))
    fresh = _flag(True), (mx.array(2.0), mx.array(3.0))
    assert _values(segmented.combine(bad, fresh)) == (True, (2.0, 3.0))


def test_dual_of_first_is_last() -> None:
    for x, y in product((1, 2), repeat=2):
        pair = mx.array(x), mx.array(y)
        assert ms.Dual(ms.First()).combine(*pair).item() == ms.Last().combine(*pair).item()


@pytest.mark.parametrize("name", ["int8", "float32", "float64", "complex64"])
def test_affine_is_a_dual_semidirect_product_bit_for_bit(name: str) -> None:
    twin = ms.Dual(ms.Semidirect(ms.Product(), ms.Sum()))
    rng = np.random.default_rng(0)
    leaves = [mx.array((rng.normal(size=1000) * 50).astype(name), getattr(mx, name)) for _ in range(4)]
    left, right = tuple(leaves[:2]), tuple(leaves[2:])
    assert _values(twin.combine(left, right)) == _values(ms.Affine().combine(left, right))
    assert _values(twin.identity(left)) == _values(ms.Affine().identity(left))


def test_via_carries_a_sum_to_a_product() -> None:
    products = ms.Via(ms.Sum(), mx.log, mx.exp)
    x, y = mx.array(3.0), mx.array(4.0)
    assert products.combine(x, y).item() == pytest.approx(12.0)
    assert products.identity(x).item() == 1.0
    assert products.combine(x, products.inverse(x)).item() == pytest.approx(1.0)
    assert products.events(tree.LEAF) == (0,)
    assert ms.Via(ms.Sum(), mx.log, mx.exp, event=1).events(tree.LEAF) == (1,)


def test_inverses_follow_the_parts() -> None:
    group = ms.Tuple(ms.Sum(), ms.Dual(ms.Xor()))
    element = mx.array(3), mx.array(5)
    assert _values(group.combine(element, inverse_of(group, element))) == (0, 0)
    named = ms.Struct(a=ms.Sum())
    assert _values(inverse_of(named, {"a": mx.array(2)})) == {"a": -2}
    with pytest.raises(errors.ScanError, match="Max has no inverse"):
        inverse_of(ms.Tuple(ms.Sum(), ms.Max()), element)


def test_semidirect_inverse() -> None:
    # integers acting on integers by a sign: the infinite dihedral group
    signs = ms.monoid(lambda l, r: l * r, identity=1, inverse=lambda s: s, name="signs")
    dihedral = ms.Semidirect(signs, ms.Sum())
    for n, m in product((-1, 1), (-3, 0, 2)):
        element = mx.array(n), mx.array(m)
        assert _values(dihedral.combine(element, dihedral.inverse(element))) == (1, 0)
        assert _values(dihedral.combine(dihedral.inverse(element), element)) == (1, 0)


def test_operators_with_equal_parts_are_equal_and_hashable() -> None:
    assert ms.Segmented(ms.Tuple(ms.Sum(), ms.Max())) == ms.Segmented(ms.Tuple(ms.Sum(), ms.Max()))
    assert ms.Struct(a=ms.Sum()) != ms.Struct(b=ms.Sum())
    assert len({ms.Tuple(ms.Sum()), ms.Tuple(ms.Sum()), ms.Tuple(ms.Max())}) == 2
