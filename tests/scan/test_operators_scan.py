"""Every operator through scan: each strategy against a fold of ``combine`` in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from support import GRAPH

import monoscan as ms
from monoscan import tree
from monoscan.monoids import geometry

Make = Callable[[np.random.Generator, int], Any]


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def _numbers(rng: np.random.Generator, n: int, *event: int) -> mx.array:
    return mx.array(rng.normal(size=(n, *event)), mx.float64)


def _integers(rng: np.random.Generator, n: int, *event: int) -> mx.array:
    return mx.array(rng.integers(-5, 6, (n, *event)), mx.int32)


def _flags(rng: np.random.Generator, n: int) -> mx.array:
    return mx.array(rng.random(n) < 0.3)


def _single(operator: ms.Semigroup, rng: np.random.Generator, n: int) -> Any:
    return operator.embed(_numbers(rng, n))


def _unit(rng: np.random.Generator, n: int) -> mx.array:
    return ms.Quaternion().project(_numbers(rng, n, 4))


def _kalman(rng: np.random.Generator, n: int, size: int = 2) -> Any:
    root = 0.3 * _numbers(rng, n, size, size)
    spread = root @ mx.swapaxes(root, -1, -2)
    return 0.5 * _numbers(rng, n, size, size), _numbers(rng, n, size), spread, _numbers(rng, n, size), spread


def _shrunk(x: mx.array) -> mx.array:
    return 0.5 * x


_SINGLE = (
    ms.LogSumExp(), ms.OnlineSoftmax(), ms.Mean(), ms.Moments(2), ms.Moments(4), ms.MaxSubarray(), ms.Max(), ms.Min(),
    ms.MinMax(), ms.ArgMax(), ms.ArgMin(), ms.First(), ms.Last(), ms.Sum(), ms.Product(),
)  # fmt: skip

CASES: list[tuple[ms.Semigroup, Make]] = [
    *((op, partial(_single, op)) for op in _SINGLE),
    (ms.All(), _flags),
    (ms.Any(), _flags),
    (ms.Xor(), _integers),
    (ms.Affine(), lambda rng, n: (_shrunk(_numbers(rng, n)), _numbers(rng, n))),
    (ms.MaxPlusAffine(), lambda rng, n: (_numbers(rng, n), _numbers(rng, n))),
    (ms.MatMul(), lambda rng, n: _shrunk(_numbers(rng, n, 3, 3))),
    (ms.MatMul(), lambda rng, n: _integers(rng, n, 2, 2)),
    (ms.MatMul(), lambda rng, n: _shrunk(_numbers(rng, n, 9, 9)) / 2),
    (ms.MatrixAffine(), lambda rng, n: (_shrunk(_numbers(rng, n, 2, 2)), _numbers(rng, n, 2))),
    (ms.SemiringMatMul(ms.MaxPlus()), lambda rng, n: _numbers(rng, n, 3, 3)),
    (ms.SemiringMatMul(ms.Log()), lambda rng, n: _numbers(rng, n, 2, 2)),
    (ms.SemiringMatMul(ms.Boolean()), lambda rng, n: _numbers(rng, n, 3, 3) > 0.5),
    (ms.Quaternion(), _unit),
    (ms.Rigid3(), lambda rng, n: (_unit(rng, n), _numbers(rng, n, 3))),
    (ms.FiniteMap(4), lambda rng, n: mx.array(rng.integers(0, 4, (n, 4)), mx.uint8)),
    (ms.Bracket(), lambda rng, n: ms.Bracket().embed(_integers(rng, n))),
    (ms.KalmanFilter(), _kalman),
    (ms.KalmanFilter(), partial(_kalman, size=5)),
    (ms.KalmanSmoother(), lambda rng, n: _kalman(rng, n)[:3]),
    (ms.Dual(ms.MatMul()), lambda rng, n: _shrunk(_numbers(rng, n, 2, 2))),
    (ms.Maybe(ms.Last()), lambda rng, n: ms.Maybe(ms.Last()).embed(_flags(rng, n), _numbers(rng, n))),
    (ms.Segmented(ms.Affine()), lambda rng, n: (_flags(rng, n), (_shrunk(_numbers(rng, n)), _numbers(rng, n)))),
    (ms.Segmented(ms.First()), lambda rng, n: (_flags(rng, n), _integers(rng, n))),
    (
        ms.Tuple(ms.Sum(), ms.Maybe(ms.MatMul())),
        lambda rng, n: (_integers(rng, n), (_flags(rng, n), _integers(rng, n, 2, 2))),
    ),
    (ms.Struct(a=ms.Max(), b=ms.Tuple(ms.Min())), lambda rng, n: {"a": _numbers(rng, n), "b": (_numbers(rng, n),)}),
    (
        ms.Semidirect(ms.Quaternion(), ms.Sum(), act=geometry.rotate, event=1),
        lambda rng, n: (_unit(rng, n), _numbers(rng, n, 3)),
    ),
    (ms.Via(ms.Sum(), mx.log, mx.exp), lambda rng, n: mx.exp(0.1 * _numbers(rng, n))),
]


def _rows(elements: Any, n: int) -> list[Any]:
    return [tree.map_leaves(lambda leaf, i=i: leaf[i], elements) for i in range(n)]


def _folded(operator: ms.Semigroup, elements: Any, n: int) -> list[list[np.ndarray]]:
    totals = accumulate(_rows(elements, n), operator.combine)
    return [[np.array(leaf) for leaf in tree.flatten(total)[0]] for total in totals]


def _valid_only(operator: ms.Semigroup, leaves: list[np.ndarray]) -> list[np.ndarray]:
    """What `Maybe` holds where nothing is valid is no part of its answer."""
    if not isinstance(operator, ms.Maybe):
        return leaves
    valid, *values = leaves
    return [valid, *(np.where(valid, value, 0) for value in values)]


NAMES = [f"{i}-{operator.name}" for i, (operator, _) in enumerate(CASES)]
RUNS = [(1, ("auto",)), (13, ("auto", *GRAPH)), (13, ("sequential",))]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("n", "strategies"), thinned(RUNS, RUNS[:2]), ids=str)
@pytest.mark.parametrize(("operator", "make"), thinned(CASES, CASES[::2]), ids=NAMES)
def test_strategies_agree_with_the_fold(
    operator: ms.Semigroup, make: Make, n: int, strategies: tuple[str, ...]
) -> None:
    elements = make(np.random.default_rng(n), n)
    expected = _folded(operator, elements, n)
    for strategy in strategies:
        if strategy == "blelloch" and not operator.has_identity:
            continue
        result = ms.scan(operator, elements, strategy=strategy)
        for i, row in enumerate(_rows(result, n)):
            got = [np.array(leaf) for leaf in tree.flatten(row)[0]]
            for ours, theirs in zip(_valid_only(operator, got), _valid_only(operator, expected[i]), strict=True):
                # MLX's exp of float64 has the precision of float32
                np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6, err_msg=strategy)


@pytest.mark.parametrize(("operator", "make"), thinned(CASES, CASES[::4]), ids=NAMES)
def test_batch_and_axis_are_the_stack_of_scans(operator: ms.Semigroup, make: Make) -> None:
    batches = [make(np.random.default_rng(seed), 6) for seed in range(3)]
    stacked = tree.map_leaves(lambda *leaves: mx.stack(leaves), *batches)
    together = ms.scan(operator, stacked, axis=1)
    for i, batch in enumerate(batches):
        alone = ms.scan(operator, batch)
        for ours, theirs in zip(tree.flatten(together)[0], tree.flatten(alone)[0], strict=True):
            np.testing.assert_allclose(np.array(ours[i]), np.array(theirs), rtol=2e-6, atol=2e-6)


def test_running_statistics_are_numpys() -> None:
    x = np.random.default_rng(0).normal(size=40)
    moments = ms.Moments(2)
    mean, variance = moments.project(ms.scan(moments, moments.embed(mx.array(x, mx.float64))))
    np.testing.assert_allclose(np.array(mean), [x[: i + 1].mean() for i in range(40)], rtol=1e-12)
    np.testing.assert_allclose(np.array(variance), [x[: i + 1].var() for i in range(40)], atol=1e-12)


def test_segments_are_scans_of_their_own() -> None:
    x, starts = mx.arange(10), [0, 3, 4, 8]
    flags = mx.array([i in starts for i in range(10)])
    got = ms.scan(ms.Segmented(ms.Sum()), (flags, x))[1].tolist()
    expected = [np.cumsum(np.arange(i, j)) for i, j in zip(starts, [*starts[1:], 10], strict=True)]
    assert got == np.concatenate(expected).tolist()


def test_attention_of_one_query_in_one_pass() -> None:
    rng = np.random.default_rng(1)
    scores, values = rng.normal(size=50) * 30, rng.normal(size=(50, 4))
    weights = np.exp(scores - scores.max())
    softmax = ms.OnlineSoftmax()
    high, total = ms.fold(softmax, softmax.embed(mx.array(scores, mx.float32)))
    p = mx.exp(mx.array(scores, mx.float32) - high) / total
    np.testing.assert_allclose(np.array(p) @ values, weights @ values / weights.sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("name", thinned(["float16", "bfloat16"], ["bfloat16"]))
@pytest.mark.parametrize("operator", [ms.Mean(), ms.OnlineSoftmax(), ms.MaxSubarray()], ids=lambda op: op.name)
def test_halves_are_rounded_once(operator: ms.Mean | ms.OnlineSoftmax | ms.MaxSubarray, name: str) -> None:
    """Elements of halves that somebody made himself: whatever is stored in halves is rounded to them."""
    x = mx.array(np.random.default_rng(2).normal(size=200))
    halves = tuple(leaf.astype(getattr(mx, name)) for leaf in operator.embed(x))
    result = ms.scan(operator, halves)
    wide = ms.scan(operator, tuple(leaf.astype(mx.float32) for leaf in halves))
    for half, exact in zip(result, wide, strict=True):
        assert half.dtype == getattr(mx, name)
        assert mx.array_equal(half, exact.astype(half.dtype)).item()


_EYE = mx.eye(2)
EMBEDDED: dict[str, tuple[ms.Semigroup, Any]] = {
    "Mean": (ms.Mean(), lambda x: ms.Mean().embed(x, x)),
    "Moments": (ms.Moments(4), ms.Moments(4).embed),
    "OnlineSoftmax": (ms.OnlineSoftmax(), ms.OnlineSoftmax().embed),
    "MaxSubarray": (ms.MaxSubarray(), ms.MaxSubarray().embed),
    "Tuple": (ms.Tuple(ms.Mean(), ms.MaxSubarray()), ms.Tuple(ms.Mean(), ms.MaxSubarray()).embed),
    "Struct": (ms.Struct(a=ms.Moments(2)), ms.Struct(a=ms.Moments(2)).embed),
    "Dual": (ms.Dual(ms.Mean()), ms.Dual(ms.Mean()).embed),
    "Maybe": (ms.Maybe(ms.Mean()), lambda x: ms.Maybe(ms.Mean()).embed(x > 0, x)),
    "Segmented": (ms.Segmented(ms.Mean()), lambda x: ms.Segmented(ms.Mean()).embed(x > 0, x)),
    "KalmanFilter": (ms.KalmanFilter(), lambda x: ms.KalmanFilter().embed(
        x[:, None], _EYE.astype(x.dtype), _EYE.astype(x.dtype), _EYE[:1].astype(x.dtype), mx.ones((1, 1), x.dtype))),
    "KalmanSmoother": (ms.KalmanSmoother(), lambda x: ms.KalmanSmoother().embed(
        mx.stack([x, x], axis=-1), mx.broadcast_to(_EYE.astype(x.dtype), (len(x), 2, 2)), _EYE.astype(x.dtype),
        _EYE.astype(x.dtype))),
}  # fmt: skip


@pytest.mark.parametrize("half", [mx.float16, mx.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", EMBEDDED)
def test_elements_of_halves_are_the_same_as_of_float32(name: str, half: mx.Dtype) -> None:
    operator, embed = EMBEDDED[name]
    x = mx.array(np.random.default_rng(2).normal(size=20)).astype(half)
    got, want = tree.flatten(embed(x))[0], tree.flatten(embed(x.astype(mx.float32)))[0]
    assert not {mx.float16, mx.bfloat16} & {leaf.dtype for leaf in got}
    assert all(mx.array_equal(a, b).item() for a, b in zip(got, want, strict=True))
    operator.check(tuple(str(leaf.dtype).removeprefix("mlx.core.") for leaf in got))


def test_a_softmax_of_many_halves_has_its_total() -> None:
    softmax = ms.OnlineSoftmax()
    high, total = ms.fold(softmax, softmax.embed(mx.zeros((70_000,), mx.float16)))
    assert (high.item(), total.item()) == (0.0, 70_000.0)


def test_the_best_run_of_halves_may_be_more_than_a_half_holds() -> None:
    best = ms.MaxSubarray()
    assert best.project(ms.fold(best, best.embed(mx.full((100,), 1000.0, mx.float16)))).item() == 100_000.0


def test_moments_of_many_halves() -> None:
    x = np.random.default_rng(0).normal(size=100_000).astype(np.float16)
    moments = ms.Moments(2)
    mean, variance = moments.project(ms.scan(moments, moments.embed(mx.array(x))))
    assert np.isfinite(np.array(variance)).all()
    np.testing.assert_allclose(variance[-1].item(), x.astype(float).var(), rtol=1e-4)
    np.testing.assert_allclose(mean[-1].item(), x.astype(float).mean(), atol=1e-5)


def test_moments_of_elements_in_halves_are_divided_by_counts_above_their_range() -> None:
    moments = ms.Moments(2)
    element = (mx.array(100_000), mx.array(1.0, mx.float16), mx.array(50_000.0, mx.float16))
    assert [answer.item() for answer in moments.project(element)] == [1.0, pytest.approx(0.5, rel=1e-3)]


@pytest.mark.parametrize("strategy", ["auto", "sequential", "blelloch"])
def test_running_means_of_opposites_are_finite(strategy: str) -> None:
    mean = ms.Mean()
    got = mean.project(ms.scan(mean, mean.embed(mx.array([3e38, -3e38, 3e38])), strategy=strategy))
    np.testing.assert_allclose(np.array(got), [3e38, 0, 1e38], rtol=1e-6)


def test_refused_dtypes_reach_the_caller() -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[MaxSubarray\] takes floats only"):
        ms.scan(ms.MaxSubarray(), ms.MaxSubarray().embed(mx.array([1, 2])))


@pytest.mark.parametrize("strategy", ["auto", "blelloch", "hillis_steele"])
@pytest.mark.parametrize(
    "operator", [ms.Sum(), ms.Product(), ms.Affine(), ms.MatMul(), ms.MatrixAffine()], ids=lambda op: op.name
)
def test_complex_numbers(operator: ms.Monoid, strategy: str) -> None:
    rng = np.random.default_rng(3)
    shapes = [(2,) * event for event in operator.events(tree.flatten(operator.template)[1])]
    leaves = [(rng.normal(size=(9, *s)) + 1j * rng.normal(size=(9, *s))) * 0.5 for s in shapes]
    elements = tree.unflatten(tree.flatten(operator.template)[1], [mx.array(x, mx.complex64) for x in leaves])
    expected = _folded(operator, elements, 9)
    for i, row in enumerate(_rows(ms.scan(operator, elements, strategy=strategy), 9)):
        for ours, theirs in zip(tree.flatten(row)[0], expected[i], strict=True):
            assert ours.dtype == mx.complex64
            np.testing.assert_allclose(np.array(ours), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", ["tuple", "dict"])
def test_one_operator_may_stand_twice_in_a_product(shape: str) -> None:
    total = ms.monoid(lambda left, right: left + right, identity=0)
    x, y = mx.array([1.0, 2.0, 3.0]), mx.array([1, 1, 1])
    if shape == "tuple":
        first, second = ms.scan(ms.Tuple(total, total), (x, y), strategy="hillis_steele")
    else:
        found = ms.scan(ms.Struct(a=total, b=total), {"a": x, "b": y}, strategy="hillis_steele")
        first, second = found["a"], found["b"]
    assert (first.tolist(), second.tolist()) == ([1, 3, 6], [1, 2, 3])
    assert (first.dtype, second.dtype) == (mx.float32, mx.int32)
