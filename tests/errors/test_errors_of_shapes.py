"""What is said of shapes, axes and stacked arrays: the numbers in a message are those of the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms

PAIR = ms.monoid(lambda l, r: (l[0] + r[0], l[1] + r[1]), event=(0, 1), name="pair")
MATRIX = ms.monoid(lambda l, r: l @ r, event=2, name="matrix")
BOTH = ms.monoid(lambda l, r: (l[0] + r[0], l[1] + r[1]), event=1, name="both")


class Nested(ms.Semigroup):
    template = (("a", "b"), "c")

    def combine(self, left: Any, right: Any) -> Any:
        return right


def zeros(*shape: int) -> mx.array:
    return mx.zeros(shape)


CASES: dict[str, tuple[type[ms.ScanError], str, Callable[[], Any]]] = {
    # ------------------------------------------------------------- stacked arrays, taken apart
    "leaves stacked in front": (
        ms.TreeError, "Take a stacked array apart: (x[0], x[1]).", lambda: ms.scan(ms.Affine(), zeros(2, 7))),
    "leaves stacked behind": (
        ms.TreeError, "Take a stacked array apart: (x[..., 0], x[..., 1]).", lambda: ms.scan(ms.Affine(), zeros(7, 3, 2))),
    "the number of leaves in the middle alone": (
        ms.TreeError, "Each leaf is an array of its own: (a, b).", lambda: ms.scan(ms.Affine(), zeros(7, 2, 5))),
    "leaves of a tree in a tree": (
        ms.TreeError, "Take a stacked array apart: (x[0], x[1], x[2]).",
        lambda: ms.scan(Nested(), zeros(3, 7))),
    "a tree for an array": (
        ms.TreeError, "Tuple scans several arrays side by side", lambda: ms.scan(ms.Sum(), (zeros(2), zeros(2)))),
    # ----------------------------------------------------------------------------- no scan axis
    "one element": (
        ms.ScanError, "leaf x has shape () and no scan axis: that is one element, and a scan takes a sequence. mx.stack makes "
        "one of several elements, x[None] of one.", lambda: ms.scan(ms.Sum(), zeros())),
    "one element with an event": (
        ms.ScanError, "leaf A has shape (2, 2) and no scan axis in front of its 2 event axes: that is one element",
        lambda: ms.scan(ms.MatMul(), zeros(2, 2))),
    "a leaf that is the same at each step": (
        ms.ScanError, "leaf a has shape () and no scan axis. An element that is the same at each step is spread along the "
        "axis: mx.broadcast_to(a, (6,)).", lambda: ms.scan(ms.Affine(), (zeros(), zeros(6)))),
    "a leaf of a batch that is the same at each step": (
        ms.ScanError, "mx.broadcast_to(leaf, (9, 3)).", lambda: ms.scan(PAIR, (zeros(9), zeros(3)))),
    "several leaves and one event": (
        ms.ScanError, "no scan axis in front of its 1 event axes. An element that is the same at each step is spread along "
        "the axis: mx.broadcast_to(leaf, (9, 3)). `event` may be a tuple with a number for each leaf.",
        lambda: ms.scan(BOTH, (zeros(9, 3), zeros(3)))),
    "a slice without axes": (
        ms.ScanError, "leaf x has shape () and no scan axis: that is one element", lambda: ms.associative_scan(mx.add, zeros())),
    "a slice without axes beside another": (
        ms.ScanError, "mx.broadcast_to(leaf, (4,)).",
        lambda: ms.associative_scan(lambda l, r: l, (zeros(4, 2), zeros()), axis=0)),
    "a slice without axes beside one of one axis": (
        ms.ScanError, "mx.broadcast_to(leaf, (4,)).", lambda: ms.associative_scan(lambda l, r: l, (zeros(4), zeros()))),
    # ------------------------------------------------------------------------------------- axes
    "an event axis behind one axis": (
        ms.ScanError, "axis 1 is an event axis of leaf x with shape (5, 2, 2): its last 2 belong to one element. The scan "
        "axis is 0.", lambda: ms.scan(MATRIX, zeros(5, 2, 2), axis=1)),
    "an event axis behind three axes": (
        ms.ScanError, "its last 2 belong to one element. The scan axis is one of 0 to 2.",
        lambda: ms.scan(MATRIX, zeros(5, 4, 3, 2, 2), axis=3)),
    "an axis past all": (
        ms.ScanError, "axis 2 is out of bounds for leaf x with shape (5, 4); it must be in [-2, 1].",
        lambda: ms.scan(ms.Sum(), zeros(5, 4), axis=2)),
    "an axis past one axis": (
        ms.ScanError, "axis 1 is out of bounds for leaf x with shape (5,); it must be in [-1, 0].",
        lambda: ms.scan(ms.Sum(), zeros(5), axis=1)),
    "an axis past events": (
        ms.ScanError, "axis 5 is out of bounds for leaf x with shape (5, 4, 2, 2), whose last 2 axes belong to one element; it "
        "must be in [0, 1].", lambda: ms.scan(MATRIX, zeros(5, 4, 2, 2), axis=5)),
    "an axis past an event behind one axis": (
        ms.ScanError, "whose last 2 axes belong to one element; it must be 0.", lambda: ms.scan(MATRIX, zeros(5, 2, 2), axis=3)),
    "an array for an axis": (
        ms.ScanTypeError, "axis must be an int; got an array of shape (6,). Elements of several leaves are one argument, a "
        "tree as (a, b).", lambda: ms.scan(ms.Affine(), zeros(6), zeros(6))),  # type: ignore[arg-type]
    # ------------------------------------------------------------------------------------- init
    "an init that still has the scan axis": (
        ms.ScanError, "init is an element without the scan axis; its leaf A must end in the event shape (2, 2), got shape (2, 3).",
        lambda: ms.scan(ms.MatMul(), zeros(5, 2, 2), init=zeros(2, 3))),
    "an init with fewer axes than the event": (
        ms.ScanError, "must end in the event shape (2, 2), got shape (2,).", lambda: ms.scan(ms.MatMul(), zeros(5, 2, 2), init=zeros(2))),
    "a state with the axis of time": (
        ms.ScanError, "h0 has shape (5, 3); expected (3,), the shape of a and b without axis 0",
        lambda: ms.linear_recurrence(zeros(5, 3), zeros(5, 3), h0=zeros(5, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_words_of(name: str) -> None:
    kind, words, call = CASES[name]
    with pytest.raises(kind, match=re.escape(words)):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ms.scan(MATRIX, zeros(2, 2)),
        lambda: ms.scan(PAIR, (zeros(9), zeros(3))),
        lambda: ms.scan(ms.Affine(), (zeros(9), zeros())),
    ],
    ids=["a single leaf", "a number for each leaf", "no event"],
)
def test_a_number_for_each_leaf_is_proposed_where_one_stands_for_several(call: Callable[[], Any]) -> None:
    with pytest.raises(ms.ScanError) as caught:
        call()
    assert "`event`" not in str(caught.value)


@pytest.mark.parametrize("h0", [(), (3,), (1,), (2, 3), (2, 1)])
def test_a_state_may_be_any_that_broadcasts_with_a_step(h0: tuple[int, ...]) -> None:
    x = mx.zeros((5, 2, 3))
    assert ms.linear_recurrence(x, x, h0=zeros(*h0)).shape == (5, 2, 3)


def test_batch_axes_are_those_that_neither_scan_nor_belong_to_an_element() -> None:
    layout = ms.explain(PAIR, (zeros(4, 5, 6), zeros(4, 5, 6, 7)), axis=1).problem.layout
    assert layout.batch == ((4, 6), (4, 6))
    assert layout.event == ((), (7,))
    assert (layout.length, layout.axis) == (5, 1)
    start = ms.explain(ms.MatMul(), zeros(5, 2, 2), init=zeros(3, 2, 2)).problem.layout
    assert start.init == ((3,),)
