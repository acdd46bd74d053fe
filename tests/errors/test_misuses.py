"""What looks right and is not: each misuse is refused in words that name the way out, before anything runs."""

# a table: one row a message

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

X = mx.arange(6).astype(mx.float32)
TRUE = X > 2
A = mx.full((8,), 0.5)
COMPLEX = X.astype(mx.complex64)
CALLS: dict[str, Callable[..., Any]] = {
    "scan": lambda **options: ms.scan(ms.Sum(), X, **options),
    "fold": lambda **options: ms.fold(ms.Sum(), X, **options),
    "linear_recurrence": lambda **options: ms.linear_recurrence(X, X, **options),
    "explain": lambda **options: ms.explain(ms.Sum(), X, **options),
    "associative_scan": lambda **options: ms.associative_scan(mx.add, X, **options),
}
OPTIONS = {
    "scan": ("reverse", "inclusive", "return_carry"), "fold": ("reverse",),
    "linear_recurrence": ("reverse", "return_carry"), "explain": ("reverse", "inclusive", "return_carry"),
    "associative_scan": ("reverse",),
}  # fmt: skip


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(ms.ScanError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith("[")
    assert message[-1] in ".)'"
    assert "  " not in message
    for word in words:
        assert word in message, f"{message!r} lacks {word!r}"


@pytest.mark.parametrize(
    "value", ["no", 1, 0, None, [], mx.array(True), np.array([True])], ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize(("call", "flag"), [(call, flag) for call, flags in OPTIONS.items() for flag in flags])
def test_a_flag_is_true_or_false(call: str, flag: str, value: Any) -> None:
    CALLS[call](**{flag: True})  # what is remembered of it, and compares equal, does not let another type pass
    refused(lambda: CALLS[call](**{flag: value}), f"{flag} must be True or False; got")


def test_a_flag_of_numpy_is_a_flag() -> None:
    assert ms.scan(ms.Sum(), X, reverse=np.True_).tolist() == ms.scan(ms.Sum(), X, reverse=True).tolist()  # type: ignore[arg-type]


def test_wrong_elements_are_named_before_a_wrong_init() -> None:
    refused(lambda: ms.scan(ms.Affine(), X, init=(A, A)), "[scan] Affine expects a tree (a, b); got a single array")


@pytest.mark.parametrize("strategy", ["fast", "", None, 5, ["kernel"], {"a": 1}])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_a_strategy_is_one_that_there_is(strategy: Any, length: int) -> None:
    refused(
        lambda: ms.scan(ms.Sum(), X[:length], strategy=strategy), "strategy must be one of auto, native", repr(strategy)
    )


@pytest.mark.parametrize("stream", ["cpu", 0, True, mx.float32])
def test_a_stream_is_a_stream_or_a_device(stream: Any) -> None:
    for call in ("scan", "fold", "linear_recurrence", "explain"):
        refused(lambda call=call: CALLS[call](stream=stream), "[stream] expects a Stream or a Device")  # type: ignore[misc]


FIELDS = ms.FiniteMap(2)


MISUSES: list[tuple[str, tuple[str, ...], Callable[[], Any]]] = [
    # ------------------------------------------------------------------------------------- arguments
    ("leaves one by one", ("axis must be an int; got an array of shape (8,)", "one argument, a tree as (a, b)"),
     lambda: ms.scan(ms.Affine(), A, A)),  # type: ignore[arg-type]
    ("a numpy array as the axis", ("axis must be an int; got an array",), lambda: ms.fold(ms.Sum(), X, np.ones(2))),  # type: ignore[arg-type]
    ("an axis of an array without axes", ("axis must be an int",), lambda: ms.scan(ms.Sum(), X, mx.array(0))),  # type: ignore[arg-type]
    ("a bool of numpy as the axis", ("axis must be an int",), lambda: ms.scan(ms.Sum(), X, np.False_)),  # type: ignore[arg-type]
    ("JAX's axis in the place of reverse", ("reverse must be True or False; got 0",),
     lambda: ms.associative_scan(mx.add, X, 0)),  # type: ignore[arg-type]
    # ------------------------------------------------------------------------------------------ rank
    ("a scalar in associative_scan", ("leaf x has shape () and no scan axis", "mx.stack"),
     lambda: ms.associative_scan(mx.add, mx.array(1.0))),
    ("a scalar", ("Sum leaf x has shape () and no scan axis", "a sequence", "x[None]"), lambda: ms.scan(ms.Sum(), mx.array(1.0))),
    ("one matrix", ("leaf A has shape (2, 2) and no scan axis", "that is one element"), lambda: ms.scan(ms.MatMul(), mx.eye(2))),
    ("an axis beyond the event", ("whose last 2 axes belong to one element; it must be 0.",),
     lambda: ms.scan(ms.MatMul(), mx.ones((4, 2, 2)), axis=5)),
    ("an axis beyond the batch", ("it must be in [0, 1].",), lambda: ms.scan(ms.MatMul(), mx.ones((4, 3, 2, 2)), axis=5)),
    # ------------------------------------------------------------------------------------------ tree
    ("a stacked array in front", ("got a single array of shape (2, 8).", "Take a stacked array apart: (x[0], x[1])."),
     lambda: ms.scan(ms.Affine(), mx.stack([A, A]))),
    ("a stacked array behind", ("(x[..., 0], x[..., 1])",), lambda: ms.scan(ms.Affine(), mx.stack([A, A], axis=-1))),
    ("raw input for an operator with embed", ("Mean.embed builds elements from raw input.",), lambda: ms.scan(ms.Mean(), X)),
    ("a list of matrices", ("expects a single array", "mx.stack"), lambda: ms.scan(ms.MatMul(), [mx.eye(2), mx.eye(2)])),
    ("a quaternion of three", ("a quaternion (w, x, y, z) has the shape (..., 4); got (3,)",),
     lambda: ms.scan(ms.Quaternion(), mx.ones((5, 3)))),
    ("a pose the wrong way round", ("a quaternion (w, x, y, z) has the shape (..., 4); got (3,)",),
     lambda: ms.scan(ms.Rigid3(), (mx.ones((5, 3)), mx.ones((5, 4))))),
    # ------------------------------------------------------------------------------------------ flags
    ("flag and value swapped", ("[Segmented(Sum)] takes pairs (flag, value), and flag must be bool; got float32", "swapped"),
     lambda: ms.scan(ms.Segmented(ms.Sum()), (X, TRUE))),
    ("valid and value swapped", ("[Maybe(Last)] takes pairs (valid, value)", "swapped"),
     lambda: ms.scan(ms.Maybe(ms.Last()), (X, TRUE))),
    ("numbers as flags", ("flag must be bool; got int32", ".astype(mx.bool_)"),
     lambda: ms.scan(ms.Tuple(ms.Segmented(ms.Sum())), ((mx.array([1, 0]), mx.array([1, 2])),))),
    ("flags of an inner operator", ("[Segmented(Sum)]", "must be bool"),
     lambda: ms.scan(ms.Maybe(ms.Segmented(ms.Sum())), (TRUE, (X, X)))),
    ("numbers as flags of embed", ("[Segmented(Sum)]", "must be bool"), lambda: ms.Segmented(ms.Sum()).embed(X, TRUE)),
    ("numbers as valid of embed", ("[Maybe(Sum)]", "must be bool"), lambda: ms.Maybe(ms.Sum()).embed(X, TRUE)),
    # ------------------------------------------------------------------------------------------- dtype
    ("complex logarithms", ("[LogSumExp] takes floats only; leaf x is complex64.", "mx.real(x)"),
     lambda: ms.scan(ms.LogSumExp(), COMPLEX)),
    ("complex rotations", ("[Quaternion] takes floats only; leaf q is complex64.", "mx.real(q)"),
     lambda: ms.scan(ms.Quaternion(), mx.zeros((3, 4), mx.complex64))),
    ("complex variances", ("[Moments(2).embed] x must be real; got complex64",), lambda: ms.Moments(2).embed(COMPLEX)),
    ("complex weights", ("[Moments(2).embed] weight must be real",), lambda: ms.Moments(2).embed(X, COMPLEX)),
    # -------------------------------------------------------------------------------------------- embed
    ("a list in embed", ("[Mean.embed] x must be an array; got [float 1.0, float 2.0]. Convert it with mx.array",),
     lambda: ms.Mean().embed([1.0, 2.0])),  # type: ignore[arg-type]
    ("a tuple in embed", ("[Mean.embed] x must be an array", "an argument of its own"), lambda: ms.Mean().embed((X, X))),  # type: ignore[arg-type]
    ("a number as the weight", ("[Mean.embed] weight must be an array; got 2.0. Spread it",), lambda: ms.Mean().embed(X, 2.0)),  # type: ignore[arg-type]
    ("a masked array in embed", ("[OnlineSoftmax.embed] x is a masked array",), lambda: ms.OnlineSoftmax().embed(np.ma.ones(3))),  # type: ignore[arg-type]
    ("text in embed where elements are given", ("[Quaternion.embed] expects an element, a single array; got 'x'",),
     lambda: ms.Quaternion().embed("x")),
    ("nothing in embed", ("[Rigid3.embed] expects an element, (q, t)",), lambda: ms.Rigid3().embed()),
    ("text in embed", ("[Bracket.embed] x must be an array; got '(())'",), lambda: ms.Bracket().embed("(())")),  # type: ignore[arg-type]
    ("an axis that ArgMax cannot count", ("[ArgMax.embed] x has shape (6,) and no axis 2",), lambda: ms.ArgMax().embed(X, axis=2)),
    ("a scalar that ArgMin cannot count", ("[ArgMin.embed] x has shape ()", "index="), lambda: ms.ArgMin().embed(mx.array(1.0))),
    ("symbols that are floats", ("[FiniteMap(2).embed] symbols must be integers",),
     lambda: FIELDS.embed(X, mx.array([[0, 1], [1, 0]]))),
    ("a list for a matrix in a filter", ("[KalmanFilter.embed] transition must be an array",),
     lambda: ms.KalmanFilter().embed(X[:, None], [[1.0]], *[mx.eye(1)] * 3)),  # type: ignore[arg-type]
    ("a flag for each step of a filter", ("[KalmanFilter.embed] mask must have the axes of y, (6, 1)", "got (6,)", "flags[..., None]"),
     lambda: ms.KalmanFilter().embed(X[:, None], *[mx.eye(1)] * 4, mask=TRUE)),
    ("a mask of more steps", ("mask must have the axes of y, (6, 1)", "got (7, 1)"),
     lambda: ms.KalmanFilter().embed(X[:, None], *[mx.eye(1)] * 4, mask=mx.ones((7, 1)) > 0)),
    ("weights as a mask", ("[KalmanFilter.embed] mask must be bool; got float32",),
     lambda: ms.KalmanFilter().embed(X[:, None], *[mx.eye(1)] * 4, mask=X[:, None])),
    ("a list as a mask", ("[KalmanFilter.embed] mask must be an array",),
     lambda: ms.KalmanFilter().embed(X[:, None], *[mx.eye(1)] * 4, mask=[True])),  # type: ignore[arg-type]
    ("a model of fewer steps", ("one for each step of y along axis 0", "got y (6, 1), transition (1, 1), process (5, 1, 1)"),
     lambda: ms.KalmanFilter().embed(X[:, None], mx.eye(1), mx.ones((5, 1, 1)), *[mx.eye(1)] * 2)),
    ("more models than series", ("process has 2 axes in front of its last two, and y has 1", "Give y the others too"),
     lambda: ms.KalmanFilter().embed(X[:, None], mx.eye(1), mx.ones((6, 6, 1, 1)), *[mx.eye(1)] * 2)),
    ("complex observations", ("[KalmanFilter.embed] y must be real; got complex64",),
     lambda: ms.KalmanFilter().embed(COMPLEX[:, None], *[mx.eye(1)] * 4)),
    ("a number as the mean", ("[KalmanFilter.prior] mean must have the shape (..., d); got ()", "mean[None]"),
     lambda: ms.KalmanFilter().prior(mx.array(0.0), mx.eye(1))),
    ("a covariance of another size", ("[KalmanFilter.prior] covariance must have the shape (..., 2, 2); got (1, 1)",),
     lambda: ms.KalmanFilter().prior(mx.zeros((2,)), mx.eye(1))),
    ("a smoother of fewer covariances", ("one for each step of mean along axis 0", "covariance (5, 1, 1)"),
     lambda: ms.KalmanSmoother().embed(X[:, None], mx.ones((5, 1, 1)), mx.eye(1), mx.eye(1))),
    ("flags of another length", ("[Maybe(Sum).embed] valid must have the length of the values along axis 0", "(bool(3,), float32(6,))"),
     lambda: ms.Maybe(ms.Sum()).embed(TRUE[:3], X)),
    # ------------------------------------------------------------------------------------------ project
    ("raw input in Moments.project", ("[Moments(2).project] expects an element, (n, mean, m2)", "got float32(3,)"),
     lambda: ms.Moments(2).project(X[:3])),  # type: ignore[arg-type]
    ("too many leaves", ("[Moments(2).project]",), lambda: ms.Moments(2).project((X, X, X, X))),
    ("a word in MinMax.project", ("[MinMax.project] expects an element, (low, high)", "got 'x'"), lambda: ms.MinMax().project("x")),
    ("nothing in FiniteMap.project", ("[FiniteMap(2).project] expects an element",), lambda: FIELDS.project(None)),  # type: ignore[arg-type]
    ("a vector in Quaternion.project", ("a quaternion (w, x, y, z) has the shape (..., 4); got (3,)",),
     lambda: ms.Quaternion().project(X[:3])),
    ("text in Rigid3.project", ("[Rigid3.project] expects an element, (q, t)",),
     lambda: ms.Rigid3().project(("q", "t"))),  # type: ignore[arg-type]
    ("a map of another size", ("[FiniteMap(2)] maps must have the shape (..., 2)",), lambda: FIELDS.project(X)),
    ("a start that is no state", ("start must be a state, from 0 to 1; got 2",), lambda: FIELDS.project(mx.array([0, 1]), 2)),
    ("a start from behind", ("start must be a state, from 0 to 1; got -1",), lambda: FIELDS.project(mx.array([0, 1]), -1)),
    # -------------------------------------------------------------------------------------------- state
    ("a state that has the time axis", ("h0 has shape (5, 3); expected (3,), the shape of a and b without axis 0",),
     lambda: ms.linear_recurrence(mx.ones((5, 3)), mx.ones((5, 3)), h0=mx.ones((5, 3)))),
    ("a state with more axes than the inputs", ("h0 has shape (4,); expected ()", "mx.broadcast_to"),
     lambda: ms.linear_recurrence(A, A, h0=mx.ones((4,)))),
    ("a state with the time axis in the middle", ("h0 has shape (5, 5, 3); expected (5, 3)", "without axis 1"),
     lambda: ms.linear_recurrence(mx.ones((5, 5, 3)), mx.ones((5, 5, 3)), mx.ones((5, 5, 3)), 1)),
    # -------------------------------------------------------------------------------------- construction
    ("an order that is a float", ("[Moments] order must be 2, 3 or 4; got 2.0",), lambda: ms.Moments(2.0)),  # type: ignore[arg-type]
    ("a truth value of states", ("[FiniteMap] k must be a positive number",), lambda: ms.FiniteMap(True)),
    ("a number for a bijection", ("[Via] to must be a function; got 1",), lambda: ms.Via(ms.Sum(), 1, 2)),  # type: ignore[arg-type]
    ("a number for an action", ("[Semidirect] act must be a function; got 3",), lambda: ms.Semidirect(ms.Sum(), ms.Sum(), 3)),  # type: ignore[arg-type]
    ("operators without names", ("[Struct] takes operators by name", "Tuple"), lambda: ms.Struct(ms.Sum())),
    ("a word for the identity", ("[monoid] identity must be a number for each leaf", "got 'zero'"),
     lambda: ms.monoid(mx.add, identity="zero")),
    ("bytes for the identity", ("[monoid] identity must be a number for each leaf", "got bytes"),
     lambda: ms.monoid(mx.add, identity=b"0")),
    ("an identity of two numbers for one", ("[add] its identity has shape (2,); leaf x of one element has ()",),
     lambda: ms.scan(ms.monoid(mx.add, identity=np.zeros(2), name="add"), A, inclusive=False)),
    ("a number for embed", ("[monoid] embed must be a function; got 3",), lambda: ms.monoid(mx.add, embed=3)),  # type: ignore[arg-type]
    ("a word for a fact", ("[monoid] commutative must be True or False; got 'no'",),
     lambda: ms.monoid(mx.add, commutative="no")),  # type: ignore[arg-type]
    ("an object for the identity", ("[monoid] identity must be a number for each leaf", "got object"),
     lambda: ms.monoid(mx.add, identity=object())),
    ("a number for the name", ("[monoid] name must be a text; got 3",), lambda: ms.monoid(mx.add, name=3)),  # type: ignore[arg-type]
    *((f"axes that are {event!r}", ("[scan] add event must be how many trailing axes", f"got {event!r}"),
       lambda event=event: ms.scan(ms.monoid(mx.add, event=event), X)) for event in (None, 1.5, True, [1], (1.0,), {})),
]  # fmt: skip


@pytest.mark.parametrize(("words", "call"), [row[1:] for row in MISUSES], ids=[row[0] for row in MISUSES])
def test_a_misuse_is_refused(words: tuple[str, ...], call: Callable[[], Any]) -> None:
    refused(call, *words)


PROJECTING: list[ms.Semigroup] = [
    ms.ArgMax(), ms.ArgMin(), ms.Mean(), ms.Moments(2), ms.Moments(4), ms.OnlineSoftmax(), ms.MaxSubarray(), ms.Rigid3(),
    ms.KalmanFilter(), ms.KalmanSmoother(), ms.Bracket(), ms.Tuple(ms.Mean(), ms.Max()), ms.Maybe(ms.Max()),
    ms.Segmented(ms.Max()), ms.Dual(ms.Mean()), ms.Struct(a=ms.Max()), ms.Semidirect(ms.Product(), ms.Sum()),
]  # fmt: skip


@pytest.mark.parametrize("operator", PROJECTING, ids=lambda operator: operator.name)
@pytest.mark.parametrize("rows", [2, 3, 4, 5])
def test_no_operator_projects_the_rows_of_an_array(operator: ms.Semigroup, rows: int) -> None:
    refused(lambda: operator.project(mx.ones((rows, 3))), ".project] expects an element")


def test_an_init_of_ones_own_that_sets_a_field_says_how_fields_are_declared() -> None:
    class Scaled(ms.Monoid):
        def __init__(self, k: float) -> None:
            self.k = k

        def combine(self, left: Any, right: Any) -> Any:
            return left + self.k * right

        def identity(self, like: Any) -> Any:
            return mx.zeros_like(like)

    refused(lambda: Scaled(2.0), "[Scaled] sets a field in an __init__ of its own", "@attrs.frozen class Scaled")


def test_an_init_of_ones_own_that_sets_no_field_is_run() -> None:
    seen: list[Any] = []

    @attrs.frozen(init=False)
    class Shifted(ms.Semigroup):
        by: int

        def __init__(self, by: str) -> None:
            seen.append(by)
            self.__attrs_init__(int(by))

        def combine(self, left: Any, right: Any) -> Any:
            return left + right + self.by

    assert ms.scan(Shifted("3"), mx.array([1, 1, 1])).tolist() == [1, 5, 9]
    assert seen == ["3"]
    assert Shifted("3") == Shifted("3") != Shifted("4")


def test_a_chunk_needs_an_index_of_its_own() -> None:
    """What `embed` says: it counts from 0 in each call."""
    argmax, x = ms.ArgMax(), mx.array([5.0, 1.0, 2.0, 9.0])
    chunks = [argmax.embed(x[:2], mx.arange(2)), argmax.embed(x[2:], mx.arange(2, 4))]
    carry = ms.fold(argmax, chunks[0])
    assert argmax.project(ms.scan(argmax, chunks[1], init=carry)).tolist() == [0, 3]
    assert argmax.embed(x[2:])[1].tolist() == [0, 1]
