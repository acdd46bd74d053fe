"""Arrays of NumPy, of pandas and of whoever speaks DLPack are taken as they are, in their own dtype."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import dtypes, tree
from monoscan.monoids import named

WIDE = np.array([1e8 + 0.25, 1.0, -1e8])
A, B = np.array([0.5, 0.25, 0.5], np.float32), np.array([1.0, 2.0, 3.0], np.float32)
H = np.array([1.0, 0.25 * 1.0 + 2.0, 0.5 * 2.25 + 3.0], np.float32)


class Series:
    """What pandas holds: an array behind ``__array__``."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


class Capsule:
    """What speaks DLPack alone."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


def step(h: Any, x: Any) -> Any:
    h = x[0] * h + x[1]
    return h, h


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "scan": lambda a, b: ms.scan(ms.Affine(), (a, b))[1],
    "fold": lambda a, b: mx.concatenate([mx.array(H[:2]), ms.fold(ms.Affine(), (a, b))[1][None]]),
    "act": lambda a, b: ms.act(ms.Affine(), (a, b), np.float32(0)),
    "act from an array": lambda a, b: ms.act(ms.Affine(), (a, b), np.zeros((), np.float32)),
    "linear_recurrence": ms.linear_recurrence,
    "h0": lambda a, b: ms.linear_recurrence(a, b, np.zeros((), np.float32)),
    "init": lambda a, b: ms.scan(ms.Affine(), (a, b), init=(np.ones((), np.float32), np.zeros((), np.float32)))[1],
    "loop": lambda a, b: ms.loop(step, (a, b), np.zeros((), np.float32)),
    "associative_scan": lambda a, b: ms.associative_scan(lambda x, y: (y[0] * x[0], y[0] * x[1] + y[1]), (a, b))[1],
    "aggregator": lambda a, b: ms.scan(ms.aggregator(lambda a, b: (a, b), ms.Affine(), lambda h, a, b: h), (a, b)),
    "state of an aggregator": lambda a, b: ms.scan(
        ms.aggregator(lambda a, b: (a, b), ms.Affine(), lambda h, a, b: h), (a, b), state=np.zeros((), np.float32)
    ),
    "window": lambda a, b: ms.window(ms.Affine(), (a, b), 3)[1],
    "Stream": lambda a, b: ms.Stream(ms.Affine()).push((a, b))[1],
}


@pytest.mark.parametrize("kind", [np.asarray, Series, Capsule])
@pytest.mark.parametrize("name", CALLS)
def test_every_call_takes_arrays_from_elsewhere(name: str, kind: Callable[[np.ndarray], Any]) -> None:
    found = CALLS[name](kind(A), kind(B))
    assert isinstance(found, mx.array)
    assert found.dtype == mx.float32
    assert found.tolist() == H.tolist()


def test_float64_stays_float64() -> None:
    found = ms.scan(ms.Sum(), WIDE)
    assert found.dtype == mx.float64
    assert np.array(found).tolist() == np.cumsum(WIDE).tolist()
    assert ms.fold(ms.Max(), WIDE).item() == 1e8 + 0.25
    assert ms.scan(ms.aggregators.Sum(), (WIDE,)).dtype == mx.float64
    assert ms.linear_recurrence(0.5, WIDE).dtype == mx.float64


@pytest.mark.parametrize(
    "name", thinned(["bool", "int8", "uint16", "int64", "uint64", "float16", "complex64"], ["uint16", "float16"])
)
def test_dtypes_are_kept(name: str) -> None:
    x = np.array([1, 0, 1], name)
    found = ms.scan(ms.Last(), x)
    assert found.dtype == (mx.bool_ if name == "bool" else getattr(mx, name))
    assert found.tolist() == x.tolist()


@pytest.mark.parametrize(
    "x", [np.arange(6.0)[::-1], np.arange(12.0)[::2], np.arange(6.0).astype(">f8"), np.arange(6).astype(">i4")[::-1]]
)
def test_strides_and_byte_orders_do_not_matter(x: np.ndarray) -> None:
    assert ms.scan(ms.Sum(), x).tolist() == np.cumsum(x).tolist()
    square = np.broadcast_to(x, (3, 6)).T
    assert ms.scan(ms.Sum(), square, axis=1).tolist() == np.cumsum(square, axis=1).tolist()


def test_a_later_write_does_not_change_a_result() -> None:
    x = np.ones(8, np.float32)
    found = ms.scan(ms.Sum(), x)
    x[:] = 7
    assert found.tolist() == list(range(1, 9))


def test_a_stream_counts_positions_of_arrays_from_elsewhere() -> None:
    stream = ms.Stream(ms.Sum())
    stream.push(np.arange(3))
    assert stream.push(np.arange(2)).tolist() == [3, 4]
    assert stream.position == 5


def test_fixed_inputs_too() -> None:
    scaled = ms.aggregator(lambda x, c: x * c, ms.Sum(), lambda total, x, c: total)
    assert ms.scan(scaled, (B, ms.fixed(np.full((), 2, np.float32)))).tolist() == [2, 6, 12]


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0, 3.0], "y": [4, 5, 6]})
    assert ms.scan(ms.Sum(), frame["y"]).tolist() == [4, 9, 15]
    assert ms.scan(ms.Sum(), frame).tolist() == frame.cumsum().to_numpy().tolist()
    with pytest.raises(ms.ScanTypeError, match="leaf x is object, which MLX has not"):
        ms.scan(ms.Sum(), pandas.Series(["a", None], dtype=object))


class Elsewhere:
    """A tensor that wants its gradient, or lies on another device."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("call .detach() first")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ma.masked_array([1.0, 2.0], [True, False]), r"leaf x is a masked array.*mask=~np\.ma\.getmaskarray\(x\)"),
        (np.ones(2, complex), r"leaf x is complex128, which MLX has not.*x\.astype\('complex64'\)"),
        (np.ones(2, np.longdouble), r"leaf x is \w+, which MLX has not"),
        (np.array(["2020-01-01"], "M8[D]"), r"leaf x is datetime64\[D\]"),
        (Elsewhere(), r"leaf x, Elsewhere, cannot be read as an array: call \.detach\(\) first"),
    ],
)
def test_what_mlx_cannot_hold_is_refused(x: Any, words: str) -> None:
    with pytest.raises(ms.ScanTypeError, match=r"^\[scan\] Sum " + words):
        ms.scan(ms.Sum(), x)


def test_the_way_out_of_a_masked_array_is_right() -> None:
    x = np.ma.masked_array([1.0, 9.0, 2.0], [False, True, False])
    total = ms.scan(ms.Sum(), x.filled(0), mask=~np.ma.getmaskarray(x))
    assert total.tolist() == x.cumsum().filled(1.0).tolist()


EMBEDDED: dict[str, tuple[Any, ...]] = {
    "Mean()": (WIDE,), "Moments(3)": (WIDE, np.array([1, 2, 3])), "MinMax()": (WIDE,), "ArgMax()": (WIDE, np.arange(3)),
    "OnlineSoftmax()": (WIDE,), "MaxSubarray()": (WIDE,), "Bracket()": (np.array([1, -1, 1]),), "Sum()": (WIDE,),
    "Affine()": (A, B), "FiniteMap(2)": (np.array([0, 1]), np.array([[0, 1], [1, 0]])), "Maybe(Sum())": (B > 1, B),
    "Segmented(Max())": (B > 1, B), "Tuple(Sum(), Mean())": (WIDE,), "Struct(a=Sum(), b=MinMax())": (WIDE,),
    "ScaledMatMul()": (np.ones((3, 2, 2)),), "Semidirect(Product(), Sum())": (A, B),
}  # fmt: skip


@pytest.mark.parametrize("kind", [np.asarray, Series, Capsule])
@pytest.mark.parametrize("text", thinned([*EMBEDDED], ["Mean()", "Moments(3)", "Affine()", "FiniteMap(2)"]))
def test_embed_takes_arrays_from_elsewhere(text: str, kind: Callable[[np.ndarray], Any]) -> None:
    operator, raw = named.operator(text), EMBEDDED[text]
    found, structure = tree.flatten(operator.embed(*map(kind, raw)))
    expected, other = tree.flatten(operator.embed(*(mx.array(x, dtypes.by_name(x.dtype.name)) for x in raw)))
    assert structure == other
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype
        assert x.tolist() == y.tolist()


def test_embed_refuses_what_mlx_cannot_hold() -> None:
    with pytest.raises(ms.ScanTypeError, match=r"\[Mean\.embed\] x is complex128, which MLX has not"):
        ms.Mean().embed(np.ones(2, complex))
    with pytest.raises(ms.ScanTypeError, match=r"\[Sum\.embed\] input is a masked array"):
        ms.Sum().embed(np.ma.masked_array([1.0, 2.0], [True, False]))


def test_one_position_takes_arrays_and_numbers_from_elsewhere() -> None:
    mean = ms.aggregators.Mean()
    state = None
    for x in (np.float64(1e8 + 0.25), np.array(1e8 - 0.25), Series(np.array(0.0))):
        state, found = mean.step(state, x)
    assert found.dtype == mx.float64
    assert found.item() == pytest.approx(2e8 / 3, rel=1e-15)
    state, found = ms.aggregators.Sum().step(np.array([1, 2]), np.array([3, 4]))
    assert found.tolist() == [4, 6]
    with pytest.raises(ms.TreeError, match=r"\[step\] Mean expects arrays as inputs"):
        mean.step(None, "1")


@dataclasses.dataclass
class Pair:
    """A tree of a gate, an input and nothing."""

    a: Any
    b: Any
    note: Any = None


def combined(left: Any, right: Any) -> Any:
    if isinstance(left, dict):
        return {"a": right["a"] * left["a"], "b": right["a"] * left["b"] + right["b"], "note": None}
    return type(left)(right.a * left.a, right.a * left.b + right.b)


def moved(h: Any, x: Any) -> Any:
    return x["a"] * h + x["b"] if isinstance(x, dict) else x.a * h + x.b


TREES: dict[str, Callable[[Any], Any]] = {
    "scan": lambda x: ms.scan(ms.monoid(combined), x),
    "act": lambda x: ms.act(ms.monoid(combined, right=ms.Action(moved)), x, 0.0),
    "loop": lambda x: ms.loop(lambda h, x: (moved(h, x), Pair(moved(h, x), h)), x, np.float32(0)),
    "window": lambda x: ms.window(ms.monoid(combined), x, 3),
    "Stream": lambda x: ms.Stream(ms.monoid(combined)).push(x),
    "associative_scan": lambda x: ms.associative_scan(combined, x),
    "aggregator": lambda x: ms.scan(
        ms.aggregator(lambda b: b, ms.Sum(), lambda total, b: {"b": total, "note": None}), (np.diff(H, prepend=0),)
    ),
}


@pytest.mark.parametrize("gate", [A, 1.0, np.float32(1)], ids=["array", "number", "number of NumPy"])
@pytest.mark.parametrize("build", [Pair, lambda a, b: {"a": a, "b": b, "note": None}], ids=["dataclass", "dict"])
@pytest.mark.parametrize("name", thinned([*TREES], ["scan", "loop", "Stream"]))
def test_trees_with_numbers_and_with_none(name: str, build: Any, gate: Any) -> None:
    found = TREES[name](build(gate, B))
    last = found if isinstance(found, mx.array) else found["b"] if isinstance(found, dict) else found.b
    last = found.a if name == "loop" else last
    expected = np.cumsum(B) if name != "aggregator" and gate is not A else H
    np.testing.assert_allclose(np.array(last), expected, rtol=1e-6)


def test_a_stream_keeps_none_in_its_state() -> None:
    step = ms.monoid(combined, name="pairs")
    stream, again = ms.Stream(step), ms.Stream(step)
    stream.push({"a": A, "b": B, "note": None})
    again.load_state_dict(stream.state_dict())
    assert again.push({"a": A, "b": B, "note": None})["note"] is None
