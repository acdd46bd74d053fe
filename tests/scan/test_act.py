"""``act`` against the fold in order of the action itself, in float64 NumPy, by every strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from act_cases import CASES, N, arrays, fold, normal
from selection import thinned

import monoscan as ms
from monoscan import tree

STRATEGIES = ("auto", "hillis_steele", "brent_kung", "sequential")
IDS = [case[0] for case in CASES]


def _close(found: Any, expected: Any) -> None:
    left, right = tree.flatten(found), tree.flatten(expected)
    assert left[1] == right[1]
    for x, y in zip(left[0], right[0], strict=True):
        np.testing.assert_allclose(np.array(x), y, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", thinned(range(len(CASES)), range(0, len(CASES), 3)), ids=IDS)
def test_states_are_those_of_the_fold_in_order(number: int, strategy: str) -> None:
    _, operator, elems, state, step, begin = CASES[number]
    for start in [state, *[None] * (begin is not None)]:
        for reverse in (False, True):
            found = ms.act(
                operator, arrays(elems), None if start is None else arrays(start), reverse=reverse, return_carry=True,
                strategy=strategy,
            )  # fmt: skip
            _close(found, fold(step, begin, elems, start, reverse))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("number", [0, 2, 8, 15], ids=lambda i: IDS[i])
def test_exclusive_states_are_those_before_each_element(number: int, reverse: bool, strategy: str) -> None:
    _, operator, elems, state, step, begin = CASES[number]
    options: dict[str, Any] = {"reverse": reverse, "inclusive": False, "return_carry": True, "strategy": strategy}
    _close(ms.act(operator, arrays(elems), arrays(state), **options), fold(step, begin, elems, state, reverse, False))


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_chained_calls_are_one_call(number: int) -> None:
    _, operator, elems, state, _, _ = CASES[number]
    whole = arrays(elems)
    head, tail = (tree.map_leaves(lambda x, cut=cut: x[cut], whole) for cut in (slice(0, 4), slice(4, None)))
    first, carry = ms.act(operator, head, arrays(state), return_carry=True)
    both = tree.map_leaves(lambda x, y: mx.concatenate([x, y]), first, ms.act(operator, tail, carry))
    _close(both, tree.map_leaves(np.array, ms.act(operator, whole, arrays(state))))


def test_a_linear_recurrence_is_the_act_of_affine_maps() -> None:
    a, b, h = mx.array(normal(3, N)), mx.array(normal(3, N)), mx.array(normal(3))
    _close(ms.act(ms.Affine(), (a, b), h, axis=1), np.array(ms.linear_recurrence(a, b, h, axis=1)))
    _close(
        ms.act(ms.Affine(), (a, b), axis=-1, reverse=True), np.array(ms.linear_recurrence(a, b, axis=1, reverse=True))
    )


# ------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_axes_broadcast_between_state_and_elements(strategy: str) -> None:
    matrix, rows = normal(N, 4, 3, 3), normal(2, 1, 3)
    found = ms.act(ms.MatMul(), mx.array(matrix), mx.array(rows), strategy=strategy)
    assert found.shape == (N, 2, 4, 3)
    for i in range(2):
        for j in range(4):
            expected, _ = fold(lambda s, x: s @ x, None, matrix[:, j], rows[i, 0])
            np.testing.assert_allclose(np.array(found[:, i, j]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_leaves_of_a_state_have_the_axes_that_they_depend_on(strategy: str) -> None:
    operator = ms.Tuple(ms.Sum(), ms.Affine())
    elems = mx.array(normal(N)), (mx.array(normal(N)), mx.array(normal(N, 5)))
    total, h = ms.act(operator, elems, (mx.array(0.0), mx.array(normal(2, 1))), strategy=strategy)
    assert total.shape == (N,)
    assert h.shape == (N, 2, 5)
    total, h = ms.act(operator, elems, strategy=strategy)
    assert total.shape == (N,)
    assert h.shape == (N, 5)


def test_the_axis_may_be_any_that_belongs_to_no_event() -> None:
    matrix = mx.array(normal(2, N, 3, 3))
    state = mx.array(normal(2, 3))
    found = ms.act(ms.MatMul(), matrix, state, 1)
    np.testing.assert_allclose(
        np.array(found), np.array(ms.act(ms.MatMul(), matrix.swapaxes(0, 1), state)).swapaxes(0, 1)
    )
    with pytest.raises(ms.ScanError, match="axis 2 is an event axis"):
        ms.act(ms.MatMul(), matrix, state, 2)


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_no_elements_leave_the_state_as_it_is(number: int) -> None:
    _, operator, elems, state, _, begin = CASES[number]
    empty = tree.map_leaves(lambda x: x[:0], arrays(elems))
    states, last = ms.act(operator, empty, arrays(state), return_carry=True)
    _close(last, state)
    assert all(x.shape[0] == 0 for x in tree.flatten(states)[0])
    if begin is not None:
        assert all(x.shape[0] == 0 for x in tree.flatten(ms.act(operator, empty))[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_element_is_one_step(strategy: str) -> None:
    one = mx.array(normal(1)), mx.array(normal(1))
    begun, last = ms.act(ms.Affine(), one, return_carry=True, strategy=strategy)
    assert begun.item() == last.item() == one[1].item()
    moved = ms.act(ms.Affine(), one, 2.0, strategy=strategy)
    assert moved.item() == pytest.approx((one[0] * 2 + one[1]).item(), rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_without_items_has_none(strategy: str) -> None:
    states, last = ms.act(ms.MatMul(), mx.zeros((N, 0, 3, 3)), mx.zeros((3,)), return_carry=True, strategy=strategy)
    assert states.shape == (N, 0, 3)
    assert last.shape == (0, 3)


# ------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_add_up_in_float32_and_round_once(half: str, strategy: str) -> None:
    dtype = getattr(mx, half)
    a, b = mx.ones((2000,), dtype), mx.full((2000,), 0.125, dtype)
    for state in (mx.array(0, dtype), mx.array(0.0), None):
        states, last = ms.act(ms.Affine(), (a, b), state, return_carry=True, strategy=strategy)
        assert states.dtype == dtype
        assert last.dtype == mx.float32
        assert last.item() == 250


def test_half_results_take_a_float32_state_as_a_carry() -> None:
    a, b = (mx.array(normal(64)).astype(mx.float16) for _ in range(2))
    whole = ms.act(ms.Affine(), (a, b), strategy="sequential")
    first, carry = ms.act(ms.Affine(), (a[:20], b[:20]), return_carry=True, strategy="sequential")
    rest = ms.act(ms.Affine(), (a[20:], b[20:]), carry, strategy="sequential")
    assert mx.array_equal(mx.concatenate([first, rest]), whole)


@pytest.mark.parametrize(
    ("state", "elements", "result"),
    [
        ("float32", "float32", "float32"), ("int32", "float32", "float32"), ("float32", "int32", "float32"),
        ("complex64", "float32", "complex64"), ("float32", "complex64", "complex64"), ("int8", "int32", "int32"),
        ("int64", "int32", "int64"), ("float16", "float32", "float32"), ("float64", "float32", "float64"),
    ],
)  # fmt: skip
def test_dtypes_promote_to_what_the_action_keeps(state: str, elements: str, result: str) -> None:
    with mx.stream(mx.cpu):
        x = mx.array([2, 3, 1]).astype(getattr(mx, elements))
        for strategy in STRATEGIES:
            found = ms.act(ms.Affine(), (x, x), mx.array(1).astype(getattr(mx, state)), strategy=strategy)
            assert found.dtype == getattr(mx, result)
            assert found.astype(mx.complex64).tolist() == [4, 15, 16]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_complex_states_with_real_gates(strategy: str) -> None:
    a, b = normal(N), normal(N) + 1j * normal(N)
    state = np.complex64(0.5 - 1j)
    found, last = ms.act(
        ms.Affine(),
        (mx.array(a), mx.array(b.astype(np.complex64))),
        mx.array(state),
        return_carry=True,
        strategy=strategy,
    )
    expected, end = fold(lambda h, x: x[0] * h + x[1], None, (a, b), state)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.array(last), end, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("value", "dtype"), [(1, "int32"), (1.0, "float32"), (True, "bool"), (1j, "complex64")])
def test_numbers_are_states_of_the_dtype_of_the_elements(value: Any, dtype: str) -> None:
    x = mx.array([1, 2]).astype(getattr(mx, "bool_" if dtype == "bool" else dtype))
    operator = ms.All() if dtype == "bool" else ms.Sum()
    assert ms.act(operator, x, value).dtype == x.dtype
    assert ms.act(operator, x, np.array(value)[()]).dtype == x.dtype


def test_integers_wrap() -> None:
    x = mx.array([100, 100], mx.int8)
    assert ms.act(ms.Affine(), (mx.ones_like(x), x), mx.array(0, mx.int8)).tolist() == [100, -56]


# --------------------------------------------------------------------------- functions and classes of users


def _sorted(**options: Any) -> ms.Semigroup:
    """An action that cannot be traced: keeps the largest numbers so far, in order."""
    top = ms.Action(
        lambda s, x: mx.sort(mx.concatenate([s, x]))[..., -2:], lambda x: mx.sort(x), event=1, template="top"
    )
    return ms.monoid(
        lambda l, r: mx.sort(mx.concatenate([l, r]))[..., -2:], event=1, name="largest", right=top, **options
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_an_action_that_cannot_be_traced_is_mapped(strategy: str, reverse: bool) -> None:
    x, state = normal(N, 3, 2), normal(2)
    for start in (state, None):
        found, last = ms.act(
            _sorted(), mx.array(x), None if start is None else mx.array(start), reverse=reverse, return_carry=True,
            strategy=strategy,
        )  # fmt: skip
        assert found.shape == (N, 3, 2)
        for j in range(3):
            expected, end = fold(lambda s, e: np.sort([*s, *e])[-2:], np.sort, x[:, j], start, reverse)
            np.testing.assert_array_equal(np.array(found[:, j]), expected.astype(np.float32))
            np.testing.assert_array_equal(np.array(last[j]), end.astype(np.float32))
    plan = ms.explain(_sorted(), mx.array(x), act=True)
    assert plan.combine == "vmap"


def test_a_wide_row_acts_by_mapping() -> None:
    matrix, row = normal(N, 16, 16, scale=0.2), normal(16)
    expected, _ = fold(lambda s, x: s @ x, None, matrix, row)
    np.testing.assert_allclose(
        np.array(ms.act(ms.MatMul(), mx.array(matrix), mx.array(row))), expected, rtol=1e-3, atol=1e-4
    )


@attrs.frozen
class Leaky(ms.Semigroup):
    """Decays by a captured array, with an action that reads a field too."""

    decay: mx.array
    floor: float = 0.0

    def combine(self, left: Any, right: Any) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    @property
    def right(self) -> ms.Action:
        return ms.Action(lambda h, x: x[0] * h + x[1] + 0 * self.decay + self.floor, lambda x: x[1] + self.floor)


def test_what_an_action_reads_is_part_of_the_key() -> None:
    x = mx.ones((3,)), mx.ones((3,))
    found = [ms.act(Leaky(mx.array(0.5), floor), x, 0.0, strategy="sequential").tolist() for floor in (0.0, 1.0, 0.0)]
    assert found == [[1, 2, 3], [2, 4, 6], [1, 2, 3]]


def test_an_action_may_be_an_attribute_of_a_class() -> None:
    class Counter(ms.Semigroup):
        right = ms.Action(lambda s, x: (s + x) % 16, lambda x: x % 16)

        def combine(self, left: Any, right: Any) -> Any:
            return left + right

    assert ms.act(Counter(), mx.array([5, 6, 7]), 3).tolist() == [8, 14, 5]


# ------------------------------------------------------------------------------------------- explain


def test_explain_says_what_states_are_and_how_they_come() -> None:
    a = mx.ones((8, 2)), mx.ones((8, 2))
    begun, given = (
        str(ms.explain(ms.Affine(), a, act=True, strategy="brent_kung")),
        str(ms.explain(ms.Affine(), a, act=True, state=mx.ones((3, 1)), strategy="sequential")),
    )
    assert begun.startswith("act of Affine over float32[8, 2], float32[8, 2], axis 0")
    assert "states    float32[2], begun by the first element; each from the product of the elements before it" in begun
    assert "states    float32[3, 2], given; one after another" in given
    auto = str(ms.explain(ms.Affine(), a, act=True))
    assert "kernel    loop narrow, vectors of" in auto
    assert (
        "begun by the first element; from products of the elements of a block, each block from its true state" in auto
    )
    matrices = str(ms.explain(ms.MatMul(), mx.ones((8, 2, 2)), act=True, state=mx.ones((2,))))
    assert "kernel    loop sequential, one step at a time; 1 part in time, 1 thread; 192 B" in matrices
    assert "states    float32[2], given; one after another" in matrices
    assert "blelloch      an act starts from a state, and places no identity" in auto


# -------------------------------------------------------------------------------------------- errors

PAIR = mx.ones((4,)), mx.ones((4,))
ERRORS: list[tuple[str, type[Exception], str, Callable[[], Any]]] = [
    ("no state", ms.ScanError, r"\[act\] MatMul acts on a state that no element begins: give a state s, as in ms.act",
     lambda: ms.act(ms.MatMul(), mx.ones((4, 2, 2)))),
    ("exclusive", ms.ScanError, r"\[act\] Affine shows the state before each element \(inclusive=False\)",
     lambda: ms.act(ms.Affine(), PAIR, inclusive=False)),
    ("empty carry", ms.ScanError, r"\[act\] Affine has no last state on an empty axis where none is given: give state",
     lambda: ms.act(ms.Affine(), (mx.ones((0,)), mx.ones((0,))), return_carry=True)),
    ("tree", ms.TreeError, r"\[act\] KalmanSmoother acts on a state \(mean, covariance\); got a state array",
     lambda: ms.act(ms.KalmanSmoother(), (mx.ones((4, 1, 1)), mx.ones((4, 1)), mx.ones((4, 1, 1))), mx.ones((1,)))),
    ("element as a state", ms.TreeError, r"\[act\] Affine acts on a state h; got a state \(array, array\)",
     lambda: ms.act(ms.Affine(), PAIR, (mx.array(1.0), mx.array(0.0)))),
    ("axes", ms.ScanError, r"leaf x of the state has shape \(\), fewer axes than the 1 that belong to a state",
     lambda: ms.act(ms.MatMul(), mx.ones((4, 2, 2)), 1.0)),
    ("size", ms.ScanError, r"\[act\] MatMul: act fails on a state, float32\(3,\), and one element, float32\(2, 2\)",
     lambda: ms.act(ms.MatMul(), mx.ones((4, 2, 2)), mx.ones((3,)))),
    ("batch", ms.ScanError, r"batch shapes of the state and of elements must broadcast .*state of \(3,\), and a \(2,\)",
     lambda: ms.act(ms.Affine(), (mx.ones((4, 2)), mx.ones((4, 2))), mx.ones((3,)))),
    ("dtype", ms.ScanTypeError, r"act must keep the dtypes of a state; leaf x is int64 and act returned int32",
     lambda: ms.act(ms.FiniteMap(2), mx.zeros((4, 2), mx.int32), mx.array(0, mx.int64))),
    ("no array", ms.TreeError, r"\[act\] Affine expects a state of arrays; leaf x is 'a'",
     lambda: ms.act(ms.Affine(), PAIR, "a")),
    ("no operator", ms.ScanTypeError, r"\[act\] expects an operator", lambda: ms.act(mx.add, PAIR)),  # type: ignore[arg-type]
    ("native", ms.StrategyError, r"strategy='native' cannot run Sum: MLX has no scan of states",
     lambda: ms.act(ms.Sum(), mx.ones((4,)), strategy="native")),
    ("blelloch", ms.StrategyError, r"an act starts from a state, and places no identity; brent_kung does the same work",
     lambda: ms.act(ms.Affine(), PAIR, strategy="blelloch")),
    ("other tree", ms.TreeError, r"\[act\] add: act must return the tree of a state, array; it returned \(",
     lambda: ms.act(ms.monoid(mx.add, right=ms.Action(lambda s, x: (s, x))), mx.ones((4,)), 0.0)),
    ("other shape", ms.ScanError, r"act must keep the shape of a state; leaf x has \(2,\) and act returned \(2, 1\)",
     lambda: ms.act(ms.monoid(mx.add, right=ms.Action(lambda s, x: s[:, None], event=1)), mx.ones((4,)), mx.ones((2,)))),
    ("branch", ms.TraceError, r"\[act\] add: act reads the value of an array",
     lambda: ms.act(ms.monoid(mx.add, right=ms.Action(lambda s, x: s if x > 0 else x)), mx.ones((4,)), 0.0)),
    ("shapeless", ms.StrategyError, r"\[act\] largest has no plan that fits every size, as mx.compile\(..., shapeless=True\) asks",
     lambda: mx.compile(lambda x: ms.act(_sorted(), x), shapeless=True)(mx.ones((4, 2)))),
    ("bits", ms.StrategyError, r"\[act\] masked: act is not traced \(.*\) and mx.vmap is wrong for bit operations",
     lambda: ms.act(MASKED, mx.ones((4, 3), mx.int32))),
    ("explain state", ms.ScanError, r"\[explain\] state is no argument of scan; give act=True",
     lambda: ms.explain(ms.Affine(), PAIR, state=mx.array(0.0))),
    ("explain init", ms.ScanError, r"\[explain\] init is no argument of act; give state=",
     lambda: ms.explain(ms.Affine(), PAIR, act=True, init=(1, 0))),
    ("matrices", ms.ScanError, r"ms.act\(ms.MatrixAffine\(\), \(a, b\), h0",
     lambda: ms.linear_recurrence(mx.ones((4, 3, 2, 2)), mx.ones((4, 3, 2)))),
]  # fmt: skip


MASKED = ms.monoid(
    mx.add, event=1, name="masked",
    right=ms.Action(lambda s, x: mx.sort((s + x) & mx.array([1, 2, 3])), lambda x: x, event=1),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "call"), [each[1:] for each in ERRORS], ids=[each[0] for each in ERRORS])
def test_what_is_wrong_is_said(kind: type[Exception], words: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_the_stream_is_that_of_the_caller() -> None:
    assert ms.act(ms.Sum(), mx.array([1, 2, 3]), 1, stream=mx.cpu).tolist() == [2, 4, 7]
    with pytest.raises(ms.ScanTypeError, match=r"\[stream\] expects a Stream or a Device"):
        ms.act(ms.Sum(), mx.array([1]), stream="cpu")


def test_without_a_kernel_states_much_smaller_than_elements_go_in_order() -> None:
    rng = np.random.default_rng(2)
    matrices = mx.array(rng.normal(size=(9, 3, 100, 100)) / 11, mx.float32)
    state = mx.array(rng.normal(size=(3, 100)), mx.float32)
    assert ms.explain(ms.MatMul(), matrices, act=True, state=state).strategy == "sequential"
    last = ms.act(ms.MatMul(), matrices, state)[-1]
    want = np.array(state, np.float64)
    for each in np.array(matrices, np.float64):
        want = (want[:, None] @ each)[:, 0]
    np.testing.assert_allclose(np.array(last), want, rtol=1e-4, atol=1e-5)
    few, one = matrices[:, 0, :9, :9], state[0, :9]
    assert ms.explain(ms.MatMul(), few[:, :2, :2], act=True, state=one[:2], stream=mx.gpu).strategy != "sequential"
