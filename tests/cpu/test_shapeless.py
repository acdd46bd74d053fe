"""A scan traced by ``mx.compile(..., shapeless=True)`` is right for every other size, or refused when it is traced.

The oracle is a NumPy fold; that of gradients is MLX's own derivative of the same fold, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray
from selection import thinned

import monoscan as ms
from monoscan import tree

Array = NDArray[np.float64]
RNG = np.random.default_rng(5)

TRACED = ((0, 3), (1, 1), (1, 3), (2, 1), (5, 3))
"""Lengths and batch sizes of the trace."""

RUN = ((1, 3), (2, 1), (3, 5), (7, 3), (64, 20), (7, 1))
"""Those of the calls that follow."""

EMPTY = ((0, 3), (4, 0))


@attrs.frozen
class Fold:
    """An operator, the same in array operations, and its identity."""

    operator: ms.Semigroup
    combine: Callable[[Any, Any], Any]
    identity: tuple[float, ...]


def affine(left: Any, right: Any) -> Any:
    return right[0] * left[0], right[0] * left[1] + right[1]


FOLDS = {
    "Affine": Fold(ms.Affine(), affine, (1.0, 0.0)),
    "Sum": Fold(ms.Sum(), lambda x, y: (x[0] + y[0],), (0.0,)),
    "Product": Fold(ms.Product(), lambda x, y: (x[0] * y[0],), (1.0,)),
    "Max": Fold(ms.Max(), lambda x, y: (np.maximum(x[0], y[0]),), (-np.inf,)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"reverse": True},
    "exclusive": {"inclusive": False},
    "carry": {"return_carry": True},
    "all": {"reverse": True, "inclusive": False, "return_carry": True},
}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """MLX traces the first function of a process twice."""
    mx.eval(mx.compile(lambda x: x + 1, shapeless=True)(mx.ones(3)))


def uniform(*shape: int) -> Array:
    return RNG.uniform(0.5, 1.25, shape)


def scanned(
    fold: Fold, leaves: Sequence[Any], axis: int = 0, init: Sequence[Any] | None = None, **options: bool
) -> list[Array]:
    """Results, then the carry, by a loop over the steps; each leaf has the shape of what it depends on."""
    rank = max(x.ndim for x in leaves)
    leaves = [np.expand_dims(np.moveaxis(x, axis, 0), tuple(range(1, 1 + rank - x.ndim))) for x in leaves]
    state = tuple(map(np.float64, fold.identity)) if init is None else tuple(map(np.asarray, init))
    states: list[tuple[Array, ...]] = []
    before: list[tuple[Array, ...]] = []
    for step in list(zip(*leaves, strict=True))[:: -1 if options.get("reverse") else 1]:
        before.append(state)
        state = fold.combine(state, step)
        states.append(state)
    chosen = (states if options.get("inclusive", True) else before)[:: -1 if options.get("reverse") else 1]
    results = []
    for i, last in enumerate(state if states else fold.combine(state, [x[:0].sum(0) for x in leaves])):
        rows = [np.broadcast_to(each[i], np.shape(last)) for each in chosen]
        results.append(np.moveaxis(np.stack(rows), 0, axis) if rows else np.zeros((0, *np.shape(last))))
    ends = [np.asarray(x, dtype=np.float64) for x in state]
    return [*results, *ends] if options.get("return_carry") else results


def check(got: Any, want: Sequence[Array], case: object) -> None:
    leaves = tree.flatten(got)[0]
    assert len(leaves) == len(want), case
    for x, y in zip(leaves, want, strict=True):
        assert x.shape == y.shape, case
        np.testing.assert_allclose(np.array(x), y, rtol=2e-5, err_msg=str(case))


def arrays(values: Sequence[Array]) -> list[mx.array]:
    return [mx.array(x, mx.float32) for x in values]


def table(
    function: Callable[..., Any],
    make: Callable[[int, int], list[Array]],
    oracle: Callable[..., list[Array]],
    run: Sequence[tuple[int, int]] = RUN,
) -> None:
    """Traces a function at all of `TRACED`, and calls each trace with other sizes."""
    for traced in TRACED:
        compiled = mx.compile(function, shapeless=True)
        mx.eval(compiled(*arrays(make(*traced))))
        for sizes in run:
            given = make(*sizes)
            check(compiled(*arrays(given)), oracle(*given), (traced, sizes))


# -------------------------------------------------------------------------------------- forward


@pytest.mark.parametrize("options", thinned(OPTIONS, ["plain", "all"]))
@pytest.mark.parametrize("name", FOLDS)
def test_scans(name: str, options: str) -> None:
    fold, chosen = FOLDS[name], OPTIONS[options]
    number = len(fold.identity)
    table(
        lambda *xs: ms.scan(fold.operator, xs if number > 1 else xs[0], **chosen),
        lambda n, b: [uniform(n, b) for _ in range(number)],
        lambda *xs: scanned(fold, xs, **chosen),
    )


@pytest.mark.long
@pytest.mark.parametrize("options", thinned(["plain", "all"], ["all"]))
@pytest.mark.parametrize("name", FOLDS)
def test_scans_from_an_init(name: str, options: str) -> None:
    fold, chosen = FOLDS[name], OPTIONS[options]
    number = len(fold.identity)
    table(
        lambda *xs: ms.scan(
            fold.operator,
            xs[:number] if number > 1 else xs[0],
            init=xs[number:] if number > 1 else xs[1],
            **chosen,
        ),
        lambda n, b: [uniform(n, b) for _ in range(number)] + [uniform(b) for _ in range(number)],
        lambda *xs: scanned(fold, xs[:number], init=xs[number:], **chosen),
        [*RUN, (4, 0)],
    )


@pytest.mark.parametrize(("axis", "order"), [(1, (1, 0)), (-1, (1, 0))])
def test_other_axes(axis: int, order: tuple[int, ...]) -> None:
    table(
        lambda a, b: ms.scan(ms.Affine(), (a, b), axis=axis, return_carry=True),
        lambda n, b: [uniform(n, b).transpose(order) for _ in range(2)],
        lambda a, b: scanned(FOLDS["Affine"], (a, b), 1, return_carry=True),
    )


GATES: dict[str, Callable[[int, int], tuple[int, ...]]] = {"(T,)": lambda n, b: (n,), "(T, 1)": lambda n, b: (n, 1)}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("options", ["carry", "all"])
def test_gates_that_broadcast(gate: str, options: str) -> None:
    def oracle(a: Array, b: Array) -> list[Array]:
        found = scanned(FOLDS["Affine"], (a, b), **OPTIONS[options])
        if len(b):  # the decay has the gate's own shape
            found[0], found[2] = found[0].reshape(a.shape), found[2].reshape(a.shape[1:])
        return found

    table(
        lambda a, b: ms.scan(ms.Affine(), (a, b), **OPTIONS[options]),
        lambda n, b: [uniform(*GATES[gate](n, b)), uniform(n, b)],
        oracle,
    )


def test_leaves_that_begin_or_cease_to_broadcast() -> None:
    run = mx.compile(lambda a, b: ms.scan(ms.Affine(), (a, b)), shapeless=True)
    for first, second in (((2, 1), (2, 1)), ((5, 1), (5, 3)), ((5, 3), (5, 1)), ((5, 3), (5, 3))):
        a, b = uniform(*first), uniform(*second)
        want = scanned(FOLDS["Affine"], (a, b))
        check(run(*arrays([a, b])), [want[0].reshape(a.shape), want[1]], (first, second))


@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
@pytest.mark.parametrize("name", FOLDS)
def test_folds(name: str, reverse: bool) -> None:
    fold, number = FOLDS[name], len(FOLDS[name].identity)
    table(
        lambda *xs: ms.fold(fold.operator, xs if number > 1 else xs[0], reverse=reverse),
        lambda n, b: [uniform(n, b) for _ in range(number)],
        lambda *xs: scanned(fold, xs, reverse=reverse, return_carry=True)[number:],
    )


def test_recurrences_from_a_state_of_another_batch() -> None:
    table(
        lambda a, b, h: ms.linear_recurrence(a, b, h, return_carry=True),
        lambda n, b: [uniform(n, b), uniform(n, 2, b), uniform(b)],
        lambda a, b, h: scanned(
            FOLDS["Affine"], (a, b), init=(np.ones(()), np.broadcast_to(h, b.shape[1:])), return_carry=True
        )[1::2],
    )


def test_products_of_operators() -> None:
    table(
        lambda x, a, b: ms.scan(ms.Tuple(ms.Max(), ms.Affine()), (x, (a, b)), return_carry=True),
        lambda n, b: [uniform(n, b) for _ in range(3)],
        lambda x, a, b: [
            y
            for at in (slice(0, 1), slice(1, 2))
            for name, xs in (("Max", (x,)), ("Affine", (a, b)))
            for y in (scanned(FOLDS[name], xs, return_carry=True)[len(xs) * at.start : len(xs) * at.stop])
        ],
    )


def test_functions_of_slices() -> None:
    table(
        lambda a, b: ms.associative_scan(affine, (a, b)),
        lambda n, b: [uniform(n, b) for _ in range(2)],
        lambda a, b: scanned(FOLDS["Affine"], (a, b)),
    )


def packed(left: Any, right: Any) -> Any:
    sums = left[..., :2] + right[..., :2] + mx.mean(left * 0, axis=-1, keepdims=True)
    return mx.concatenate([sums, mx.maximum(left[..., 2:], right[..., 2:])], axis=-1)


@pytest.mark.parametrize(
    ("function", "combine"),
    [
        (mx.matmul, lambda x, y: (x[0] @ y[0],)),
        (packed, lambda x, y: (np.concatenate([x[0][..., :2] + y[0][..., :2], np.maximum(x[0], y[0])[..., 2:]], -1),)),
    ],
    ids=["products", "packed states"],
)
def test_functions_of_slices_with_event_axes(function: Callable[..., Any], combine: Callable[..., Any]) -> None:
    event = (3,) if function is packed else (2, 2)
    start = np.zeros(event) if function is packed else np.eye(2)
    table(
        lambda x: ms.associative_scan(function, x),
        lambda n, b: [uniform(max(n, 1), b, *event)],
        lambda x: scanned(Fold(ms.Sum(), combine, (0.0,)), (x,), init=(np.broadcast_to(start, x.shape[1:]),)),
    )


@pytest.mark.parametrize("strategy", ["sequential", "kernel"])
def test_forced_kernels(strategy: str) -> None:
    table(
        lambda x: ms.scan(ms.Product(), x, strategy=strategy, return_carry=True),
        lambda n, b: [uniform(n, b)],
        lambda x: scanned(FOLDS["Product"], (x,), return_carry=True),
    )


def test_no_steps_at_all_are_the_identity_or_the_init() -> None:
    fold = mx.compile(lambda a, b: ms.fold(ms.Affine(), (a, b)), shapeless=True)
    seeded = mx.compile(lambda x, h: ms.scan(ms.Max(), x, init=h, return_carry=True), shapeless=True)
    for n in (4, 0):
        x = mx.ones((n, 2))
        decay, h = fold(x, x)
        result, carry = seeded(x, mx.array([5.0, 7.0]))
    assert (decay.tolist(), h.tolist()) == ([1, 1], [0, 0])
    assert (result.shape, carry.tolist()) == ((0, 2), [5, 7])


def test_a_semigroup_of_no_steps_is_refused() -> None:
    run = mx.compile(lambda x: ms.fold(ms.First(), x), shapeless=True)
    assert run(mx.array([3.0, 4.0])).item() == 3
    with pytest.raises(ValueError, match=r"First has no identity, and the fold of an empty axis is the identity"):
        mx.eval(run(mx.zeros((0,))))


@pytest.mark.long
def test_embed_of_operators_that_count() -> None:
    mean, argmax = ms.Mean(), ms.ArgMax()
    run = mx.compile(lambda x: mean.project(ms.scan(mean, mean.embed(x))), shapeless=True)
    best = mx.compile(lambda x: argmax.project(ms.fold(argmax, argmax.embed(x, axis=1), axis=1)), shapeless=True)
    for n in (1, 6):
        x = uniform(n, 2)
        got = run(mx.array(x, mx.float32))
        np.testing.assert_allclose(np.array(got), np.cumsum(x, 0) / np.arange(1, n + 1)[:, None], rtol=1e-5)
        np.testing.assert_array_equal(np.array(best(mx.array(x.T, mx.float32))), x.argmax(0))


def test_heads_of_segments_in_exclusive_scans() -> None:
    run = mx.compile(lambda f, x: ms.scan(ms.Segmented(ms.Sum()), (f, x), inclusive=False)[1], shapeless=True)
    for n in (1, 7):
        flags, x = RNG.uniform(size=n) > 0.6, uniform(n, 2)
        want, total = np.zeros((n, 2)), np.zeros(2)
        for t in range(n):
            total = np.zeros(2) if flags[t] else total
            want[t], total = total, total + x[t]
        np.testing.assert_allclose(np.array(run(mx.array(flags), mx.array(x, mx.float32))), want, rtol=1e-5)


# ------------------------------------------------------------------------------------ gradients


def stepwise(a: mx.array, b: mx.array, h: mx.array | None = None, reverse: bool = False) -> mx.array:
    """The states of a recurrence, as a loop that MLX differentiates."""
    state = mx.zeros(b.shape[1:]) if h is None else h
    states = []
    for t in range(b.shape[0])[:: -1 if reverse else 1]:
        state = a[t] * state + b[t]
        states.append(state)
    return mx.stack(states[:: -1 if reverse else 1])


def gradients(loss: Callable[..., mx.array], by_steps: Callable[..., mx.array], make: Any, number: int) -> None:
    def slope(of: Callable[..., mx.array]) -> Callable[..., Any]:
        return mx.grad(lambda *xs: (of(*xs) ** 2).sum(), argnums=tuple(range(number)))

    for traced in TRACED[1:]:
        compiled = mx.compile(slope(loss), shapeless=True)
        mx.eval(compiled(*arrays(make(*traced))))
        for sizes in RUN[:4]:
            given = arrays(make(*sizes))
            for x, y in zip(compiled(*given), slope(by_steps)(*given), strict=True):
                assert x.shape == y.shape, (traced, sizes)
                np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-3, err_msg=str((traced, sizes)))


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_a_recurrence(reverse: bool) -> None:
    gradients(
        lambda a, b, h: ms.linear_recurrence(a, b, h, reverse=reverse),
        lambda a, b, h: stepwise(a, b, h, reverse=reverse),
        lambda n, b: [uniform(n, b), uniform(n, b), uniform(b)],
        3,
    )


def test_gradients_of_a_gate_that_broadcasts() -> None:
    gradients(ms.linear_recurrence, lambda a, b: stepwise(a[:, None], b), lambda n, b: [uniform(n), uniform(n, b)], 2)


def test_gradients_of_leaves_that_begin_or_cease_to_broadcast() -> None:
    def slope(of: Callable[..., mx.array]) -> Callable[..., Any]:
        return mx.grad(lambda a, b: (of(a, b) ** 2).sum(), argnums=(0, 1))

    for traced in (((2, 1), (2, 1)), ((2, 1), (2, 3)), ((2, 3), (2, 1))):
        run = mx.compile(slope(ms.linear_recurrence), shapeless=True)
        mx.eval(run(*arrays([uniform(*each) for each in traced])))
        for shapes in (((5, 1), (5, 3)), ((5, 3), (5, 1)), ((5, 3), (5, 3))):
            given = arrays([uniform(*each) for each in shapes])
            for x, y in zip(run(*given), slope(lambda a, b: stepwise(*mx.broadcast_arrays(a, b)))(*given), strict=True):
                assert x.shape == y.shape
                np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-4)


@pytest.mark.parametrize("operator", [ms.Sum(), ms.Product()], ids=lambda m: m.name)
def test_gradients_of_native_scans_and_of_folds(operator: ms.Monoid) -> None:
    combine = {"Sum": mx.add, "Product": mx.multiply}[operator.name]

    def by_steps(x: mx.array) -> mx.array:
        states = [x[0]]
        for t in range(1, x.shape[0]):
            states.append(combine(states[-1], x[t]))
        return mx.stack(states)

    gradients(lambda x: ms.scan(operator, x), by_steps, lambda n, b: [uniform(n, b)], 1)
    gradients(lambda x: ms.fold(operator, x), lambda x: by_steps(x)[-1], lambda n, b: [uniform(n, b)], 1)


def test_gradients_of_captured_arrays_are_summed_over_all_steps() -> None:
    def loss(x: mx.array, c: mx.array) -> mx.array:
        return ms.scan(ms.monoid(lambda l, r: l + r + c), x)

    gradients(loss, lambda x, c: mx.cumsum(x, 0) + c * mx.arange(x.shape[0])[:, None],
              lambda n, b: [uniform(n, b), uniform(1)[0]], 2)  # fmt: skip
