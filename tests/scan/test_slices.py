"""Functions of whole slices that look at positions and sizes, against the fold of slices in order by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.trace.slices import lengths_of_slices
from monoscan.scan.associative import prepare

RNG = np.random.default_rng(13)
Function = Callable[[Any, Any], Any]


@attrs.frozen
class Case:
    """One function for MLX and NumPy, the axes along which it tells positions apart, and what it needs."""

    name: str
    make: Callable[[Any], Function]
    axes: tuple[int, ...] = (-1,)
    ranks: tuple[int, ...] = (2, 3, 4)
    ties: bool = False

    def __str__(self) -> str:
        return self.name

    def may_scan(self, shape: tuple[int, ...], axis: int) -> bool:
        """Whether the function treats all positions along this axis alike, as a scan asks of it."""
        return len(shape) in self.ranks and all(axis != own % len(shape) for own in self.axes)


def branching(xp: Any) -> Function:
    return lambda l, r: l + r if l.shape[1] > 2 else xp.maximum(l, r)


def on_equal_sizes(xp: Any) -> Function:
    return lambda l, r: l + r if l.shape[-1] == l.shape[-2] else xp.maximum(l, r)


def symmetric(xp: Any) -> Function:
    def function(l: Any, r: Any) -> Any:
        top = xp.maximum(l, r)
        return xp.maximum(top, top.swapaxes(-1, -2)) if l.shape[-1] == l.shape[-2] else top

    return function


def largest(xp: Any) -> Function:
    return lambda l, r: xp.sort(xp.concatenate([l, r], axis=-1), axis=-1)[..., -l.shape[-1] :]


def middle_mask(xp: Any) -> Function:
    def function(l: Any, r: Any) -> Any:
        column = (1, l.shape[1], *(1 for _ in l.shape[2:]))
        return xp.where((xp.arange(l.shape[1]) < 1).reshape(column), l + r, xp.maximum(l, r))

    return function


def rolled(xp: Any) -> Function:
    def function(l: Any, r: Any) -> Any:
        weights = xp.arange(1, 1 + l.shape[-1])
        return xp.roll(xp.maximum(xp.roll(l, 1, -1) * weights, xp.roll(r, 1, -1) * weights) / weights, -1, -1)

    return function


CASES = [
    Case("packed", lambda xp: lambda l, r: xp.concatenate(
        [l[..., :2] + r[..., :2], xp.maximum(l[..., 2:], r[..., 2:])], axis=-1)),
    Case("packed affine", lambda xp: lambda l, r: xp.concatenate(
        [r[..., :1] * l[..., :1], r[..., :1] * l[..., 1:] + r[..., 1:]], axis=-1)),
    Case("packed in the middle", lambda xp: lambda l, r: xp.concatenate(
        [l[:, :1] + r[:, :1], xp.maximum(l[:, 1:], r[:, 1:])], axis=1), axes=(1,)),
    Case("stacked", lambda xp: lambda l, r: xp.stack(
        [l[..., 0] + r[..., 0], *(xp.maximum(l[..., i], r[..., i]) for i in range(1, l.shape[-1]))], axis=-1)),
    Case("masked", lambda xp: lambda l, r: xp.where(xp.arange(l.shape[-1]) < 2, l + r, xp.maximum(l, r))),
    Case("masked in the middle", middle_mask, axes=(1,)),
    Case("weighted", lambda xp: lambda l, r: l + r + 0.5 * xp.arange(1, 1 + l.shape[-1])),
    Case("flipped", lambda xp: lambda l, r: xp.maximum(xp.maximum(l, r), xp.maximum(l, r)[..., ::-1]), ties=True),
    Case("flipped in the middle", lambda xp: lambda l, r: xp.maximum(
        xp.maximum(l, r), xp.maximum(l, r)[:, ::-1]), axes=(1,), ties=True),
    Case("rolled", rolled),
    Case("by the size", lambda xp: lambda l, r: l + r + 0.5 * l.shape[1], axes=(1,)),
    Case("by the rank", lambda xp: lambda l, r: l + r + l.ndim, axes=()),
    Case("branching on a size", branching, axes=(1,)),
    Case("branching on equal sizes", on_equal_sizes, axes=(-1, -2), ranks=(3, 4)),
    Case("summed", lambda xp: lambda l, r: l + r - (l.sum(-1, keepdims=True) - l.sum(-1)[..., None])),
    Case("reduced", lambda xp: lambda l, r: xp.maximum(l.max(-1, keepdims=True), r.max(-1, keepdims=True)) + 0 * l,
         ties=True),
    Case("reduced in the middle", lambda xp: lambda l, r: xp.maximum(
        xp.maximum(l, r), xp.maximum(l, r).max(1, keepdims=True)), axes=(1,), ties=True),
    Case("the largest of both", largest, ties=True),
    Case("sorted", lambda xp: lambda l, r: xp.sort(l, axis=-1) + xp.sort(r, axis=-1), ties=True),
    Case("symmetric", symmetric, axes=(-1, -2), ranks=(3, 4), ties=True),
    Case("flattened", lambda xp: lambda l, r: (l.reshape(-1) + r.reshape(-1)).reshape(l.shape), axes=()),
    Case("padded", lambda xp: lambda l, r: xp.concatenate(
        [xp.zeros(l[..., :1].shape, l.dtype), l[..., 1:] + r[..., 1:]], axis=-1)),
    Case("transposed and back", lambda xp: lambda l, r: (
        l.swapaxes(0, -1) + r.swapaxes(0, -1) * 1.0).swapaxes(0, -1), axes=()),
]  # fmt: skip

SHAPES = [(9, 4, 3), (3, 3), (2, 2, 2), (3, 3, 3), (5, 1), (1, 4), (2, 3), (4, 1, 2), (5, 2, 1, 3)]
SOME_SHAPES = [(4, 3), (3, 3, 3)]
"""Each axis of each shape is a kernel for each function."""
SMOOTH = [case for case in CASES if not case.ties]


def fold_in_order(function: Function, x: Any, axis: int, reverse: bool) -> Any:
    """Slice by slice, in float64."""
    order = list(range(x.shape[axis]))[:: -1 if reverse else 1]
    found: dict[int, Any] = {}
    for before, t in zip([None, *order], order, strict=False):
        piece = np.take(x, [t], axis=axis).astype(np.float64)
        found[t] = piece if before is None else function(found[before], piece)
    return np.concatenate([found[t] for t in range(x.shape[axis])], axis=axis)


def as_jax(function: Function, x: Any, axis: int) -> Any:
    """The recursion of ``jax.lax.associative_scan`` on whole slices."""

    def cut(y: Any, *bounds: int | None) -> Any:
        return y[(slice(None),) * axis + (slice(*bounds),)]

    n = x.shape[axis]
    if n < 2:
        return x
    odds = as_jax(function, function(cut(x, 0, n - 1, 2), cut(x, 1, n, 2)), axis)
    result = np.array(x, np.float64)
    result[(slice(None),) * axis + (slice(1, None, 2),)] = odds
    if n > 2:
        between = function(cut(odds, 0, (n - 1) // 2), cut(x, 2, n, 2))
        result[(slice(None),) * axis + (slice(2, None, 2),)] = between
    return result


def plan_of(function: Function, elems: Any, axis: int = 0) -> Plan:
    return prepare(function, elems, False, axis)[0]


# -------------------------------------------------------------------------------- positions and sizes


@pytest.mark.sampled(4)
@pytest.mark.parametrize("shapes", [SOME_SHAPES, pytest.param(SHAPES, marks=pytest.mark.long)], ids=["some", "all"])
@pytest.mark.parametrize("case", thinned(CASES, CASES[::2]), ids=str)
def test_a_function_of_slices_may_look_at_positions_and_sizes(case: Case, shapes: list[tuple[int, ...]]) -> None:
    for shape in shapes:
        x = RNG.normal(size=shape).astype(np.float32)
        for axis in range(len(shape)):
            if not case.may_scan(shape, axis):
                continue
            reverse, end = bool((axis + len(shape)) % 2), axis - len(shape) if len(shape) == 3 else axis
            got = np.array(ms.associative_scan(case.make(mx), mx.array(x), reverse, end))
            want = fold_in_order(case.make(np), x, axis, reverse)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=f"{shape} along {axis}")


@pytest.mark.sampled(3)
@pytest.mark.long
@pytest.mark.parametrize("case", thinned(SMOOTH, SMOOTH[1::4]), ids=str)
def test_gradients_of_a_function_that_looks_at_positions_and_sizes(case: Case) -> None:
    """Against central differences; no function here bends between them but at ties."""
    shape = (4, 3, 3)
    x, weights = RNG.normal(size=shape), RNG.normal(size=shape)
    for axis in (axis for axis in range(3) if case.may_scan(shape, axis)):
        loss = mx.grad(
            lambda y, axis=axis: (ms.associative_scan(case.make(mx), y, axis=axis) * mx.array(weights)).sum()
        )
        got = np.array(loss(mx.array(x.astype(np.float32))))
        want = np.zeros(shape)
        for place in np.ndindex(shape):
            step = np.zeros(shape)
            step[place] = 1e-5
            ends = [(fold_in_order(case.make(np), x + s * step, axis, False) * weights).sum() for s in (1, -1)]
            want[place] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3, err_msg=f"along {axis}")


@pytest.mark.parametrize("dtype", thinned(["float16", "bfloat16", "int8", "int32", "float64"], ["bfloat16", "int8"]))
def test_a_packed_function_of_any_dtype(dtype: str) -> None:
    x = RNG.integers(-3, 4, (9, 4, 3))
    elems = mx.array(x).astype(getattr(mx, dtype))
    got = ms.associative_scan(CASES[0].make(mx), elems)
    assert got.dtype == elems.dtype
    np.testing.assert_array_equal(np.array(got.astype(mx.float32)), fold_in_order(CASES[0].make(np), x, 0, False))


def test_a_packed_leaf_in_a_tree() -> None:
    def combine(xp: Any) -> Function:
        pack = CASES[0].make(xp)
        return lambda l, r: {"a": pack(l["a"], r["a"]), "b": [l["b"][0] + r["b"][0] + 0 * l["a"].shape[-1]]}

    a, b = RNG.normal(size=(7, 4, 3)), RNG.normal(size=(7, 4))
    got = ms.associative_scan(combine(mx), {"a": mx.array(a, mx.float32), "b": [mx.array(b, mx.float32)]})
    np.testing.assert_allclose(got["a"], fold_in_order(CASES[0].make(np), a, 0, False), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got["b"][0], np.cumsum(b, 0), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------- the scan axis

ALONG = {
    "counting positions": lambda xp: lambda l, r: l + r + xp.arange(l.shape[0])[:, None],
    "by the length": lambda xp: lambda l, r: l + r + 0.25 * l.shape[0],
    "branching on the length": lambda xp: lambda l, r: l + r if l.shape[0] == 1 else xp.maximum(l, r),
    "branching on an odd length": lambda xp: lambda l, r: l + r if l.shape[0] % 2 else xp.maximum(l, r),
    "branching on one length": lambda xp: lambda l, r: l + r if l.shape[0] == 4 else xp.maximum(l, r),
    "flipped": lambda xp: lambda l, r: xp.maximum(l, r[::-1]),
    "summed": lambda xp: lambda l, r: l + r.sum(0, keepdims=True),
    "shifted": lambda xp: lambda l, r: l + xp.roll(r, 1, 0),
}


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 9, 16, 77])
def test_a_function_that_looks_along_the_scan_axis_gets_the_slices_that_jax_gives_it(name: str, length: int) -> None:
    """It is hardly associative; JAX's result is still defined, by the recursion."""
    x = RNG.normal(size=(length, 3)).astype(np.float32)
    got = ms.associative_scan(ALONG[name](mx), mx.array(x))
    np.testing.assert_allclose(np.array(got), as_jax(ALONG[name](np), x, 0), rtol=1e-5, atol=1e-4)
    got = ms.associative_scan(lambda l, r: ALONG[name](mx)(l.T, r.T).T, mx.array(x.T), axis=1)
    np.testing.assert_allclose(np.array(got), as_jax(ALONG[name](np), x, 0).T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9, 100])
def test_a_function_is_recorded_at_every_length_at_which_jax_calls_it(length: int) -> None:
    seen = set()

    def counted(l: Any, r: Any) -> Any:
        seen.add(l.shape[0])
        return l + r

    as_jax(counted, np.zeros((length, 1)), 0)
    assert set(lengths_of_slices(length)) == (seen or {1})


def test_a_short_scan_sees_slices_of_one_position_alone_as_jax_has_it() -> None:
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    got = ms.associative_scan(lambda l, r: mx.maximum(l, r[::-1]), mx.array(x))
    np.testing.assert_array_equal(np.array(got), np.maximum.accumulate(x, 0))
    assert plan_of(lambda l, r: mx.maximum(l, r[::-1]), mx.zeros((4, 4))).combine == "slices"
    one = ms.associative_scan(lambda l, r: l + r.reshape(1, 4), mx.ones((3, 4)))
    np.testing.assert_array_equal(np.array(one), np.cumsum(np.ones((3, 4)), 0))


def test_a_function_of_slices_is_never_given_empty_ones() -> None:
    got = ms.associative_scan(lambda l, r: mx.sort(l, axis=1) * 0 + l + r + 0 * l.max(), mx.array([[1.0], [2.0]]))
    assert got.tolist() == [[1.0], [3.0]]


# ------------------------------------------------------------------------------------------- leaves


def pair(l: Any, r: Any) -> Any:
    return [x + y for x, y in zip(l, r, strict=True)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        (((3, 4), (7, 4)), 1),
        (((3, 4, 2), (7, 4)), 1),
        (((3, 4), (7, 4, 5, 1)), 1),
        (((1, 4), (7, 4), (3, 4)), 1),
        (((2, 3, 4), (2, 5, 4)), 2),
        (((3, 1), (7, 1)), 1),
        (((3, 0), (7, 0)), 1),
        (((0, 4), (7, 4)), 1),
        (((4, 3), (4, 7)), 0),
        (((4, 3), (4, 7)), -2),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_leaves_whose_other_axes_have_nothing_in_common(
    shapes: tuple[tuple[int, ...], ...], axis: int, reverse: bool
) -> None:
    xs = [RNG.normal(size=shape).astype(np.float32) for shape in shapes]
    got = ms.associative_scan(pair, [mx.array(x) for x in xs], reverse, axis)
    for y, x in zip(got, xs, strict=True):
        want = np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
        np.testing.assert_allclose(np.array(y), want, rtol=1e-5, atol=1e-5)


def test_leaves_with_nothing_in_common_have_gradients() -> None:
    x, y = mx.ones((3, 4)), mx.ones((7, 4))
    found = mx.grad(lambda x, y: sum(z.sum() for z in ms.associative_scan(pair, [x, y], axis=1)), argnums=(0, 1))(x, y)
    for gradient, rows in zip(found, (3, 7), strict=True):
        np.testing.assert_array_equal(np.array(gradient), np.tile([4, 3, 2, 1], (rows, 1)))


# -------------------------------------------------------------------------------------------- plans

WEIGHTS = mx.array([[1.0, 0.5], [0.0, 1.0]])
X3 = mx.zeros((9, 4, 3))
SQUARES = mx.zeros((9, 5, 2, 2))
PLANS: list[tuple[str, Function, Any, int, int]] = [
    ("a sum", mx.add, X3, 0, 3),
    ("a sum along the middle", mx.add, X3, 1, 3),
    ("affine pairs", lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (X3, X3), 0, 3),
    ("gates that broadcast", lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (X3[:, :, :1], X3), 0, 3),
    ("a product of matrices", mx.matmul, SQUARES, 0, 2),
    ("a product of matrices along axis 1", mx.matmul, SQUARES, 1, 2),
    ("the same by einsum", lambda l, r: mx.einsum("...ij,...jk->...ik", l, r), SQUARES, 0, 2),
    ("the same by vmap", mx.vmap(mx.vmap(lambda l, r: r @ l)), SQUARES, 0, 2),
    ("the same on a flat batch", lambda l, r: (l.reshape(-1, 2, 2) @ r.reshape(-1, 2, 2)).reshape(l.shape), SQUARES, 0, 2),
    ("a captured matrix", lambda l, r: l @ r @ WEIGHTS, SQUARES, 0, 2),
    ("an identity matrix", lambda l, r: l @ r + mx.eye(2), SQUARES, 0, 2),
    ("one spread to the slices", lambda l, r: l @ r + mx.broadcast_to(mx.eye(2), l.shape), SQUARES, 0, 2),
    ("matrices and vectors", mx.vmap(lambda l, r: (r[0] @ l[0], r[0] @ l[1] + r[1])), (mx.zeros((9, 2, 2)), mx.zeros((9, 2))),
     0, 1),
    ("packed", CASES[0].make(mx), X3, 0, 2),
    ("packed in the middle", CASES[2].make(mx), X3, 0, 1),
    ("masked", CASES[4].make(mx), X3, 0, 2),
    ("ones like the slices", lambda l, r: l + r + mx.ones_like(l), X3, 0, 3),
    ("transposed and back", lambda l, r: (l.T + r.T).T, X3, 0, 3),
    ("a table that both look up", lambda l, r: mx.take_along_axis(r, l, axis=-1), mx.zeros((9, 4, 3), mx.int32), 0, 2),
    ("many positions", mx.add, mx.zeros((100_000, 64, 8)), 0, 3),
    ("many positions of matrices", mx.matmul, mx.zeros((100_000, 64, 2, 2)), 0, 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "elems", "axis", "leading"), [row[1:] for row in PLANS], ids=[r[0] for r in PLANS]
)
def test_a_function_that_works_element_by_element_is_planned_like_an_operator(
    function: Function, elems: Any, axis: int, leading: int
) -> None:
    plan = plan_of(function, elems, axis)
    assert plan.problem.program is not None, plan
    first = plan.problem.layout
    assert len(first.batch[0]) + 1 == leading
    events = tuple(len(event) for event in first.event)
    wanted = ms.explain(ms.monoid(_of_element(plan), event=events), elems, axis=axis)
    assert plan.strategy == wanted.strategy
    assert plan.combine == wanted.combine


def _of_element(plan: Plan) -> Function:
    """A function of elements of the same weight as the one that the plan is for."""
    number = len(plan.problem.layout.event)
    return (lambda l, r: l + r) if number == 1 else (lambda l, r: tuple(x + y for x, y in zip(l, r, strict=True)))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda l, r: mx.sort(l + r, axis=-1), "the operation Sort"),
        (lambda l, r: l + r + r.sum(0), "mixes positions along axis 0"),
        (lambda l, r: l + r * l.shape[0], "how many positions there are along axis 0"),
        (lambda l, r: l + (~r.astype(mx.int32)).astype(mx.float32), "BitwiseInvert"),
    ],
)
def test_a_plan_says_why_a_function_stays_with_its_slices(function: Function, words: str) -> None:
    plan = plan_of(function, X3)
    assert (plan.strategy, plan.combine, plan.row) == ("brent_kung", "slices", 7)
    assert words in str(plan)


# --------------------------------------------------------------------------------------- transformed


def test_a_function_of_slices_under_vmap_sees_no_axis_but_its_own() -> None:
    """Axes counted from the front are those of the slices, whatever the plan."""
    x = RNG.normal(size=(2, 6, 3, 3)).astype(np.float32)

    def combine(l: mx.array, r: mx.array) -> mx.array:
        return mx.concatenate([l[:, :1] + r[:, :1], mx.maximum(l[:, 1:], r[:, 1:])], axis=1)

    want = [fold_in_order(CASES[2].make(np), each, 0, False) for each in x]
    mapped = mx.vmap(lambda y: ms.associative_scan(combine, y))
    for function in (mapped, mx.compile(mapped)):
        np.testing.assert_allclose(np.array(function(mx.array(x))), want, rtol=1e-5, atol=1e-5)
    scales = mx.array([1.0, 2.0])
    mapped = mx.vmap(lambda y, c: ms.associative_scan(lambda l, r: combine(l, r) * 1.0 + 0 * c, y))
    np.testing.assert_allclose(np.array(mapped(mx.array(x), scales)), want, rtol=1e-5, atol=1e-5)
