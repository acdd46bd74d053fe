"""The identity as constants, and as an element; and what an identity must return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.lowering.plan.identity import Like, identity_constants, neutral
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.reads.captures import capture

INF = float("inf")
F = Leaf("float32")


def like(element: Any) -> Like:
    leaves, structure = tree.flatten(element)
    return Like("scan", structure, tuple(leaves))


def constants(operator: ms.Semigroup, element: Any) -> Any:
    return identity_constants(capture(operator), like(element))


@pytest.mark.parametrize(
    ("operator", "element", "want"),
    [
        (ms.Sum(), F, ((0.0,),)),
        (ms.Product(), Leaf("int8"), ((1,),)),
        (ms.Max(), F, ((-INF,),)),
        (ms.Max(), Leaf("uint8"), ((0,),)),
        (ms.All(), Leaf("bool"), ((True,),)),
        (ms.Affine(), (F, F), ((1.0,), (0.0,))),
        (ms.MatMul(), Leaf("float32", (2, 2)), ((1.0, 0.0, 0.0, 1.0),)),
        (ms.Tuple(ms.Sum(), ms.Affine()), (F, (F, F)), ((0.0,), (1.0,), (0.0,))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_identity_of_an_operator_is_constants(operator: ms.Monoid, element: Any, want: Any) -> None:
    assert constants(operator, element) == want
    found = neutral(operator, like(element))
    assert [tuple(x.reshape(-1).tolist()) for x in found] == list(want)
    assert [Leaf(str(x.dtype).rpartition(".")[2], x.shape) for x in found] == tree.flatten(element)[0]


TABLE = mx.array([2.0, 3.0])


@pytest.mark.parametrize(
    "identity",
    [
        lambda like: TABLE[0] + 0 * like,
        lambda like: like,
        lambda like: mx.sort(like.reshape(1)).reshape(()),
        lambda like: TABLE[1],
    ],
    ids=["of an array that is captured", "the element that it is asked for", "not traceable", "an array itself"],
)
def test_an_identity_that_is_no_constant_is_told_so(identity: Callable[[mx.array], mx.array]) -> None:
    assert constants(ms.monoid(mx.add, identity=identity), F) is None


def test_the_identity_of_captured_arrays_is_an_element() -> None:
    operator = ms.monoid(mx.add, identity=lambda like: TABLE[1])
    assert [x.tolist() for x in neutral(operator, like(F))] == [3.0]


@pytest.mark.parametrize(
    ("returned", "kind", "words"),
    [
        (lambda x: (x, x), ms.TreeError, r"identity must return an element, .*; it returned \(float32"),
        (lambda x: x.astype(mx.int32), ms.ScanTypeError, "leaf x should be float32.* and is int32"),
        (lambda x: x[None], ms.ScanTypeError, r"leaf x should be float32\(\) and is float32\(1,\)"),
        (lambda x: 0.0, ms.ScanTypeError, "leaf x should be float32"),
    ],
)
def test_an_identity_that_is_no_element_is_refused(
    returned: Callable[[Any], Any], kind: type[Exception], words: str
) -> None:
    class Own(ms.Monoid):
        def combine(self, left: Any, right: Any) -> Any:
            return left + right

        def identity(self, like: Any) -> Any:
            return returned(like)

    for ask in (lambda op: constants(op, F), lambda op: neutral(op, like(F))):
        with pytest.raises(kind, match=words):
            ask(Own())


def test_a_leaf_of_a_tree_is_named() -> None:
    class Own(ms.Monoid):
        def combine(self, left: Any, right: Any) -> Any:
            return left

        def identity(self, like: Any) -> Any:
            return {"a": like["a"], "b": like["b"] > 0}

    with pytest.raises(
        ms.ScanTypeError, match=r"\[scan\] Own: identity must return an element.* leaf \S*b\S* should be"
    ):
        neutral(Own(), like({"a": F, "b": F}))
