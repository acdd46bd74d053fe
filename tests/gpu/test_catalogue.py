"""Operators of the catalogue by GPU kernels on the machine of fibres, against the CPU's sequential kernel.

Where the order of combines is the same, so are the bits: in rows of one run, and in columns of one run. Elsewhere
the machine's kernels regroup, and integers alone are compared exactly.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import fixed, scan
from selection import thinned
from shim_driver import Shim, needs_shim

import monoscan as ms
from monoscan import tree
from monoscan.cli import target as examples
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.geometry import geometry
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.render.gpu_spec import Body
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.gpu.launch import forward
from monoscan.monoids import named

pytestmark = needs_shim

ARGUMENTS = {
    "Dual": "Dual(First())", "FiniteMap": "FiniteMap(2)", "Maybe": "Maybe(Last())", "Segmented": "Segmented(Max())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(MaxPlus())",
    "Struct": "Struct(mean=Mean(), peak=Max())", "Tuple": "Tuple(Min(), Max())",
}  # fmt: skip
NAMES = [ARGUMENTS.get(name, name) for name in named.catalogue() if name != "Via"]
QUICK = ["Affine", "LogSumExp", "Segmented(Max())", "Quaternion"]
ROWS, COLUMNS = fixed(Body.SHORT, 4, 1, 1, 1), fixed(Body.COLUMNS, 4, 1, 1)


def same(found: Any, expected: Any) -> None:
    for a, b in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
        assert a.dtype == b.dtype
        if a.dtype == mx.complex64:
            a, b = a.view(mx.float32), b.view(mx.float32)
        if a.dtype == mx.bfloat16:
            a, b = a.astype(mx.float32), b.astype(mx.float32)
        np.testing.assert_array_equal(np.array(a), np.array(b))


@pytest.mark.sampled(3)
@pytest.mark.long
@pytest.mark.parametrize("name", thinned(NAMES, QUICK))
def test_bits_are_the_cpus_where_the_order_is_the_same(name: str) -> None:
    operator = named.operator(name)
    for lead, axis, plan in (((5, 4), 1, ROWS), ((4, 33), 0, COLUMNS)):
        elems = examples.example(operator, lead)
        for reverse in (False, True) if name in QUICK else (False,):
            expected = ms.scan(operator, elems, axis, reverse=reverse, strategy="sequential", stream=mx.cpu)
            same(scan(operator, elems, axis, plan=plan, reverse=reverse), expected)


@pytest.mark.parametrize("dtype", thinned(["float16", "bfloat16", "int8", "uint16", "int64", "bool"], ["bfloat16"]))
def test_dtypes(dtype: str) -> None:
    operator: ms.Semigroup = ms.Max() if dtype == "bool" else ms.Affine()
    elems = examples.example(operator, (2, 4), dtype)
    expected = ms.scan(operator, elems, 1, strategy="sequential", stream=mx.cpu)
    same(scan(operator, elems, 1, plan=ROWS), expected)


def test_leaves_that_broadcast_are_read_in_place() -> None:
    random = np.random.default_rng(0)
    a = mx.array(random.uniform(0.5, 1, (3, 1, 40, 1)).astype(np.float32))
    b = mx.array(random.normal(size=(3, 2, 40, 5)).astype(np.float32))
    a64, h = np.broadcast_to(np.array(a, np.float64), (3, 2, 40, 5)), np.zeros((3, 2, 5))
    expected = []
    for t in range(40):
        h = a64[:, :, t] * h + np.array(b)[:, :, t]
        expected.append(h)
    _, found = scan(ms.Affine(), (a, b), 2)
    np.testing.assert_allclose(np.array(found), np.stack(expected, 2), rtol=1e-5, atol=1e-6)


def test_captured_arrays_and_numbers() -> None:
    scale = mx.array([0.5, 0.25])
    operator = ms.monoid(lambda l, r: 0.7 * (l + r) * scale.sum() + scale[0], name="odd")
    x = mx.array(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
    same(scan(operator, x, 1, plan=ROWS), ms.scan(operator, x, 1, strategy="sequential", stream=mx.cpu))


@pytest.mark.parametrize(("target", "number"), [("metal", 3), ("cuda", 1)])
def test_long_rows_are_cut_or_look_back(target: str, number: int) -> None:
    traced = ms.explain(ms.Sum(), mx.ones((4,), mx.int32)).problem.program
    assert traced is not None
    kernel = KernelSpec(traced, ("int32",), ("int32",), (0,))
    planned = launches(kernel, geometry([(2, 40_000)], 1, 40_000), initial=False, carry=True, target=target)
    assert len(planned) == number
    assert planned[-1].spec.body is (Body.LOOK_BACK if number == 1 else Body.ROWS)


@pytest.mark.long
@pytest.mark.parametrize("target", ["metal", "cuda"])
def test_integers_are_exact_in_any_order(target: str) -> None:
    x = mx.array(np.random.default_rng(0).integers(-9, 9, (2, 40_000)).astype(np.int32))
    plan = partial(launches, target=target)
    found, carry = scan(ms.Sum(), x, 1, return_carry=True, reverse=True, plan=plan)
    expected = np.cumsum(np.array(x)[:, ::-1], 1)[:, ::-1]
    np.testing.assert_array_equal(np.array(found), expected)
    np.testing.assert_array_equal(np.array(carry), expected[:, 0])


def test_many_chunks_of_few_columns_are_three_launches_still() -> None:
    """The folds of chunks are as many steps as make three launches of another scan."""
    x = np.random.default_rng(0).integers(-9, 9, (66_000, 2)).astype(np.int32)
    shim = Shim()
    np.testing.assert_array_equal(np.array(scan(ms.Sum(), mx.array(x), start=shim)), x.cumsum(0))
    assert len(shim.started) == 3


@pytest.mark.long
def test_folds() -> None:
    traced = ms.explain(ms.Sum(), mx.ones((4,), mx.int32)).problem.program
    assert traced is not None
    kernel = KernelSpec(traced, ("int32",), (), (0,), want_results=False)
    folded = AlignedScan(traced, (0,), (), want_results=False, want_carry=True)
    for shape, axis in (((3, 100), 1), ((2, 3000), 1), ((1, 40_000), 1), ((50, 7), 0)):
        x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.int32)
        (found,) = forward(Shim(), launches, kernel, folded, [mx.array(x)], axis, 2)
        np.testing.assert_array_equal(np.array(found), x.sum(axis))


@pytest.mark.long
def test_gradients_follow_the_rules_of_every_scan() -> None:
    x, y = (mx.random.uniform(shape=(2, 150), key=mx.random.key(k)) for k in (0, 1))

    def loss(run: Any) -> Any:
        return lambda a, b: (run(ms.Affine(), (a, b), 1)[1] ** 2).sum()

    got = mx.grad(loss(scan), argnums=(0, 1))(x, y)
    want = mx.grad(loss(ms.scan), argnums=(0, 1))(x, y)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=1e-4)
    tangents = [mx.ones_like(x), mx.ones_like(y)]
    got = mx.jvp(loss(scan), [x, y], tangents)[1][0]
    want = mx.jvp(loss(ms.scan), [x, y], tangents)[1][0]
    np.testing.assert_allclose(got.item(), want.item(), rtol=1e-4)
