"""Gradients of portable and native plans against central differences of the fold in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from gradient_cases import (
    OPERATORS,
    Scaled,
    by,
    captures,
    element_of,
    normal,
    of,
    operator_names,
    operator_question,
    shapes,
)
from gradient_oracle import Question, is_float, numpy_of, random_like
from selection import thinned
from support import GRAPH

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program import derivative_rules
from monoscan.lowering.program.ir import Op

SHAPES, CAPTURES = shapes(), captures()
VARIANTS: dict[str, dict[str, Any]] = {
    "results": {},
    "init and carry": {"init": True, "carry": True},
    "reverse exclusive": {"init": True, "options": {"inclusive": False, "reverse": True}},
    "fold": {"fold": True},
}


NATIVE = (ms.Sum, ms.Product, ms.Max, ms.Min, ms.LogSumExp)


def runs(operator: ms.Semigroup, strategy: str) -> bool:
    """Whether a strategy can run an operator."""
    if strategy == "native":
        return all(isinstance(part, NATIVE) for part in operator.parts or (operator,))
    return strategy != "blelloch" or operator.has_identity


def pairs(*strategies: str) -> pytest.MarkDecorator:
    """Each operator by each strategy that runs it."""
    names = operator_names()
    chosen = [(i, s) for i, (operator, _) in enumerate(OPERATORS) for s in strategies if runs(operator, s)]
    return pytest.mark.parametrize(("number", "strategy"), chosen, ids=[f"{names[i]}-{s}" for i, s in chosen])


def variant(number: int, name: str) -> Question:
    fields = dict(VARIANTS[name])
    question = operator_question(number)
    if fields.pop("init", False):
        fields["init"] = element_of(question.elems)
    return attrs.evolve(question, **fields)


def values(x: mx.array) -> list[float]:
    return [float(v) for v in numpy_of(x).ravel()]


# --------------------------------------------------------------------------------- every operator


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", thinned(VARIANTS, ("init and carry", "fold")))
@pairs(*GRAPH, "native")
def test_every_operator_by_every_strategy(number: int, strategy: str, name: str) -> None:
    by(variant(number, name), strategy).check()


@pytest.mark.sampled(3)
@pytest.mark.long
@pytest.mark.parametrize("name", thinned(VARIANTS, ("init and carry",)))
@pairs("brent_kung", "native")
def test_tangents_are_the_transpose_of_gradients(number: int, strategy: str, name: str) -> None:
    if isinstance(OPERATORS[number][0], ms.KalmanFilter):
        strategy = "sequential"  # trees agree with the fold on symmetric covariances alone, and tangents are not
    check_transpose(by(variant(number, name), strategy))


def check_transpose(question: Question, rtol: float = 1e-9) -> None:
    """``<w, J t> = <J' w, t>``."""
    rng = np.random.default_rng(8)
    arrays = question.inputs()
    places = [i for i, x in enumerate(arrays) if is_float(x)]

    def run(*chosen: mx.array) -> list[mx.array]:
        given = list(arrays)
        for i, x in zip(places, chosen, strict=True):
            given[i] = x
        return question.outputs(*given)

    tangents = [random_like(rng, arrays[i]) for i in places]
    _, moved = mx.jvp(run, [arrays[i] for i in places], tangents)
    ahead = sum(float((numpy_of(w) * numpy_of(m)).sum()) for w, m in zip(question.weights(), moved, strict=True))
    back = sum(
        float((numpy_of(g) * numpy_of(t)).sum())
        for g, t in zip([question.got()[i] for i in places], tangents, strict=True)
    )
    assert ahead == pytest.approx(back, rel=max(rtol, 1e-5), abs=1e-5)


@pytest.mark.parametrize("strategy", ["blelloch", "brent_kung"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_and_option(name: str, strategy: str) -> None:
    by(SHAPES[name], strategy).check()


@pytest.mark.parametrize("name", [n for n, q in SHAPES.items() if not q.fold])
def test_tangents_of_every_shape_and_option(name: str) -> None:
    check_transpose(by(SHAPES[name], "hillis_steele"))


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung"])
@pytest.mark.parametrize("name", CAPTURES)
def test_captured_arrays(name: str, strategy: str) -> None:
    by(CAPTURES[name], strategy).check()


@pytest.mark.parametrize("strategy", ["hillis_steele", "brent_kung"])
@pytest.mark.parametrize("inclusive", [True, False])
def test_parts_that_are_broadcast_along_different_axes(inclusive: bool, strategy: str) -> None:
    rng = np.random.default_rng(5)
    elems = normal(rng, 5, 2, 1), normal(rng, 5, 1, 3)
    operator = ms.monoid(lambda l, r: (l[0] + r[0], l[1] * r[1] + mx.sin(l[0])), identity=(0, 1))
    sequential = attrs.evolve(of(operator, elems, init=element_of(elems)), options={"inclusive": inclusive})
    want = sequential.want()
    got = by(sequential, "sequential").got()
    for ours, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(numpy_of(ours), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 64, 65, 130])
@pytest.mark.parametrize("strategy", GRAPH)
def test_all_lengths_against_a_loop(strategy: str, n: int) -> None:
    rng = np.random.default_rng(n)
    a, b, w = (normal(rng, n) for _ in range(3))
    a = 0.9 * mx.tanh(a)
    got = mx.grad(lambda a, b: (ms.linear_recurrence(a, b, strategy=strategy) * w).sum(), argnums=(0, 1))(a, b)
    (a64, b64, w64), h, g = (np.array(x) for x in (a, b, w)), np.zeros(n + 1), np.zeros(n + 1)
    for t in range(n):
        h[t] = a64[t] * h[t - 1] + b64[t]  # h[-1] is still 0
    for t in range(n - 1, -1, -1):
        g[t] = w64[t] + (a64[t + 1] * g[t + 1] if t + 1 < n else 0)
    before = np.concatenate([[0], h[: n - 1]])
    np.testing.assert_allclose(np.array(got[0]), g[:n] * before, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.array(got[1]), g[:n], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("number", range(len(OPERATORS)), ids=operator_names())
def test_all_strategies_agree(number: int) -> None:
    operator = OPERATORS[number][0]
    found = [by(operator_question(number), s).got() for s in GRAPH if runs(operator, s)]
    for other in found[1:]:
        for x, y in zip(found[0], other, strict=True):
            if x is not None and y is not None:
                scale = max(1.0, float(np.abs(numpy_of(x)).max()))
                np.testing.assert_allclose(numpy_of(x), numpy_of(y), rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("strategy", ["blelloch", "brent_kung"])
def test_matrices_too_large_to_unroll(strategy: str) -> None:
    x, w = 0.3 * mx.random.normal((5, 9, 9), key=mx.random.key(0)), mx.random.normal((5, 9, 9), key=mx.random.key(1))

    def by_hand(x: mx.array) -> mx.array:
        total, loss = x[0], (x[0] * w[0]).sum()
        for t in range(1, 5):
            total = total @ x[t]
            loss = loss + (total * w[t]).sum()
        return loss

    got = mx.grad(lambda x: (ms.scan(ms.MatMul(), x, strategy=strategy) * w).sum())(x)
    np.testing.assert_allclose(np.array(got), np.array(mx.grad(by_hand)(x)), rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------------------------- other calls


@pytest.mark.parametrize("strategy", GRAPH)
@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrence_with_a_first_state_and_a_carry(reverse: bool, strategy: str) -> None:
    rng = np.random.default_rng(3)
    a, b, h0 = normal(rng, 7, 1), normal(rng, 7, 3), normal(rng, 3)
    w, v = normal(rng, 7, 3), normal(rng, 3)

    def loss(a: mx.array, b: mx.array, h0: mx.array) -> mx.array:
        h, last = ms.linear_recurrence(a, b, h0, reverse=reverse, return_carry=True, strategy=strategy)
        return (h * w).sum() + (last * v).sum()

    def by_hand(a: mx.array, b: mx.array, h: mx.array) -> mx.array:
        total = mx.array(0.0, mx.float64)
        for t in range(6, -1, -1) if reverse else range(7):
            h = a[t] * h + b[t]
            total = total + (h * w[t]).sum()
        return total + (h * v).sum()

    for got, want in zip(mx.grad(loss, (0, 1, 2))(a, b, h0), mx.grad(by_hand, (0, 1, 2))(a, b, h0), strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_has_the_gradient_of_the_equal_scan(reverse: bool) -> None:
    rng = np.random.default_rng(4)
    elems = normal(rng, 2, 7), normal(rng, 2, 7)

    def affine(l: Any, r: Any) -> Any:
        return l[0] * r[0], r[0] * l[1] + r[1]

    def cumulated(l: mx.array, r: mx.array) -> mx.array:
        return l + r + mx.sin(l[..., ::-1]) * 0  # mixes positions, so it is not an element's program

    w = normal(rng, 2, 7)
    got = mx.grad(lambda *x: (ms.associative_scan(affine, x, reverse=reverse, axis=1)[1] * w).sum(), argnums=(0, 1))(
        *elems
    )
    want = mx.grad(lambda *x: (ms.scan(ms.Affine(), x, 1, reverse=reverse)[1] * w).sum(), argnums=(0, 1))(*elems)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-10, atol=1e-12)
    slow = mx.grad(lambda x: (ms.associative_scan(cumulated, x, axis=0, reverse=reverse) * w).sum())(elems[0])
    fast = mx.grad(lambda x: (ms.scan(ms.Sum(), x, reverse=reverse) * w).sum())(elems[0])
    np.testing.assert_allclose(np.array(slow), np.array(fast), rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------- Jacobians and Hessians


@pytest.mark.parametrize("number", [i for i, (op, _) in enumerate(OPERATORS) if op.name in (
    "Product", "Affine", "LogSumExp", "OnlineSoftmax", "Quaternion", "MaxSubarray", "KalmanSmoother", "Mean", "Moments(3)")],
)  # fmt: skip
def test_the_whole_jacobian(number: int) -> None:
    """Row by row: each loss looks at one number of the results."""
    question = by(operator_question(number), "brent_kung")
    weights = question.weights()
    rows = [(k, i) for k, w in enumerate(weights) for i in range(w.size)]

    @attrs.frozen
    class Row(Question):
        place: tuple[int, int] = (0, 0)

        def weights(self) -> list[mx.array]:
            k, i = self.place
            hot = [np.zeros(w.size) for w in weights]
            hot[k][i] = 1
            return [mx.array(h.reshape(w.shape), w.dtype) for h, w in zip(hot, weights, strict=True)]

    fields = {field.name: getattr(question, field.name) for field in attrs.fields(Question)}
    for place in rows[:: max(1, len(rows) // 8)]:
        Row(**fields, place=place).check()


@pytest.mark.parametrize("strategy", GRAPH)
@pytest.mark.parametrize(
    ("operator", "make"),
    [(ms.Product(), lambda x: x), (ms.LogSumExp(), lambda x: x), (ms.Affine(), lambda x: (mx.sin(x), x * x)),
     (ms.OnlineSoftmax(), lambda x: (x, 1 + x * x))],
    ids=["Product", "LogSumExp", "Affine", "OnlineSoftmax"],
)  # fmt: skip
def test_the_hessian_by_gradients_of_gradients(operator: ms.Monoid, make: Callable[..., Any], strategy: str) -> None:
    x = mx.array([0.5, -0.3, 0.8, 1.1], mx.float64)

    def loss(x: mx.array) -> mx.array:
        leaves = tree.flatten(ms.scan(operator, make(x), strategy=strategy))[0]
        return sum(((leaf**2).sum() for leaf in leaves), mx.array(0.0, mx.float64))

    slope = mx.grad(loss)
    hessian = np.array([np.array(mx.grad(lambda x, i=i: slope(x)[i])(x)) for i in range(4)])
    step = 1e-4 * np.eye(4)
    differences = [
        (np.array(slope(x + mx.array(s, mx.float64))) - np.array(slope(x - mx.array(s, mx.float64)))) / 2e-4
        for s in step
    ]
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(hessian, np.array(differences), rtol=2e-3, atol=2e-3)


# -------------------------------------------------------------------------------- negative controls


@pytest.mark.parametrize("op", [Op.MUL, Op.ADD])
def test_a_wrong_rule_is_found(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = derivative_rules.RULES[op]
    monkeypatch.setitem(derivative_rules.RULES, op, (lambda *args: -rules[0](*args), rules[1]))
    unseen = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[0] + r[1] + 0.0 * l[1]), identity=(1, 0))
    rng = np.random.default_rng(0)
    question = by(of(unseen, (normal(rng, 5), normal(rng, 5))), "brent_kung")
    with pytest.raises(AssertionError):
        question.check()


def test_a_detached_capture_is_found() -> None:
    detached = Question(
        lambda rate: Scaled(mx.stop_gradient(rate)),
        normal(np.random.default_rng(0), 5),
        (mx.array(0.7, mx.float64),),
    )
    with pytest.raises((AssertionError, StopIteration)):
        by(detached, "brent_kung").check()
