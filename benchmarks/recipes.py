"""The recipes against SciPy, pandas, bottleneck, numbagg, statsmodels and loops in numba."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from benchmarks import peers, recipe_loops
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, Suite
from monoscan import hmm, kalman, linalg, rl, signal

ITEMS, MANY, MODEL = (1_000_000,), (512, 2048), (20_000,)
STATES, UNITS, WINDOW = 8, 4, 100
OURS, NUMBA, SCIPY, PANDAS = "monoscan", "numba loop", "SciPy", "pandas"
BIQUAD = ([0.2, 0.4, 0.2], [1.0, -0.4, 0.2])
SECTIONS = [
    [3.4e-4, 6.8e-4, 3.4e-4, 1.0, -1.03, 0.276],
    [1.0, 2.0, 1.0, 1.0, -1.14, 0.413],
    [1.0, 2.0, 1.0, 1.0, -1.4, 0.736],
]
Numbers = Callable[..., Any]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Arrays]


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("recipes are functions of their own")


def _listed(found: Any) -> Arrays:
    return tuple(found) if isinstance(found, tuple) else (found,)


def _ours(function: Numbers, reference: Reference, name: str = OURS) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        return peers.mlx_call(function, arrays, False)

    return Peer(name, "monoscan", "results", build, reference)


def _other(name: str, package: str, function: Numbers, reference: Reference) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        return lambda: _listed(function(*arrays))

    return Peer(name, package, "results", build, reference)


def _case(
    group: str,
    label: str,
    shape: tuple[int, ...],
    draw: Draw,
    ours: Numbers,
    others: dict[tuple[str, str], Numbers],
    right: Numbers,
) -> Case:
    """A recipe and its rivals, by name and package; the first is the one to be as fast as."""

    def whole(arrays: Arrays, axis: int) -> Arrays:
        wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in arrays]
        return tuple(np.asarray(x) for x in _listed(right(*wide)))

    reference = Reference(whole)
    problem = Problem(f"{group} {label}", "random", lambda rng, shape, axis: draw(rng, shape), _combine, "recipe")
    named = [_other(name, package, function, reference) for (name, package), function in others.items()]
    return Case(group, label, shape, 0, problem, (_ours(ours, reference), *named), named[0].name)


def _normal(dtype: type, times: int = 1) -> Draw:
    return lambda rng, shape: tuple(rng.standard_normal(shape).astype(dtype) for _ in range(times))


def _filters(dtype: type) -> tuple[Case, ...]:
    b, a = (np.array(each, dtype) for each in BIQUAD)
    sos = np.array(SECTIONS)
    kept = sos.astype(dtype)

    def scipy() -> Any:
        return import_module("scipy.signal")

    return (
        _case("signal.lfilter", f"biquad, {dtype.__name__}", ITEMS, _normal(dtype), lambda x: signal.lfilter(*BIQUAD, x),
              {(SCIPY, "scipy"): lambda x: scipy().lfilter(b, a, x)}, lambda x: scipy().lfilter(*BIQUAD, x)),
        _case("signal.sosfilt", f"3 sections, {dtype.__name__}", ITEMS, _normal(dtype),
              lambda x: signal.sosfilt(sos, x), {(SCIPY, "scipy"): lambda x: scipy().sosfilt(kept, x)},
              lambda x: scipy().sosfilt(sos, x)),
    )  # fmt: skip


def _ewm(name: str, dtype: type) -> Case:
    def ours(x: mx.array) -> mx.array:
        found: mx.array = getattr(signal, f"ewm_{name}")(x, alpha=0.1)
        return found

    def pandas(x: Any) -> Any:
        return getattr(import_module("pandas").Series(x).ewm(alpha=0.1), name)().to_numpy()

    def numbagg(x: Any) -> Any:
        return getattr(import_module("numbagg"), f"move_exp_nan{name}")(x, alpha=0.1)

    others = {(PANDAS, "pandas"): pandas, ("numbagg", "numbagg"): numbagg}
    return _case(f"signal.ewm_{name}", dtype.__name__, ITEMS, _normal(dtype), ours, others, pandas)


def _rolling(name: str, dtype: type) -> Case:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
        x = rng.standard_normal(shape).astype(dtype)
        x[rng.random(shape) < 0.1] = np.nan
        return (x,)

    def ours(x: mx.array) -> mx.array:
        found: mx.array = getattr(signal, f"rolling_{name}")(x, WINDOW, 10)
        return found

    def pandas(x: Any) -> Any:
        return getattr(import_module("pandas").Series(x).rolling(WINDOW, 10), name)().to_numpy()

    def bottleneck(x: Any) -> Any:
        more = {"ddof": 1} if name in ("var", "std") else {}
        return getattr(import_module("bottleneck"), f"move_{name}")(x, WINDOW, min_count=10, **more)

    others = {(PANDAS, "pandas"): pandas, ("bottleneck", "bottleneck"): bottleneck}
    return _case(
        f"signal.rolling_{name}", f"{dtype.__name__}, 100 of which a tenth is NaN", ITEMS, draw, ours, others, pandas
    )


def _rewards(values: int) -> Draw:
    """Rewards and discounts, and so many arrays of values, of which those of `gae` have a step more."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
        r, *more = (rng.standard_normal(shape).astype(np.float32) for _ in range(1 + values))
        discount = np.where(rng.random(shape) < 0.01, 0, 0.99).astype(np.float32)
        return (r, discount, *more)

    return draw


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    r, discount = _rewards(0)(rng, shape)
    return r, discount, rng.standard_normal((shape[0] + 1, *shape[1:])).astype(np.float32)


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    return (*_rewards(2)(rng, shape), np.exp(rng.standard_normal(shape)).astype(np.float32))


def _returns(shape: tuple[int, ...]) -> tuple[Case, ...]:
    loops, weight = recipe_loops, np.float32(0.95)

    def numba(loop: Numbers, *more: Any) -> dict[tuple[str, str], Numbers]:
        return {(NUMBA, "numba"): lambda *arrays: loops.jitted(loop)(*arrays, *more)}

    def vtrace(r: Any, discount: Any, v: Any, after: Any, rho: Any) -> Any:
        return rl.vtrace(v, after, r, discount, rho)

    def in_order(r: Any, discount: Any, v: Any, after: Any, rho: Any) -> Any:
        return loops.vtrace(v, after, r, discount, rho)

    def compiled(r: Any, discount: Any, v: Any, after: Any, rho: Any) -> Any:
        return loops.jitted(loops.vtrace)(v, after, r, discount, rho)

    return (
        _case("rl.discounted_returns", str(shape), shape, _rewards(0), rl.discounted_returns,
              numba(loops.discounted_returns), loops.discounted_returns),
        _case("rl.gae", str(shape), shape, _values, lambda r, d, v: rl.gae(r, d, 0.95, v), numba(loops.gae, weight),
              lambda *arrays: loops.gae(*arrays, 0.95)),
        _case("rl.vtrace", str(shape), shape, _weights, vtrace, {(NUMBA, "numba"): compiled}, in_order),
    )  # fmt: skip


def _chain(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    """Logarithms of a hidden Markov model of 8 states."""
    transition = rng.dirichlet(np.ones(STATES) * 0.5, STATES)
    seen = 2 * rng.standard_normal((*shape, STATES))
    return tuple(x.astype(np.float32) for x in (np.log(np.full(STATES, 1 / STATES)), np.log(transition + 1e-6), seen))


def _hidden() -> tuple[Case, ...]:
    loops = recipe_loops

    def of_probabilities(initial: Any, transition: Any, seen: Any) -> Any:
        return loops.jitted(loops.hmm_filter_of_probabilities)(np.exp(initial), np.exp(transition), seen)

    others = {
        (NUMBA, "numba"): lambda *given: loops.jitted(loops.hmm_filter)(*given),
        ("numba loop of probabilities", "numba"): of_probabilities,
    }
    return (
        _case("hmm.filter", "20,000 steps, 8 states", MODEL, _chain, lambda *given: hmm.filter(*given).log_probs, others,
              loops.hmm_filter),
        _case("hmm.viterbi", "20,000 steps, 8 states", MODEL, _chain, lambda *given: hmm.viterbi(*given).states,
              {(NUMBA, "numba"): lambda *given: loops.jitted(loops.viterbi)(*given)}, loops.viterbi),
    )  # fmt: skip


TREND = {
    "transition": np.array([[1.0, 1.0], [0.0, 1.0]]), "process": np.diag([0.1, 0.01]), "emission": np.array([[1.0, 0.0]]),
    "noise": np.array([1.0]), "mean": np.zeros(2), "covariance": 10 * np.eye(2),
}  # fmt: skip


def _statsmodels(smooth: bool) -> Numbers:
    """A local linear trend; the smoother gives means and covariances and nothing else."""

    def run(y: Any) -> Any:
        module = import_module("statsmodels.tsa.statespace.kalman_smoother")
        given = {
            "design": TREND["emission"], "transition": TREND["transition"], "selection": np.eye(2),
            "obs_cov": TREND["noise"][:, None], "state_cov": TREND["process"],
        }  # fmt: skip
        model = module.KalmanSmoother(1, 2, dtype=y.dtype, **{name: x.astype(y.dtype) for name, x in given.items()})
        model.bind(np.ascontiguousarray(y))
        model.initialize_known(TREND["mean"].astype(y.dtype), TREND["covariance"].astype(y.dtype))
        if smooth:
            found = model.smooth(smoother_output=module.SMOOTHER_STATE | module.SMOOTHER_STATE_COV)
            return found.smoothed_state.T, found.smoothed_state_cov.transpose(2, 0, 1)
        found = model.filter()
        return found.filtered_state.T, found.filtered_state_cov.transpose(2, 0, 1)

    return run


def _trend(dtype: type) -> tuple[Case, ...]:
    def ours(function: Numbers) -> Numbers:
        def run(y: mx.array) -> Any:
            model = kalman.Model(**{name: mx.array(x, y.dtype) for name, x in TREND.items()})
            return tuple(function(model, y)[:2])

        return run

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
        return (rng.standard_normal((*shape, 1)).astype(dtype),)

    return tuple(
        _case(f"kalman.{name}", f"20,000 steps, 2 states, {dtype.__name__}", MODEL, draw, ours(function),
              {("statsmodels", "statsmodels"): _statsmodels(name == "smooth")}, _statsmodels(name == "smooth"))
        for name, function in (("filter", kalman.filter), ("smooth", kalman.smooth))
    )  # fmt: skip


def _tridiagonal() -> Case:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
        dl, du, b = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
        return dl, (np.abs(dl) + np.abs(du) + 1).astype(np.float32), du, b

    def scipy(dl: Any, d: Any, du: Any, b: Any) -> Any:
        bands = np.stack([np.roll(du, 1), d, np.roll(dl, -1)])
        return import_module("scipy.linalg").solve_banded((1, 1), bands, b, check_finite=False)

    others = {("SciPy solve_banded", "scipy"): scipy}
    return _case("linalg.solve_tridiagonal", "float32", ITEMS, draw, linalg.solve_tridiagonal, others, scipy)


def _newton() -> Case:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
        weights = 0.4 * rng.standard_normal((UNITS, UNITS))
        return weights.astype(np.float32), rng.standard_normal((*shape, UNITS)).astype(np.float32)

    def deer(weights: mx.array, x: mx.array) -> mx.array:
        return linalg.deer(lambda h, x: mx.tanh(weights @ h + x), x, mx.zeros((UNITS,)))

    def loop(weights: mx.array, x: mx.array) -> Any:
        def step(h: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
            h = mx.tanh(weights @ h + x)
            return h, h

        return ms.loop(step, x, mx.zeros((UNITS,)), event=1, state_event=1)

    def eager(weights: mx.array, x: mx.array) -> mx.array:
        h, found = mx.zeros((UNITS,)), []
        for t in range(len(x)):
            h = mx.tanh(weights @ h + x[t])
            found.append(h)
        return mx.stack(found)

    case = _case("linalg.deer", "tanh, 4 units, 2,000 steps", (2_000,), draw, deer,
                 {(NUMBA, "numba"): lambda *given: recipe_loops.jitted(recipe_loops.tanh_states)(*given)},
                 recipe_loops.tanh_states)  # fmt: skip
    reference = case.peers[0].reference
    assert reference is not None
    more = (_ours(loop, reference, "monoscan.loop"), _ours(eager, reference, peers.LOOP))
    return Case(case.group, case.label, case.shape, 0, case.problem, (*case.peers, *more), peers.LOOP)


CASES = (
    *_filters(np.float32),
    *_filters(np.float64),
    *(_ewm(name, dtype) for name in ("mean", "var") for dtype in (np.float32, np.float64)),
    *(
        _rolling(name, dtype)
        for name in ("sum", "mean", "var", "std", "min", "max")
        for dtype in (np.float32, np.float64)
    ),
    *_returns(ITEMS),
    *_returns(MANY),
    *_hidden(),
    *_trend(np.float32),
    *_trend(np.float64),
    _tridiagonal(),
    _newton(),
)


def _bar(case: Case) -> Bar:
    def measure(results: Results) -> float | None:
        found = results.ratios([case.key], OURS, case.against)
        return found[0] if found else None

    return Bar(f"{case.key}, over {case.against}", 1, measure)


ABOUT = (
    "Each recipe against what it is named after, at a million items or 20,000 steps of a model. One row alone of `rl` goes in "
    "vectors along time, by two threads, where the loop in numba goes step by step on one; many rows go side by side. One row "
    "of `rl.gae` and `rl.vtrace` was measured later than the rest, beside other work. `hmm` keeps logarithms, in which no "
    "belief underflows; a loop of plain probabilities needs fewer functions, and loses what is below the least float. `deer` is "
    "for devices that run a scan in parallel: on a CPU `loop` is faster, as its documentation says."
)
RECIPES = Suite("recipes", "Recipes", CASES, tuple(map(_bar, CASES)), about=ABOUT)
