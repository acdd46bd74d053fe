"""Products of wide matrices in log space: where sums underflow, and what is not finite."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from wide_support import close, folded, log_product, matrices

import monoscan as ms
from monoscan.lowering.targets.cpu.kernels import compile_kernel

pytestmark = pytest.mark.usefixtures("kernels_are_built")


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


STRATEGIES = thinned(["auto", "sequential", "brent_kung", "hillis_steele", "blelloch"], quick=["auto", "brent_kung"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_of_log_products_where_there_is_no_path(strategy: str) -> None:
    x = np.where(np.eye(9) + np.eye(9, k=1) > 0, matrices((5, 9, 9)), -np.inf).astype(np.float32)
    found = np.array(mx.grad(lambda a: ms.fold(ms.SemiringMatMul(ms.Log()), a, strategy=strategy)[0, 4])(mx.array(x)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)  # every path takes one entry of each step
    assert (found[np.isinf(x)] == 0).all()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [3, 5, 9])
def test_tangents_are_finite_where_no_path_leads(size: int, strategy: str) -> None:
    """Against differences of the fold in float64; MLX's own logaddexp has NaN where two such paths meet."""
    rng = np.random.default_rng(1)
    maps, moves = rng.normal(size=(2, 4, size, size))
    maps[rng.random(maps.shape) < 0.4] = -np.inf
    moves = moves.astype(np.float32).astype(np.float64)

    def fold(maps: np.ndarray) -> np.ndarray:
        found = [maps[0]]
        for each in maps[1:]:
            found.append(np.logaddexp.reduce(found[-1][:, :, None] + each[None], axis=1))
        return np.array(found)

    with np.errstate(invalid="ignore"):
        want = (fold(maps + 1e-6 * moves) - fold(maps - 1e-6 * moves)) / 2e-6
    elements, tangents = mx.array(maps, mx.float32), mx.array(moves, mx.float32)

    def log_products(elements: mx.array) -> mx.array:
        return ms.scan(ms.SemiringMatMul(ms.Log()), elements, strategy=strategy)

    (found,) = mx.jvp(log_products, [elements], [tangents])[1]
    finite = np.isfinite(fold(maps))
    np.testing.assert_allclose(np.array(found)[finite], want[finite], rtol=1e-3, atol=1e-3)


def test_filters_of_many_states_are_soon_compiled() -> None:
    """A first step that the identity stands for, and a sum of all states: neither is written out state by state."""

    class Filter(ms.Aggregator):
        operator, event = ms.SemiringMatMul(ms.Log()), (0, 2, 1)

        def prepare(self, t: mx.array, log_a: mx.array, e: mx.array) -> mx.array:
            return mx.where(t == 0, self.operator.identity(log_a), log_a) + e

        def present(self, s: mx.array, t: mx.array, log_a: mx.array, e: mx.array) -> mx.array:
            return s - mx.logsumexp(s)

    log_a, e = mx.zeros((64, 64)), mx.zeros((3, 64))
    source = ms.explain(Filter(), (ms.position, ms.fixed(log_a), e), state=mx.zeros((64,))).source
    assert source.count("infinity<float>()") < 10  # calls keep a compiler busy, literals do not
    assert compile_kernel(source).path.stat().st_size < 125_000  # most of it is the driver; was half as much again
