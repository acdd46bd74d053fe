"""Adjoints of random folds against differences: nothing in the adjoint needs a law."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from gradient_oracle import Array, Fold, central, numpy_of, weigh
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_combines import Combine, combines

import monoscan as ms
from monoscan.lowering.gradient import transforms
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.program.ir import Program

SWITCH = Combine(2, 1, (("guarded", 0, 0), ("choose", 5, 2), ("max", 6, 4)), (("tanh", 7), ("sin", 1)))


def program_of(combine: Combine) -> Program:
    """The traced program; captured arrays are its last inputs."""
    held = [mx.array(1.0, mx.float64)] * combine.captured
    x = mx.zeros((3,), mx.float64)
    elems = x if combine.leaves == 1 else (x,) * combine.leaves
    operator = ms.monoid(lambda l, r: combine(l, r, *held))
    program = ms.explain(operator, elems, strategy="brent_kung").problem.program
    assert program is not None
    return program


@settings(max_examples=120)
@given(
    combine=combines(), n=st.integers(1, 6), columns=st.integers(1, 2), seed=st.integers(0, 2**16), reverse=st.booleans(),
    seeded=st.booleans(), inclusive=st.booleans(), carry=st.booleans(),
)  # fmt: skip
@example(combine=SWITCH, n=5, columns=2, seed=0, reverse=True, seeded=True, inclusive=False, carry=True)
def test_the_adjoint_of_any_fold(
    combine: Combine, n: int, columns: int, seed: int, reverse: bool, seeded: bool, inclusive: bool, carry: bool
) -> None:
    program = program_of(combine)
    k, inclusive = combine.leaves, inclusive or not seeded
    captured = len(program.captures)
    scan = AlignedScan(
        program,
        tuple(range(k)),
        ("float64",) * k,
        reverse=reverse,
        inclusive=inclusive,
        want_carry=carry,
        strategy="sequential",
    )
    rng = np.random.default_rng(seed)
    sizes = [(n, columns)] * k + [(1, 1)] * captured + [(1, columns)] * (k if seeded else 0)
    arrays = [mx.array(rng.normal(size=size), mx.float64) for size in sizes]
    weights = [mx.array(rng.normal(size=(n, columns)), mx.float64) for _ in range(k)]
    weights += [mx.array(rng.normal(size=columns), mx.float64) for _ in range(k if carry else 0)]
    _, found = mx.vjp(lambda *xs: transforms.portable(scan, xs, 0, 2), arrays, weights)

    def loss(variants: list[Array]) -> Array:
        held = [x.reshape(-1) for x in variants[k : k + captured]]
        init = [x[:, 0] for x in variants[k + captured :]]
        results, last = Fold(program, 0, reverse, inclusive).run(variants[:k], held, init)
        ends: list[Array | None] = [numpy_of(w) for w in weights[k:]] or [None] * k
        return weigh([numpy_of(w) for w in weights[:k]], results, 0) + weigh(ends, last, None)

    for got, want in zip(found, central(loss, [numpy_of(x) for x in arrays]), strict=True):
        assert want is not None
        np.testing.assert_allclose(np.array(got), want, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(want).max())))


def test_a_wrong_adjoint_of_a_random_fold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = transforms.by_arrays.backward
    monkeypatch.setattr(transforms.by_arrays, "backward", lambda *args: [0.99 * x for x in honest(*args)])
    with pytest.raises(AssertionError):
        test_the_adjoint_of_any_fold.hypothesis.inner_test(SWITCH, 5, 2, 0, True, True, False, True)  # type: ignore[attr-defined]
