"""Gradients of portable and native plans against central differences of the fold in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import gradient_cases as cases
import mlx.core as mx
import numpy as np
import pytest
from gradient_cases import OPERATORS, by, captures, element_of, operator_names, operator_question, shapes, typed
from gradient_oracle import Question, is_float, numpy_of, random_like
from selection import thinned
from support import GRAPH, PORTABLE, STRATEGIES

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


@pytest.mark.parametrize("name", thinned(VARIANTS, ("init and carry", "fold")))
@pairs(*GRAPH, "native")
def test_every_operator_by_every_strategy(number: int, strategy: str, name: str) -> None:
    by(variant(number, name), strategy).check()


@pairs("brent_kung", "native")
def test_tangents_are_the_transpose_of_gradients(number: int, strategy: str) -> None:
    if isinstance(OPERATORS[number][0], ms.KalmanFilter):
        strategy = "sequential"  # trees agree with the fold on symmetric covariances alone, and tangents are not
    for name in VARIANTS:
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
    elems = cases.normal(rng, 5, 2, 1), cases.normal(rng, 5, 1, 3)
    operator = ms.monoid(lambda l, r: (l[0] + r[0], l[1] * r[1] + mx.sin(l[0])), identity=(0, 1))
    sequential = attrs.evolve(cases.of(operator, elems, init=element_of(elems)), options={"inclusive": inclusive})
    want = sequential.want()
    got = by(sequential, "sequential").got()
    for ours, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(numpy_of(ours), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 64, 65, 130])
@pytest.mark.parametrize("strategy", GRAPH)
def test_all_lengths_against_a_loop(strategy: str, n: int) -> None:
    rng = np.random.default_rng(n)
    a, b, w = (cases.normal(rng, n) for _ in range(3))
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
    a, b, h0 = cases.normal(rng, 7, 1), cases.normal(rng, 7, 3), cases.normal(rng, 3)
    w, v = cases.normal(rng, 7, 3), cases.normal(rng, 3)

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
    elems = cases.normal(rng, 2, 7), cases.normal(rng, 2, 7)

    def affine(l: Any, r: Any) -> Any:
        return l[0] * r[0], r[0] * l[1] + r[1]

    def cumulated(l: mx.array, r: mx.array) -> mx.array:
        return l + r + mx.sin(l[..., ::-1]) * 0  # mixes positions, so it is not an element's program

    w = cases.normal(rng, 2, 7)
    got = mx.grad(lambda *x: (ms.associative_scan(affine, x, reverse=reverse, axis=1)[1] * w).sum(), argnums=(0, 1))(
        *elems
    )
    want = mx.grad(lambda *x: (ms.scan(ms.Affine(), x, 1, reverse=reverse)[1] * w).sum(), argnums=(0, 1))(*elems)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-10, atol=1e-12)
    slow = mx.grad(lambda x: (ms.associative_scan(cumulated, x, axis=0, reverse=reverse) * w).sum())(elems[0])
    fast = mx.grad(lambda x: (ms.scan(ms.Sum(), x, reverse=reverse) * w).sum())(elems[0])
    np.testing.assert_allclose(np.array(slow), np.array(fast), rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------------ dtypes


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", [*GRAPH, "native"])
def test_half_precision_has_adjoints_in_float32(strategy: str, dtype: mx.Dtype) -> None:
    """The products underflow in float16, their gradients do not."""
    x = mx.full((64,), 0.5, dtype)
    got = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy=strategy)[24:].astype(mx.float32).sum())(x)
    assert got.dtype == dtype
    want = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy=strategy)[24:].sum())(x.astype(mx.float32))
    np.testing.assert_array_equal(numpy_of(got), numpy_of(want.astype(dtype)))


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32], ids=["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(
    "name", ["columns", "one gate a step", "init", "carry and init", "exclusive, init", "fold", "3 steps, init"]
)
def test_gradients_have_the_dtype_of_their_array(name: str, dtype: mx.Dtype) -> None:
    tolerance = {mx.float16: 1e-2, mx.bfloat16: 6e-2, mx.float32: 1e-5}[dtype]
    by(typed(SHAPES[name], dtype), "brent_kung").check(tolerance)


def complexes(rng: np.random.Generator, *shape: int) -> mx.array:
    return mx.array((0.7 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(np.complex64))


def spinor(left: Any, right: Any) -> Any:
    """Quaternions as pairs of complex numbers."""
    (a, b), (c, d) = left, right
    return a * c - mx.conj(d) * b, d * a + b * mx.conj(c)


COMPLEX: list[tuple[ms.Semigroup, tuple[tuple[int, ...], ...]]] = [
    (ms.Sum(), ((6,),)), (ms.Product(), ((6,),)), (ms.Affine(), ((6, 2), (6, 2))), (ms.MatMul(), ((5, 2, 2),)),
    (ms.MatrixAffine(), ((5, 2, 2), (5, 2))), (ms.monoid(spinor), ((6,), (6,))),
    (ms.Dual(ms.monoid(spinor)), ((6,), (6,))),
    (ms.monoid(lambda l, r: l / mx.abs(l).astype(mx.complex64) * r, name="phase"), ((6,),)),
]  # fmt: skip


BY_STRATEGY = [
    pytest.param(operator, sizes, strategy, id=f"{operator.name}-{strategy}")
    for operator, sizes in COMPLEX
    for strategy in ("brent_kung", "hillis_steele", "sequential", "native")
    if strategy != "native" or isinstance(operator, NATIVE)
]


@pytest.mark.parametrize(("operator", "sizes", "strategy"), BY_STRATEGY)
def test_complex_numbers(operator: ms.Semigroup, sizes: tuple[tuple[int, ...], ...], strategy: str) -> None:
    rng = np.random.default_rng(6)
    leaves = tuple(complexes(rng, *size) for size in sizes)
    elems: Any = leaves if len(leaves) > 1 else leaves[0]
    for options in ({}, {"reverse": True}):
        question = cases.of(operator, elems, init=element_of(elems), carry=True, options=options)
        by(question, strategy).check(1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_integers_and_flags_have_no_gradient_and_no_error(strategy: str) -> None:
    counts, x = mx.array([1, 2, 3]), mx.array([0.5, 0.25, 2.0])

    def loss(x: mx.array) -> mx.array:
        _, y = ms.scan(ms.Tuple(ms.Max(), ms.Product()), (counts, x), strategy=strategy)
        return y.sum()

    assert values(mx.grad(loss)(x)) == [1.75, 1.5, 0.125]
    for operator in (ms.Max(), ms.Product()):
        _, found = mx.vjp(lambda n, op=operator: ms.scan(op, n, strategy=strategy), [counts], [counts])
        assert values(found[0]) == [0, 0, 0]


def test_the_index_of_a_maximum_is_no_function_of_the_values() -> None:
    argmax, x = ms.ArgMax(), mx.array([1.0, 3.0, 2.0])
    for strategy in GRAPH:
        got = mx.grad(lambda x, s=strategy: ms.scan(argmax, argmax.embed(x), strategy=s)[0].sum())(x)
        assert values(got) == [1, 2, 0]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_scans_have_empty_gradients(shape: tuple[int, ...], strategy: str) -> None:
    a = mx.zeros(shape)
    got = mx.grad(lambda a, b: ms.scan(ms.Affine(), (a, b), strategy=strategy)[1].sum(), argnums=(0, 1))(a, a)
    assert [x.shape for x in got] == [shape, shape]


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
def test_the_init_of_an_empty_scan_gets_the_carrys_cotangent(strategy: str) -> None:
    a, start = mx.zeros((0, 2)), (mx.ones((2,)), mx.array([3.0, 4.0]))

    def run(h: mx.array) -> mx.array:
        _, (_, last) = ms.scan(ms.Affine(), (a, a), init=(start[0], h), return_carry=True, strategy=strategy)
        return last

    assert values(mx.grad(lambda h: (run(h) ** 2).sum())(start[1])) == [6, 8]


# ------------------------------------------------------------------------- where functions have kinks


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("zeros", [(), (1,), (1, 3), (0,), (4,), (0, 1, 2, 3, 4)])
def test_products_with_zeros_divide_by_nothing(zeros: tuple[int, ...], strategy: str) -> None:
    x = np.array([2.0, 3.0, 5.0, 7.0, 11.0])
    x[list(zeros)] = 0
    want = [sum(np.prod(np.delete(x[: t + 1], i)) for t in range(i, 5)) for i in range(5)]
    got = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy=strategy).sum())(mx.array(x.astype(np.float32)))
    assert values(got) == want


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("operator", [ms.Max(), ms.Min()], ids=lambda op: op.name)
def test_a_tie_goes_to_the_latest(operator: ms.Monoid, strategy: str) -> None:
    x = mx.array([1.0, 1.0, 1.0, 1.0])
    assert values(mx.grad(lambda x: ms.scan(operator, x, strategy=strategy).sum())(x)) == [1, 1, 1, 1]
    assert values(mx.grad(lambda x: ms.fold(operator, x, strategy=strategy))(x)) == [0, 0, 0, 1]
    moved = mx.jvp(lambda x: ms.scan(operator, x, strategy=strategy), [x], [mx.array([1.0, 2.0, 3.0, 4.0])])[1][0]
    assert values(moved) == [1, 2, 3, 4]
    assert values(mx.grad(lambda x: ms.scan(operator, x, strategy=strategy, reverse=True).sum())(x)) == [1, 1, 1, 1]


def test_ties_are_those_of_mlx() -> None:
    x, run = mx.array([1.0, 3.0, 3.0, 2.0, 3.0]), mx.cummax
    want = mx.grad(lambda x: run(x).sum())(x)
    for strategy in (*PORTABLE, "native"):
        assert values(mx.grad(lambda x, s=strategy: ms.scan(ms.Max(), x, strategy=s).sum())(x)) == values(want)


LOW = -np.inf


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential", "native"])
@pytest.mark.parametrize("x", [[LOW, LOW, 0.0, LOW], [0.0, LOW, LOW, 1.0], [LOW, LOW], [LOW, 2.0]])
def test_log_sums_of_minus_infinity_have_no_nan(x: list[float], strategy: str) -> None:
    array = mx.array(x)
    total = mx.grad(lambda x: ms.fold(ms.LogSumExp(), x, strategy=strategy))(array)
    if max(x) > LOW:
        want = np.exp(np.array(x) - np.logaddexp.reduce(x))
        np.testing.assert_allclose(np.array(total), want, rtol=1e-6)
    for run in (ms.scan, ms.fold):
        grad = mx.grad(lambda x, run=run: run(ms.LogSumExp(), x, strategy=strategy).sum())
        assert np.isfinite(np.array(grad(array))).all()
        assert np.isfinite(np.array(mx.grad(lambda x, grad=grad: grad(x).sum())(array))).all()


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
def test_online_softmax_of_masked_scores_has_no_nan(strategy: str) -> None:
    softmax, x = ms.OnlineSoftmax(), mx.array([LOW, LOW, 0.0, LOW, 1.0])
    got = mx.grad(lambda x: softmax.project(ms.fold(softmax, softmax.embed(x), strategy=strategy)))(x)
    np.testing.assert_allclose(np.array(got), np.array(mx.softmax(x)), rtol=1e-5, atol=1e-7)
    for leaf in (0, 1):
        each = mx.grad(
            lambda x, i=leaf: mx.where(x > LOW, ms.scan(softmax, softmax.embed(x), strategy=strategy)[i], 0).sum()
        )(x)
        assert np.isfinite(np.array(each)).all()


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf, 0.0])
def test_junk_that_is_not_valid_leaks_nothing(junk: float, strategy: str) -> None:
    valid, x = mx.array([True, False, True, False, True]), mx.array([2.0, junk, 3.0, junk, 5.0])
    for operator in (ms.Product(), ms.LogSumExp(), ms.Sum()):
        clean = mx.grad(lambda x, op=operator: ms.scan(op, x).sum())(x[::2])
        got = mx.grad(lambda x, op=operator: ms.scan(ms.Maybe(op), (valid, x), strategy=strategy)[1][::2].sum())(x)
        np.testing.assert_allclose(np.array(got), [clean[0].item(), 0, clean[1].item(), 0, clean[2].item()], rtol=1e-6)


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("junk", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("operator", [ms.Product(), ms.Sum(), ms.LogSumExp()], ids=lambda op: op.name)
def test_no_gradient_passes_a_reset(operator: ms.Monoid, junk: float, inclusive: bool, strategy: str) -> None:
    """Junk in one segment leaves the gradients of those before and after it alone."""
    heads = mx.array([True, False, True, False, False, True, False])
    x, w = mx.array([2.0, 0.5, 3.0, junk, 7.0, 5.0, 0.25]), mx.array([0.3, 1.5, -0.7, 0.9, 2.0, 0.8, -1.0])

    def loss(x: mx.array) -> mx.array:
        y = ms.scan(ms.Segmented(operator), (heads, x), inclusive=inclusive, strategy=strategy)[1]
        return (mx.where(mx.abs(y) == mx.inf, 0, y) * w).sum()  # identities of -inf

    def part(x: mx.array, w: mx.array) -> mx.array:
        y = ms.scan(operator, x, inclusive=inclusive)
        return (mx.where(mx.abs(y) == mx.inf, 0, y) * w).sum()

    got = mx.grad(loss)(x)
    for segment in (slice(0, 2), slice(5, 7)):
        np.testing.assert_allclose(np.array(got[segment]), np.array(mx.grad(part)(x[segment], w[segment])), rtol=1e-6)


@pytest.mark.parametrize("strategy", [*GRAPH, "sequential"])
def test_a_guarded_function_leaks_nothing(strategy: str) -> None:
    """``where(x > 0, sqrt(x), 0)``: MLX's own rule would multiply infinity by zero."""
    norm = ms.monoid(lambda l, r: mx.where(l + r > 0, mx.sqrt(l * l + r * r), 0.0), identity=0)
    got = mx.grad(lambda x: ms.scan(norm, x, strategy=strategy).sum())(mx.zeros((4,)))
    assert values(got) == [1, 0, 0, 0]


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
    question = by(cases.of(unseen, (cases.normal(rng, 5), cases.normal(rng, 5))), "brent_kung")
    with pytest.raises(AssertionError):
        question.check()


def test_a_detached_capture_is_found() -> None:
    detached = Question(
        lambda rate: cases.Scaled(mx.stop_gradient(rate)),
        cases.normal(np.random.default_rng(0), 5),
        (mx.array(0.7, mx.float64),),
    )
    with pytest.raises((AssertionError, StopIteration)):
        by(detached, "brent_kung").check()
