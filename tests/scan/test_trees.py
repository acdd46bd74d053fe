"""Elements of every kind of tree: None, dataclasses, attrs classes, and numbers beside arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms


@dataclasses.dataclass
class Range:
    low: Any
    high: Any


@attrs.frozen
class Total:
    _sum: Any
    note: Any = None


def widest(l: Range, r: Range) -> Range:
    return Range(mx.minimum(l.low, r.low), mx.maximum(l.high, r.high))


X = [3, 1, 4, 1, 5]


def test_a_dataclass_comes_back_as_one() -> None:
    x = mx.array(X)
    y, carry = ms.scan(ms.monoid(widest), Range(x, x), return_carry=True)
    assert isinstance(y, Range)
    assert (y.low.tolist(), y.high.tolist()) == ([3, 1, 1, 1, 1], [3, 3, 4, 4, 5])
    again = ms.scan(ms.monoid(widest), Range(x, x), init=carry)
    assert (again.low.tolist(), again.high.tolist()) == ([1] * 5, [5] * 5)


def test_an_attrs_class_with_a_field_that_is_none() -> None:
    plus = ms.monoid(lambda l, r: Total(l._sum + r._sum, None), identity=0)
    y = ms.scan(plus, Total(mx.array(X)), inclusive=False)
    assert (y._sum.tolist(), y.note) == ([0, 3, 4, 8, 9], None)
    gradient = mx.grad(lambda x: ms.fold(plus, Total(x))._sum)(mx.ones((3,)))
    assert gradient.tolist() == [1, 1, 1]


def test_none_is_a_tree_without_leaves_as_in_jax() -> None:
    y, nothing = ms.associative_scan(lambda l, r: (l[0] + r[0], None), (mx.array(X), None))
    assert (y.tolist(), nothing) == ([3, 4, 8, 9, 14], None)


def test_a_loop_has_states_and_outputs_of_any_tree() -> None:
    def step(s: Range, x: mx.array) -> tuple[Range, dict[str, Any]]:
        return Range(mx.minimum(s.low, x), mx.maximum(s.high, x)), {"span": s.high - s.low, "none": None}

    y = ms.loop(step, mx.array(X), Range(mx.array(2), mx.array(2)))
    assert (y["span"].tolist(), y["none"]) == ([0, 1, 2, 3, 3], None)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ms.scan(ms.monoid(widest), Range(mx.ones((3,)), "high")), r"leaf \.high is str 'high'"),
        (
            lambda: ms.scan(ms.Affine(), Range(mx.ones((3,)), mx.ones((3,)))),
            r"expects a tree \(a, b\); got Range\(low=",
        ),
        (lambda: ms.scan(ms.Affine(), (mx.ones((3,)), None)), r"expects a tree \(a, b\); got \(float32\(3,\), None\)"),
        (
            lambda: ms.scan(ms.monoid(widest), Range(mx.ones((3,)), mx.ones((3,))), init=(1.0, 2.0)),
            r"init must be an element, Range\(low=array, high=array\)",
        ),
    ],
)
def test_another_tree_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ms.TreeError, match=words):
        call()


# ------------------------------------------------------------------ numbers
@pytest.mark.parametrize("axis", [1, -1])
def test_a_number_beside_arrays_is_the_same_at_each_step(axis: int) -> None:
    b = np.random.default_rng(0).normal(size=(3, 20))
    decay, h = ms.scan(ms.Affine(), (0.5, mx.array(b, mx.float64)), axis=axis)
    expected = b.copy()
    for t in range(1, 20):
        expected[:, t] += 0.5 * expected[:, t - 1]
    np.testing.assert_allclose(np.array(h), expected, rtol=1e-12)
    assert decay.shape == (1, 20)
    np.testing.assert_array_equal(np.array(decay)[0], 0.5 ** np.arange(1, 21))


def test_a_number_of_numpy_has_the_dtype_that_it_has() -> None:
    stored = ms.scan(ms.Tuple(ms.Sum(), ms.Sum()), (mx.ones((3,)), np.int32(2)))[1]
    assert (stored.tolist(), stored.dtype) == ([2, 4, 6], mx.int32)


@pytest.mark.parametrize("number", [0.5, 1 << 40, True])
def test_a_number_that_no_other_leaf_holds_is_refused(number: Any) -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[scan\] Affine leaf a is the number .*, which int32 cannot hold"):
        ms.scan(ms.Affine(), (number, mx.array(X)))


def test_numbers_alone_say_no_length() -> None:
    with pytest.raises(ms.TreeError, match=r"leaf a is float 0\.5"):
        ms.scan(ms.Affine(), (0.5, 1.0))


def test_gradients_flow_past_a_number() -> None:
    gradient = mx.grad(lambda b: ms.scan(ms.Affine(), (0.5, b))[1][-1])(mx.ones((4,)))
    assert gradient.tolist() == [0.125, 0.25, 0.5, 1]


def test_a_number_has_no_length_in_a_shapeless_compile() -> None:
    run = mx.compile(lambda b: ms.scan(ms.Affine(), (0.5, b))[1], shapeless=True)
    with pytest.raises(ms.TreeError, match=r"leaf a is float 0\.5"):
        run(mx.ones((4,)))
