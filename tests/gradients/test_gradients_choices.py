"""What was not chosen: exact zeros through select, min, max, clip, |x| and log-add-exp, in every mode and order.

All values are worked out by hand: each ``combine`` here has a derivative that is infinite or
NaN where its operand is not chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from backward_support import without_loops
from support import PORTABLE

import monoscan as ms

Array = mx.array
NAN, INF = math.nan, math.inf


@attrs.frozen
class Case:
    """A fold in order of ``combine``, a loss, and what its gradient and Hessian times (1, 2, 3, ...) are."""

    combine: Callable[[Array, Array], Array]
    x: list[float]
    loss: Callable[[Array], Array]
    gradient: list[float]
    curved: list[float]

    def total(self, x: Array, strategy: str) -> Array:
        return self.loss(ms.scan(ms.monoid(self.combine), x, strategy=strategy))


def squares(y: Array) -> Array:
    return (y * y).sum()


CASES = {
    # y = x0, then 1e-10 for ever
    "max over a norm": Case(
        lambda l, r: mx.maximum(mx.sqrt(l * l + r * r), 1e-10), [0, 0, 0], squares, [0, 0, 0], [2, 0, 0]
    ),
    "min over a norm": Case(
        lambda l, r: mx.minimum(-mx.sqrt(l * l + r * r), -1e-10), [0, 0, 0], mx.sum, [1, 0, 0], [0, 0, 0]
    ),
    # y = 0, 1/2, 3/2: both of the later roots are clipped
    "clip": Case(lambda l, r: l + mx.clip(mx.sqrt(r), 0.5, 1), [0, 0, 4], squares, [4, 0, 0], [6, 0, 0]),
    # y = 0, 0, 2; d/dx2 = 2 y2 / (2 sqrt(x2)) = 1
    "where": Case(
        lambda l, r: l + mx.where(r > 0, mx.sqrt(r), 0.0), [0, 0, 4], squares, [4, 0, 1], [6 + 3 / 2, 0, 1 / 2]
    ),
    "absolute value": Case(
        lambda l, r: l + mx.abs(mx.sqrt(r)), [0, 0, 4], squares, [4, 0, 1], [6 + 3 / 2, 0, 1 / 2]
    ),
    # y = log(e^x0 + x1 + x2) with x0 = 0, x2 = 3
    "log-add-exp": Case(
        lambda l, r: mx.logaddexp(l, mx.log(r)), [0, 0, 3], lambda y: y[-1], [1 / 4, 0, 1 / 4], [0, 0, -1 / 4]
    ),
    "power": Case(lambda l, r: l + mx.sqrt(r) ** mx.zeros_like(r), [0, 0, 4], squares, [6, 0, 0], [6, 0, 0]),
    # the last step forgets what is behind it, where a root of 0 has an infinite derivative
    "a later max": Case(lambda l, r: mx.maximum(mx.sqrt(l), r), [0, 0, 4], lambda y: y[-1], [0, 0, 1], [0, 0, 0]),
    "a later where": Case(
        lambda l, r: mx.where(r > 1, r, l * mx.sqrt(r)), [0, 0, 4], lambda y: squares(y[2:]), [0, 0, 8], [0, 0, 6]
    ),
}  # fmt: skip

LAWFUL = ("max over a norm", "min over a norm")
"""The others are folds in order, and no operators."""

HESSIANS: dict[str, Callable[[Callable[[Array], Array], Array, Array], Array]] = {
    "reverse over reverse": lambda f, x, t: mx.grad(lambda x: (mx.grad(f)(x) * t).sum())(x),
    "forward over reverse": lambda f, x, t: mx.jvp(mx.grad(f), [x], [t])[1][0],
    "reverse over forward": lambda f, x, t: mx.grad(lambda x: mx.jvp(f, [x], [t])[1][0])(x),
    "reverse over vmap": lambda f, x, t: mx.grad(lambda x: (mx.vmap(mx.grad(f))(x[None]) * t).sum())(x),
    "vmap over reverse": lambda f, x, t: mx.vmap(mx.grad(lambda x: (mx.grad(f)(x) * t).sum()))(x[None])[0],
}


def close(got: Array, want: list[float]) -> None:
    np.testing.assert_allclose(np.array(got), want, rtol=1e-5, atol=1e-5)


RUNS = [(name, "sequential") for name in CASES] + [(name, s) for name in LAWFUL for s in ("auto", "hillis_steele")]


@pytest.mark.parametrize(("name", "strategy"), RUNS)
def test_the_gradient(name: str, strategy: str) -> None:
    case = CASES[name]
    close(mx.grad(lambda x: case.total(x, strategy))(mx.array(case.x, mx.float32)), case.gradient)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_the_tangent_is_that_of_the_gradient(name: str) -> None:
    case, t = CASES[name], mx.array([1.0, 2.0, 3.0])
    _, (got,) = mx.jvp(lambda x: case.total(x, "sequential"), [mx.array(case.x, mx.float32)], [t])
    close(got, float(np.dot([1, 2, 3], case.gradient)))  # type: ignore[arg-type]


TREES = "reverse over forward"
"""Where tangents run as a tree, which needs an operator."""
SECOND = [(name, mode) for name in CASES for mode in HESSIANS if mode != TREES or name in LAWFUL]


@pytest.mark.parametrize(("name", "mode"), SECOND)
def test_the_hessian(name: str, mode: str) -> None:
    case, t = CASES[name], mx.array([1.0, 2.0, 3.0])
    close(HESSIANS[mode](lambda x: case.total(x, "sequential"), mx.array(case.x, mx.float32), t), case.curved)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_by_array_operations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_loops(monkeypatch)
    case = CASES[name]
    close(mx.grad(lambda x: case.total(x, "sequential"))(mx.array(case.x, mx.float32)), case.gradient)


@pytest.mark.parametrize("strategy", ["auto", *PORTABLE])
@pytest.mark.parametrize("junk", [NAN, INF])
def test_the_gradient_of_junk_before_a_reset_is_zero(junk: float, strategy: str) -> None:
    flags, x = mx.array([True, False, False, True, False]), mx.array([2.0, junk, 0.0, 3.0, 5.0])

    def last(x: Array) -> Array:
        return ms.scan(ms.Segmented(ms.Product()), (flags, x), strategy=strategy)[1][3:].sum()

    assert mx.grad(last)(x).tolist() == [0, 0, 0, 6, 3]
    assert mx.jvp(last, [x], [mx.ones_like(x)])[1][0].item() == 9
    close(mx.grad(lambda x: (mx.grad(last)(x) * mx.array([1.0, 1.0, 1.0, 0.0, 2.0])).sum())(x), [0, 0, 0, 2, 0])


@pytest.mark.parametrize("mode", HESSIANS)
@pytest.mark.parametrize("strategy", PORTABLE)
def test_a_zero_that_nobody_chose_has_its_second_derivatives(strategy: str, mode: str) -> None:
    """The Hessian of xyz at (2, 0, 3), by an operator with a choice that is always the same."""
    operator, flags = ms.Segmented(ms.Product()), mx.array([False] * 3)

    def volume(x: Array) -> Array:
        return ms.scan(operator, (flags, x), strategy=strategy)[1][-1]

    x, t = mx.array([2.0, 0.0, 3.0]), mx.array([1.0, 10.0, 100.0])
    assert HESSIANS[mode](volume, x, t).tolist() == [30, 203, 20]


@pytest.mark.parametrize("mode", HESSIANS)
def test_a_cotangent_that_is_zero_at_this_point_alone_has_its_derivatives(mode: str) -> None:
    """Squares of products at (0, 3): y = (0, 0), and the Hessian is ((2 + 2 * 9, 0), (0, 0))."""
    operator, flags = ms.Segmented(ms.Product()), mx.array([False] * 2)

    def loss(x: Array) -> Array:
        return squares(ms.scan(operator, (flags, x), strategy="sequential")[1])

    assert HESSIANS[mode](loss, mx.array([0.0, 3.0]), mx.array([1.0, 10.0])).tolist() == [20, 0]


# ------------------------------------------------------------------------------------ one combine


ROOT = ms.monoid(lambda l, r: l + mx.where(r > 0, mx.sqrt(r), 0.0))
MAXIMUM = ms.monoid(mx.maximum, identity=-INF)


def one_step(operator: Any, element: Any, init: Any, by: str, pick: Callable[[Any], Array]) -> list[float]:
    """The gradient of a scan of length 1 by its elements or by ``init``, through the result and the carry."""

    def loss(value: Array) -> Array:
        elems, first = (element(value), init) if by == "x" else (element, init(value))
        ys, carry = ms.scan(operator, elems, init=first, return_carry=True)
        return pick(ys).sum() + 10 * pick(carry).sum()

    return mx.grad(loss)(mx.array([0.0] if by == "x" else 2.0)).reshape(-1).tolist()  # type: ignore[no-any-return]


def second(tree: Any) -> Array:
    return tree[1]  # type: ignore[no-any-return]


def test_one_combine_is_differentiated_by_the_same_rules() -> None:
    low, on = mx.array(-INF), mx.array([True])
    assert one_step(ROOT, lambda x: x, mx.array(1.0), "x", lambda y: y) == [0]
    assert one_step(ms.LogSumExp(), lambda x: x - INF, low, "x", lambda y: y) == [5.5]
    assert one_step(
        ms.Segmented(ms.Product()), (on, mx.array([INF])), lambda i: (mx.array(False), i), "init", second
    ) == [0]
    assert one_step(
        ms.Maybe(ms.monoid(lambda l, r: l / r)),
        (mx.array([False]), mx.array([0.0])),
        lambda i: (mx.array(True), i),
        "init",
        second,
    ) == [11]


@pytest.mark.parametrize("n", [1, 2])
def test_a_tie_with_init_goes_to_the_latest_at_every_length(n: int) -> None:
    def last(x: Array, init: Array) -> Array:
        return ms.scan(MAXIMUM, x, init=init)[-1]

    by_x, by_init = mx.grad(last, argnums=(0, 1))(mx.ones((n,)), mx.array(1.0))
    assert by_x.tolist() == [0] * (n - 1) + [1]
    assert by_init.item() == 0


def test_one_combine_of_parts_matrices_and_broadcast_leaves() -> None:
    gate, token = mx.array([[3.0]]), mx.array([[1.0, 2.0, 4.0]])
    start = mx.array([2.0]), mx.array([5.0, 6.0, 7.0])

    def loss(gate: Array, token: Array, a: Array, b: Array) -> Array:
        elems = ((gate, token), token)
        (decay, h), top = ms.scan(ms.Tuple(ms.Affine(), ms.Max()), elems, init=((a, b), b))
        return decay.sum() + (h * mx.array([1.0, 10.0, 100.0])).sum() + top.sum()

    found = mx.grad(loss, argnums=(0, 1, 2, 3))(gate, token, *start)
    # decay = 3 * 2; h = 3 b + token; the maximum is b throughout
    assert [d.tolist() for d in found] == [[[2 + 5 + 60 + 700]], [[1, 10, 100]], [3], [3 + 1, 30 + 1, 300 + 1]]
    turn = mx.array([[1.0, 2.0], [3.0, 4.0]])
    by = mx.grad(lambda i: ms.fold(ms.MatMul(), turn[None], init=i)[0, 1])(mx.array([[5.0, 6.0], [7.0, 8.0]]))
    assert by.tolist() == [[2, 4], [0, 0]]


@attrs.frozen
class Weighted(ms.Monoid):
    """Sums of x * rate, which the identity reads too: it is no constant."""

    rate: Array

    def combine(self, left: Array, right: Array) -> Array:
        return left + mx.where(right > 0, mx.sqrt(right) * self.rate, 0.0)

    def identity(self, like: Array) -> Array:
        return mx.zeros_like(like) + self.rate


def test_one_combine_hands_a_captured_array_its_gradient() -> None:
    def loss(rate: Array) -> Array:
        return ms.scan(Weighted(rate), mx.array([[4.0, 0.0]]), init=mx.array([1.0, 1.0])).sum()

    assert mx.grad(loss)(mx.array(3.0)).item() == 2


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "brent_kung"])
def test_an_identity_that_is_no_constant_changes_no_rule(strategy: str) -> None:
    def loss(x: Array, rate: Array) -> Array:
        return ms.scan(Weighted(rate), x, inclusive=False, strategy=strategy)[1:].sum()

    # the results are rate, x0 and x0 + sqrt(0): no root is taken
    by_x, by_rate = mx.grad(loss, argnums=(0, 1))(mx.zeros((3,)), mx.array(3.0))
    assert by_x.tolist() == [2, 0, 0]
    assert by_rate.item() == 0


@pytest.mark.parametrize("strategy", ["auto", "sequential"])
def test_leaves_of_equal_steps_have_first_elements_of_their_own(strategy: str) -> None:
    """From the second position on the two leaves are equal; a state that was read for the other had its first value."""
    twins = ms.monoid(lambda l, r: (mx.tanh(l[0] + l[1] * r[0]),) * 2)
    x, y = [0.3, -0.4, 0.5], [1.2, 0.1, 0.2]

    def loss(x: mx.array, y: mx.array) -> mx.array:
        return sum(leaf.sum() for leaf in ms.scan(twins, (x, y), strategy=strategy))

    def by_hand(x: mx.array, y: mx.array) -> mx.array:
        left, right = x[0], y[0]
        total = left + right
        for t in (1, 2):
            left = right = mx.tanh(left + right * x[t])
            total = total + left + right
        return total

    found = mx.grad(loss, argnums=(0, 1))(mx.array(x), mx.array(y))
    for ours, theirs in zip(found, mx.grad(by_hand, argnums=(0, 1))(mx.array(x), mx.array(y)), strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-5, atol=1e-6)
