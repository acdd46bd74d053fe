"""The fused backward loop against central differences of the fold in float64.

The loop behind ``strategy="sequential"`` compiles fastest, and its gradient is the same
kernel as that of any other kernel plan.
"""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from backward_support import primitives, random, without_loops
from broken_headers import break_header
from gradient_cases import (
    OPERATORS,
    by,
    captures,
    element_of,
    of,
    operator_names,
    operator_question,
    recurrences,
    shapes,
    typed,
)
from gradient_oracle import Question, numpy_of
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_driver import compile_source
from random_combines import Combine, combines
from selection import thinned

import monoscan as ms
from monoscan import tree
from monoscan.cache import Cache
from monoscan.lowering.gradient import adjoint, by_arrays
from monoscan.lowering.gradient.ran import Ran
from monoscan.lowering.render import headers
from monoscan.lowering.targets.cpu import backward, build, kernels, recomputed

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")

SHAPES, CAPTURES = shapes(), captures() | recurrences()
SINGLE = 2e-4


@pytest.fixture(autouse=True)
def states_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of these tests reads states; no gradient is one of the loop that makes them again."""
    monkeypatch.setattr(recomputed, "vjp", lambda *_: None)


def affine_grads(a: mx.array, b: mx.array, w: mx.array, **options: Any) -> tuple[mx.array, ...]:
    def loss(a: mx.array, b: mx.array) -> mx.array:
        return (ms.linear_recurrence(a, b, strategy="sequential", **options) * w).sum()

    return mx.grad(loss, argnums=(0, 1))(a, b)  # type: ignore[no-any-return]


def affine_by_hand(a: mx.array, b: mx.array, w: mx.array) -> tuple[np.ndarray, np.ndarray]:
    """The recurrence and its adjoint, in float64, along axis 0."""
    a64, b64, w64 = (numpy_of(x) for x in (a, b, w))
    n = len(b64)
    h, g = np.zeros_like(b64), np.zeros_like(b64)
    for t in range(n):
        h[t] = b64[t] + (a64[t] * h[t - 1] if t else 0)
    for t in range(n - 1, -1, -1):
        g[t] = w64[t] + (a64[t + 1] * g[t + 1] if t + 1 < n else 0)
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
    return g * before, g


# ------------------------------------------------------------------------------- it is one kernel


@pytest.mark.parametrize("operator", [ms.Affine(), ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]))])
def test_a_gradient_is_one_kernel_and_no_copies(operator: ms.Semigroup) -> None:
    a = mx.ones((6, 8))
    names = primitives(*mx.vjp(lambda a, b: ms.scan(operator, (a, b), strategy="sequential")[1], [a, a], [a])[1])
    assert names.count("monoscan") == 1
    assert names.count("monoscan_adjoint") == 1
    assert not {"Slice", "Concatenate", "Gather", "Scatter", "Contiguous", "Transpose"} & set(names)


def test_without_a_kernel_the_array_operations_run(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b, w = (random(rng, 7, 3) for _ in range(3))
    fused = affine_grads(a, b, w)
    without_loops(monkeypatch)
    for got, want in zip(affine_grads(a, b, w), fused, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-5, atol=1e-6)


# --------------------------------------------------------------------------------- every operator


@pytest.mark.long
@pytest.mark.parametrize("number", thinned(range(len(OPERATORS)), range(0, len(OPERATORS), 3)), ids=operator_names())
def test_every_operator(number: int) -> None:
    by(typed(operator_question(number), mx.float32), "sequential").check(SINGLE * 10)


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [i for i, (op, _) in enumerate(OPERATORS) if op.name in ("Product", "OnlineSoftmax", "Rigid3")]
)
@pytest.mark.parametrize("options", [{"inclusive": False}, {"reverse": True}], ids=str)
def test_options_of_some_operators(number: int, options: dict[str, Any]) -> None:
    question = operator_question(number)
    start = element_of(question.elems)
    by(typed(attrs.evolve(question, init=start, carry=True, options=options), mx.float32), "sequential").check(
        SINGLE * 10
    )


@pytest.mark.parametrize("name", thinned(SHAPES, list(SHAPES)[::2]))
def test_every_shape_and_option(name: str) -> None:
    by(typed(SHAPES[name], mx.float32), "sequential").check(SINGLE)


@pytest.mark.parametrize("name", thinned(CAPTURES, list(CAPTURES)[::2]))
def test_captured_arrays(name: str) -> None:
    by(typed(CAPTURES[name], mx.float32), "sequential").check(SINGLE)


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["kernel", "auto"])
@pytest.mark.parametrize(
    "name", ["columns", "rows", "exclusive, init", "reverse, init, carry", "fold", "one gate a step"]
)
def test_the_other_loops_have_the_same_gradient(name: str, strategy: str) -> None:
    question = typed(SHAPES[name], mx.float32)
    by(question, strategy).check(SINGLE)
    for x, y in zip(by(question, strategy).got(), by(question, "sequential").got(), strict=True):
        np.testing.assert_allclose(numpy_of(x), numpy_of(y), rtol=1e-5, atol=1e-6)


# --------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 33, 300])
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_widths_around_those_of_vectors_and_of_halves_of_the_work(n: int, columns: int) -> None:
    rng = np.random.default_rng(n * 1000 + columns)
    a, b, w = (random(rng, n, columns) for _ in range(3))
    for got, want in zip(affine_grads(a, b, w), affine_by_hand(a, b, w), strict=True):
        np.testing.assert_allclose(np.array(got), want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(1000, 300), (4000, 33), (9000,)])
def test_work_that_several_tasks_share(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a, b, w = (random(rng, *shape) for _ in range(3))
    for got, want in zip(affine_grads(a, b, w), affine_by_hand(a, b, w), strict=True):
        np.testing.assert_allclose(np.array(got), want, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"inclusive": False}, {"seeded": True}], ids=str)
def test_panels_of_vectors_and_of_steps(options: dict[str, Any]) -> None:
    """Rows of several panels and a rest, over more steps than one panel walks, against array operations."""
    rng = np.random.default_rng(8)
    x, y, w = random(rng, 150, 75), random(rng, 150, 75), random(rng, 150, 75)
    rate, init = mx.array(0.4), (random(rng, 75), random(rng, 75))
    start = init if options.get("seeded") or not options.get("inclusive", True) else None
    given = {name: value for name, value in options.items() if name != "seeded"}

    def loss(x: mx.array, y: mx.array, rate: mx.array, init: Any) -> mx.array:
        operator = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + rate * r[1]))
        seed = None if start is None else init
        return (ms.scan(operator, (x, y), init=seed, strategy="sequential", **given)[1] * w).sum()

    grad = mx.grad(loss, argnums=(0, 1, 2, 3))
    fused = grad(x, y, rate, init)
    mx.eval(fused)
    with pytest.MonkeyPatch.context() as patch:
        without_loops(patch)
        plain = grad(x, y, rate, init)
    for got, want in zip(tree.flatten(fused)[0], tree.flatten(plain)[0], strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_chains_before_and_behind_the_axis(axis: int) -> None:
    rng = np.random.default_rng(2)
    a, b, w = (random(rng, 40, 50, 30) for _ in range(3))
    got = affine_grads(a, b, w, axis=axis)
    moved = affine_by_hand(*(mx.moveaxis(x, axis, 0) for x in (a, b, w)))
    for x, y in zip(got, moved, strict=True):
        np.testing.assert_allclose(np.array(x), np.moveaxis(y, 0, axis), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["every other", "backwards", "transposed", "broadcast"])
def test_views_are_read_where_they_are(view: str) -> None:
    rng = np.random.default_rng(3)

    def seen(n: int, columns: int) -> mx.array:
        wide = random(rng, 2 * n, 2 * columns)
        return {
            "every other": wide[::2, 1::2], "backwards": wide[:n, :columns][::-1, ::-1],
            "transposed": random(rng, columns, n).T, "broadcast": mx.broadcast_to(random(rng, n, 1), (n, columns)),
        }[view]  # fmt: skip

    a, b, w = seen(9, 11), seen(9, 11), seen(9, 11)
    for got, want in zip(affine_grads(a, b, w), affine_by_hand(a, b, w), strict=True):
        np.testing.assert_allclose(np.array(got), want, rtol=2e-5, atol=2e-6)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(5)
    a, b, w = (random(rng, 600, 300) for _ in range(3))
    bridge, found = build.load(), []
    before = bridge.threads()
    try:
        for threads in (1, 2, 3):
            bridge.set_threads(threads)
            found.append([np.array(x) for x in affine_grads(a, b, w)])
    finally:
        bridge.set_threads(before)
    for other in found[1:]:
        for x, y in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


# ----------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float64], ids=str)
@pytest.mark.parametrize("name", ["columns", "init", "carry and init", "one column"])
def test_gradients_have_the_dtype_of_their_array(name: str, dtype: mx.Dtype) -> None:
    tolerance = {mx.float16: 1e-2, mx.bfloat16: 6e-2, mx.float64: 1e-8}[dtype]
    by(typed(SHAPES[name], dtype), "sequential").check(tolerance)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
def test_adjoints_of_halves_are_float32(dtype: mx.Dtype) -> None:
    x = mx.full((64,), 0.5, dtype)
    got = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy="sequential")[24:].astype(mx.float32).sum())(x)
    want = mx.grad(lambda x: ms.scan(ms.Product(), x, strategy="sequential")[24:].sum())(x.astype(mx.float32))
    np.testing.assert_array_equal(numpy_of(got), numpy_of(want.astype(dtype)))


def test_leaves_of_several_dtypes() -> None:
    def combine(l: Any, r: Any) -> Any:
        count = l[0] + r[0]
        return count, mx.where(r[2], r[1], l[1] * r[1]), l[2] | r[2], (l[3] + l[1].astype(mx.float64)) * r[3]

    rng = np.random.default_rng(6)
    elems = (
        mx.arange(7), random(rng, 7), mx.array(rng.random(7) < 0.3), random(rng, 7, dtype=mx.float64),
    )  # fmt: skip
    by(of(ms.monoid(combine), elems), "sequential").check(SINGLE)


# -------------------------------------------------------------------------------- random programs


def random_question(combine: Combine, n: int, columns: int, seed: int, seeded: bool, reverse: bool) -> Question:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> mx.array:
        return mx.array(rng.normal(size=shape), mx.float64)

    def element(*shape: int) -> Any:
        return draw(*shape) if combine.leaves == 1 else tuple(draw(*shape) for _ in range(combine.leaves))

    init = element(columns) if seeded else None
    options = {"strategy": "sequential", "reverse": reverse, "inclusive": not seeded}
    operator = lambda *held: ms.monoid(lambda l, r: combine(l, r, *held))  # noqa: E731
    captured = tuple(draw() for _ in range(combine.captured))
    return Question(operator, element(n, columns), captured, init, carry=True, options=options)


@pytest.mark.parametrize("columns", thinned([1, 3], [3]))
@pytest.mark.parametrize("leaves", thinned([1, 2, 3], [2]))
def test_the_adjoint_of_any_fold(leaves: int, columns: int) -> None:
    @settings(max_examples=4)
    @given(combines(leaves), st.integers(0, 2**16), st.booleans(), st.booleans())
    def check(combine: Combine, seed: int, seeded: bool, reverse: bool) -> None:
        for n in (1, 2, 6):
            question = random_question(combine, n, columns, seed, seeded, reverse)
            plan = ms.explain(question.operator(*question.captured), question.elems, strategy="sequential")
            assert plan.combine in ("kernel", "lanes", "none")
            if len(question.captured) == len(plan.problem.captures.arrays):
                question.check(1e-5)

    check()


@pytest.mark.long
@settings(max_examples=3)
@given(combines(2), st.integers(0, 2**16), st.booleans(), st.booleans())
def test_the_adjoint_of_any_fold_over_several_panels(combine: Combine, seed: int, seeded: bool, reverse: bool) -> None:
    """37 columns are panels and a rest; against the same adjoint by array operations."""
    question = random_question(combine, 70, 37, seed, seeded, reverse)
    fused = question.got()
    mx.eval([x for x in fused if x is not None])
    with pytest.MonkeyPatch.context() as patch:
        without_loops(patch)
        for got, want in zip(fused, question.got(), strict=True):
            assert got is not None
            assert want is not None
            scale = max(1.0, float(mx.abs(want).max()))
            np.testing.assert_allclose(numpy_of(got) / scale, numpy_of(want) / scale, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------- negative controls


@pytest.mark.parametrize(
    ("honest", "wrong"),
    [
        ("t > end; --t", "t > end + 1; --t"),  # a step left out
        ("  g = left;", "  (void)left;"),  # cotangents that are not handed on
        ("if (weighted) read", "if (!weighted) read"),
        ("move(p, 0, lefts())", "(void)0"),  # pointers that stand still
    ],
)  # fmt: skip
def test_a_wrong_loop_is_found(honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_loop(honest, wrong, monkeypatch)
    with pytest.raises(AssertionError):
        by(typed(SHAPES["columns"], mx.float32), "sequential").check(SINGLE)


@pytest.mark.parametrize(
    ("honest", "wrong"),
    [("t = end, end = end_of", "t = end - (end < n - 1), end = end_of"), ("j += vectors_wide * W", "j += 3 * W")],
)
def test_a_wrong_cut_into_panels_is_found(honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_loop(honest, wrong, monkeypatch)
    with pytest.raises(AssertionError):
        test_panels_of_vectors_and_of_steps({})


def broken_loop(honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(name for name in ("backward.h", "backward_memory.h") if honest in headers.header(name))
    break_header(name, honest, wrong, monkeypatch)
    monkeypatch.setattr(backward, "COMPILED", Cache(16))
    monkeypatch.setattr(kernels, "COMPILED", Cache(16))


def test_a_wrong_derivative_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = adjoint.stepped

    def wrong(*args: Any) -> Any:
        step = honest(*args)
        first, *rest = step.results
        return attrs.evolve(step, results=(*rest[:1], first, *rest[1:])) if len(rest) > 1 else step

    monkeypatch.setattr(adjoint, "stepped", wrong)
    monkeypatch.setattr(backward, "COMPILED", Cache(16))
    with pytest.raises(AssertionError):
        by(typed(SHAPES["columns"], mx.float32), "sequential").check(SINGLE)


@pytest.mark.long
def test_the_loop_and_the_array_operations_agree_to_rounding() -> None:
    """Operator by operator the same adjoint, once fused and once as a graph."""
    rng = np.random.default_rng(7)
    x = random(rng, 9, 5)
    for operator in (ms.Product(), ms.LogSumExp()):
        scan = ms.explain(operator, x, strategy="brent_kung").way.scan
        assert scan is not None
        outputs = ms.scan(operator, x, strategy="sequential")
        ran = Ran(scan, [x], [outputs], 0, 2)
        found = [adjoint.vjp(ran, [x], run) for run in (backward.backward, by_arrays.backward)]
        np.testing.assert_allclose(np.array(found[0][0]), np.array(found[1][0]), rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"inclusive": False}], ids=str)
@pytest.mark.parametrize("shape", [(9, 20), (9,)], ids=str)
def test_the_loops_compile_without_warnings(
    shape: tuple[int, ...], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    plain = backward.render_backward

    def noted(spec: Any) -> str:
        texts.append(plain(spec))
        return texts[-1]

    monkeypatch.setattr(backward, "render_backward", noted)
    monkeypatch.setattr(backward, "COMPILED", Cache(16))
    rng = np.random.default_rng(0)
    gates, matrices = random(rng, *shape), random(rng, *shape, 2, 2)
    mx.eval(
        mx.grad(lambda a: ms.scan(ms.Affine(), (a, a), strategy="kernel", **options)[1].sum())(gates),
        mx.grad(lambda a: ms.scan(ms.MatMul(), a, strategy="kernel", **options).sum())(matrices),
        mx.grad(lambda a: ms.scan(ms.LogSumExp(), a, strategy="kernel", **options).sum())(gates),
    )
    assert len(texts) == 3
    for text in texts:
        compile_source(text)
