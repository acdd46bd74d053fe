"""Every message says the call, the operator, the leaf, given against expected, and the way out."""

# a table: one row a message

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

X = mx.arange(6).astype(mx.float32)
A = mx.full((6,), 0.5)
LONG = mx.zeros((6, 2))
MATRICES = mx.ones((4, 2, 2))


class Pair(NamedTuple):
    a: Any
    b: Any


def plus(left: Any, right: Any) -> Any:
    return left + right


class Half(ms.Semigroup):
    def combine(self, left: Any, right: Any) -> Any:
        return left + right

    def identity(self, like: Any) -> Any:
        return mx.zeros_like(like)


def monoid(function: Callable[..., Any], **options: Any) -> ms.Semigroup:
    return ms.monoid(function, name="mine", **options)


class OwnInit(ms.Monoid):
    def __init__(self, k: int) -> None:
        object.__setattr__(self, "k", k)

    def combine(self, left: Any, right: Any) -> Any:
        return left + right

    def identity(self, like: Any) -> Any:
        return mx.zeros_like(like)


def wrong_message(kind: type[Exception], words: str, call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    missing = [word for word in words.split(" | ") if word not in message]
    assert not missing, f"{message!r} lacks {missing}"
    return message


Case = tuple[str, type[Exception], str, Callable[[], Any]]

CASES: list[Case] = [
    # ------------------------------------------------------------------------------ the tree
    ("a single array where a tree is expected", ms.TreeError,
     "[scan] Affine expects a tree (a, b); got a single array of shape (6,). Each leaf is an array of its own: (a, b).",
     lambda: ms.scan(ms.Affine(), X)),
    ("a tree where a single array is expected", ms.TreeError,
     "[scan] Sum expects a single array; got (float32(6,), float32(6,)). Tuple scans several", lambda: ms.scan(ms.Sum(), (X, X))),
    ("too many leaves", ms.TreeError, "expects a tree (a, b); got (float32(6,), float32(6,), float32(6,))",
     lambda: ms.scan(ms.Affine(), (X, X, X))),
    ("a leaf that is a tree", ms.TreeError, "expects a tree (a, b); got (float32(6,), (float32(6,), float32(6,)))",
     lambda: ms.scan(ms.Affine(), (X, (X, X)))),
    ("a dict for a tuple", ms.TreeError, "expects a tree (a, b); got {'a': float32(6,), 'b': float32(6,)}",
     lambda: ms.fold(ms.Affine(), {"a": X, "b": X})),
    ("wrong keys", ms.TreeError, "keys total", lambda: ms.scan(ms.Struct(total=monoid(plus)), {"sum": X})),
    ("too few parts", ms.TreeError, "Tuple(Sum, Max) expects a tree (x, x); got (float32(6,),)",
     lambda: ms.scan(ms.Tuple(ms.Sum(), ms.Max()), (X,))),
    ("an empty tuple", ms.TreeError, "[scan] Sum expects at least one array; got the empty tree ().",
     lambda: ms.scan(ms.Sum(), ())),
    ("an empty dict", ms.TreeError, "[fold] mine expects at least one array; got the empty tree {}.",
     lambda: ms.fold(monoid(plus), {})),
    ("nothing", ms.TreeError, "[scan] Sum expects at least one array; got the empty tree None.", lambda: ms.scan(ms.Sum(), None)),
    ("a numpy array of texts", ms.ScanTypeError, "[scan] Affine leaf b is str32, which MLX has not. Cast it first, as in",
     lambda: ms.scan(ms.Affine(), (X, np.array(["a"] * 6)))),
    ("a list of numbers", ms.TreeError, "leaf [0] is int 1", lambda: ms.scan(monoid(plus), [1, 2])),
    # --------------------------------------------------------------------------- scalar gates
    ("a number that no leaf holds", ms.ScanTypeError,
     "[scan] Affine leaf a is the number 0.5, which int32 cannot hold. | Cast the other leaves",
     lambda: ms.scan(ms.Affine(), (0.5, mx.array([1, 2])))),
    ("an array without axes as the gate", ms.ScanError,
     "[scan] Affine leaf a has shape () and no scan axis. | mx.broadcast_to(a, (6,))",
     lambda: ms.scan(ms.Affine(), (mx.array(0.5), X))),
    ("one matrix for all steps", ms.ScanError,
     "[scan] MatrixAffine leaf A has shape (2, 2) and no scan axis in front of its 2 event axes. | mx.broadcast_to(A, (6, 2, 2))",
     lambda: ms.scan(ms.MatrixAffine(), (mx.eye(2), LONG))),
    ("a scalar to scan", ms.ScanError, "leaf x has shape () and no scan axis", lambda: ms.scan(ms.Sum(), mx.array(1.0))),
    # ------------------------------------------------------------------------ lengths and shapes
    ("leaves of two lengths", ms.ScanError,
     "[scan] Affine leaves must have one length along axis 0; a has 6 (shape (6,)), b has 4 (shape (4,)).",
     lambda: ms.scan(ms.Affine(), (X, X[:4]))),
    ("a leaf of length one", ms.ScanError, "a has 1 (shape (1,)), b has 6 (shape (6,)). | mx.broadcast_to",
     lambda: ms.scan(ms.Affine(), (X[:1], X))),
    ("batch shapes that do not broadcast", ms.ScanError,
     "batch shapes of leaves must broadcast (the scan axis and event axes removed); got a (2,), b (3,).",
     lambda: ms.scan(ms.Affine(), (mx.ones((4, 2)), mx.ones((4, 3))))),
    ("matrices that do not multiply", ms.ScanError, "[scan] MatMul: combine fails on one element, float32(2, 3): [matmul]",
     lambda: ms.scan(ms.MatMul(), mx.ones((4, 2, 3)))),
    # -------------------------------------------------------------------------------- the axis
    ("an axis that is not there", ms.ScanError, "[scan] Sum axis 1 is out of bounds for leaf x with shape (6,); it must be in [-1, 0].",
     lambda: ms.scan(ms.Sum(), X, axis=1)),
    ("a negative axis that is not there", ms.ScanError, "axis -3 is out of bounds | [-2, 1]",
     lambda: ms.scan(ms.Sum(), LONG, axis=-3)),
    ("an axis one leaf has not", ms.ScanError, "axis 1 is out of bounds for leaf b with shape (6,)",
     lambda: ms.scan(ms.Affine(), (LONG, X), axis=1)),
    ("an event axis", ms.ScanError,
     "axis 1 is an event axis of leaf A with shape (4, 2, 2): its last 2 belong to one element. The scan axis is 0.",
     lambda: ms.scan(ms.MatMul(), MATRICES, axis=1)),
    ("an event axis from the end", ms.ScanError, "axis -1 is an event axis of leaf A",
     lambda: ms.scan(ms.MatMul(), MATRICES, axis=-1)),
    ("a negative axis of leaves of several ranks", ms.ScanError,
     "axis -1 counts from the end, which needs leaves of equal rank; got a (6,), b (6, 2). Name the axis from the front.",
     lambda: ms.scan(ms.Affine(), (X, LONG), axis=-1)),
    ("an axis that is a float", ms.ScanTypeError, "[scan] Sum axis must be an int; got 0.0.",
     lambda: ms.scan(ms.Sum(), X, axis=0.0)),  # type: ignore[arg-type]
    ("an axis that is a list", ms.ScanTypeError, "axis must be an int; got [0].",
     lambda: ms.scan(ms.Sum(), X, axis=[0])),  # type: ignore[arg-type]
    ("an axis that is a bool", ms.ScanTypeError, "axis must be an int; got True.",
     lambda: ms.scan(ms.Sum(), LONG, axis=True)),
    ("no axis", ms.ScanTypeError, "axis must be an int; got None.",
     lambda: ms.scan(ms.Sum(), X, axis=None)),  # type: ignore[arg-type]
    # ------------------------------------------------------------------------------- the event
    ("an event for other leaves", ms.TreeError, "[mine] event names 2 leaves, (0, 1); the elements have 1.",
     lambda: ms.scan(monoid(plus, event=(0, 1)), X)),
    ("a negative event", ms.ScanError, "[scan] mine event must be how many trailing axes | got -1",
     lambda: ms.scan(monoid(plus, event=-1), X)),
    ("an event that is a word", ms.ScanError, "event must be | got 'a'", lambda: ms.scan(monoid(plus, event="a"), X)),
    # ------------------------------------------------------------------------- what combine does
    ("combine returns another dtype", ms.ScanTypeError,
     "[scan] mine: combine must keep dtypes; leaf x is float32 and combine returned bool. | .astype",
     lambda: ms.scan(monoid(lambda l, r: l > r), X)),
    ("combine returns another shape", ms.ScanError,
     "combine must keep the shape of an element; leaf x has event shape () and combine returned (1,). `event`",
     lambda: ms.scan(monoid(lambda l, r: l[None] + r), X)),
    ("combine returns another tree", ms.TreeError,
     "combine must return the tree of its arguments, array; it returned (array, array).",
     lambda: ms.scan(monoid(lambda l, r: (l, r)), X)),
    ("combine returns a number", ms.TreeError, "combine must return arrays; leaf x is float 1.0. | mx.array(",
     lambda: ms.scan(monoid(lambda l, r: 1.0), X)),
    ("combine returns nothing", ms.TreeError, "must return the tree of its arguments, array; it returned None.", lambda: ms.scan(monoid(lambda l, r: None), X)),
    ("a wrong leaf deep in a tree", ms.ScanTypeError, "leaf ['b'].a is int32 and combine returned float32",
     lambda: ms.scan(monoid(lambda l, r: {"b": Pair(l["b"].a * 1.5, l["b"].b)}), {"b": Pair(mx.arange(3), X[:3])})),
    ("an if on a value", ms.TraceError, "[scan] mine: combine reads the value of an array | if | mx.where",
     lambda: ms.scan(monoid(lambda l, r: l if l > r else r), X)),
    ("an item", ms.TraceError, "combine reads the value of an array | .item()", lambda: ms.scan(monoid(lambda l, r: l * r.item()), X)),
    ("a float of a value", ms.TraceError, "float()", lambda: ms.scan(monoid(lambda l, r: l * float(r)), X)),
    ("a numpy call on a value", ms.TraceError, "NumPy", lambda: ms.scan(monoid(lambda l, r: mx.array(np.array(l))), X)),
    ("an if in a part of a tuple", ms.TraceError, "mx.where",
     lambda: ms.scan(ms.Tuple(ms.Sum(), monoid(lambda l, r: l if l > r else r)), (X, X))),
    # ------------------------------------------------------------------------------- identities
    ("an exclusive scan without identity", ms.IdentityError,
     "[scan] First has no identity, and an exclusive scan starts with one. Give init=, or | Maybe(",
     lambda: ms.scan(ms.First(), X, inclusive=False)),
    ("an exclusive scan of functions", ms.IdentityError, "[scan] mine has no identity | monoid(..., identity=...)",
     lambda: ms.scan(monoid(plus), X, inclusive=False)),
    ("an identity in a class of Semigroup", ms.IdentityError, "[scan] Half has no identity | one of Monoid instead of Semigroup",
     lambda: ms.scan(Half(), X, inclusive=False)),
    ("one event for leaves that differ", ms.ScanError, "leaf [1] has shape (6, 2) | `event` may be a tuple with a number for each leaf.",
     lambda: ms.scan(monoid(plus, event=2), (mx.ones((6, 2, 2)), mx.ones((6, 2))))),
    ("an addition that MLX refuses", ms.ScanError, "mlx.core.array and str. `event` says", lambda: ms.scan(monoid(lambda l, r: l + "a"), X)),
    ("the fold of nothing", ms.IdentityError, "[fold] First has no identity, and the fold of an empty axis is the identity. Give init=",
     lambda: ms.fold(ms.First(), X[:0])),
    ("the carry of nothing", ms.IdentityError, "empty axis", lambda: ms.scan(ms.First(), X[:0], return_carry=True)),
    ("a part without identity", ms.IdentityError, "First) has no identity",
     lambda: ms.scan(ms.Tuple(ms.Sum(), ms.First()), (X, X), inclusive=False)),
    ("segments without identity", ms.IdentityError, "[scan] Segmented(First) has no identity | head of each segment | Maybe(",
     lambda: ms.scan(ms.Segmented(ms.First()), (X > 2, X), inclusive=False, init=(False, 0.0))),
    ("segments without identity in a tuple", ms.IdentityError, "Segmented(First) has no identity",
     lambda: ms.scan(ms.Tuple(ms.Segmented(ms.First())), ((X > 2, X),), inclusive=False, init=((False, 0.0),))),
    ("an identity of scalars of another tree", ms.TreeError, "identity has the tree (int 0, int 1); elements are float32()",
     lambda: ms.scan(monoid(plus, identity=(0, 1)), X, inclusive=False)),
    ("an identity of another tree", ms.TreeError, "identity must return an element, array; it returned (float32(), float32())",
     lambda: ms.scan(monoid(plus, identity=lambda like: (like, like)), X, inclusive=False)),
    ("an identity of another shape", ms.ScanError, "identity must return an element | `like` | float32() and is float32(3,)",
     lambda: ms.scan(monoid(plus, identity=lambda like: mx.zeros((3,))), X, inclusive=False)),
    ("an identity of another dtype", ms.ScanError, "leaf x should be int32() and is float32()",
     lambda: ms.scan(monoid(plus, identity=lambda like: mx.zeros(like.shape)), mx.arange(3), inclusive=False)),
    # ------------------------------------------------------------------------------------- init
    ("an init of another tree", ms.TreeError, "[scan] Affine init must be an element, (array, array); got float 1.0.",
     lambda: ms.scan(ms.Affine(), (A, X), init=1.0)),
    ("an init of another dtype", ms.ScanTypeError, "Affine init leaf b is int32; expected float32. Cast it with .astype.",
     lambda: ms.scan(ms.Affine(), (A, X), init=(1.0, mx.array(1)))),
    ("an init of halves in float64", ms.ScanTypeError, "init leaf x is float64; expected float16 or float32",
     lambda: ms.scan(ms.Sum(), X.astype(mx.float16), init=mx.array(1.0, mx.float64))),
    ("an init that is a word", ms.TreeError, "init leaf b must be an array; got str 'x'",
     lambda: ms.scan(ms.Affine(), (A, X), init=(1.0, "x"))),
    ("an init that is a wider numpy array", ms.ScanTypeError, "init leaf b is float64; expected float32. Cast it",
     lambda: ms.scan(ms.Affine(), (A, X), init=(1.0, np.ones(())))),
    ("an init without event axes", ms.ScanError, "leaf A must end in the event shape (2, 2), got shape ()",
     lambda: ms.scan(ms.MatMul(), MATRICES, init=1.0)),
    ("an init of another batch", ms.ScanError, "batch shapes of init and elements must broadcast | x (2,), init leaf x (3,)",
     lambda: ms.scan(ms.Sum(), LONG, init=mx.ones((3,)))),
    ("an init that integers cannot hold", ms.ScanTypeError, "[scan] Sum init leaf x is 1.5, which int32 does not hold",
     lambda: ms.scan(ms.Sum(), mx.arange(4), init=1.5)),
    ("an init of numpy that integers do not hold", ms.ScanTypeError, "init leaf x is 2.5, which int32 does not hold",
     lambda: ms.scan(ms.Sum(), mx.arange(4), init=np.float32(2.5))),
    ("an init beyond uint64", ms.ScanTypeError, f"init leaf x is {2**64}, which uint64 does not hold",
     lambda: ms.scan(ms.Max(), mx.arange(4).astype(mx.uint64), init=2**64)),
    ("an identity below the integers", ms.ScanTypeError,
     "[plus] its identity -1 is no uint8, the dtype of leaf [1]. Cast the elements, or give identity=lambda like: ...",
     lambda: ms.scan(ms.monoid(lambda l, r: l, identity=(0, -1), name="plus"), (X, X.astype(mx.uint8)), inclusive=False)),
    ("an identity above the integers", ms.ScanTypeError, "[plus] its identity 300 is no uint8, the dtype of leaf x",
     lambda: ms.scan(ms.monoid(plus, identity=300), X.astype(mx.uint8), inclusive=False, strategy="blelloch")),
    ("an identity of numpy above the integers", ms.ScanTypeError, "[plus] its identity 300 is no uint8, the dtype of leaf x",
     lambda: ms.scan(ms.monoid(plus, identity=np.int64(300)), X.astype(mx.uint8), inclusive=False)),
    ("a number of Python that MLX does not take", ms.ScanTypeError, "[scan] <lambda> uses a Python integer | np.uint64",
     lambda: ms.scan(ms.monoid(lambda l, r: (l + r) & (2**64 - 1)), mx.arange(4).astype(mx.uint64))),
    ("maps of more states than their integers name", ms.ScanTypeError,
     "[FiniteMap(200)] names states up to 199; leaf f is int8, which ends at 127. Cast it first, as in f.astype(mx.int32).",
     lambda: ms.scan(ms.FiniteMap(200), mx.zeros((4, 200), mx.int8))),
    ("a start that is no state", ms.ScanError, "[FiniteMap(2)] start must be a state, from 0 to 1; got 2.",
     lambda: ms.FiniteMap(2).project(mx.zeros((3, 2), mx.int32), 2)),
    ("an init beyond the integers", ms.ScanTypeError, "init leaf x is 1000, which int8 does not hold",
     lambda: ms.scan(ms.Sum(), mx.arange(4).astype(mx.int8), init=1000)),
    ("a state of another dtype", ms.ScanTypeError, "[linear_recurrence] Affine h0 is int32; expected float32. Cast it with .astype.",
     lambda: ms.linear_recurrence(A, X, h0=mx.array(1))),
    ("a state that is a tuple", ms.TreeError, "[linear_recurrence] Affine h0 must be an array; got (int 1, int 2)",
     lambda: ms.linear_recurrence(A, X, h0=(1, 2))),  # type: ignore[arg-type]
    ("a state of another batch", ms.ScanError, "batch shapes of h0 and elements must broadcast | got a (2,), b (2,), h0 (3,)",
     lambda: ms.linear_recurrence(LONG, LONG, h0=mx.ones((3,)))),
    # ----------------------------------------------------------------------------- the strategy
    ("an unknown strategy", ms.StrategyError, "strategy must be one of auto, native, | got 'fast'.",
     lambda: ms.scan(ms.Sum(), X, strategy="fast")),
    ("native without a native scan", ms.StrategyError, "[scan] strategy='native' cannot run Affine: MLX has no scan that computes it.",
     lambda: ms.scan(ms.Affine(), (X, X), strategy="native")),
    ("Blelloch without identity", ms.StrategyError, "[fold] strategy='blelloch' cannot run First: it has no identity; brent_kung",
     lambda: ms.fold(ms.First(), X, strategy="blelloch")),
    ("a kernel of what cannot be traced", ms.StrategyError, "strategy='kernel' cannot run mine: not traceable: the operation Sort.",
     lambda: ms.scan(monoid(lambda l, r: mx.sort(l) + r, event=1), LONG, strategy="kernel")),
    ("Blelloch for a part without identity", ms.StrategyError, "strategy='blelloch' cannot run First: it has no identity",
     lambda: ms.scan(ms.Tuple(ms.Sum(), ms.First()), (X, X), strategy="blelloch")),
    ("native for a part without a native scan", ms.StrategyError, "strategy='native' cannot run Affine",
     lambda: ms.scan(ms.Tuple(ms.Sum(), ms.Affine()), (X, (X, X)), strategy="native")),
    ("a kernel for a part that cannot be traced", ms.StrategyError, "cannot run | the operation Sort",
     lambda: ms.scan(ms.Tuple(ms.Affine(), monoid(lambda l, r: mx.sort(l) + r, event=1)), ((X, X), LONG), strategy="kernel")),
    ("a strategy of a part deep within", ms.StrategyError, "strategy='native' cannot run Last",
     lambda: ms.scan(ms.Struct(s=ms.Tuple(ms.Sum(), ms.Last())), {"s": (X, X)}, strategy="native")),
    ("a strategy that explain is asked for", ms.StrategyError, "cannot run Affine",
     lambda: ms.explain(ms.Affine(), (X, X), strategy="native")),
    # ----------------------------------------------------------------------------- the operator
    ("a class for an operator", ms.ScanTypeError, "[scan] expects an operator; got the class Sum. Call it: Sum().",
     lambda: ms.scan(ms.Sum, X)),  # type: ignore[arg-type]
    ("a function for an operator", ms.ScanTypeError,
     "[fold] expects an operator; got the function 'plus'. | ms.monoid( | ms.associative_scan(",
     lambda: ms.fold(plus, X)),  # type: ignore[arg-type]
    ("an MLX function for an operator", ms.ScanTypeError, "got the function 'add'", lambda: ms.scan(mx.add, X)),
    ("a word for an operator", ms.ScanTypeError, "expects an operator first, then the elements; got str 'sum'.",
     lambda: ms.scan("sum", X)),  # type: ignore[arg-type]
    ("operator and elements swapped", ms.ScanTypeError, "expects an operator first, then the elements; got array",
     lambda: ms.scan(X, ms.Sum())),  # type: ignore[arg-type]
    ("a class with an __init__ of its own", ms.ScanError,
     "[OwnInit] has its own __init__ but is not decorated: two of its instances would compare equal. | @attrs.frozen",
     lambda: ms.scan(OwnInit(3), X)),
    ("such a class within a combinator", ms.ScanError, "[OwnInit] has its own __init__",
     lambda: ms.scan(ms.Tuple(ms.Sum(), ms.Maybe(OwnInit(3))), (X, (X > 1, X)))),
    ("a class within a combinator", ms.ScanTypeError, "[Maybe] expects operators; got the class Sum; write Sum().",
     lambda: ms.Maybe(ms.Sum)),  # type: ignore[arg-type]
    ("no operators in a tuple", ms.ScanError, "[Tuple] expects at least one operator", lambda: ms.Tuple()),
    ("no function in a monoid", ms.ScanTypeError, "[monoid] combine must be callable; got 3.",
     lambda: ms.monoid(3)),  # type: ignore[arg-type]
    ("an operator without an inverse", ms.ScanError, "inverse", lambda: ms.monoid(plus).inverse(X)),
    # --------------------------------------------------------------------------------- dtypes
    ("integers where logarithms are needed", ms.ScanTypeError,
     "[LogSumExp] takes floats only, since its identity is -inf; leaf x is int32. Cast it first, as in x.astype(mx.float32).",
     lambda: ms.scan(ms.LogSumExp(), mx.arange(4))),
    ("complex numbers in order", ms.ScanTypeError, "[Max] takes | complex numbers have no order; leaf x is complex64",
     lambda: ms.scan(ms.Max(), X.astype(mx.complex64))),
    # -------------------------------------------------------------------------- associative_scan
    ("an operator for a function", ms.ScanTypeError, "[associative_scan] expects a function first | ms.scan",
     lambda: ms.associative_scan(ms.Sum(), X)),  # type: ignore[arg-type]
    ("a word for a function", ms.ScanTypeError, "[associative_scan] expects a function first; got 'sum'",
     lambda: ms.associative_scan("sum", X)),  # type: ignore[arg-type]
    ("slices of nothing", ms.TreeError, "[associative_scan] plus expects at least one array", lambda: ms.associative_scan(plus, ())),
    ("slices of a list", ms.TreeError, "[associative_scan] plus expects arrays; leaf [0] is float 1.0",
     lambda: ms.associative_scan(plus, [1.0])),
    ("slices along no axis", ms.ScanError, "[associative_scan] plus axis 1 is out of bounds",
     lambda: ms.associative_scan(plus, X, axis=1)),
    ("slices of two lengths", ms.ScanError, "[associative_scan] | one length along axis 0",
     lambda: ms.associative_scan(lambda l, r: l, (X, X[:3]))),
    ("a function of slices that changes the dtype", ms.ScanTypeError, "combine must keep dtypes | float32",
     lambda: ms.associative_scan(lambda l, r: l > r, X)),
    ("a function of slices that changes the tree", ms.TreeError, "must return the tree of its arguments",
     lambda: ms.associative_scan(lambda l, r: (l, r), X)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "call"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_words_of(kind: type[Exception], words: str, call: Callable[[], Any]) -> None:
    wrong_message(kind, words, call)


def test_every_error_is_a_scan_error_and_a_value_error() -> None:
    for kind in (ms.TreeError, ms.ScanTypeError, ms.IdentityError, ms.StrategyError, ms.TraceError):
        assert issubclass(kind, ms.ScanError)
    assert issubclass(ms.ScanError, ValueError)
    assert issubclass(ms.ScanTypeError, TypeError)
    assert issubclass(ms.TreeError, TypeError)


@pytest.mark.parametrize("call", [case[3] for case in CASES], ids=[case[0] for case in CASES])
def test_a_second_call_fails_like_the_first(call: Callable[[], Any]) -> None:
    """What was planned, traced or remembered in between changes no message."""
    messages = []
    for _ in range(2):
        with pytest.raises(ms.ScanError) as caught:
            call()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert re.match(r"\[[\w(=, )]+\] ", messages[0]), messages[0]
    assert messages[0].rstrip()[-1] in ".)'", messages[0]
    assert "  " not in messages[0]


def test_the_axis_is_checked_after_a_call_with_an_axis_that_compares_equal() -> None:
    ms.scan(ms.Sum(), LONG, axis=1)
    for axis in (True, 1.0):
        with pytest.raises(ms.ScanTypeError, match="axis must be an int"):
            ms.scan(ms.Sum(), LONG, axis=axis)  # type: ignore[arg-type]


def test_a_numpy_integer_is_an_axis() -> None:
    assert ms.scan(ms.Sum(), LONG, axis=np.int64(1)).shape == (6, 2)  # type: ignore[arg-type]


def test_abstract_operators_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ms.Monoid()  # type: ignore[abstract]

    @attrs.frozen
    class NoIdentity(ms.Monoid):
        def combine(self, left: Any, right: Any) -> Any:
            return left

    with pytest.raises(TypeError, match="identity"):
        NoIdentity()  # type: ignore[abstract]


def test_an_array_constant_that_cannot_be_found_is_an_error() -> None:
    hidden = iter([mx.array(2.0)] * 100)
    found: list[mx.array] = []

    class Reader:
        def __getattribute__(self, name: str) -> Any:
            if name == "secret":
                found.append(next(hidden))
                return found[0]
            return object.__getattribute__(self, name)

    reader = Reader()
    operator = ms.monoid(lambda l, r: l + r + reader.secret * l * r, name="mine")
    wrong_message(
        ms.TraceError,
        "[scan] mine: combine reads an array of shape () and dtype float32 | gradient would be silently zero | field",
        lambda: ms.scan(operator, X),
    )


def test_an_array_that_combine_makes_is_a_constant() -> None:
    operator = ms.monoid(lambda l, r: l + r + mx.array([0.5, 0.25])[1] * l * r)
    x = [1.0, 2.0, 3.0]
    total, want = 0.0, []
    for value in x:
        total = total + value + 0.25 * total * value
        want.append(total)
    for strategy in ("auto", "hillis_steele"):
        np.testing.assert_allclose(ms.scan(operator, mx.array(x), strategy=strategy).tolist(), want)


def test_import_without_a_backend_names_the_extra() -> None:
    """The message alone; that it is what a machine without MLX shows, the packaging check sees."""
    source = (ms.__file__ or "").replace(".pyc", ".py")
    with open(source) as file:
        text = file.read()
    assert 'pip install "monoscan[cpu]"' in text
    assert "raise ImportError" in text
