"""Steps on states of many lanes: hidden Markov models, best paths, a gated delta rule, against ``lax.scan`` and a loop in numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, least_of

LONG, SHORT, HEADS, KEYS = 20_000, 512, 4, 128
AGGREGATOR, LOOP, LAX, NUMBA = "monoscan aggregator", "monoscan loop", "jax lax.scan", "numba loop"


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("steps have no product")


@cache
def moves_of(states: int) -> np.ndarray:
    """The logarithms of a matrix of transitions."""
    drawn = np.random.default_rng(1).dirichlet(np.ones(states), states)
    return np.log(drawn).astype(np.float32)


# -------------------------------------------------------------------------------------------- hidden Markov models


class Forward(ms.Aggregator):
    """The forward algorithm in log space."""

    operator, event = ms.SemiringMatMul(ms.Log()), (2, 1)

    def prepare(self, moves: mx.array, seen: mx.array) -> mx.array:
        return moves + seen

    def present(self, state: mx.array, moves: mx.array, seen: mx.array) -> mx.array:
        return state


def _sum(xp: Any, state: Any, moves: Any) -> Any:
    return xp.logsumexp(state[:, None] + moves, axis=0)


def _best(xp: Any, state: Any, moves: Any) -> Any:
    return xp.max(state[:, None] + moves, axis=0)


def _draw(states: int) -> Callable[..., Arrays]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        return (rng.standard_normal((*shape, states), dtype=np.float32),)

    return draw


def _walked(best: bool) -> Callable[[Arrays, int], Arrays]:
    """All states by NumPy in float64."""

    def whole(arrays: Arrays, axis: int) -> Arrays:
        seen = arrays[0].astype(np.float64)
        moves = moves_of(seen.shape[-1]).astype(np.float64)
        state, found = np.zeros(seen.shape[-1]), np.empty_like(seen)
        for t, row in enumerate(seen):
            terms = state[:, None] + moves
            top = terms.max(0)
            state = (top if best else top + np.log(np.exp(terms - top).sum(0))) + row
            found[t] = state
        return (found,)

    return whole


def _aggregator(states: int) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        moves, state = ms.fixed(mx.array(moves_of(states))), mx.zeros((states,))
        return peers.mlx_call(lambda x: ms.scan(Forward(), (moves, x), state=state), arrays, True)

    return Peer(AGGREGATOR, "monoscan", "states", build, Reference(_walked(False)))


def _loop(states: int) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        moves, state = mx.array(moves_of(states)), mx.zeros((states,))

        def step(s: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
            s = _best(mx, s, moves) + x
            return s, s

        return peers.mlx_call(lambda x: ms.loop(step, x, state, event=1, state_event=1), arrays, True)

    return Peer(LOOP, "monoscan", "scores", build, Reference(_walked(True)))


def _lax(states: int, best: bool) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        jax = import_module("jax")
        moves = moves_of(states)
        # what is a number for jax.numpy and what is of jax.scipy
        chosen = _best if best else lambda xp, s, m: jax.scipy.special.logsumexp(s[:, None] + m, axis=0)

        def step(s: Any, x: Any) -> tuple[Any, Any]:
            s = chosen(jax.numpy, s, moves) + x
            return s, s

        start = jax.numpy.zeros(states, jax.numpy.float32)
        return peers.jax_call(lambda x: jax.lax.scan(step, start, x)[1], arrays)

    return Peer(LAX, "jax", "scores" if best else "states", build, Reference(_walked(best)))


def _numba(states: int, best: bool) -> Peer:
    """The loop that one would write by hand, over float32 numbers one after another."""

    def build(arrays: Arrays, axis: int) -> Call:
        compiled, moves = import_module("numba").njit(_by_hand), moves_of(states)
        return lambda: compiled(arrays[0], moves, best)

    return Peer(NUMBA, "numba", "scores" if best else "states", build, Reference(_walked(best)))


def _by_hand(seen: Any, moves: Any, best: bool) -> Any:
    steps, states = seen.shape
    found, state = np.empty_like(seen), np.zeros(states, np.float32)
    for t in range(steps):
        after = found[t]
        for j in range(states):
            top = state[0] + moves[0, j]
            for k in range(1, states):
                top = max(top, state[k] + moves[k, j])
            total = np.float32(0)
            if not best:
                for k in range(states):
                    total += np.exp(state[k] + moves[k, j] - top)
            after[j] = top + seen[t, j] if best else top + np.log(total) + seen[t, j]
        state = after
    return found


# -------------------------------------------------------------------------------------------- a gated delta rule


def _keys(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    q, k = (rng.standard_normal((*shape, KEYS), dtype=np.float32) for _ in range(2))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    v = rng.standard_normal((*shape, KEYS), dtype=np.float32)
    gate = np.exp(-rng.exponential(0.1, shape)).astype(np.float32)
    rate = (1 / (1 + np.exp(-rng.standard_normal(shape)))).astype(np.float32)
    return q / np.float32(KEYS**0.5), k, v, gate, rate


def _rule(arrays: Arrays, axis: int) -> Arrays:
    q, k, v, gate, rate = (x.astype(np.float64) for x in arrays)
    state, found = np.zeros((*q.shape[1:], KEYS)), np.empty_like(v)
    for t in range(q.shape[0]):
        state = state * gate[t][:, None, None]
        off = rate[t][:, None] * (v[t] - (state @ k[t][..., None])[..., 0])
        state = state + off[..., None] * k[t][:, None, :]
        found[t] = (state @ q[t][..., None])[..., 0]
    return (found,)


def _delta_loop() -> Peer:
    """Rows of the state are a batch: each reads all keys, and its own value."""

    def build(arrays: Arrays, axis: int) -> Call:
        return peers.mlx_call(_delta, arrays, True)

    return Peer(LOOP, "monoscan", "outputs", build, Reference(_rule))


def _delta(q: mx.array, k: mx.array, v: mx.array, gate: mx.array, rate: mx.array) -> mx.array:
    def step(row: mx.array, x: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
        q, k, v, gate, rate = x
        row = row * gate
        row = row + rate * (v - (row * k).sum()) * k
        return row, (row * q).sum()

    xs = (q[:, :, None], k[:, :, None], v, gate[..., None], rate[..., None])
    return ms.loop(step, xs, mx.zeros((q.shape[1], KEYS, KEYS)), event=(1, 1, 0, 0, 0), state_event=1)


def _delta_lax() -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        return peers.jax_call(_delta_by_lax, arrays)

    return Peer(LAX, "jax", "outputs", build, Reference(_rule))


def _delta_by_lax(*xs: Any) -> Any:
    jax = import_module("jax")

    def step(state: Any, x: tuple[Any, ...]) -> tuple[Any, Any]:
        q, k, v, gate, rate = x
        state = state * gate
        state = state + (rate * (v - state @ k))[:, None] * k[None, :]
        return state, state @ q

    start = jax.numpy.zeros((xs[0].shape[1], KEYS, KEYS), jax.numpy.float32)
    return jax.lax.scan(jax.vmap(step), start, xs)[1]


def _delta_trained(name: str) -> Peer:
    """The gradient of the sum of outputs, by all inputs."""

    def build(arrays: Arrays, axis: int) -> Call:
        every = tuple(range(len(arrays)))
        if name == LOOP:
            return peers.mlx_call(mx.grad(lambda *xs: _delta(*xs).sum(), argnums=every), arrays, True)
        return peers.jax_call(import_module("jax").grad(lambda *xs: _delta_by_lax(*xs).sum(), argnums=every), arrays)

    return Peer(name, "monoscan" if name == LOOP else "jax", "gradients", build, None)


# -------------------------------------------------------------------------------------------- the suite's share


def _case(title: str, states: int, best: bool, mine: Peer) -> Case:
    problem = Problem(f"{title}, {states} states", "standard normal emissions", _draw(states), _combine, "Log")
    racers = (mine, _lax(states, best), _numba(states, best))
    return Case("wide states", problem.name, (LONG,), 0, problem, racers, LAX)


HIDDEN = {n: _case("hidden Markov model", n, False, _aggregator(n)) for n in (8, 32)}
PATHS = {n: _case("best path", n, True, _loop(n)) for n in (8, 16, 32)}
RULE = Problem(f"gated delta rule, {KEYS} keys", "normed keys, decays that underflow", _keys, _combine, "loop")
DELTA = Case("wide states", RULE.name, (SHORT, HEADS), 0, RULE, (_delta_loop(), _delta_lax()), LAX)
TRAINERS = (_delta_trained(LOOP), _delta_trained(LAX))
TRAINED_RULE = Case("wide states", f"{RULE.name}, gradient", (SHORT, HEADS), 0, RULE, TRAINERS, LAX)
WIDE_CASES = (*HIDDEN.values(), *PATHS.values(), DELTA, TRAINED_RULE)


def _faster(case: Case, mine: str, other: str) -> Callable[[Results], float | None]:
    return lambda results: least_of(results.ratios([case.key], mine, other), 1)


WIDE_BARS = (
    Bar("8 hidden states faster than numba", 3.5, _faster(HIDDEN[8], AGGREGATOR, NUMBA)),
    Bar("8 hidden states faster than jax lax.scan", 1.4, _faster(HIDDEN[8], AGGREGATOR, LAX)),
    Bar("32 hidden states faster than jax lax.scan", 5, _faster(HIDDEN[32], AGGREGATOR, LAX)),
    *(
        Bar(f"best path of {n} faster than jax lax.scan", least, _faster(PATHS[n], LOOP, LAX))
        for n, least in ((8, 2), (16, 3.5), (32, 4))
    ),
    Bar("gated delta rule faster than jax lax.scan", 4, _faster(DELTA, LOOP, LAX)),
    Bar("gradient of it faster than jax lax.scan", 4, _faster(TRAINED_RULE, LOOP, LAX)),
)
