"""Packed and padded sequences: beside the same scan of the whole axis, MLX's own, and operators on elements with flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from benchmarks import peers
from benchmarks.model import Arrays, Bar, Call, Case, Peer, Problem, Reference, Results, Suite

PACKED, PADDED = (498_000, 16), (8, 4096, 128)
"""Time and channels; batch, time and channels."""
MANY, SHORT = 1000, 5
"""So many sequences in time, or sequences of so many steps."""

WHOLE, PIECES, FLAGS, CUMSUM = "the whole axis", "monoscan", "monoscan, flags", "mx.cumsum"
Function = Callable[..., Any]


def _packed(length: int | None, slowest: float) -> Callable[[np.random.Generator, tuple[int, ...], int], Arrays]:
    """Gates, inputs, and offsets: of sequences of one length, or of random ones."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        steps = shape[axis]
        if length is None:
            cuts = np.sort(rng.integers(0, steps + 1, min(MANY, steps) - 1))
            offsets = np.concatenate([[0], cuts, [steps]])
        else:
            offsets = np.append(np.arange(0, steps, length), steps)
        gates = rng.uniform(0, slowest, shape).astype(np.float32)
        return gates, rng.standard_normal(shape, dtype=np.float32), offsets.astype(np.int32)

    return draw


def _padded(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Gates, inputs, and lengths, the half of each row."""
    gates = rng.uniform(0.5, 1, shape).astype(np.float32)
    return gates, rng.standard_normal(shape, dtype=np.float32), np.full(shape[0], shape[axis] // 2, np.int32)


def _combine(left: Any, right: Any) -> Any:
    raise NotImplementedError("peers have functions of their own")


def _states(arrays: Arrays) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Products of gates and states in float64, one step after another."""
    gates, inputs, offsets = arrays[0].astype(np.float64), arrays[1].astype(np.float64), arrays[2]
    products, states, heads = np.empty_like(gates), np.empty_like(inputs), set(offsets.tolist())
    for t in range(len(gates)):
        first = t in heads
        products[t] = gates[t] if first else gates[t] * products[t - 1]
        states[t] = inputs[t] if first else gates[t] * states[t - 1] + inputs[t]
    return products, states


def _sums(arrays: Arrays) -> np.ndarray[Any, Any]:
    return _states((np.ones_like(arrays[0]), *arrays[1:]))[1]


REFERENCES = {
    "h": Reference(lambda arrays, axis: _states(arrays)[1:]),
    "Affine": Reference(lambda arrays, axis: _states(arrays)),
    "Sum": Reference(lambda arrays, axis: (_sums(arrays),)),
}


def _h(a: mx.array, b: mx.array, **options: Any) -> Any:
    return ms.linear_recurrence(a, b, **options)


def _affine(a: mx.array, b: mx.array, **options: Any) -> Any:
    return ms.scan(ms.Affine(), (a, b), **options)


def _sum(a: mx.array, b: mx.array, **options: Any) -> Any:
    return ms.scan(ms.Sum(), b, **options)


FUNCTIONS: dict[str, Function] = {"h": _h, "Affine": _affine, "Sum": _sum}
OPERATORS: dict[str, Any] = {"h": ms.Affine(), "Affine": ms.Affine(), "Sum": ms.Sum()}


def _peer(name: str, function: Function, reference: Reference | None) -> Peer:
    def build(arrays: Arrays, axis: int) -> Call:
        return peers.mlx_call(function, arrays, True)

    return Peer(name, "mlx" if name == CUMSUM else "monoscan", "results", build, reference)


def _flags(kind: str) -> Function:
    """The operator on elements behind flags, which are made before: what can be done by hand."""
    operator = ms.Segmented(OPERATORS[kind])

    def run(a: mx.array, b: mx.array, offsets: mx.array) -> Any:
        heads = mx.zeros((a.shape[0] + 1,), mx.bool_).at[offsets].add(True)[:-1, None]
        _, found = ms.scan(operator, (heads, b if kind == "Sum" else (a, b)))
        return found[1] if kind == "h" else found

    return run


def _grad(function: Function) -> Function:
    """The gradient of the sum of all results by gates and inputs."""

    def run(a: mx.array, b: mx.array, **options: Any) -> Any:
        return mx.grad(lambda x, y: function(x, y, **options).sum(), argnums=(0, 1))(a, b)

    return run


def _case(kind: str, length: int | None, slowest: float = 1.0) -> Case:
    function, reference = FUNCTIONS[kind], REFERENCES[kind]
    many = f"{MANY:,} sequences" if length is None else f"sequences of {length}"
    label = f"{many}{', gates that underflow' if slowest < 1 else ''}, {PACKED}"
    own = [
        _peer(PIECES, lambda a, b, offsets: function(a, b, offsets=offsets), reference),
        _peer(WHOLE, lambda a, b, offsets: function(a, b), None),
        _peer(FLAGS, _flags(kind), reference),
    ]
    if kind == "Sum":
        own.append(_peer(CUMSUM, lambda a, b, offsets: mx.cumsum(b, axis=0), None))
    problem = Problem(f"packed {kind}", "random", _packed(length, slowest), _combine, "Affine")
    return Case(f"packed {kind}", label, PACKED, 0, problem, tuple(own), CUMSUM if kind == "Sum" else WHOLE)


def _back() -> Case:
    function = _grad(_h)
    own = (
        _peer(PIECES, lambda a, b, offsets: function(a, b, offsets=offsets), None),
        _peer(WHOLE, lambda a, b, offsets: function(a, b), None),
    )
    problem = Problem("packed gradients", "random", _packed(None, 1.0), _combine, "Affine")
    return Case("packed gradients of h", f"{MANY:,} sequences, {PACKED}", PACKED, 0, problem, own, WHOLE)


def _padded_case(kind: str, function: Function) -> Case:
    own = (
        _peer(PIECES, lambda a, b, lengths: function(a, b, axis=1, lengths=lengths), None),
        _peer(WHOLE, lambda a, b, lengths: function(a, b, axis=1), None),
    )
    problem = Problem(f"padded {kind}", "half of each row", _padded, _combine, "Affine")
    return Case(f"padded {kind}", f"half of each row, {PADDED}", PADDED, 1, problem, own, WHOLE)


LONG = (*(_case(kind, None) for kind in FUNCTIONS), _case("h", None, 0.05), _case("Affine", None, 0.05))
SMALL = tuple(_case(kind, SHORT) for kind in FUNCTIONS)
BACK = _back()
HALF = (*(_padded_case(kind, function) for kind, function in FUNCTIONS.items()), _padded_case("gradients", _grad(_h)))


def _most(cases: tuple[Case, ...]) -> Callable[[Results], float | None]:
    """The largest time of a packed or padded scan over that of the whole axis."""

    def measure(results: Results) -> float | None:
        pairs = [(results.median(case.key, PIECES), results.median(case.key, case.against)) for case in cases]
        ratios = [mine / other for mine, other in pairs if mine is not None and other is not None]
        return max(ratios) if len(ratios) == len(pairs) else None

    return measure


BARS = (
    Bar("packed h and Affine over the whole axis", 1.15, _most((*LONG[:2], *LONG[3:])), at_least=False),
    Bar("packed Sum over mx.cumsum", 1.15, _most(LONG[2:3]), at_least=False),
    Bar("sequences of 5 over the whole axis", 1.5, _most(SMALL), at_least=False),
    Bar("packed gradients over those of the whole axis", 1.15, _most((BACK,)), at_least=False),
    Bar("half of each row over all of it", 0.6, _most(HALF), at_least=False),
)

SEQUENCES = Suite("sequences", "Sequences", (*LONG, *SMALL, BACK, *HALF), BARS)
