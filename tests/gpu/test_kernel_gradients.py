"""Gradients and tangents by GPU kernels on the machine of fibres.

The references are the adjoint of a linear recurrence written out in float64, and the CPU's loops.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import fixed, scan
from selection import thinned
from shim_driver import Fault, Shim, needs_shim

import monoscan as ms
from monoscan import tree
from monoscan.cli import target as examples
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.render.gpu_spec import Body
from monoscan.monoids import named

pytestmark = needs_shim

BODIES = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), 1, 1100),
    "short rows": (fixed(Body.SHORT, 4, 1, 2, 32), 1, 77),
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), 5, 43),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), 1, 1100),
    "columns in three launches": (fixed(Body.COLUMNS, 2, 1, 4, chunk=2), 3, 43),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), 1, 9000),
}
OPTIONS = [
    (reverse, inclusive, init) for reverse in (False, True) for inclusive in (False, True) for init in (False, True)
]
OPTIONS = [(r, i, s) for r, i, s in OPTIONS if i or s]  # without either Affine's identity comes first: tested apart
QUICK = [("rows", True, False, True), ("columns", False, True, False), ("looking back", False, True, True)]


def recurrence(a: Any, b: Any, w: Any, end: Any, start: Any, reverse: bool, inclusive: bool) -> list[Any]:
    """The cotangents of gates, inputs and the first state of h_t = a_t h_{t-1} + b_t, in float64, axis 1."""
    a, b, w = (np.asarray(x, np.float64) for x in (a, b, w))
    if reverse:
        a, b, w = a[:, ::-1], b[:, ::-1], w[:, ::-1]
    n = a.shape[1]
    h = [np.zeros_like(a[:, 0]) if start is None else np.asarray(start, np.float64)]
    for t in range(n):
        h.append(a[:, t] * h[-1] + b[:, t])
    g, da, db = np.asarray(end, np.float64), np.empty_like(a), np.empty_like(b)
    for t in range(n - 1, -1, -1):
        g = g + w[:, t] if inclusive else g
        da[:, t], db[:, t] = g * h[t], g
        g = a[:, t] * g + (0 if inclusive else w[:, t])
    return [da[:, ::-1], db[:, ::-1], g] if reverse else [da, db, g]


@pytest.mark.sampled(3)
@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "reverse", "inclusive", "init"),
    thinned([(body, *options) for body in BODIES for options in OPTIONS], QUICK),
)
def test_gradients_of_a_recurrence(body: str, reverse: bool, inclusive: bool, init: bool) -> None:
    plan, inner, n = BODIES[body]
    random, shim = np.random.default_rng(0), Shim(seed=3)
    a = random.uniform(-1, 1, (2, n, inner)).astype(np.float32)
    b, w = (random.normal(size=a.shape).astype(np.float32) for _ in range(2))
    end, start = (random.normal(size=(2, inner)).astype(np.float32) for _ in range(2))

    def loss(a: Any, b: Any, start: Any) -> Any:
        h0 = (mx.ones_like(start), start) if init else None
        options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "return_carry": True, "init": h0}
        (_, h), (_, last) = scan(ms.Affine(), (a, b), 1, plan=plan, start=shim, **options)
        return (h * mx.array(w)).sum() + (last * mx.array(end)).sum()

    found = mx.grad(loss, argnums=(0, 1, 2))(mx.array(a), mx.array(b), mx.array(start))
    expected = recurrence(a, b, w, end, start if init else None, reverse, inclusive)
    for got, want in zip(found, expected, strict=True):
        if init or want is not expected[2]:
            np.testing.assert_allclose(np.array(got), want, rtol=2e-4, atol=2e-4)
    assert any(spec.pulled is not None for spec in shim.started)


def losses(run: Any, operator: Any, axis: int, weights: Any, **options: Any) -> Any:
    """A loss that every float result has a part in."""

    def loss(*leaves: mx.array) -> mx.array:
        found = tree.flatten(run(operator, structure_of(operator, leaves), axis, **options))[0]
        floats = [y for y in found if mx.issubdtype(y.dtype, mx.floating)]
        return mx.sum(
            mx.stack([(y * w.astype(y.dtype)).sum().astype(mx.float32) for y, w in zip(floats, weights, strict=False)])
        )

    return loss


def structure_of(operator: Any, leaves: Any) -> Any:
    return tree.unflatten(tree.flatten(examples.example(operator, (2, 3)))[1], list(leaves))


ARGUMENTS = {
    "Dual": "Dual(Affine())", "Maybe": "Maybe(Product())", "Segmented": "Segmented(Affine())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(MaxPlus())",
    "Struct": "Struct(mean=Mean(), peak=Max())", "Tuple": "Tuple(Min(), LogSumExp())",
}  # fmt: skip
NO_FLOATS = ("All", "Any", "Xor", "Bracket", "FiniteMap", "Via", "ArgMax", "ArgMin")
NAMES = [ARGUMENTS.get(name, name) for name in named.catalogue() if name not in NO_FLOATS]


@pytest.mark.sampled(6)
@pytest.mark.long
@pytest.mark.parametrize("name", thinned(NAMES, ["Affine", "LogSumExp"]))
@pytest.mark.parametrize(("shape", "axis"), [((2, 150), 1), pytest.param((21, 5), 0, marks=pytest.mark.long)])
def test_gradients_of_the_catalogue(name: str, shape: tuple[int, int], axis: int) -> None:
    """As the CPU's, up to the rounding of other orders: of filters of random elements that is much."""
    operator, tolerance = named.operator(name), 2e-4
    if name.startswith("Kalman"):
        shape, tolerance = (shape[0], 20) if axis else (9, shape[1]), 5e-3
    leaves = tree.flatten(examples.example(operator, shape))[0]
    floats = tuple(i for i, x in enumerate(leaves) if mx.issubdtype(x.dtype, mx.floating))
    results = tree.flatten(ms.scan(operator, structure_of(operator, leaves), axis, stream=mx.cpu))[0]
    weights = [mx.random.normal(y.shape, key=mx.random.key(i)) for i, y in enumerate(results)]
    if not floats:
        pytest.skip("no leaf has a derivative")
    with mx.stream(mx.cpu):
        found = mx.grad(losses(scan, operator, axis, weights), argnums=floats)(*leaves)
        expected = mx.grad(losses(ms.scan, operator, axis, weights), argnums=floats)(*leaves)
    for got, want in zip(listed(found), listed(expected), strict=True):
        scale = max(1.0, float(np.abs(np.array(want)).max()))
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=2e-3, atol=tolerance * scale)


def listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


@pytest.mark.parametrize("body", thinned(["one run", "one column"], ["one run"]))
def test_bits_are_the_cpus_where_the_order_is_the_same(body: str) -> None:
    plan, shape, axis = {
        "one run": (fixed(Body.SHORT, 4, 1, 1, 1), (5, 4), 1),
        "one column": (fixed(Body.COLUMNS, 4, 1, 1), (4, 33), 0),
    }[body]
    a, b, w = (mx.random.normal(shape, key=mx.random.key(k)) for k in range(3))
    for operator in (ms.Affine(), ms.MaxPlusAffine()):
        found, expected = (
            mx.grad(
                lambda a, b, run=run, operator=operator: (run(operator, (a, b), axis)[1] * w).sum(), argnums=(0, 1)
            )(a, b)
            for run in (partial(scan, plan=plan), partial(ms.scan, strategy="sequential", stream=mx.cpu))
        )
        assert all(mx.array_equal(x, y) for x, y in zip(found, expected, strict=True))


def test_bits_do_not_depend_on_the_schedule() -> None:
    plan, _, n = BODIES["looking back"]
    a, b, w = (mx.random.uniform(-1, 1, (1, n), key=mx.random.key(k)) for k in range(3))

    def gradient(shim: Shim) -> Any:
        return mx.grad(lambda a, b: (scan(ms.Affine(), (a, b), 1, plan=plan, start=shim)[1] * w).sum(), argnums=(0, 1))(
            a, b
        )

    first = gradient(Shim(1, 1))
    for shim in (Shim(2, 9), Shim(3, 40, starve=True)):
        assert all(mx.array_equal(x, y) for x, y in zip(first, gradient(shim), strict=True))


@pytest.mark.long
@pytest.mark.parametrize("target", ["metal", "cuda"])
def test_the_planned_launches(target: str) -> None:
    """Captured arrays, leaves that broadcast, halves, the carry alone, in the shapes that plans choose."""
    plan = partial(launches, target=target)
    scale = mx.array([1.5, -0.4])

    def decayed(scale: mx.array) -> Any:
        def combine(l: Any, r: Any) -> Any:
            gate = r[0] * (0.9 * scale.sum())
            return l[0] * gate, l[1] * gate + r[1]

        return ms.monoid(combine, name="decayed")

    def loss(run: Any) -> Any:
        def value(a: Any, b: Any, scale: Any) -> Any:
            (_, h), (_, last) = run(decayed(scale), (a, b), 1, return_carry=True)
            return (h.astype(mx.float32) ** 2).sum() + last.sum()

        return value

    for lead, dtype in (((1, 70_000), mx.float32), ((3, 300), mx.float16), ((3, 40, 2), mx.bfloat16)):
        a = mx.random.uniform(0.5, 1, (1, *lead[1:]), key=mx.random.key(0)).astype(dtype)
        b = mx.random.uniform(-1, 1, lead, key=mx.random.key(1)).astype(dtype)
        found = mx.grad(loss(partial(scan, plan=plan)), argnums=(0, 1, 2))(a, b, scale)
        expected = mx.grad(loss(partial(ms.scan, stream=mx.cpu, strategy="sequential")), argnums=(0, 1, 2))(a, b, scale)
        for got, want in zip(found, expected, strict=True):
            assert got.dtype == want.dtype
            x, y = (np.array(each.astype(mx.float32)) for each in (got, want))
            np.testing.assert_allclose(x, y, rtol=3e-2 if dtype != mx.float32 else 1e-3, atol=1e-3 * np.abs(y).max())


def test_tangents_are_scanned_by_a_kernel() -> None:
    shim, shape = Shim(), (2, 150)
    a, b, da, db = (mx.random.uniform(-1, 1, shape, key=mx.random.key(k)) for k in range(4))
    found, expected = (
        mx.jvp(lambda a, b, run=run: run(ms.Affine(), (a, b), 1)[1], [a, b], [da, db])[1][0]
        for run in (partial(scan, start=shim), partial(ms.scan, stream=mx.cpu))
    )
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-4, atol=1e-5)
    assert any(len(spec.kernel.state) == 4 for spec in shim.started), "values and tangents"


def test_second_derivatives() -> None:
    x, y = (mx.random.uniform(0.5, 1, (2, 40), key=mx.random.key(k)) for k in (0, 1))

    def gradient(run: Any) -> Any:
        return mx.grad(lambda a, b: (run(ms.Affine(), (a, b), 1)[1] ** 3).sum(), argnums=(0, 1))

    def second(run: Any) -> Any:
        return mx.grad(lambda a, b: sum((g * g).sum() for g in gradient(run)(a, b)), argnums=(0, 1))(x, y)

    for got, want in zip(second(scan), second(partial(ms.scan, stream=mx.cpu)), strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-3)


MISTAKES = {
    "the derivatives of the step itself": ("operands_of(a, at, n, t + 1), x, k)", "operands_of(a, at, n, t), x, k)"),
    "the state after the step": ("return read_lefts(a, at, in_memory(n, t - shifted), x);", "return read_lefts(a, at, in_memory(n, t), x);"),
    "the cotangent of another step": ("const i32 i = in_memory(n, t + late);", "const i32 i = in_memory(n, t);"),
    "no cotangent of the carry": ("ENDS(ADD)\n", "\n"),
    "the other way round": ("const i32 t = n - 1 - place, i = in_memory(n, t);", "const i32 t = n - 1 - place, i = n - 1 - t;"),
    "the first step's state is not that given": ("if (t >= shifted) return", "if (t >= 0) return"),
    "the first result of an exclusive scan is forgotten": ("LATE(ADD)\n", "\n"),
    "the cotangent of the first state at the last step": ("if (t == 0) {\n", "if (t == n - 1) {\n"),
    "the cotangent past the end": ("if (t + late < n) {", "if (t + late <= n) {"),
}  # fmt: skip


@pytest.mark.parametrize("name", thinned(MISTAKES, ["the derivatives of the step itself"]))
def test_a_mistake_is_found(name: str) -> None:
    faulty, found = MISTAKES[name], 0
    before = Shim.__call__
    for inclusive in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            shims: list[Shim] = []

            def call(self: Shim, *args: Any, shims: list[Shim] = shims) -> Any:
                self.faulty = faulty
                shims.append(self)
                return before(self, *args)

            patch.setattr(Shim, "__call__", call)
            try:
                test_gradients_of_a_recurrence("short rows", inclusive, inclusive, True)
            except (Fault, AssertionError):
                found += 1
            assert any(shim.replaced for shim in shims)
    assert found
