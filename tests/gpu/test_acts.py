"""Acts whose states are a part of products of elements, by the same bodies; the references are the CPU's loops in order."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import fixed, scan
from selection import thinned
from shim_driver import Shim, needs_shim
from test_catalogue import same

import monoscan as ms
from monoscan.lowering.render.gpu_spec import Body

pytestmark = needs_shim

BODIES = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), (2, 600), 1),
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), (43, 5), 0),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), (2, 1100), 1),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), (1, 9000), 1),
}


def arrays(shape: tuple[int, ...], axis: int) -> tuple[mx.array, mx.array, mx.array]:
    a, b = (mx.random.uniform(-1, 1, shape, key=mx.random.key(k)) for k in range(2))
    return a, b, mx.random.normal((*shape[:axis], *shape[axis + 1 :]), key=mx.random.key(2))


@pytest.mark.long
@pytest.mark.parametrize(("reverse", "inclusive"), thinned([(False, True), (True, False)], [(True, False)]))
@pytest.mark.parametrize("body", thinned(BODIES, ["rows", "looking back"]))
def test_states_of_a_recurrence(body: str, reverse: bool, inclusive: bool) -> None:
    plan, shape, axis = BODIES[body]
    a, b, h0 = arrays(shape, axis)
    options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "return_carry": True}
    found = scan(ms.Affine(), (a, b), axis, act=True, state=h0, plan=plan, **options)
    expected = ms.act(ms.Affine(), (a, b), h0, axis, stream=mx.cpu, strategy="sequential", **options)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["begun by the first element", "in one run"])
def test_states_that_begin_and_bits_in_order(name: str) -> None:
    plan = fixed(Body.SHORT, 4, 1, 1, 1)
    a, b, _ = arrays((5, 4), 1)
    for operator in (ms.Affine(), ms.MaxPlusAffine()):
        found = scan(operator, (a, b), 1, act=True, plan=plan)
        same(found, ms.act(operator, (a, b), None, 1, stream=mx.cpu, strategy="sequential"))


def test_a_matrix_acts_on_a_vector() -> None:
    a = mx.random.uniform(-0.5, 0.5, (2, 300, 2, 2), key=mx.random.key(0))
    b = mx.random.normal((2, 300, 2), key=mx.random.key(1))
    h0 = mx.random.normal((2, 2), key=mx.random.key(2))
    shim = Shim()
    found = scan(ms.MatrixAffine(), (a, b), 1, act=True, state=h0, start=shim)
    expected = ms.act(ms.MatrixAffine(), (a, b), h0, 1, stream=mx.cpu)
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-4, atol=1e-5)
    (spec,) = shim.started
    assert [array.group for array in spec.arrays] == ["elements", "elements", "init", "results"], "states alone"


def test_gradients() -> None:
    a, b, h0 = arrays((2, 150), 1)
    shim = Shim()

    def loss(run: Any) -> Any:
        return lambda a, b, h0: (run(a, b, h0) ** 2).sum()

    found, expected = (
        mx.grad(loss(run), argnums=(0, 1, 2))(a, b, h0)
        for run in (
            lambda a, b, h0: scan(ms.Affine(), (a, b), 1, act=True, state=h0, start=shim),
            lambda a, b, h0: ms.act(ms.Affine(), (a, b), h0, 1, stream=mx.cpu),
        )
    )
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-5)
    assert any(spec.pulled is not None for spec in shim.started)


def test_tangents_of_products_are_not_run_in_order() -> None:
    a, b, h0 = arrays((2, 150), 1)
    shim = Shim()
    runs = (
        lambda a, b, h0: scan(ms.Affine(), (a, b), 1, act=True, state=h0, start=shim),
        lambda a, b, h0: ms.act(ms.Affine(), (a, b), h0, 1, stream=mx.cpu),
    )
    found, expected = (mx.jvp(run, [a, b, h0], [b, a, h0])[1][0] for run in runs)
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-4, atol=1e-5)
    assert not any(spec.body is Body.SEQUENTIAL for spec in shim.started)
