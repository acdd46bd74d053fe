"""Gradients in every dtype, of complex numbers, of integers, of nothing."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gradient_cases import by, captures, element_of, of, shapes, typed
from gradient_oracle import numpy_of
from selection import thinned
from support import GRAPH, PORTABLE, STRATEGIES

import monoscan as ms

SHAPES, CAPTURES = shapes(), captures()


NATIVE = (ms.Sum, ms.Product, ms.Max, ms.Min, ms.LogSumExp)


def values(x: mx.array) -> list[float]:
    return [float(v) for v in numpy_of(x).ravel()]


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
    (*each, strategy) for each in COMPLEX for strategy in ("auto", "brent_kung", "hillis_steele", "sequential")
]


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize(
    ("operator", "sizes", "strategy"),
    thinned(BY_STRATEGY, BY_STRATEGY[::5]),
    ids=[f"{operator.name}-{strategy}" for operator, _, strategy in BY_STRATEGY],
)
def test_complex_numbers(operator: ms.Semigroup, sizes: tuple[tuple[int, ...], ...], strategy: str) -> None:
    rng = np.random.default_rng(6)
    leaves = tuple(complexes(rng, *size) for size in sizes)
    elems: Any = leaves if len(leaves) > 1 else leaves[0]
    for options in ({}, {"reverse": True}):
        question = of(operator, elems, init=element_of(elems), carry=True, options=options)
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


@pytest.mark.parametrize(
    ("stored", "given"), [(mx.float32, mx.float16), (mx.float32, mx.float64), (mx.float16, mx.float32)]
)
def test_tangents_and_cotangents_of_another_dtype_are_numbers_and_not_bits(stored: mx.Dtype, given: mx.Dtype) -> None:
    gates, x = mx.full((5,), 0.5, stored), mx.ones((5,), stored)

    def run(gates: mx.array) -> mx.array:
        return ms.linear_recurrence(gates, x)

    (right,) = mx.jvp(run, [gates], [mx.ones((5,), stored)])[1]
    (found,) = mx.jvp(run, [gates], [mx.ones((5,), given)])[1]
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), np.array(right.astype(mx.float32)), rtol=1e-3)
    (right,) = mx.vjp(run, [gates], [mx.ones((5,), stored)])[1]
    (found,) = mx.vjp(run, [gates], [mx.ones((5,), given)])[1]
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), np.array(right.astype(mx.float32)), rtol=1e-3)
