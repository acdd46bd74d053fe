"""How elements act on states: values against NumPy, the laws, and actions that break them."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.testing import LawError, check_laws, law_cases

RNG = np.random.default_rng(3)


def _normal(*shape: int) -> mx.array:
    return mx.array(RNG.normal(size=shape).astype(np.float32))


def _same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    left, right = tree.flatten(found)[0], tree.flatten(expected)[0]
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), tolerance, tolerance)


# ------------------------------------------------------------------------------------------ values


A, S, H = _normal(3, 3), _normal(3), _normal(3)
Q = _normal(4)
COVARIANCE = A @ A.T
FLOATS: list[tuple[ms.Action, Any, Any, Any]] = [
    (ms.Affine().right, mx.array(3.0), (mx.array(0.5), mx.array(2.0)), 3.5),
    (ms.MatrixAffine().right, H, (A, S), np.array(A) @ np.array(H) + np.array(S)),
    (ms.MaxPlusAffine().right, mx.array(3.0), (mx.array(-2.0), mx.array(0.0)), 1.0),
    (ms.MatMul().right, S, A, np.array(S) @ np.array(A)),
    (ms.MatMul().left, S, A, np.array(A) @ np.array(S)),
    (ms.SemiringMatMul(ms.MaxPlus()).right, S, A, (np.array(S)[:, None] + np.array(A)).max(0)),
    (ms.SemiringMatMul(ms.MinPlus()).left, S, A, (np.array(A) + np.array(S)).min(1)),
    (ms.FiniteMap(3).right, mx.array(2), mx.array([1, 2, 0]), 0),
    (ms.Bracket().right, mx.array(2), (mx.array(3), mx.array(1)), 1),
    (ms.Bracket().right, mx.array(4), (mx.array(3), mx.array(1)), 2),
    (ms.Semidirect(ms.Product(), ms.Sum()).left, mx.array(3.0), (mx.array(0.5), mx.array(2.0)), 3.5),
    (ms.Segmented(ms.Affine()).right, mx.array(3.0), (mx.array(True), (mx.array(0.5), mx.array(2.0))), 2.0),
    (ms.Segmented(ms.Affine()).right, mx.array(3.0), (mx.array(False), (mx.array(0.5), mx.array(2.0))), 3.5),
    (ms.Tuple(ms.Sum(), ms.MatMul()).right, (mx.array(1.0), S), (mx.array(2.0), A), (3.0, np.array(S) @ np.array(A))),
    (ms.Struct(a=ms.Max()).left, {"a": mx.array(1)}, {"a": mx.array(2)}, {"a": 2}),
    (ms.Via(ms.Affine(), lambda e: (e[0], e[1] * 2), lambda e: (e[0], e[1] / 2)).right, mx.array(3.0),
     (mx.array(0.5), mx.array(2.0)), 5.5),
    (ms.Maybe(ms.Affine()).right, (mx.array(True), mx.array(3.0)), (mx.array(True), (mx.array(0.5), mx.array(2.0))),
     (True, 3.5)),
    (ms.Maybe(ms.Affine()).right, (mx.array(False), mx.array(3.0)), (mx.array(True), (mx.array(0.5), mx.array(2.0))),
     (True, 2.0)),
    (ms.Maybe(ms.Affine()).right, (mx.array(False), mx.array(3.0)), (mx.array(False), (mx.array(0.5), mx.array(mx.nan))),
     (False, 3.0)),
    (ms.Maybe(ms.MatMul()).right, (mx.array(False), S), (mx.array(True), A), (True, np.array(S) @ np.array(A))),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FLOATS)))
def test_an_action_computes_what_the_table_says(number: int) -> None:
    action, state, element, expected = FLOATS[number]
    _same(action.act(state, element), tree.map_leaves(mx.array, expected))


def test_a_quaternion_turns_vectors_and_a_pose_moves_points() -> None:
    q = np.array(Q, np.float64)
    w, x, y, z = q / np.sqrt((q * q).sum())
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    turned = turn @ np.array(S, np.float64) * (q * q).sum()
    _same(ms.Quaternion().left.act(S, Q), turned)
    _same(ms.Rigid3().left.act(S, (Q, H)), turned + np.array(H))


def test_kalmans_actions_are_the_middle_of_their_products() -> None:
    """Of the product with an element that knows the state."""
    zero = mx.zeros((3, 3))
    element = (A, S, COVARIANCE, H, COVARIANCE)
    known = ms.KalmanFilter().combine((zero, H, COVARIANCE, mx.zeros((3,)), zero), element)
    _same(ms.KalmanFilter().right.act((H, COVARIANCE), element), known[1:3], 1e-3)
    later = ms.KalmanSmoother().combine((zero, H, COVARIANCE), (A, S, COVARIANCE))
    _same(ms.KalmanSmoother().right.act((H, COVARIANCE), (A, S, COVARIANCE)), later[1:], 1e-3)


def test_scaled_products_are_the_products_of_matrices_that_underflow() -> None:
    operator, matrices = ms.ScaledMatMul(), np.abs(RNG.normal(size=(60, 3, 3))) * 1e-8
    element = operator.embed(mx.array(matrices.astype(np.float32)))
    exact, log = np.eye(3), 0.0
    for matrix in matrices.astype(np.float32).astype(np.float64):
        exact = exact @ matrix
        log += np.log(exact.max())
        exact /= exact.max()
    found = operator.project(ms.fold(operator, element))
    np.testing.assert_allclose(np.array(found), np.log(exact) + log, rtol=1e-6)
    state = (mx.array([1.0, 0.0, 0.0]), mx.array(0.0))
    for t in range(60):
        state = operator.right.act(state, (element[0][t], element[1][t]))
    np.testing.assert_allclose(np.array(state[0]), exact[0] / exact[0].sum(), rtol=1e-5)
    np.testing.assert_allclose(np.array(state[1]), np.log(exact[0].sum()) + log, rtol=1e-6)


def test_a_product_of_zeros_has_the_scale_zero() -> None:
    operator = ms.ScaledMatMul()
    up, down = operator.embed(mx.array([[0.0, 1.0], [0.0, 0.0]])), operator.embed(mx.array([[1.0, 0.0], [0.0, 0.0]]))
    matrix, log = operator.combine(up, down)
    assert not mx.any(matrix)
    assert log.item() == -np.inf
    weights, log = operator.right.act((mx.array([0.0, 1.0]), mx.array(0.0)), up)
    assert not mx.any(weights)
    assert log.item() == -np.inf


@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_scaled_elements_are_of_float32(dtype: str) -> None:
    matrix, log = ms.ScaledMatMul().embed(mx.array([[1, 2], [3, 4]]).astype(getattr(mx, dtype)))
    assert matrix.dtype == log.dtype == mx.float32
    _same(matrix, np.array([[0.25, 0.5], [0.75, 1.0]]))


def test_scaled_elements_are_square() -> None:
    with pytest.raises(ms.ScanError, match=r"\[ScaledMatMul.embed\] matrices must have the shape"):
        ms.ScaledMatMul().embed(mx.ones((3, 2)))


# ------------------------------------------------------------------------------------------- sides


def test_an_operator_acts_on_its_own_elements_unless_it_says_otherwise() -> None:
    action = ms.First().right, ms.First().left
    assert all(each.on_elements for each in action)
    one, two = mx.array(1), mx.array(2)
    assert action[0].act(one, two).item() == 1
    assert action[1].act(one, two).item() == 2


def test_the_dual_swaps_the_sides() -> None:
    inner = ms.MatMul()
    _same(ms.Dual(inner).right.act(S, A), inner.left.act(S, A))
    _same(ms.Dual(inner).left.act(S, A), inner.right.act(S, A))


def test_segments_of_what_has_no_begin_act_on_elements() -> None:
    assert ms.Segmented(ms.MatMul()).right.on_elements


@pytest.mark.parametrize(
    ("action", "structure", "events"),
    [
        (ms.KalmanFilter().right, (0, 0), (1, 2)),
        (ms.MatMul().right, 0, (1,)),
        (ms.Tuple(ms.Moments(2), ms.MatMul()).right, ((0, 0, 0), 0), (0, 0, 0, 1)),
        (ms.Struct(a=ms.MatMul(), b=ms.Sum()).left, {"a": 0, "b": 0}, (1, 0)),
        (ms.Maybe(ms.KalmanFilter()).right, (0, (0, 0)), (0, 1, 2)),
        (ms.Segmented(ms.KalmanFilter()).right, (0, 0), (1, 2)),
        (ms.Semidirect(ms.MatMul(), ms.MatrixAffine(), lambda n, m: m).left, (0, 0), (2, 1)),
        (ms.Semidirect(ms.MatMul(), ms.MatrixAffine(), lambda n, m: m, event=(2, 2, 1)).left, (0, 0), (2, 1)),
        (ms.Semidirect(ms.Sum(), ms.Sum(), event=0).left, 0, (0,)),
    ],
)
def test_an_action_says_how_many_axes_belong_to_a_state(action: ms.Action, structure: Any, events: Any) -> None:
    assert action.events(tree.flatten(structure)[1]) == events


def test_an_action_says_where_a_state_has_another_number_of_leaves() -> None:
    with pytest.raises(ms.TreeError, match=r"event names 2 leaves, \(1, 2\); the state has 1"):
        ms.KalmanFilter().right.events(tree.LEAF)


@pytest.mark.parametrize("options", [{"act": 3}, {"act": mx.add, "begin": 1}, {"act": mx.add, "states": "x"}])
def test_an_action_is_made_of_functions(options: dict[str, Any]) -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[Action\] (act|begin|states) must be a function; got"):
        ms.Action(**options)


def test_monoid_takes_actions_alone() -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[monoid\] left must be an Action\(act, ...\); got"):
        ms.monoid(mx.add, left=mx.add)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- laws


def _clock(**changes: Any) -> ms.Semigroup:
    """Hours that are added up, on a clock of 16, which divides what integers wrap at."""
    given: dict[str, Any] = {
        "act": lambda s, x: (s + x) % 16, "begin": lambda x: x % 16, "states": lambda x: (x + 3) % 16, **changes,
    }  # fmt: skip
    return ms.monoid(mx.add, identity=0, right=ms.Action(**given), name="clock")


def test_a_lawful_action_of_functions_holds_on_both_levels() -> None:
    report = check_laws(_clock(), dtypes=("int32",), examples=40)
    found = {(row.law, row.level, row.verdict) for row in report.rows if row.law.startswith(("right-a", "right-b"))}
    laws = ("right-action", "right-action-of-identity", "right-begin")
    assert found == {(law, level, "holds") for law in laws for level in ("exact", "bitwise")}


@attrs.frozen
class _Turned(ms.Semigroup):
    """A matrix product whose left action is that of the right."""

    template = "A"
    event = 2

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left @ right

    @property
    def left(self) -> ms.Action:
        return ms.MatMul().right


def _maps(**actions: ms.Action) -> ms.Semigroup:
    return ms.monoid(ms.Affine().combine, identity=(1, 0), name="maps", **actions)


UNLAWFUL: list[tuple[str, ms.Semigroup, str, str]] = [
    ("order", _maps(right=ms.Action(lambda h, x: x[0] * (h + x[1]), lambda x: x[1])), "right-action", "float32"),
    ("identity moves", _clock(states=lambda x: x), "right-action-of-identity", "int32"),
    ("begin", _maps(right=ms.Action(lambda h, x: x[0] * h + x[1], lambda x: x[1] + 1)), "right-begin", "float32"),
    ("wrong side", _Turned(), "left-action", "float32"),
    ("left begin", _maps(left=ms.Action(lambda h, x: h, lambda x: x[1])), "left-begin", "float32"),
    ("clock", _clock(act=lambda s, x: s + x), "right-begin", "int32"),
    ("a little", _maps(right=ms.Action(lambda h, x: x[0] * h + x[1] * (1 + 1e-6), lambda x: x[1])),
     "right-begin", "float32"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "law", "dtype"), [each[1:] for each in UNLAWFUL], ids=[each[0] for each in UNLAWFUL]
)
def test_an_unlawful_action_is_caught(operator: ms.Semigroup, law: str, dtype: str) -> None:
    with pytest.raises(LawError, match=f": {law} fails in exact arithmetic"):
        check_laws(operator, dtypes=(dtype,))


def test_rounding_inside_an_action_is_within_its_bounds() -> None:
    rough = ms.Action(lambda h, x: (x[0] * h + x[1] + 1e6) - 1e6, lambda x: (x[1] + 1e6) - 1e6)
    report = check_laws(_maps(right=rough), dtypes=("float32",))
    assert {row.level for row in report.rows if row.law == "right-begin"} == {"exact", "rounding"}


@pytest.mark.long
def test_what_breaks_a_law_is_shown_with_states_and_elements() -> None:
    with pytest.raises(LawError) as caught:
        check_laws(ms.Tuple(_Turned(), ms.Sum()), dtypes=("float32",))
    text = str(caught.value)
    assert "left  = state(s=[" in text
    assert "law    act(act(s, c), b) == act(s, combine(b, c)), s a state made of a" in text


def test_an_action_without_states_says_what_to_give() -> None:
    with pytest.raises(
        ms.ScanError, match=r"the right action of maps has no states to be checked on: give Action\(\.\.\."
    ):
        check_laws(_maps(right=ms.Action(lambda h, x: x[0] * h + x[1])), dtypes=("float32",))


def test_an_action_that_returns_no_state_is_refused() -> None:
    wide = ms.Action(lambda h, x: (h, h), lambda x: x[1])
    with pytest.raises(ms.ScanTypeError, match=r"maps.right.act must return a state, float32\(\); it returned"):
        check_laws(_maps(right=wide), dtypes=("float32",))


def test_an_action_that_cannot_be_traced_is_checked_in_float64() -> None:
    sort = ms.Action(lambda s, x: mx.sort(s + x), lambda x: mx.sort(x), event=1)
    operator = ms.monoid(mx.add, event=1, right=sort, name="sorted")
    with pytest.raises(LawError, match="in float64"):
        check_laws(operator, dtypes=("float32",), size=3)
    constant = ms.Action(lambda s, x: mx.sort(s), lambda x: mx.zeros_like(x), event=1, states=lambda x: mx.sort(x))
    report = check_laws(ms.monoid(mx.add, event=1, right=constant, name="still"), dtypes=("float32",))
    assert {row.level for row in report.rows if row.law.startswith("right-")} == {"unbounded"}


def test_laws_of_actions_are_cases_for_pytest() -> None:
    names = [case.id for case in law_cases(ms.MatMul(), dtypes=("float32",), examples=10)]
    assert "MatMul-float32-left-action" in names
    assert len(names) == len(set(names))
    for case in law_cases(ms.Affine(), dtypes=("float32",), examples=10):
        case.values[0]()


def test_an_action_reads_the_arrays_that_the_operator_captures() -> None:
    decay = mx.array(0.5)
    operator = ms.monoid(
        lambda l, r: l * 1 + r, identity=0, name="decayed",
        right=ms.Action(lambda s, x: s + x * decay, lambda x: x * decay),
    )  # fmt: skip
    report = check_laws(operator, dtypes=("float32",), examples=20)
    assert {row.verdict for row in report.rows} == {"holds"}
