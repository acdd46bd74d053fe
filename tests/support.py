"""What the tests of scans share: operators, and oracles that know nothing of the code under test.

An oracle is a NumPy fold, one element after another, along with what NumPy's broadcasting
says about shapes. Floats fold in float64, beside a bound on what any order of evaluation
may round; integers fold in their own dtype, where they wrap, and must agree exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import numpy.typing as npt

import monoscan as ms
from monoscan import tree

Array = npt.NDArray[Any]
Arrays = tuple[Array, ...]

STRATEGIES = ("auto", "native", "blelloch", "hillis_steele", "brent_kung", "sequential")
"""Every strategy that can be asked for; ``native`` runs few operators, the others almost all."""

GRAPH = ("blelloch", "hillis_steele", "brent_kung")
"""The strategies that are graphs of MLX array operations: nothing is compiled for them."""

PORTABLE = (*GRAPH, "sequential")
"""The strategies that run any monoid."""

COMPILED = ("auto", "kernel", "sequential")
"""The strategies that compile a kernel for each operator, dtype and choice of options: tests that go
through all dtypes or options ask these for a part of them, since a compiler run takes half a second."""

LENGTHS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33)
"""Empty, single, odd, powers of two and their neighbours."""

EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
TINY = {"float16": 2.0**-24, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


@attrs.frozen
class Model:
    """An operator, and the same in NumPy on tuples of arrays with any batch axes in front.

    Args:
        operator: The operator.
        combine: Its ``combine`` on NumPy arrays.
        identity: Its identity: for each leaf's event shape and dtype an array of that shape.
        events: How many event axes each leaf has.
        event_shapes: Their sizes.
        polynomial: ``combine`` is a polynomial with coefficients 1, so that folding absolute values
            bounds every term that any order of evaluation rounds.
    """

    operator: ms.Semigroup
    combine: Callable[[Arrays, Arrays], Arrays]
    identity: Callable[[Sequence[str]], Arrays] | None
    event_shapes: tuple[tuple[int, ...], ...]
    polynomial: bool = True

    @property
    def arity(self) -> int:
        return len(self.event_shapes)


def numpy_of(x: mx.array) -> Array:
    """An MLX array as NumPy has it; halves as float32, which holds each of their values."""
    if x.dtype in (mx.bfloat16, mx.float16):
        x = x.astype(mx.float32)
    return np.array(x)


def name_of(x: mx.array) -> str:
    return str(x.dtype).removeprefix("mlx.core.")


def exact(name: str) -> bool:
    return name == "bool" or "int" in name


def widen(x: mx.array) -> Array:
    """What the oracle computes on: float64 for floats, else the dtype itself."""
    array = numpy_of(x)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def running(
    combine: Callable[[Arrays, Arrays], Arrays],
    leaves: Arrays,
    events: Sequence[int],
    axis: int,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    first: Arrays | None = None,
    seeded: bool = False,
) -> tuple[Arrays, Arrays]:
    """The scan by definition, and its last inclusive value.

    Args:
        combine: The operator on arrays.
        leaves: The elements.
        events: How many trailing axes of each leaf belong to an element.
        axis: The scan axis, from the front.
        reverse: Fold from the last element.
        inclusive: Each position includes its own element.
        first: What comes before the first element; not combined unless ``seeded``.
        seeded: ``first`` is an ``init``.
    """
    rows = [np.moveaxis(x, axis, 0) for x in leaves]
    n = rows[0].shape[0]
    order = range(n - 1, -1, -1) if reverse else range(n)
    shapes = state_shapes(combine, rows, events, first if seeded else None)
    states: list[Arrays] = []
    state = first if seeded else None
    with np.errstate(all="ignore"):
        for t in order:
            before = first if state is None else state
            element = tuple(row[t] for row in rows)
            state = element if state is None else combine(state, element)
            kept = state if inclusive else before
            assert kept is not None
            states.append(tuple(np.broadcast_to(x, s) for x, s in zip(kept, shapes, strict=True)))
    if reverse:
        states.reverse()
    results = []
    for i, shape in enumerate(shapes):
        stacked = np.stack([s[i] for s in states]) if states else np.zeros((0, *shape), rows[i].dtype)
        results.append(np.moveaxis(stacked, 0, axis))
    last = state if state is not None else first
    carry = () if last is None else tuple(np.broadcast_to(x, s) for x, s in zip(last, shapes, strict=True))
    return tuple(results), carry


def state_shapes(
    combine: Callable[[Arrays, Arrays], Arrays], rows: Sequence[Array], events: Sequence[int], init: Arrays | None
) -> list[tuple[int, ...]]:
    """The shape of each leaf of the state: what repeated combining on NumPy arrays broadcasts to."""
    probe = tuple(np.ones(row.shape[1:], row.dtype) for row in rows)
    state = probe if init is None else combine(tuple(np.ones(np.shape(x), np.asarray(x).dtype) for x in init), probe)
    for _ in range(len(rows)):
        state = combine(state, probe)
    return [np.shape(x) for x in state]


# ------------------------------------------------------------------------------------------ models


def _unit(dtype: str) -> str:
    return dtype if exact(dtype) else "float64"


def _scalar(*values: Any) -> Callable[[Sequence[str]], Arrays]:
    return lambda dtypes: tuple(np.array(v, _unit(d)) for v, d in zip(values, dtypes, strict=True))


def _lowest(dtype: str) -> Any:
    return False if dtype == "bool" else np.iinfo(dtype).min if exact(dtype) else -np.inf


def _highest(dtype: str) -> Any:
    return True if dtype == "bool" else np.iinfo(dtype).max if exact(dtype) else np.inf


def _affine(left: Arrays, right: Arrays) -> Arrays:
    return right[0] * left[0], right[0] * left[1] + right[1]


def _matrix_affine(left: Arrays, right: Arrays) -> Arrays:
    moved = (right[0] * left[1][..., None, :]).sum(-1, dtype=right[0].dtype)
    return right[0] @ left[0], moved + right[1]


def _segmented_sum(left: Arrays, right: Arrays) -> Arrays:
    return left[0] | right[0], np.where(right[0], right[1], left[1] + right[1])


def _maybe_last(left: Arrays, right: Arrays) -> Arrays:
    return left[0] | right[0], np.where(right[0], right[1], left[1])


def _plus(x: Array, y: Array) -> Array:
    return np.logical_or(x, y) if x.dtype == bool else x + y


SUM = Model(ms.Sum(), lambda l, r: (l[0] + r[0],), _scalar(0), ((),))
PRODUCT = Model(ms.Product(), lambda l, r: (l[0] * r[0],), _scalar(1), ((),))
MAX = Model(
    ms.Max(), lambda l, r: (np.maximum(l[0], r[0]),), lambda d: (np.array(_lowest(d[0]), _unit(d[0])),), ((),), False
)
MIN = Model(
    ms.Min(), lambda l, r: (np.minimum(l[0], r[0]),), lambda d: (np.array(_highest(d[0]), _unit(d[0])),), ((),), False
)
FIRST = Model(
    ms.First(), lambda l, r: (np.broadcast_to(l[0], np.broadcast_shapes(l[0].shape, r[0].shape)),), None, ((),), False
)
LAST = Model(
    ms.Last(), lambda l, r: (np.broadcast_to(r[0], np.broadcast_shapes(l[0].shape, r[0].shape)),), None, ((),), False
)
AFFINE = Model(ms.Affine(), _affine, _scalar(1, 0), ((), ()))
MATMUL = Model(ms.MatMul(), lambda l, r: (l[0] @ r[0],), lambda d: (np.eye(2, dtype=_unit(d[0])),), ((2, 2),))
MATRIX_AFFINE = Model(
    ms.MatrixAffine(),
    _matrix_affine,
    lambda d: (np.eye(2, dtype=_unit(d[0])), np.zeros(2, _unit(d[1]))),
    ((2, 2), (2,)),
)
SEGMENTED_SUM = Model(ms.Segmented(ms.Sum()), _segmented_sum, _scalar(False, 0), ((), ()))
MAYBE_LAST = Model(ms.Maybe(ms.Last()), _maybe_last, _scalar(False, 0), ((), ()), False)


# ------------------------------------------------------------------------------------------ checks


def to_mlx(x: Array, dtype: str) -> mx.array:
    """A NumPy array in an MLX dtype, bit for bit where the dtype holds its values."""
    return mx.array(x).astype(getattr(mx, "bool_" if dtype == "bool" else dtype))


def check_close(got: mx.array, want: Array, bound: Array | None, stored: str, roundings: int) -> None:
    """Shape, dtype and value; floats within what ``roundings`` roundings of terms below ``bound`` allow."""
    assert name_of(got) == stored
    assert tuple(got.shape) == want.shape
    if bound is None or exact(stored):
        np.testing.assert_array_equal(numpy_of(got), want.astype(numpy_of(got).dtype))
        return
    computed = "float32" if stored in ("float16", "bfloat16") else stored
    allowed = roundings * EPSILON[computed] * bound + roundings * TINY[computed]
    if computed != stored:
        allowed = allowed + EPSILON[stored] * (np.abs(want) + allowed) + TINY[stored]
    got64 = numpy_of(got).astype(np.float64)
    wrong = ~((np.abs(got64 - want) <= allowed) | (got64 == want) | (np.isnan(got64) & np.isnan(want)))
    assert not wrong.any(), f"off by {np.abs(got64 - want)[wrong].max()}, {allowed[wrong].min()} allowed"


def accumulated(stored: str) -> str:
    return "float32" if stored in ("float16", "bfloat16") else stored


def check_scan(
    model: Model,
    leaves: Sequence[mx.array],
    axis: int = 0,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    init: Sequence[mx.array] | None = None,
    strategy: str = "auto",
    wrap: Callable[[Any], Any] | None = None,
) -> None:
    """Compares scan, carry and fold of ``leaves`` with the NumPy fold: values, shapes and dtypes.

    Args:
        model: The operator and its oracle.
        leaves: The elements, leaf by leaf.
        axis: The scan axis, from the front.
        reverse: As in `ms.scan`.
        inclusive: As in `ms.scan`.
        init: The leaves of ``init``.
        strategy: As in `ms.scan`.
        wrap: Makes an element from a list of leaves; by default a tuple, or the only leaf.
    """
    wrap = wrap or (lambda xs: xs[0] if len(xs) == 1 else tuple(xs))
    elems, start = wrap(list(leaves)), None if init is None else wrap(list(init))
    stored = tuple(name_of(x) for x in leaves)
    stored = tuple("int32" if type(model.operator) is ms.Sum and name == "bool" else name for name in stored)
    arrays = tuple(widen(x) for x in leaves)
    arrays = tuple(
        x.astype(np.int32) if s == "int32" and x.dtype == bool else x for x, s in zip(arrays, stored, strict=True)
    )
    first = None if init is None else tuple(widen(x) for x in init)
    seeded = first is not None
    if first is None and model.identity is not None:
        first = model.identity(stored)
    events = [len(shape) for shape in model.event_shapes]
    how: dict[str, Any] = {"reverse": reverse, "first": first, "seeded": seeded}
    want, carry = running(model.combine, arrays, events, axis, inclusive=inclusive, **how)
    bounds, carry_bounds = _bounds(model, arrays, events, axis, inclusive, how)
    n = arrays[0].shape[axis]
    widest = max([1, *(size for shape in model.event_shapes for size in shape)])
    roundings = (n + 1) * (widest + 1) + 2
    options: dict[str, Any] = {"reverse": reverse, "init": start, "strategy": strategy}
    has_carry = bool(carry)
    got = ms.scan(model.operator, elems, axis, inclusive=inclusive, return_carry=has_carry, **options)
    results, last = got if has_carry else (got, None)
    for y, w, b, s in zip(tree.flatten(results)[0], want, bounds, stored, strict=True):
        check_close(y, w, b, s, roundings)
    if not has_carry:
        return
    for y, w, b, s in zip(tree.flatten(last)[0], carry, carry_bounds, stored, strict=True):
        check_close(y, w, b, accumulated(s), roundings)
    total = ms.fold(model.operator, elems, axis, **options)
    for y, w, b, s in zip(tree.flatten(total)[0], carry, carry_bounds, stored, strict=True):
        check_close(y, w, b, s, roundings)


def _bounds(
    model: Model, arrays: Arrays, events: Sequence[int], axis: int, inclusive: bool, how: dict[str, Any]
) -> tuple[Sequence[Array | None], Sequence[Array | None]]:
    if not model.polynomial:
        return [None] * model.arity, [None] * model.arity
    first = how["first"]
    sizes = tuple(x if x.dtype == bool else np.abs(x) for x in arrays)
    how = how | {"first": None if first is None else tuple(x if x.dtype == bool else np.abs(x) for x in first)}
    return running(model.combine, sizes, events, axis, inclusive=inclusive, **how)


# -------------------------------------------------------------------------------------- elements


def random_leaves(
    model: Model, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> list[mx.array]:
    """Leaves of these shapes (scan and batch axes; event axes are put behind) and dtypes."""
    pairs = zip(shapes, dtypes, model.event_shapes, strict=True)
    return [random_array(rng, (*shape, *event), dtype) for shape, dtype, event in pairs]


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> mx.array:
    """Floats of size up to one, integers of every size, either truth value."""
    if dtype == "bool":
        return mx.array(rng.integers(0, 2, shape).astype(bool))
    if exact(dtype):
        info = np.iinfo(dtype)
        return mx.array(rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True))
    if dtype == "float64":
        return mx.array(rng.uniform(-1, 1, shape), mx.float64)
    return to_mlx(rng.uniform(-1, 1, shape).astype(np.float32), dtype)
