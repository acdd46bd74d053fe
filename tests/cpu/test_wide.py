"""Elements of many lanes: kernels that run array programs by loops, against folds in order in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import dtypes
from monoscan.lowering.targets.failures import FAILURES


@pytest.fixture(autouse=True)
def kernels_are_built() -> Iterator[None]:
    """Where none is, scans run by array operations, and nothing here would tell."""
    before = FAILURES.generation
    yield
    assert FAILURES.generation == before


Arrays = tuple[np.ndarray, ...]
Combine = Callable[[Arrays, Arrays], Arrays]


def log_product(left: Arrays, right: Arrays) -> Arrays:
    terms = left[0][..., :, :, None] + right[0][..., None, :, :]
    with np.errstate(all="ignore"):
        return (np.logaddexp.reduce(terms, axis=-2),)


def affine(left: Arrays, right: Arrays) -> Arrays:
    return right[0] @ left[0], (right[0] @ left[1][..., None])[..., 0] + right[1]


def kalman(left: Arrays, right: Arrays) -> Arrays:
    (a_l, b_l, c_l, eta_l, j_l), (a_r, b_r, c_r, eta_r, j_r) = left, right

    def turned(x: np.ndarray) -> np.ndarray:
        return np.swapaxes(x, -1, -2)

    def times(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y[..., None])[..., 0]

    g = np.linalg.inv(np.eye(c_l.shape[-1]) + c_l @ j_r)
    return (
        a_r @ g @ a_l,
        times(a_r @ g, b_l + times(c_l, eta_r)) + b_r,
        a_r @ g @ c_l @ turned(a_r) + c_r,
        times(turned(g @ a_l), eta_r - times(j_r, b_l)) + eta_l,
        turned(g @ a_l) @ j_r @ a_l + j_l,
    )


PRODUCTS: dict[str, tuple[ms.Monoid, Combine]] = {
    "matmul": (ms.MatMul(), lambda x, y: (x[0] @ y[0],)),
    "log": (ms.SemiringMatMul(ms.Log()), log_product),
    "max.plus": (
        ms.SemiringMatMul(ms.MaxPlus()), lambda x, y: ((x[0][..., :, :, None] + y[0][..., None, :, :]).max(axis=-2),)
    ),
    "min.plus": (
        ms.SemiringMatMul(ms.MinPlus()), lambda x, y: ((x[0][..., :, :, None] + y[0][..., None, :, :]).min(axis=-2),)
    ),
}  # fmt: skip


def folded(combine: Combine, elements: Arrays, axis: int, init: Arrays | None = None) -> list[np.ndarray]:
    """All values of the fold in order."""
    rows = [
        tuple(np.moveaxis(x, axis, 0)[t].astype(np.float64) for x in elements) for t in range(elements[0].shape[axis])
    ]
    state = None if init is None else tuple(x.astype(np.float64) for x in init)
    found = []
    for row in rows:
        state = row if state is None else combine(state, row)
        found.append(state)
    return [np.moveaxis(np.stack(each), 0, axis) for each in zip(*found, strict=True)]


def matrices(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def close(found: mx.array, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    got = np.array(found.astype(mx.float32) if found.dtype == mx.bfloat16 else found)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0))))  # fmt: skip


def runs_a_kernel(operator: ms.Monoid, *args: object, **options: object) -> None:
    plan = ms.explain(operator, *args, **options)  # type: ignore[arg-type]
    assert plan.strategy == "kernel", str(plan)
    assert "loop events" in str(plan)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("size", thinned([9, 16, 17, 33], [9, 33]))
def test_products_equal_the_fold_in_order(name: str, size: int) -> None:
    operator, combine = PRODUCTS[name]
    x = matrices((6, size, size))
    runs_a_kernel(operator, mx.array(x))
    close(ms.scan(operator, mx.array(x)), folded(combine, (x,), 0)[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_any_axis_and_either_direction(axis: int, reverse: bool) -> None:
    x = matrices((3, 4, 5, 9, 9))
    given = np.flip(x, axis) if reverse else x
    expected = folded(PRODUCTS["matmul"][1], (given,), axis)[0]
    found = ms.scan(ms.MatMul(), mx.array(x), axis=axis, reverse=reverse)
    close(found, np.flip(expected, axis) if reverse else expected)


@pytest.mark.parametrize("name", ["matmul", "log"])
def test_options(name: str) -> None:
    operator, combine = PRODUCTS[name]
    x, start = matrices((5, 2, 10, 10)), matrices((2, 10, 10), 1)
    inclusive = folded(combine, (x,), 0)[0]
    seeded = folded(combine, (x,), 0, (start,))[0]
    close(ms.fold(operator, mx.array(x)), inclusive[-1])
    ys, carry = ms.scan(operator, mx.array(x), init=mx.array(start), return_carry=True)
    close(ys, seeded), close(carry, seeded[-1])
    late = ms.scan(operator, mx.array(x), inclusive=False, init=mx.array(start))
    close(late, np.concatenate([start[None], seeded[:-1]]))
    first = np.array(operator.identity(mx.array(x[0, 0])))
    found = np.array(ms.scan(operator, mx.array(x), inclusive=False))
    assert np.array_equal(found[0], np.broadcast_to(first, (2, 10, 10)))
    close(mx.array(found[1:]), inclusive[:-1])
    assert np.array_equal(np.array(ms.scan(operator, mx.array(x[:1]))), x[:1])


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["matmul", "log"])
def test_dtypes_are_computed_as_they_accumulate(name: str, dtype: str) -> None:
    operator, combine = PRODUCTS[name]
    kind = dtypes.by_name(dtype)
    with mx.stream(mx.cpu):
        x = mx.array(matrices((5, 11, 11))).astype(kind)
        exact = np.array(x.astype(mx.float64))
        ys, carry = ms.scan(operator, x, return_carry=True)
        expected = folded(combine, (exact,), 0)[0]
        assert ys.dtype == kind
        assert carry.dtype == (mx.float64 if dtype == "float64" else mx.float32)
        close(ys, expected, {"float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}[dtype])
        close(carry, expected[-1], 1e-13 if dtype == "float64" else 2e-5)


def test_integers_wrap_and_bools_reach() -> None:
    x = np.random.default_rng(0).integers(-9, 9, size=(12, 9, 9)).astype(np.int32)
    expected = [x[0]]
    for row in x[1:]:
        expected.append((expected[-1].astype(np.int64) @ row.astype(np.int64)).astype(np.int32))
    assert np.array_equal(np.array(ms.scan(ms.MatMul(), mx.array(x))), np.stack(expected))
    graph = np.random.default_rng(1).random((7, 9, 9)) < 0.2
    found = np.array(ms.scan(ms.SemiringMatMul(ms.Boolean()), mx.array(graph)))
    reached = [graph[0]]
    for row in graph[1:]:
        reached.append((reached[-1][:, :, None] & row[None]).any(axis=1))
    assert np.array_equal(found, np.stack(reached))
    late = np.array(ms.scan(ms.SemiringMatMul(ms.Boolean()), mx.array(graph), inclusive=False))
    assert np.array_equal(late, np.stack([np.eye(9, dtype=bool), *reached[:-1]]))


@pytest.mark.parametrize("size", [8, 9, 20])
def test_affine_maps_of_matrices(size: int) -> None:
    a, b = matrices((7, 3, size, size)), matrices((7, 3, size), 1)
    found = ms.scan(ms.MatrixAffine(), (mx.array(a), mx.array(b)))
    for y, expected in zip(found, folded(affine, (a, b), 0), strict=True):
        close(y, expected)


def test_leaves_broadcast_and_keep_their_shapes() -> None:
    a, b = matrices((7, 1, 9, 9)), matrices((7, 3, 9), 1)
    matrix, state = ms.scan(ms.MatrixAffine(), (mx.array(a), mx.array(b)))
    wide = folded(affine, (np.broadcast_to(a, (7, 3, 9, 9)), b), 0)
    assert matrix.shape == (7, 1, 9, 9)
    close(matrix, wide[0][:, :1]), close(state, wide[1])


def elements_of_a_filter(n: int, length: int) -> tuple[mx.array, ...]:
    rng = np.random.default_rng(n)
    model = [rng.normal(size=(length, 2)), np.linalg.qr(rng.normal(size=(n, n)))[0] * 0.9, np.eye(n) * 0.1,
             rng.normal(size=(2, n)), np.eye(2) * 0.5]  # fmt: skip
    return ms.KalmanFilter().embed(*(mx.array(x.astype(np.float32)) for x in model))


@pytest.mark.parametrize("n", [5, 8])
def test_kalman_filters(n: int) -> None:
    elements = elements_of_a_filter(n, 20)
    runs_a_kernel(ms.KalmanFilter(), elements)
    expected = folded(kalman, tuple(np.array(x) for x in elements), 0)
    for y, each in zip(ms.scan(ms.KalmanFilter(), elements), expected, strict=True):
        close(y, each, 1e-4)


def test_strided_elements_are_read_where_they_stand() -> None:
    x = matrices((9, 9, 6))
    turned = mx.array(x).transpose(2, 1, 0)
    expected = folded(PRODUCTS["matmul"][1], (x.transpose(2, 1, 0),), 0)[0]
    close(ms.scan(ms.MatMul(), turned), expected)
    close(ms.scan(ms.MatMul(), mx.array(x.transpose(2, 0, 1))[::2]), folded(PRODUCTS["matmul"][1], (x.transpose(2, 0, 1)[::2],), 0)[0])  # fmt: skip


SPECIAL = [-np.inf, -200.0, -100.0, -50.0, 0.0, 60.0]


@pytest.mark.parametrize("size", [9, 16])
@pytest.mark.parametrize("kind", ["sparse", "far apart", "chain", "nothing"])
def test_log_products_are_right_where_sums_underflow(size: int, kind: str) -> None:
    rng = np.random.default_rng(size)
    x = {
        "sparse": np.where(rng.random((8, size, size)) < 0.8, -np.inf, rng.normal(size=(8, size, size))),
        "far apart": rng.choice(SPECIAL, size=(8, size, size)) + rng.normal(size=(8, size, size)),
        "chain": np.broadcast_to(np.where(np.eye(size) + np.eye(size, k=1) > 0, -1.0, -np.inf), (8, size, size)),
        "nothing": np.full((8, size, size), -np.inf),
    }[kind].astype(np.float32)
    expected = folded(log_product, (x,), 0)[0]
    found = np.array(ms.scan(ms.SemiringMatMul(ms.Log()), mx.array(x)))
    assert np.array_equal(np.isneginf(found), np.isneginf(expected))
    close(mx.array(found), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_log_products_pass_on_what_is_not_finite(bad: float) -> None:
    x = matrices((4, 9, 9))
    x[1, 2, 3], x[2, 4] = bad, -np.inf
    found = np.array(ms.scan(ms.SemiringMatMul(ms.Log()), mx.array(x)))
    with np.errstate(all="ignore"):
        expected = folded(log_product, (x,), 0)[0]
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.array_equal(np.isposinf(found), np.isposinf(expected))
    assert np.array_equal(found[0], x[0])
    close(mx.array(found), expected)


def moved(x: mx.array, y: mx.array) -> mx.array:
    joined = mx.concatenate([x[::-1, 1:], y[:, :1] * 2.0], axis=1)
    return mx.where(mx.eye(9) > 0, joined, mx.pad(x[1:, :], [(0, 1), (0, 0)])) + y.reshape(3, 27).T.reshape(9, 9)


def reductions(x: mx.array, y: mx.array) -> mx.array:
    return mx.softmax(x, axis=-1) + y.sum(axis=0) - y.max(axis=1, keepdims=True) * mx.cumsum(x * 0.1, axis=1)


def swapped(x: tuple[mx.array, mx.array], y: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
    return x[1], x[0] + y[0]


@pytest.mark.parametrize("combine", [moved, reductions])
def test_operations_on_parts_of_an_element(combine: Callable[[mx.array, mx.array], mx.array]) -> None:
    operator, x = ms.monoid(combine, event=2), mx.array(matrices((6, 9, 9)))
    runs_a_kernel(operator, x)
    expected = [x[0]]
    for t in range(1, 6):
        expected.append(combine(expected[-1], x[t]))
    close(ms.scan(operator, x), np.array(mx.stack(expected)))


def test_results_that_are_parts_of_the_state_before() -> None:
    operator = ms.monoid(swapped, event=2)
    x, y = mx.array(matrices((5, 9, 9))), mx.array(matrices((5, 9, 9), 1))
    state = (x[0], y[0])
    for t in range(1, 5):
        state = swapped(state, (x[t], y[t]))
    found = ms.fold(operator, (x, y))
    assert all(np.array_equal(np.array(a), np.array(b)) for a, b in zip(found, state, strict=True))


def test_captured_arrays_are_read_once_a_row() -> None:
    weights = mx.array(matrices((9, 9), 3))
    operator, x = ms.monoid(lambda left, right: left @ weights + right, event=2), mx.array(matrices((5, 2, 9, 9)))
    runs_a_kernel(operator, x)
    expected = folded(lambda a, b: (a[0] @ np.array(weights) + b[0],), (np.array(x),), 0)[0]
    close(ms.scan(operator, x), expected)


def test_many_rows_are_shared_out_and_keep_their_bits() -> None:
    x = mx.array(matrices((37, 5, 3, 9, 9)))
    whole = ms.scan(ms.MatMul(), x, axis=1)
    each = mx.stack([ms.scan(ms.MatMul(), x[i], axis=0) for i in range(37)])
    assert np.array_equal(np.array(whole), np.array(each))


def gradient(operator: ms.Monoid, x: mx.array, strategy: str) -> mx.array:
    weights = mx.array(matrices(x.shape, 7))
    return mx.grad(lambda a: (ms.scan(operator, a, strategy=strategy) * weights).sum())(x)


@pytest.mark.parametrize("name", ["matmul", "log"])
def test_gradients_equal_those_of_array_operations(name: str) -> None:
    operator = PRODUCTS[name][0]
    x = mx.array(matrices((6, 2, 9, 9)))
    close(gradient(operator, x, "auto"), np.array(gradient(operator, x, "brent_kung")))


def test_maps_and_tangents() -> None:
    x = mx.array(matrices((4, 6, 9, 9)))
    mapped = mx.vmap(lambda a: ms.scan(ms.MatMul(), a))(x)
    assert np.array_equal(np.array(mapped), np.array(ms.scan(ms.MatMul(), x, axis=1)))
    _, found = mx.jvp(lambda a: ms.scan(ms.MatMul(), a, axis=1), [x], [mx.ones_like(x)])
    h = 1e-3
    ends = [np.array(ms.scan(ms.MatMul(), x + s * h, axis=1), np.float64) for s in (1, -1)]
    np.testing.assert_allclose(np.array(found[0]), (ends[0] - ends[1]) / (2 * h), atol=2e-2)


def numeric(
    loss: Callable[[list[np.ndarray]], float], arrays: list[np.ndarray], place: int, count: int = 12
) -> list[tuple[tuple[int, ...], float]]:
    """Derivatives by central differences in float64, at some places of one array."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        at = tuple(int(rng.integers(size)) for size in arrays[place].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved_arrays = [x.astype(np.float64).copy() for x in arrays]
            moved_arrays[place][at] += step
            ends.append(loss(moved_arrays))
        found.append((at, (ends[0] - ends[1]) / 2e-5))
    return found


GRADIENTS: dict[str, tuple[ms.Monoid, Combine, Callable[[], list[np.ndarray]]]] = {
    "matmul": (*PRODUCTS["matmul"], lambda: [matrices((5, 2, 9, 9))]),
    "log": (*PRODUCTS["log"], lambda: [matrices((5, 2, 9, 9))]),
    "affine": (ms.MatrixAffine(), affine, lambda: [matrices((5, 2, 10, 10)), matrices((5, 2, 10), 1)]),
    "filter": (ms.KalmanFilter(), kalman, lambda: [np.array(x) for x in elements_of_a_filter(5, 6)]),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize(
    "options", thinned([{}, {"reverse": True}, {"inclusive": False}, {"fold": True}], [{}]), ids=str
)
def test_gradients_equal_differences_of_the_fold_in_order(name: str, options: dict[str, bool]) -> None:
    operator, combine, make = GRADIENTS[name]
    arrays = make()
    start = [x[0] * 0.5 for x in arrays]
    if name == "filter":
        start = [np.array(x) for x in ms.KalmanFilter().prior(mx.ones((5,)), mx.eye(5))]
    weights = [matrices(x.shape, 7 + i).astype(np.float64) for i, x in enumerate(arrays)]
    fold, reverse, late = options.get("fold", False), options.get("reverse", False), not options.get("inclusive", True)

    def exact(given: list[np.ndarray]) -> float:
        elements, init = tuple(given[: len(arrays)]), tuple(given[len(arrays) :])
        elements = tuple(np.flip(x, 0) for x in elements) if reverse else elements
        ys = folded(combine, elements, 0, init)
        if late:
            ys = [np.concatenate([i[None], y[:-1]]) for i, y in zip(init, ys, strict=True)]
        if fold:
            return float(sum((y[-1] * w[0]).sum() for y, w in zip(ys, weights, strict=True)))
        ys = [np.flip(y, 0) for y in ys] if reverse else ys
        return float(sum((y * w).sum() for y, w in zip(ys, weights, strict=True)))

    def loss(*given: mx.array) -> mx.array:
        leaves, init = given[: len(arrays)], given[len(arrays) :]
        elems, first = (leaves, init) if len(leaves) > 1 else (leaves[0], init[0])
        if fold:
            found = ms.fold(operator, elems, init=first)
        else:
            found = ms.scan(operator, elems, init=first, reverse=reverse, inclusive=not late)
        ys = found if isinstance(found, tuple) else (found,)
        return sum(
            (y * mx.array((w[0] if fold else w).astype(np.float32))).sum() for y, w in zip(ys, weights, strict=True)
        )

    given = [*arrays, *start]
    found = mx.grad(loss, argnums=list(range(len(given))))(*map(mx.array, given))
    for place in range(len(given)):
        for at, expected in numeric(exact, given, place, 4):
            assert abs(float(found[place][at]) - expected) <= 3e-3 * max(1.0, abs(expected)), (place, at)


def test_gradients_of_captured_arrays_are_summed() -> None:
    x, w = matrices((5, 2, 9, 9)), matrices((9, 9), 3)

    def loss(weights: mx.array) -> mx.array:
        operator = ms.monoid(lambda left, right: left @ weights + right, event=2)
        return ms.scan(operator, mx.array(x)).sum()

    def exact(given: list[np.ndarray]) -> float:
        return float(folded(lambda a, b: (a[0] @ given[0] + b[0],), (x.astype(np.float64),), 0)[0].sum())

    found = mx.grad(loss)(mx.array(w))
    for at, expected in numeric(exact, [w], 0):
        assert abs(float(found[at]) - expected) <= 2e-3 * max(1.0, abs(expected))


def test_gradients_of_the_first_element_alone_and_of_one_step() -> None:
    x = mx.array(matrices((1, 9, 9)))
    assert np.array_equal(np.array(mx.grad(lambda a: ms.scan(ms.MatMul(), a).sum())(x)), np.ones((1, 9, 9)))


def test_second_derivatives() -> None:
    x, v = mx.array(matrices((3, 9, 9))), mx.array(matrices((3, 9, 9), 4))

    def along(strategy: str) -> mx.array:
        first = mx.grad(lambda a: (ms.scan(ms.MatMul(), a, strategy=strategy) ** 2).sum())
        return mx.grad(lambda a: (first(a) * v).sum())(x)

    close(along("auto"), np.array(along("brent_kung")), 1e-4)


def test_gradients_of_paths_by_array_operations() -> None:
    operator, x = PRODUCTS["max.plus"][0], mx.array(matrices((6, 2, 9, 9)))
    close(gradient(operator, x, "auto"), np.array(gradient(operator, x, "brent_kung")))


def test_gradients_of_log_products_where_there_is_no_path() -> None:
    x = np.where(np.eye(9) + np.eye(9, k=1) > 0, matrices((5, 9, 9)), -np.inf).astype(np.float32)
    found = np.array(mx.grad(lambda a: ms.fold(ms.SemiringMatMul(ms.Log()), a)[0, 4])(mx.array(x)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)  # every path takes one entry of each step
