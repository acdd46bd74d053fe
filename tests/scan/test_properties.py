"""Random trees, shapes, axes, events, dtypes, strides, options and strategies against a NumPy fold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from support import (
    AFFINE,
    COMPILED,
    FIRST,
    GRAPH,
    LAST,
    MATMUL,
    MATRIX_AFFINE,
    MAX,
    MAYBE_LAST,
    MIN,
    PRODUCT,
    SEGMENTED_SUM,
    SUM,
    Arrays,
    Model,
    check_scan,
    exact,
    random_array,
)

import monoscan as ms
from monoscan import tree

SCALARS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
MODELS = (SUM, PRODUCT, MAX, MIN, FIRST, LAST, AFFINE, MATMUL, MATRIX_AFFINE, SEGMENTED_SUM, MAYBE_LAST)
NATIVE = (SUM, PRODUCT, MAX, MIN)
LENGTHS = st.one_of(st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]), st.integers(0, 40))


class Pair(NamedTuple):
    a: Any
    b: Any


# ------------------------------------------------------------------------------ arrays in memory


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...], dtype: str) -> mx.array:
    """An array of this shape, of which MLX may hold any strides."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    how = draw(st.sampled_from(["whole", "transposed", "every second", "backwards", "broadcast", "offset"]))
    event(f"strides: {how}")
    if how == "transposed":
        order = draw(st.permutations(range(len(shape))))
        made = random_array(rng, tuple(shape[i] for i in order), dtype)
        return made.transpose(*[list(order).index(i) for i in range(len(shape))])
    if how == "every second":
        made = random_array(rng, tuple(2 * size for size in shape), dtype)
        return made[tuple(slice(None, None, 2) for _ in shape)]
    if how == "backwards":
        return random_array(rng, shape, dtype)[tuple(slice(None, None, -1) for _ in shape)]
    if how == "broadcast" and shape:
        axis = draw(st.integers(0, len(shape) - 1))
        made = random_array(rng, (*shape[:axis], 1, *shape[axis + 1 :]), dtype)
        return mx.broadcast_to(made, shape)
    if how == "offset":
        made = random_array(rng, tuple(size + 2 for size in shape), dtype)
        return made[tuple(slice(1, size + 1) for size in shape)]
    return random_array(rng, shape, dtype)


def batches(number: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    """Batch shapes that broadcast, of any rank, with axes of size 0 and 1."""
    sizes = st.sampled_from([0, 1, 1, 2, 2, 3, 3, 5])

    @st.composite
    def build(draw: st.DrawFn) -> list[tuple[int, ...]]:
        full = draw(st.lists(sizes, max_size=3))
        shapes = []
        for _ in range(number):
            kept = full[draw(st.integers(0, len(full))) :]
            shapes.append(tuple(1 if draw(st.booleans()) else size for size in kept))
        return shapes

    return build()


def place(batch: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*batch[:axis], length, *batch[axis:])


def dtypes_of(model: Model, dtype: str) -> list[str]:
    if model in (SEGMENTED_SUM, MAYBE_LAST):
        return ["bool", dtype]
    return [dtype] * model.arity


@st.composite
def problems(
    draw: st.DrawFn, models: Sequence[Model], dtypes: Sequence[str], strategies: Sequence[str]
) -> dict[str, Any]:
    model = draw(st.sampled_from(models))
    named = dtypes_of(model, draw(st.sampled_from(dtypes)))
    shapes = draw(batches(model.arity))
    axis = draw(st.integers(0, min(len(shape) for shape in shapes)))
    length = draw(LENGTHS)
    rows = list(zip(shapes, named, model.event_shapes, strict=True))
    leaves = [draw(views((*place(shape, axis, length), *inner), d)) for shape, d, inner in rows]
    strategy = draw(st.sampled_from(strategies))
    if model.identity is None and strategy == "blelloch":
        strategy = "brent_kung"
    init = None
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        init = [random_array(rng, (*shape, *inner), d) for shape, d, inner in rows]
    inclusive = draw(st.booleans()) or (model.identity is None and init is None) or model is SEGMENTED_SUM
    options = {"reverse": draw(st.booleans()), "inclusive": inclusive, "init": init, "strategy": strategy}
    event(f"{model.operator.name} {strategy}")
    return {"model": model, "leaves": leaves, "axis": axis, **options}


@pytest.mark.long
@settings(max_examples=900)
@given(problems(MODELS, (*SCALARS, *FLOATS), GRAPH))
def test_every_operator_in_every_dtype(problem: dict[str, Any]) -> None:
    check_scan(**problem)


@settings(max_examples=300)
@given(problems(NATIVE, (*SCALARS, *FLOATS), ("native",)))
def test_native_scans_in_every_dtype(problem: dict[str, Any]) -> None:
    check_scan(**problem)


@pytest.mark.long
@settings(max_examples=200)
@given(problems((AFFINE,), ("float32", "int32"), ("auto", "sequential")))
def test_what_is_compiled_by_default(problem: dict[str, Any]) -> None:
    check_scan(**problem)


# ------------------------------------------------------------------------------------ random trees


def leafwise(structure: Any, kinds: Sequence[str], events: Sequence[int]) -> Model:
    """An operator on a tree whose leaves go their own ways, each by an operation that knows left from right."""
    arity = len(kinds)

    def combine(left: Any, right: Any) -> Any:
        xs, ys = tree.flatten(left)[0], tree.flatten(right)[0]
        return tree.unflatten(structure, [_MLX[kind](x, y) for kind, x, y in zip(kinds, xs, ys, strict=True)])

    def on_arrays(left: Arrays, right: Arrays) -> Arrays:
        return tuple(_NUMPY[kind](x, y) for kind, x, y in zip(kinds, left, right, strict=True))

    operator = ms.monoid(combine, event=tuple(events), name="tree")
    return Model(operator, on_arrays, None, ((3,),) * arity, polynomial=False)


_MLX = {
    "max": mx.maximum,
    "first": lambda x, y: x,
    "last": lambda x, y: y,
    "add": lambda x, y: x + y,
    "reversed": lambda x, y: mx.maximum(x, y[..., ::-1]),
}
_NUMPY = {
    "max": np.maximum,
    "first": lambda x, y: np.broadcast_to(x, np.broadcast_shapes(x.shape, y.shape)),
    "last": lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)),
    "add": lambda x, y: x + y,
}


def trees() -> st.SearchStrategy[Any]:
    """Trees with a star for each leaf."""
    leaf = st.just(tree.LEAF)

    def branch(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
            st.tuples(inner, inner).map(lambda pair: Pair(*pair)),
        )

    return st.recursive(leaf, branch, max_leaves=5)


@pytest.mark.long
@settings(max_examples=250)
@given(st.data())
def test_random_trees_of_random_dtypes(data: st.DataObject) -> None:
    structure = tree.flatten(data.draw(trees()))[1]
    arity = tree.count(structure)
    dtypes = [data.draw(st.sampled_from((*SCALARS, *FLOATS))) for _ in range(arity)]
    kinds = [data.draw(st.sampled_from(["max", "first", "last", *["add"] * exact(d)])) for d in dtypes]
    events = [data.draw(st.integers(0, 1)) for _ in range(arity)]
    model = attrs_events(leafwise(structure, kinds, events), events)
    shapes = data.draw(batches(arity))
    axis = data.draw(st.integers(0, min(len(shape) for shape in shapes)))
    length = data.draw(LENGTHS)
    rows = zip(shapes, dtypes, model.event_shapes, strict=True)
    leaves = [data.draw(views((*place(shape, axis, length), *inner), d)) for shape, d, inner in rows]
    strategy = data.draw(st.sampled_from(["hillis_steele", "brent_kung"]))
    check_scan(
        model,
        leaves,
        axis,
        reverse=data.draw(st.booleans()),
        strategy=strategy,
        wrap=lambda xs: tree.unflatten(structure, list(xs)),
    )


def attrs_events(model: Model, events: Sequence[int]) -> Model:
    """The same with an event axis of size 3 where there is one."""
    shapes = tuple((3,) * count for count in events)
    return Model(model.operator, model.combine, model.identity, shapes, model.polynomial)


# ---------------------------------------------------------------------------------------- algebra


@settings(max_examples=150)
@given(st.integers(0, 30), st.integers(0, 30), st.booleans(), st.sampled_from(GRAPH), st.integers(0, 2**32 - 1))
def test_two_calls_chained_by_their_carry_are_one_call(m: int, n: int, reverse: bool, strategy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (mx.array(rng.integers(-2, 3, (m + n, 2))) for _ in range(2))
    options: dict[str, Any] = {"reverse": reverse, "strategy": strategy, "return_carry": True}
    whole, total = ms.scan(ms.Affine(), (a, b), **options)
    cuts = [slice(0, m), slice(m, m + n)]
    carry, found = None, {}
    for cut in reversed(cuts) if reverse else cuts:
        found[cut.start, cut.stop], carry = ms.scan(ms.Affine(), (a[cut], b[cut]), init=carry, **options)
    for i in (0, 1):
        parts = [found[cut.start, cut.stop][i] for cut in cuts]
        assert mx.array_equal(mx.concatenate(parts), whole[i])
        assert carry is not None
        assert mx.array_equal(carry[i], total[i])


@settings(max_examples=100)
@given(st.integers(1, 40), st.booleans(), st.sampled_from(GRAPH), st.integers(0, 2**32 - 1))
def test_segments_scanned_together_are_segments_scanned_apart(
    n: int, inclusive: bool, strategy: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.integers(0, 4, n) == 0
    x = rng.integers(-9, 10, n)
    elems = mx.array(flags), mx.array(x)
    got = ms.scan(ms.Segmented(ms.Sum()), elems, inclusive=inclusive, strategy=strategy)[1]
    heads = [0, *[i for i in range(1, n) if flags[i]], n]
    want: list[int] = []
    for start, stop in pairwise(heads):
        sums = np.cumsum(x[start:stop])
        want += (sums if inclusive else sums - x[start:stop]).tolist()
    assert got.tolist() == want


@settings(max_examples=100)
@given(problems((AFFINE, MATMUL), ("float32",), GRAPH), st.integers(2, 3))
def test_a_stack_of_scans_is_the_scan_of_the_stack(problem: dict[str, Any], copies: int) -> None:
    model, axis = problem["model"], problem["axis"]
    shapes = [x.shape for x in problem["leaves"]]
    rank = max(x.ndim - len(e) for x, e in zip(problem["leaves"], model.event_shapes, strict=True))
    assume(all(len(s) - len(e) == rank for s, e in zip(shapes, model.event_shapes, strict=True)))
    options = {key: problem[key] for key in ("reverse", "strategy")}
    wrap = (lambda xs: xs[0]) if model.arity == 1 else tuple
    alone = tree.flatten(ms.scan(model.operator, wrap(problem["leaves"]), axis, **options))[0]
    stacked = [mx.stack([x] * copies) for x in problem["leaves"]]
    together = tree.flatten(ms.scan(model.operator, wrap(stacked), axis + 1, **options))[0]
    for one, all_of_them in zip(alone, together, strict=True):
        for i in range(copies):
            assert mx.array_equal(one, all_of_them[i], equal_nan=True)


def test_the_cases_add_up_to_two_thousand() -> None:
    """The number that this project promises for its default run."""
    tests = [value for name, value in globals().items() if name.startswith("test_") and hasattr(value, "hypothesis")]
    assert sum(test._hypothesis_internal_use_settings.max_examples for test in tests) >= 2000
    assert set(COMPILED) >= {"auto", "sequential"}
