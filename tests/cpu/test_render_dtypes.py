"""Kernels against MLX's eager operations: every operation on every dtype, in scalar and in vector code.

The element is (first, second, results...): ``combine`` keeps the left's first value and the right's second, which is
associative, and applies the operations to them. A scan of each row of pairs so meets every pair in every lane.
"""

from __future__ import annotations

from math import exp, fsum, log

import mlx.core as mx
import numpy as np
import pytest
from dtype_table import NAMES, Operation, casts, exact, operations, pairs, same, undetermined, values
from selection import thinned

import monoscan as ms
from monoscan import dtypes

QUICK = ("bool", "uint32", "float32")


def kinds(found: list[Operation], name: str) -> dict[str, list[Operation]]:
    """The operations by the dtype of their results."""
    one = mx.ones((), dtypes.by_name(name))
    groups: dict[str, list[Operation]] = {}
    for operation in found:
        groups.setdefault(dtypes.name_of(operation.function(one, one).dtype), []).append(operation)
    return groups


def check(name: str, found: list[Operation], strategy: str, copies: int = 1) -> None:
    groups = kinds(found, name)

    def combine(left: tuple[mx.array, ...], right: tuple[mx.array, ...]) -> tuple[mx.array, ...]:
        x, y = left[0], right[1]
        return x, y, *(mx.stack([each.function(x, y) for each in group]) for group in groups.values())

    operator = ms.monoid(combine, event=(0, 0, *(1 for _ in groups)), name=f"operations on {name}")
    x, y = (exact(np.repeat(side.T, copies, axis=1), name) for side in pairs(name))
    results = [mx.zeros((*x.shape, len(group)), dtypes.by_name(kind)) for kind, group in groups.items()]
    elements = (x, y, *results)
    answers = ms.scan(operator, elements, init=tuple(leaf[0] for leaf in elements), strategy=strategy)
    for answer, group in zip(answers[2:], groups.values(), strict=True):
        for got, operation in zip(np.moveaxis(np.array(answer), -1, 0), group, strict=True):
            want = operation.answer(x, y)
            wrong = [tuple(place) for place in np.argwhere(~same(got, want) & ~undetermined(operation, x, y))]
            shown = [(np.array(x)[at], np.array(y)[at], got[at], want[at]) for at in wrong[:3]]
            assert not wrong, f"{operation.name} of {name}: (x, y, got, want) {shown}"


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", thinned(NAMES, QUICK))
@pytest.mark.parametrize("found", thinned([operations, casts], [operations]))
def test_vector_code_computes_what_mlx_does(found: object, name: str) -> None:
    assert callable(found)
    check(name, found(name), "kernel", copies=1 + 80 // len(values(name)))  # wide enough for vectors of columns


@pytest.mark.parametrize("name", thinned(NAMES, QUICK))
def test_scalar_code_computes_what_mlx_does(name: str) -> None:
    check(name, operations(name) + casts(name), "sequential")


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (40, 20)])
def test_truth_values_are_ordered_in_every_loop(shape: tuple[int, int]) -> None:
    """False before true: an ArgMin that took a lane's -1 for a number had it the other way round."""
    rng = np.random.default_rng(5)
    truth, axis = rng.random(shape) < 0.5, int(np.argmax(shape))
    index = np.broadcast_to(np.arange(40).reshape((-1, 1) if axis == 0 else (1, -1)), shape)
    for operator, best in ((ms.ArgMin(), np.argmin), (ms.ArgMax(), np.argmax)):
        want = [best(np.take(truth, range(n + 1), axis), axis=axis) for n in range(40)]
        for strategy in ("kernel", "sequential", "hillis_steele"):
            got = ms.scan(operator, (mx.array(truth), mx.array(index)), axis=axis, strategy=strategy)[1]
            np.testing.assert_array_equal(np.array(got), np.stack(want, axis))


@pytest.mark.parametrize(
    "options", [{}, {"reverse": True}, {"init": 0.5}, {"strategy": "kernel"}, {"strategy": "sequential"}]
)
def test_logarithms_of_float64_are_added_in_float64(options: dict[str, object]) -> None:
    """MLX's exponential of float64 errs by 1e-7, and so does mx.logcumsumexp."""
    x = [float(v) for v in np.random.default_rng(3).normal(0, 3, 200)]
    elements = mx.array(x, mx.float64)
    got = ms.scan(ms.LogSumExp(), elements, **options)
    steps = x[::-1] if "reverse" in options else x
    start = [0.5] if "init" in options else []
    want = [max(x) + log(fsum(exp(v - max(x)) for v in (*start, *steps[: n + 1]))) for n in range(len(x))]
    np.testing.assert_allclose(np.array(got), want[::-1] if "reverse" in options else want, rtol=0, atol=1e-13)
    fold = ms.fold(ms.LogSumExp(), elements, **options).item()
    assert abs(fold - want[-1]) < 1e-13
    plan = ms.explain(ms.LogSumExp(), elements)
    assert any("mx.logcumsumexp computes the exponentials of float64 to 1e-7" in reason.text for reason in plan.reasons)
