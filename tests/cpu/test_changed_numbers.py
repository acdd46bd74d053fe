"""Numbers that kernels read at launch: other values take no compiler, and have the bits of numbers in the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import dtypes
from monoscan.cache import Cache
from monoscan.cli import target
from monoscan.lowering.plan.plan import Kernels
from monoscan.lowering.render import emit
from monoscan.lowering.render.source import render
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.cpu import backward
from monoscan.lowering.targets.cpu import target as cpu
from monoscan.lowering.targets.failures import FAILURES
from monoscan.monoids import named
from tests.selection import thinned

RNG = np.random.default_rng(0)
SHAPES = {"rows": (700,), "few columns": (90, 3), "panels": (90, 24), "sweep": (90, 200)}


ARGUMENTS = {
    "Dual": "Dual(MatMul())", "FiniteMap": "FiniteMap(4)", "Maybe": "Maybe(Last())", "Segmented": "Segmented(Sum())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(Log())",
    "Struct": "Struct(low=Min(), high=Max())", "Tuple": "Tuple(Max(), Affine())", "Via": "Tuple(Max(), Min())",
}  # fmt: skip


def decay(rate: float) -> ms.Semigroup:
    """Pairs of a time and a sum that decays with it."""
    return ms.monoid(lambda l, r: (l[0] + r[0], l[1] * rate ** r[0] + r[1]), identity=(0, 0))


def scanned(rate: float, x: mx.array) -> mx.array:
    return ms.scan(decay(rate), (mx.ones_like(x), x))[1]


def in_order(rate: float, x: np.ndarray) -> np.ndarray:
    """The fold in order, in the dtype of its elements."""
    total, rate = [x[0]], x.dtype.type(rate)
    for row in x[1:]:
        total.append(total[-1] * rate + row)
    return np.array(total)


def kernels_in(folder: Path) -> int:
    return len(list(folder.glob("kernel-*.so")))


@pytest.mark.parametrize("loop", thinned(SHAPES, ["rows"]))
def test_another_number_takes_no_compiler(folder: Path, loop: str) -> None:
    x = mx.array(RNG.uniform(size=SHAPES[loop]).astype(np.float32))

    def both(rate: float) -> None:
        mx.eval(scanned(rate, x), mx.grad(lambda x: scanned(rate, x).sum())(x))

    both(0.3)
    before = kernels_in(folder)
    assert before == 2
    for rate in (0.31, 0.5, 0.99, -0.7):
        both(rate)
    assert kernels_in(folder) == before


def wide(rate: float) -> ms.Semigroup:
    """A number beside arrays, in an array of constants, as an operand of a product, and an exponent."""
    return ms.monoid(lambda l, r: (rate * l) @ mx.full((9, 9), rate) + mx.eye(9) * rate * r + (r * r) ** 1.5, event=2)


@pytest.mark.long
def test_another_number_in_a_wide_element_takes_no_compiler(folder: Path) -> None:
    x = RNG.uniform(0.1, 0.3, size=(5, 9, 9)).astype(np.float32)

    def in_order(rate: float) -> np.ndarray:
        states = [x[0].astype(np.float64)]
        for r in x[1:]:
            states.append((rate * states[-1]) @ np.full((9, 9), rate) + np.eye(9) * rate * r + np.abs(r) ** 3)
        return np.stack(states)

    made = []
    for rate in (0.3, 0.31, -0.4):
        np.testing.assert_allclose(np.array(ms.scan(wide(rate), mx.array(x))), in_order(rate), rtol=1e-4, atol=1e-5)
        by_arrays = mx.grad(lambda a: ms.fold(wide(rate), a, strategy="brent_kung").sum())(mx.array(x[:2]))[0]  # noqa: B023
        twice = mx.grad(lambda a: ms.fold(wide(rate), a).sum())(mx.array(x[:2]))[0]  # noqa: B023
        np.testing.assert_allclose(np.array(twice), np.array(by_arrays), rtol=1e-4, atol=1e-5)
        made.append(kernels_in(folder))
    assert made[0] == made[-1] > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_results_are_those_of_the_fold_with_this_number(shape: tuple[int, ...], dtype: Any) -> None:
    x = RNG.uniform(0.5, 1, size=shape).astype(dtype)
    for rate in (0.3, 0.31, -0.7, 1e-3):
        number = float(dtype(rate))
        with mx.stream(mx.cpu):
            operator = ms.monoid(lambda l, r: l * mx.array(number, l.dtype) + r, identity=0)  # noqa: B023
            got = np.array(ms.scan(operator, mx.array(x, dtypes.by_name(x.dtype.name)), strategy="sequential"))
        np.testing.assert_array_equal(got, in_order(rate, x))


@pytest.mark.long
@pytest.mark.parametrize("loop", thinned(SHAPES, ["rows"]))
def test_bits_are_those_of_numbers_in_the_text(loop: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mx.array(RNG.uniform(0.5, 1, size=SHAPES[loop]).astype(np.float32))

    def weighted(l: Any, r: Any) -> Any:
        return (l[0] + r[0], mx.exp(-0.3 * r[0]) * l[1] + 0.7 * mx.maximum(r[1], 0.9))

    def run() -> list[np.ndarray]:
        operator = ms.monoid(weighted)
        last = ms.scan(operator, (x, x))[1]
        return [np.array(y) for y in (last, *mx.grad(lambda a, b: ms.scan(operator, (a, b))[1].sum(), (0, 1))(x, x))]

    read, before = run(), kernels_in(folder)
    monkeypatch.setattr(emit, "numbers", lambda program: ())
    for module in (backward, cpu):
        monkeypatch.setattr(module, "COMPILED", Cache(64))
    FAILURES.generation += 1  # so that it is planned anew
    written = run()
    assert kernels_in(folder) == before + 2
    for a, b in zip(read, written, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scans_that_differ_in_a_number_are_two_scans_in_one_graph() -> None:
    x = mx.array(RNG.uniform(size=50).astype(np.float32))
    together = mx.compile(lambda x: (scanned(0.3, x), scanned(0.4, x)))
    for rate, y in zip((0.3, 0.4), together(x), strict=True):
        np.testing.assert_allclose(np.array(y), in_order(rate, np.array(x)), rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in named.catalogue() if name not in ARGUMENTS] + [*ARGUMENTS.values()])
def test_the_text_of_a_kernel_knows_no_sizes(name: str) -> None:
    """One text for each loop, whatever the length and the batch."""
    operator = named.operator(name)
    texts: dict[Any, set[str]] = {}
    for lead in ((2,), (1000,), (3, 20_000), (70, 50), (9, 3), (90, 3), (9, 40), (90, 70), (9, 300), (500, 700)):
        elems = target.example(operator, lead, None, None)
        plan = ms.explain(operator, elems, axis=len(lead) - 1 if lead[0] == 3 else 0, strategy="kernel")
        for part in plan.parts or (plan,):
            assert isinstance(part.way, Kernels)
            for kernel in part.way.fused:
                narrow = isinstance(kernel.spec, KernelSpec) and kernel.spec.narrow
                known = texts.setdefault((part.problem.operator, kernel.emit, kernel.spec.loop, narrow), set())
                known.add(render(kernel.spec))
    assert all(len(each) == 1 for each in texts.values())
