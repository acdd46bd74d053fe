"""What calls with lengths, masks and offsets take, refuse and promise, beside the values that they yield."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.cache import PLANS

X = mx.array(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
A = mx.array(np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32))
H = mx.array(np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32))
MASK = mx.array(np.random.default_rng(3).integers(0, 2, (6, 3)).astype(bool))
OFFSETS = mx.array([1, 3, 5])
LENGTHS = mx.array([[1, 2, 0], [2, 1, 5]])


def same(x: mx.array, y: mx.array) -> None:
    np.testing.assert_array_equal(np.array(x), np.array(y))


CALLS: dict[str, Callable[..., Any]] = {
    "scan": lambda x, **o: ms.scan(ms.Affine(), (A, x), init=(mx.ones((2, 3)), H), **o)[1],
    "act": lambda x, **o: ms.act(ms.Affine(), (A, x), H, **o),
    "loop": lambda x, **o: ms.loop(lambda s, x: (s * x, s + x), x, H, **o),
    "aggregator": lambda x, **o: ms.scan(ms.Mean().aggregator(), x, **o),
    "fold": lambda x, **o: ms.fold(ms.Sum(), x, **o),
}


@pytest.mark.parametrize("name", thinned(CALLS, ["scan", "act", "aggregator"]))
def test_what_does_not_count_changes_no_bit(name: str) -> None:
    options: dict[str, Any] = {"offsets": OFFSETS, "lengths": LENGTHS, "mask": MASK}
    index = mx.arange(6)[:, None] - mx.array([0, 1, 1, 3, 3, 0])[:, None]
    most = mx.take(LENGTHS, mx.array([0, 0, 0, 1, 1, 0]), axis=0)
    counts = MASK & (index < most) & mx.array([False, True, True, True, True, False])[:, None]
    clean = CALLS[name](X, **options)
    for junk in (mx.nan, mx.inf, -mx.inf):
        same(CALLS[name](mx.where(counts, X, junk), **options), clean)


@pytest.mark.parametrize("name", thinned(CALLS, ["scan", "aggregator"]))
def test_mapped_and_compiled_calls_are_the_calls(name: str) -> None:
    call = CALLS[name]
    given: dict[str, tuple[Any, Any]] = {
        "offsets": (OFFSETS, mx.array([0, 0, 6])),
        "lengths": (LENGTHS, LENGTHS[::-1]),
        "mask": (MASK, mx.logical_not(MASK)),
    }
    plain = {key: first for key, (first, _) in given.items()}
    for key, (first, second) in given.items():
        rest = {other: value for other, value in plain.items() if other != key}

        def of(each: Any, key: str = key, rest: dict[str, Any] = rest) -> Any:
            return call(X, **{key: each}, **rest)

        together = mx.vmap(of)(mx.stack([first, second]))
        for y, each in zip(together, (first, second), strict=True):
            np.testing.assert_allclose(np.array(y), np.array(of(each)), rtol=1e-6, atol=1e-6)
    both = mx.vmap(lambda x: call(x, **plain))(mx.stack([X, 2 * X]))
    np.testing.assert_allclose(np.array(both[1]), np.array(call(2 * X, **plain)), rtol=1e-6, atol=1e-6)
    same(mx.compile(lambda x, o: call(x, offsets=o, lengths=LENGTHS, mask=MASK))(X, OFFSETS), call(X, **plain))
    with pytest.raises(ms.StrategyError, match="no plan that fits every size"):
        mx.compile(lambda x: call(x, **plain), shapeless=True)(X)


def test_values_are_in_no_plan() -> None:
    CALLS["act"](X, offsets=OFFSETS)
    known = len(PLANS)
    for values in ([0, 0, 6], [6, 6, 6], [-5, 99, 2]):
        CALLS["act"](X, offsets=mx.array(values))
    assert len(PLANS) == known


@pytest.mark.parametrize("kind", thinned([mx.float16, mx.bfloat16], [mx.float16]))
def test_halves_add_up_in_float32(kind: mx.Dtype) -> None:
    x = mx.full((4096,), 1.0, kind)
    cuts = mx.array([0, 4095, 4096])
    y, carry = ms.scan(ms.Sum(), x, offsets=cuts, return_carry=True)
    assert (y.dtype, carry.dtype, carry.tolist()) == (kind, mx.float32, [4095, 1])
    assert ms.fold(ms.Sum(), x, offsets=cuts).dtype == kind
    y, carry = ms.act(ms.Sum(), x, mx.zeros((2,), kind), offsets=cuts, return_carry=True)
    assert (y.dtype, carry.dtype, carry.tolist()) == (kind, mx.float32, [4095, 1])
    present = ms.aggregator(lambda x: x, ms.Sum(), lambda s, x: s)
    assert ms.scan(present, x, mask=x > 0, offsets=cuts).dtype == kind
    assert ms.fold(ms.aggregator(lambda x: x, ms.Sum(), lambda s, _: s), x, offsets=cuts).dtype == kind


def test_complex_and_double_numbers() -> None:
    z = X.astype(mx.complex64) * mx.array(1j)
    y = ms.linear_recurrence(A, z, offsets=OFFSETS, mask=MASK)
    assert y.dtype == mx.complex64
    expected = ms.linear_recurrence(A, X, offsets=OFFSETS, mask=MASK)
    np.testing.assert_allclose(np.array(y).imag, np.array(expected), rtol=1e-6)
    double = X.astype(mx.float64)
    assert ms.scan(ms.Sum(), double, lengths=mx.array([2, 3, 9])).dtype == mx.float64


def test_what_cannot_be_traced_is_left_out_all_the_same() -> None:
    turned = ms.monoid(lambda l, r: l + r + 0 * mx.fft.fft(mx.stack([l, r])).real.sum(), identity=0.0, name="Turned")
    x, mask = X[:, 0], MASK[:, 0]
    holes = mx.where(mask, x, mx.nan)
    y = ms.scan(turned, holes, mask=mask, offsets=OFFSETS, init=mx.array([1.0, 2.0]))
    expected = ms.scan(ms.Sum(), x, mask=mask, offsets=OFFSETS, init=mx.array([1.0, 2.0]))
    np.testing.assert_allclose(np.array(y), np.array(expected), rtol=1e-5)
    d = mx.grad(lambda v: ms.scan(turned, v, mask=mask, offsets=OFFSETS).sum())(holes)
    assert not mx.isnan(d).any()
    assert not d[mx.logical_not(mask).tolist().index(True)].any()


def test_captured_arrays_have_gradients() -> None:
    def of(scale: mx.array, **options: Any) -> mx.array:
        operator = ms.monoid(lambda l, r: l * scale + r, name="Scaled")
        return ms.scan(operator, X[:, 0], init=mx.array([1.0, 2.0]), offsets=OFFSETS, **options).sum()

    def by_hand(scale: mx.array) -> mx.array:
        x, total = X[:, 0], mx.array(0.0)
        for low, high, state in ((1, 3, 1.0), (3, 5, 2.0)):
            for t in range(low, high):
                state = state * scale + x[t]
                total = total + state
        return total

    scale = mx.array(0.7)
    # associative or not: in order it is what it is
    found = mx.grad(lambda s: of(s, strategy="sequential"))(scale)
    assert found.item() == pytest.approx(mx.grad(by_hand)(scale).item(), rel=1e-5)


def test_parts_of_a_product_are_their_own_scans() -> None:
    both = ms.Struct(total=ms.Sum(), latest=ms.Last())
    found = ms.scan(both, {"total": X, "latest": A}, offsets=OFFSETS, lengths=LENGTHS, init={"total": H, "latest": H})
    same(found["total"], ms.scan(ms.Sum(), X, offsets=OFFSETS, lengths=LENGTHS, init=H))
    same(found["latest"], ms.scan(ms.Last(), A, offsets=OFFSETS, lengths=LENGTHS, init=H))


def test_segments_inside_sequences() -> None:
    flags = mx.array([False, True, False, False, True, False])
    x = mx.array([1, 2, 3, 4, 5, 6])
    _, y = ms.scan(ms.Segmented(ms.Sum()), (flags, x), offsets=mx.array([0, 3, 6]))
    assert y.tolist() == [1, 2, 5, 4, 5, 11]
    _, y = ms.scan(ms.Segmented(ms.Sum()), (flags, x), offsets=mx.array([0, 3, 6]), inclusive=False)
    assert y.tolist() == [0, 0, 2, 0, 0, 5]
    init = (mx.array([False, False]), mx.array([10, 20]))
    _, y = ms.scan(ms.Segmented(ms.Sum()), (flags, x), offsets=mx.array([0, 3, 6]), init=init, inclusive=False)
    assert y.tolist() == [10, 0, 2, 20, 0, 5]


def test_an_init_may_have_more_axes_or_none() -> None:
    x = X[:, 0]
    y = ms.scan(ms.Sum(), x, init=mx.array([0.0, 1.0]), mask=MASK[:, 0], lengths=mx.array(4))
    assert y.shape == (6, 2)
    np.testing.assert_allclose(np.array(y[:, 1] - y[:, 0]), 1, rtol=1e-6)
    y = ms.scan(ms.Sum(), X, init=5.0, offsets=OFFSETS)
    same(y, ms.scan(ms.Sum(), X, init=mx.full((2, 3), 5.0), offsets=OFFSETS))
    y = ms.scan(ms.Sum(), X, init=mx.array([[5.0], [7.0]]), offsets=OFFSETS)
    assert y.shape == (6, 3)


def test_no_positions_and_no_sequences() -> None:
    nothing, none = X[:0], mx.array([3])
    y, carry = ms.scan(ms.Sum(), nothing, offsets=OFFSETS, init=H, return_carry=True)
    assert y.shape == (0, 3)
    same(carry, H)
    assert ms.fold(ms.Max(), nothing, lengths=mx.array([1, 2, 3])).tolist() == [-np.inf] * 3
    y, carry = ms.scan(ms.Max(), X, offsets=none, return_carry=True)
    assert carry.shape == (0, 3)
    assert (y == -mx.inf).all()
    y, carry = ms.act(ms.Affine(), (A, X), mx.zeros((0, 3)), offsets=none, return_carry=True)
    assert carry.shape == (0, 3)
    assert not y.any()
    y, carry = ms.act(ms.Affine(), (A[:0], nothing), H, offsets=OFFSETS, return_carry=True)
    same(carry, H)
    y, carry = ms.loop(lambda s, x: (s, x), nothing, H, offsets=OFFSETS, return_carry=True)
    same(carry, H)
    y, (number, mean) = ms.scan(ms.Mean().aggregator(), nothing, offsets=OFFSETS, return_carry=True)
    assert (y.shape, number.shape, mean.shape) == ((0, 3), (2, 3), (2, 3))


def test_wide_integers_are_clipped_before_they_are_cast() -> None:
    far = 2**40
    lengths = mx.array([far, -far, 2], mx.int64)
    assert ms.fold(ms.Sum(), mx.ones((6, 3)), lengths=lengths).tolist() == [6, 0, 2]
    assert ms.fold(ms.Sum(), mx.ones((6,)), offsets=mx.array([-far, 2, far], mx.int64)).tolist() == [2, 4]
    assert ms.fold(ms.Sum(), mx.ones((6,)), lengths=mx.array(2**32 - 1, mx.uint32)).item() == 6


def test_what_is_held_elsewhere() -> None:
    x = mx.ones((6,))
    assert ms.fold(ms.Sum(), x, offsets=[0, 2, 6]).tolist() == [2, 4]
    assert ms.fold(ms.Sum(), x, offsets=np.array([0, 2, 6])).tolist() == [2, 4]
    assert ms.fold(ms.Sum(), x, mask=np.arange(6) % 2 == 0).item() == 3
    assert ms.fold(ms.Sum(), x, lengths=np.int64(3)).item() == 3
    assert ms.fold(ms.Sum(), x, lengths=3).item() == 3


WRONG = {
    "mask must be bool, True where a position counts; got int32": {"mask": mx.array([1, 0])},
    r"mask of shape \(2,\) must align from the left with \(6, 3\)": {"mask": mx.array([True, False])},
    r"lengths of shape \(2,\) must align from the left with \(3,\), the batch": {"lengths": mx.array([1, 2])},
    r"align from the left with \(2, 3\), the batch with the sequences": {
        "lengths": mx.array([1, 2, 3]),
        "offsets": OFFSETS,
    },
    "lengths must be integers; got float32": {"lengths": mx.array([1.0, 2.0, 3.0])},
    "offsets must be integers; got bool": {"offsets": mx.array([True, False])},
    r"offsets\[2\] is 1, after 4": {"offsets": [0, 4, 1]},
    r"offsets must not decrease, nor start below 0; offsets\[0\] is -1": {"offsets": [-1, 4]},
    "offsets pass the end: the last is 9, and the scan axis has 6": {"offsets": np.array([0, 9])},
    r"one list of N \+ 1 integers": {"offsets": mx.zeros((2, 2), mx.int32)},
    r"N \+ 1 integers for N sequences, \[0, ..., T\]; got shape \(0,\)": {"offsets": []},
    "lengths must be an array; got 'many'": {"lengths": "many"},
    "knows? no lengths, mask or offsets": {"mask": MASK, "strategy": "native"},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said(words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        ms.scan(ms.Sum(), X, **WRONG[words])


def test_starts_need_the_axis_of_sequences() -> None:
    words = "with offsets it has the 2 sequences in the place of the scan axis, as its axis 0"
    for call in (
        lambda: ms.scan(ms.Sum(), X, init=H[0], offsets=OFFSETS),
        lambda: ms.linear_recurrence(A, X, X, offsets=OFFSETS),
        lambda: ms.act(ms.Affine(), (A, X), H[0], offsets=OFFSETS),
        lambda: ms.loop(lambda s, x: (s, x), X, H[0], offsets=OFFSETS),
        lambda: ms.scan(ms.Sum().aggregator(), X, state=H[0], offsets=OFFSETS),
    ):
        with pytest.raises(ms.ScanError, match=words):
            call()


def test_a_semigroup_without_identity_says_the_way_out() -> None:
    later = ms.monoid(lambda l, r: r, name="Later")
    for options in ({"mask": MASK}, {"lengths": mx.array(2)}, {"offsets": OFFSETS, "inclusive": False}):
        with pytest.raises(ms.IdentityError, match=r"has no identity, which .* Give init=, or Maybe\(Later\)"):
            ms.scan(later, X, **options)
    with pytest.raises(ms.IdentityError, match="the fold of a sequence that may be empty"):
        ms.fold(later, X, offsets=OFFSETS)
    assert ms.scan(later, X, offsets=OFFSETS).shape == X.shape
    same(ms.fold(later, X, offsets=OFFSETS, init=H), X[mx.array([2, 4])])


def test_explain_says_what_runs() -> None:
    plan = ms.explain(ms.Affine(), (A, X), mask=MASK)
    assert plan.strategy == "kernel"
    assert "Ragged(Affine)" in str(plan)
    assert "bool" in str(plan)
    assert "Ragged" in str(ms.explain(ms.Affine(), (A, X), act=True, state=H, offsets=OFFSETS, strategy="brent_kung"))
    assert "one kernel" in str(ms.explain(ms.Mean().aggregator(), X, offsets=OFFSETS))
    assert "loop" in str(ms.explain(lambda s, x: (s, x), X, state=H, loop=True, offsets=OFFSETS, mask=MASK))
