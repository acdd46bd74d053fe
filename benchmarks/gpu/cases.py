"""Which scans are checked on a GPU, and which are timed."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import frozen

import monoscan as ms
from monoscan import dtypes, tree
from monoscan.cli import target
from monoscan.monoids import named


@frozen
class Checked:
    """A scan whose result is compared.

    Args:
        operator: The operator, as a command line names it.
        shape: The shape of the leaves, without event axes.
        axis: The scan axis.
        dtype: Of the elements; ``None`` for what the operator takes.
        reverse: As of ``scan``.
        inclusive: As of ``scan``.
        init: Whether there is an ``init``, and the carry is compared too.
        gradient: Whether the cotangents of the elements are compared in place of results.
        act: Whether it is an act on indices as states, in order.
        products: Whether its states are made by products of elements.
    """

    operator: str
    shape: tuple[int, ...]
    axis: int
    dtype: str | None = None
    reverse: bool = False
    inclusive: bool = True
    init: bool = False
    gradient: bool = False
    act: bool = False
    products: bool = False

    @property
    def name(self) -> str:
        """All of it in words."""
        words = (
            ["gradient of"] * self.gradient
            + ["act of"] * self.act
            + ["products of"] * self.products
            + [
                self.operator,
                str(self.shape),
                f"axis {self.axis}",
                self.dtype or "",
            ]
        )
        words += ["reverse"] * self.reverse + ["exclusive"] * (not self.inclusive) + ["init"] * self.init
        return " ".join(word for word in words if word)

    def made(self) -> ms.Semigroup:
        """The operator."""
        return named.operator(self.operator)

    def elements(self) -> Any:
        """The elements: integers of all bits, which are exact in any order; else as the command line draws them."""
        drawn = target.example(self.made(), self.shape, self.dtype)
        return tree.map_leaves(partial(_all_bits, np.random.default_rng(0)), drawn) if self.dtype == "int32" else drawn

    def options(self, elems: Any) -> dict[str, Any]:
        """The options of ``explain``, which are those of ``scan`` but for acts."""
        if self.act:
            state = mx.zeros((*self.shape[: self.axis], *self.shape[self.axis + 1 :]), mx.int32, stream=mx.cpu)
            known = {"reverse": self.reverse, "inclusive": self.inclusive, "return_carry": self.init}
            return {"act": True, "state": state, "strategy": "auto" if self.products else "kernel", **known}
        first = tree.map_leaves(partial(_first, axis=self.axis), elems) if self.init else None
        return {"reverse": self.reverse, "inclusive": self.inclusive, "init": first, "return_carry": self.init}

    def expected(self, elems: Any, *, in_order: bool) -> list[mx.array]:
        """Results, then carries: in order by the CPU's kernel, of which the bits are wanted; or in float64, by arrays."""
        options = {**self.options(elems), "strategy": "sequential" if in_order else "hillis_steele", "stream": mx.cpu}
        if options.pop("act", False):
            return leaves_of(ms.act(self.made(), elems, options.pop("state"), self.axis, **options), self.init)
        if not in_order:
            elems = tree.map_leaves(_wide, elems)
            if self.init:
                options["init"] = tree.map_leaves(_wide, options["init"])
        return leaves_of(ms.scan(self.made(), elems, self.axis, **options), self.init)

    @property
    def tolerance(self) -> float:
        """How far results may be off, relative to their size."""
        return 1e-3 if self.gradient else {"float16": 2e-3, "bfloat16": 1e-2}.get(self.dtype or "", 1e-4)


def leaves_of(found: Any, carried: bool) -> list[mx.array]:
    """The leaves of results, then of carries."""
    return [leaf for each in (found if carried else (found,)) for leaf in tree.flatten(each)[0]]


def _all_bits(random: np.random.Generator, x: mx.array) -> mx.array:
    return mx.array(random.integers(-(1 << 31), 1 << 31, x.shape).astype(np.int32))


def _first(x: mx.array, axis: int) -> mx.array:
    first = mx.take(x, 0, axis, stream=mx.cpu)
    return first.astype(mx.float32, stream=mx.cpu) if dtypes.name_of(x.dtype) in ("float16", "bfloat16") else first


def _wide(x: mx.array) -> mx.array:
    return x.astype(mx.float64, stream=mx.cpu) if dtypes.name_of(x.dtype) in dtypes.FLOATS else x


@frozen
class Timed:
    """A scan that is timed.

    Args:
        formula: What it computes, by name in ``carried/formulas.py``.
        shape: The shape of the leaves, without event axes.
        axis: The scan axis.
    """

    formula: str
    shape: tuple[int, ...]
    axis: int

    @property
    def operator(self) -> ms.Semigroup:
        """The operator."""
        return {"add": ms.Sum, "affine": ms.Affine, "matmul": ms.MatMul}[self.formula]()

    @property
    def name(self) -> str:
        """All of it in words."""
        n = max(self.shape)
        size = f"2^{n.bit_length() - 1}" if n == int(np.prod(self.shape)) and n & (n - 1) == 0 else f"{self.shape}"
        return f"{self.operator.name} {size} axis {self.axis}"

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each leaf."""
        return (
            [(*self.shape, 2, 2)] if self.formula == "matmul" else [self.shape] * (2 if self.formula == "affine" else 1)
        )


ARGUMENTS = {
    "Dual": "Dual(First())", "FiniteMap": "FiniteMap(2)", "Maybe": "Maybe(Last())", "Segmented": "Segmented(Max())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(MaxPlus())",
    "Struct": "Struct(mean=Mean(), peak=Max())", "Tuple": "Tuple(Min(), Max())",
}  # fmt: skip
CATALOGUE = tuple(ARGUMENTS.get(name, name) for name in named.catalogue() if name not in ("Via", "KalmanFilter"))
"""Random covariances are none: of them `KalmanFilter` is not associative."""

EDGES = (2, 5, 31, 128, 129, 513, 4095, 4096, 4097, 12_291, 200_003)
"""Lengths about runs, waves, tiles and chunks."""


def checked() -> list[Checked]:
    """Integers at the edges of everything, options, dtypes, and the catalogue."""
    integers = [Checked("Affine", (3, n), 1, "int32") for n in EDGES]
    integers += [Checked("MatMul", (2, n), 1, "int32") for n in (5, 513, 4097, 40_000)]
    integers += [Checked("Affine", (2, n, inner), 1, "int32") for n, inner in ((3, 2), (17, 33), (129, 64), (5000, 5))]
    several = [(3, 100), (2, 5000), (1, 200_003)]
    options = [Checked("Affine", shape, 1, "int32", *each) for shape in several
               for each in ((True, True, True), (False, False, False), (True, False, True))]  # fmt: skip
    options += [Checked("Affine", (700, 40), 0, "int32", *each) for each in ((True, True, True), (False, False, True))]
    kinds = [Checked("Affine", (2, 3000), 1, dtype) for dtype in ("float16", "bfloat16", "int64", "uint8")]
    few = [Checked(name, CATALOGUE_ROWS, 1) for name in CATALOGUE] + [
        Checked(name, CATALOGUE_COLUMNS, 0) for name in CATALOGUE
    ]
    floats = ("Affine", "LogSumExp", "OnlineSoftmax", "Mean", "Segmented(Sum())", "ArgMax", "MaxSubarray")
    long = [Checked(name, shape, 1) for name in floats for shape in ((2, 10_000), (1, 100_000))]
    gradients = [Checked(name, shape, axis, gradient=True) for name, shape, axis in GRADIENTS]
    acts = [Checked("FiniteMap(3)", (600, 40), 1, init=True, act=True)]
    acts += [Checked("FiniteMap(3)", (40, 600), 0, None, *each, act=True) for each in ((True, True), (False, False))]
    acts += [Checked("FiniteMap(3)", (4, 3000), 1, act=True, products=True)]
    acts += [
        Checked("FiniteMap(3)", (3000, 5), 0, None, *each, act=True, products=True)
        for each in ((True, True), (False, False))
    ]
    return [*integers, *options, *kinds, *few, *long, *gradients, *acts]


CATALOGUE_ROWS, CATALOGUE_COLUMNS = (3, 4), (4, 33)
"""So short that kernels combine in order, where a state is small: then bits are the CPU's."""

GRADIENTS = (
    ("Affine", (3, 100), 1), ("Affine", (2, 3000), 1), ("Affine", (1, 100_000), 1), ("Affine", (300, 40), 0),
    ("Affine", (5000, 3), 0), ("LogSumExp", (2, 3000), 1), ("OnlineSoftmax", (300, 40), 0), ("MatMul", (2, 130), 1),
)  # fmt: skip

MAMBA = tuple(Timed("affine", (1, length, 256, 16), 1) for length in (128, 512, 1024, 2048))
"""The Mamba table of mlx-scan's README."""


def timed(largest: int = 1 << 26) -> list[Timed]:
    """Rows, columns and the Mamba table, of at most so many elements."""
    shapes = [((1, largest), 1), ((1024, largest >> 10), 1), ((largest >> 10, 1024), 1), ((largest >> 6, 64), 1),
              ((largest >> 10, 1024), 0), ((largest >> 12, 4096), 0)]  # fmt: skip
    rows = [Timed("affine", shape, axis) for shape, axis in shapes]
    return [Timed("add", (1, largest), 1), *rows, Timed("matmul", (1, largest >> 3), 1), *MAMBA]
