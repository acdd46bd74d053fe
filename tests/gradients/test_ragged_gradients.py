"""Derivatives with lengths, masks and offsets, against differences of a fold of one position after another in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from ragged_oracle import counting, row_shape, scan
from selection import thinned

import monoscan as ms

Arrays = list[np.ndarray]


@attrs.frozen
class Case:
    """A call of leaves and a start, and the same in NumPy: what it returns is summed with weights."""

    call: Callable[..., Any]
    step: Callable[[Any, Any], Any]
    events: tuple[tuple[int, ...], ...]
    states: tuple[tuple[int, ...], ...]
    shown: tuple[int, ...]
    folded: bool = False
    output: bool = False


def affine(s: Any, x: Any) -> Any:
    return x[0] * s[0], x[0] * s[1] + x[1]


SQUARES = ms.aggregator(lambda x: (x * 0 + 0.5, x), ms.Affine(), lambda h, x: h * h * x)


def presented(h: Any, x: Any) -> Any:
    """The state, and the output as one that no step reads."""
    return h, h * h * x


CASES = {
    "recurrence": Case(
        lambda x, h, **o: ms.linear_recurrence(*x, h[0], **o), lambda s, x: (x[0] * s[0] + x[1],), ((), ()), ((),), (0,)
    ),
    "scan": Case(lambda x, h, **o: ms.scan(ms.Affine(), tuple(x), init=tuple(h), **o), affine, ((), ()), ((), ()), (0, 1)),
    "fold": Case(
        lambda x, h, **o: ms.fold(ms.MatMul(), x[0], init=h[0], **o), lambda s, x: (s[0] @ x[0],), ((2, 2),), ((2, 2),),
        (0,), folded=True,
    ),
    "log": Case(
        lambda x, h, **o: ms.scan(ms.LogSumExp(), x[0], init=h[0], **o), lambda s, x: (np.logaddexp(s[0], x[0]),), ((),),
        ((),), (0,),
    ),
    "act": Case(lambda x, h, **o: ms.act(ms.MatMul(), x[0], h[0], **o), lambda s, x: (s[0] @ x[0],), ((2, 2),), ((2,),), (0,)),
    "loop": Case(
        lambda x, h, **o: ms.loop(lambda s, x: (mx.tanh(s) * x, mx.tanh(s) * x), x[0], h[0], **o),
        lambda s, x: (np.tanh(s[0]) * x[0],), ((),), ((),), (0,), output=True,
    ),
    "aggregator": Case(
        lambda x, h, **o: ms.scan(SQUARES, x[0], state=h[0], **o), lambda s, x: presented(0.5 * s[0] + x[0], x[0]), ((),),
        ((), ()), (1,), output=True,
    ),
}  # fmt: skip

LEAD = (5, 2)
OPTIONS = {
    "lengths": {"lengths": np.array([2, 4])},
    "mask": {"mask": np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 1]], bool)},
    "offsets": {"offsets": np.array([1, 3, 3, 4])},
    "all": {
        "offsets": np.array([0, 3, 5]),
        "lengths": np.array([[2, 3], [7, -1]]),
        "mask": np.array([True, False, True, True, True]),
    },
}
WAYS = [(case, option, reverse) for case in CASES for option in OPTIONS for reverse in (False, True)]
QUICK = [("recurrence", "all", False), ("scan", "offsets", True), ("act", "all", True), ("loop", "lengths", False)]


def drawn(case: Case, offsets: Any) -> tuple[Arrays, Arrays]:
    random = np.random.default_rng(3)
    leaves = [random.normal(size=LEAD + event) for event in case.events]
    return leaves, [random.normal(size=row_shape(LEAD, 0, offsets) + event) for event in case.states]


def loss_in_numpy(case: Case, leaves: Arrays, starts: Arrays, options: dict[str, Any]) -> float:
    zeros = tuple(np.zeros(event) for event in case.states)
    found = scan(
        case.step, leaves, 0, events=[len(e) for e in case.events], starts=starts, blank=zeros, outside=zeros, **options
    )
    total = 0.0
    for i in case.shown:
        y = found[1 if case.folded else 0][i]
        if case.output:
            y = np.where(counting(LEAD, 0, **options)[0], y, 0)
        total += float((weights(y.shape) * y).sum())
    return total


def weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.cos(np.arange(int(np.prod(shape)), dtype=np.float64)).reshape(shape)


def differences(case: Case, leaves: Arrays, starts: Arrays, options: dict[str, Any]) -> Arrays:
    both, eps = [*leaves, *starts], 1e-6
    found = []
    for x in both:
        d = np.zeros_like(x)
        for at in np.ndindex(*x.shape):
            sides = []
            for way in (eps, -eps):
                kept, x[at] = x[at], x[at] + way
                sides.append(loss_in_numpy(case, leaves, starts, options))
                x[at] = kept
            d[at] = (sides[0] - sides[1]) / (2 * eps)
        found.append(d)
    return found


def gradients(
    case: Case, leaves: Arrays, starts: Arrays, options: dict[str, Any], junk: float | None = None, tangents: Any = None
) -> Any:
    """The gradients of leaves and starts, with something else where nothing counts; or the tangent for some of theirs."""
    arrays = {k: mx.array(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    number, counts = len(leaves), counting(LEAD, 0, **options)[0]
    if junk is not None:
        leaves = [np.where(counts.reshape(LEAD + (1,) * (x.ndim - 2)), x, junk) for x in leaves]

    def loss(*both: mx.array) -> mx.array:
        found = case.call(list(both[:number]), list(both[number:]), **arrays)
        ys = found if isinstance(found, tuple) else (found,)
        covered = counts.any(1) | (case.folded or np.ones(LEAD[0], bool))
        assert covered.any()
        return sum((mx.array(weights(y.shape).astype(np.float32)) * y).sum() for y in ys)

    both = [mx.array(x.astype(np.float32)) for x in (*leaves, *starts)]
    if tangents is not None:
        return mx.jvp(loss, both, [mx.array(t.astype(np.float32)) for t in tangents])[1][0].item()
    return mx.grad(loss, argnums=tuple(range(len(both))))(*both)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "option", "reverse"), thinned(WAYS, QUICK))
def test_gradients_are_those_of_the_fold_in_order(name: str, option: str, reverse: bool) -> None:
    case, options = CASES[name], {**OPTIONS[option], "reverse": reverse}
    leaves, starts = drawn(case, options.get("offsets"))
    found = gradients(case, leaves, starts, options)
    for d, expected in zip(found, differences(case, leaves, starts, options), strict=True):
        np.testing.assert_allclose(np.array(d), expected, rtol=2e-3, atol=2e-4)
    counts = counting(LEAD, 0, **options)[0]
    for d in found[: len(leaves)]:
        assert not np.array(d)[~counts].any(), "what does not count has no gradient"
    for junk in (np.nan, np.inf):
        for d, other in zip(found, gradients(case, leaves, starts, options, junk), strict=True):
            np.testing.assert_array_equal(np.array(d), np.array(other))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "option"),
    thinned([(c, o) for c in CASES for o in OPTIONS], [("loop", "lengths"), ("aggregator", "all")]),
)
def test_tangents_are_those_of_the_fold_in_order(name: str, option: str) -> None:
    case, options = CASES[name], OPTIONS[option]
    leaves, starts = drawn(case, options.get("offsets"))
    random = np.random.default_rng(9)
    tangents = [random.normal(size=x.shape) for x in (*leaves, *starts)]
    rows = zip(differences(case, leaves, starts, options), tangents, strict=True)
    expected = sum(float((d * t).sum()) for d, t in rows)
    assert gradients(case, leaves, starts, options, tangents=tangents) == pytest.approx(expected, rel=2e-3, abs=2e-3)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("option", thinned(OPTIONS, ["all"]))
def test_second_derivatives_and_tangents(option: str) -> None:
    case, options = CASES["recurrence"], OPTIONS[option]
    leaves, starts = drawn(case, options.get("offsets"))
    arrays = {k: mx.array(v) for k, v in options.items()}
    a, x, h = (mx.array(v.astype(np.float32)) for v in (*leaves, *starts))

    def loss(a: mx.array, x: mx.array) -> mx.array:
        return (ms.linear_recurrence(a, x, h, **arrays) ** 2).sum()

    def pushed(a: mx.array, x: mx.array) -> mx.array:
        return mx.jvp(loss, [a, x], [mx.ones_like(a), mx.sin(x)])[1][0]

    eps = 1e-2
    one, two = (loss(a + t, x + t * mx.sin(x)).item() for t in (eps, -eps))
    assert pushed(a, x).item() == pytest.approx((one - two) / (2 * eps), rel=5e-3, abs=5e-3)
    second = mx.grad(lambda a: (mx.grad(loss, argnums=1)(a, x) * mx.cos(x)).sum())(a)
    sides = [(mx.grad(loss, argnums=1)(a + t, x) * mx.cos(x)).sum().item() for t in (eps, -eps)]
    assert second.sum().item() == pytest.approx((sides[0] - sides[1]) / (2 * eps), rel=5e-3, abs=5e-3)
