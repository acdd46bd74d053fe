"""The peers: monoscan, mlx-scan, JAX, and MLX's own operations, each as a function that builds a timed call."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.model import Arrays, Call, Combine, Peer, Problem
from benchmarks.options import FORWARD, Options
from benchmarks.problems import add, affine, keep_right, scan_reference, wide

Compute = Callable[..., Any]
STRATEGIES = ("blelloch", "hillis_steele", "brent_kung")
AUTO = "monoscan"
RECURRENCE = "monoscan linear_recurrence"
HILLIS_STEELE, BLELLOCH = "mlx-scan hillis_steele", "mlx-scan blelloch"
JAX_SCAN, JAX_LOOP, JAX_LOOP_PAIRS = "jax associative_scan", "jax lax.scan", "jax lax.scan (both leaves)"
JAX_COMBINES = "jax lax.scan (whole elements)"
COPY, LOOP = "copy of the same bytes (eager)", "Python loop over MLX arrays (eager)"


def as_mlx(x: np.ndarray) -> mx.array:
    """The same numbers in the same dtype: left to itself, MLX makes float32 of float64."""
    return mx.array(x, dtype=mx.float64) if x.dtype == np.float64 else mx.array(x)


def mlx_call(compute: Compute, arrays: Arrays, compiled: bool, place: Compute = as_mlx) -> Call:
    """A call of `compute` on MLX copies of the arrays, laid out by `place`; outputs are evaluated by `mx.eval`."""
    inputs = [place(x) for x in arrays]
    mx.eval(inputs)
    function = mx.compile(compute) if compiled else compute

    def call() -> Any:
        out = function(*inputs)
        mx.eval(out)
        return out

    return call


def jax_call(compute: Compute, arrays: Arrays) -> Call:
    """A jitted call of `compute` on JAX copies of the arrays; every output is waited for by `block_until_ready`."""
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    inputs = [jax.block_until_ready(jax.numpy.asarray(x)) for x in arrays]
    function = jax.jit(compute)
    return lambda: jax.block_until_ready(function(*inputs))


def _tree(arrays: tuple[Any, ...]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def on_trees(combine: Combine) -> Combine:
    """The formula for a library that hands over a bare array where there is one leaf."""

    def combined(left: Any, right: Any) -> Any:
        return combine(left, right) if isinstance(left, tuple) else combine((left,), (right,))[0]

    return combined


def _mode(compiled: bool) -> str:
    return "" if compiled else " (eager)"


def _states(alone: bool) -> tuple[str, tuple[int, ...] | None]:
    return ("the states", (1,)) if alone else ("every leaf", None)


def monoscan(
    problem: Problem,
    strategy: str = "auto",
    compiled: bool = True,
    place: Compute = as_mlx,
    options: Options = FORWARD,
) -> Peer:
    """`monoscan.scan` with the built-in operator, of inputs that `place` lays out."""
    name = AUTO if strategy == "auto" else f"{AUTO} {strategy}"

    def build(arrays: Arrays, axis: int) -> Call:
        ms = import_module("monoscan")
        operator, given = problem.made(ms), {"axis": axis, "strategy": strategy, **options.of_scan()}
        return mlx_call(lambda *x: ms.scan(operator, _tree(x), **given), arrays, compiled, place)

    return Peer(
        name + _mode(compiled), "monoscan", "every leaf", build, options.answer(scan_reference(problem.combine))
    )


def monoscan_custom(problem: Problem, identity: tuple[float, ...]) -> Peer:
    """`monoscan.scan` with the user's own monoid of the same formula."""

    def build(arrays: Arrays, axis: int) -> Call:
        ms = import_module("monoscan")
        operator = ms.monoid(problem.combine, identity=identity)
        return mlx_call(lambda *x: ms.scan(operator, x, axis=axis), arrays, compiled=True)

    return Peer(f"{AUTO} custom monoid", "monoscan", "every leaf", build, scan_reference(problem.combine))


def monoscan_function(problem: Problem) -> Peer:
    """`monoscan.associative_scan` of the same formula as a function."""

    def build(arrays: Arrays, axis: int) -> Call:
        ms = import_module("monoscan")
        combine = on_trees(problem.combine)
        return mlx_call(lambda *x: ms.associative_scan(combine, _tree(x), axis=axis), arrays, compiled=True)

    return Peer(f"{AUTO} associative_scan", "monoscan", "every leaf", build, scan_reference(problem.combine))


def monoscan_recurrence(compiled: bool = True) -> Peer:
    """`monoscan.linear_recurrence`, which returns the states alone."""

    def build(arrays: Arrays, axis: int) -> Call:
        ms = import_module("monoscan")
        return mlx_call(lambda a, b: (ms.linear_recurrence(a, b, axis=axis),), arrays, compiled)

    return Peer(RECURRENCE + _mode(compiled), "monoscan", "the states", build, scan_reference(affine, outputs=(1,)))


def monoscan_plan(problem: Problem) -> Peer:
    """From a repeated call to its plan: nothing is computed."""

    def build(arrays: Arrays, axis: int) -> Call:
        ms = import_module("monoscan")
        operator = problem.made(ms)
        elements = _tree(tuple(mx.array(x) for x in arrays))
        return lambda: ms.explain(operator, elements, axis=axis)

    return Peer(f"{AUTO} explain", "monoscan", "nothing: the plan is data", build, None)


def mlx_scan(problem: Problem, algorithm: str, states_alone: bool = False) -> Peer:
    """`mlx_scan.associative_scan` under `mx.compile`."""

    def build(arrays: Arrays, axis: int) -> Call:
        library = import_module("mlx_scan")
        combine = on_trees(problem.combine)

        def compute(*x: mx.array) -> Any:
            out = library.associative_scan(combine, _tree(x), axis=axis, algorithm=algorithm)
            return out[1:] if states_alone else out

        return mlx_call(compute, arrays, compiled=True)

    evaluates, outputs = _states(states_alone)
    return Peer(f"mlx-scan {algorithm}", "mlx_scan", evaluates, build, scan_reference(problem.combine, outputs=outputs))


def jax_scan(problem: Problem, states_alone: bool = False) -> Peer:
    """`jax.lax.associative_scan`, jitted."""

    def build(arrays: Arrays, axis: int) -> Call:
        lax = import_module("jax.lax")
        combine = on_trees(problem.combine)

        def compute(*x: Any) -> Any:
            out = lax.associative_scan(combine, _tree(x), axis=axis)
            return out[1:] if states_alone else out

        return jax_call(compute, arrays)

    evaluates, outputs = _states(states_alone)
    return Peer(JAX_SCAN, "jax", evaluates, build, scan_reference(problem.combine, outputs=outputs))


def jax_recurrence(a: Any, b: Any, axis: int, both: bool = False) -> Any:
    """h_t = a_t * h_{t-1} + b_t by `jax.lax.scan`, to be traced by JAX; with the products of the gates if asked."""
    jax = import_module("jax")

    def states(h: Any, ab: Any) -> tuple[Any, Any]:
        h = ab[0] * h + ab[1]
        return h, h

    def pairs(total: Any, ab: Any) -> tuple[Any, Any]:
        total = affine(total, ab)
        return total, total

    a, b = (jax.numpy.moveaxis(x, axis, 0) for x in (a, b))
    zero = jax.numpy.zeros_like(b[0])
    start = (zero + 1, zero) if both else zero
    out = jax.lax.scan(pairs if both else states, start, (a, b))[1]
    return jax.tree.map(lambda x: jax.numpy.moveaxis(x, 0, axis), out)


def jax_loop(both: bool = False) -> Peer:
    """`jax.lax.scan`, jitted; by default it carries and returns the states alone, the least that it must do."""

    def build(arrays: Arrays, axis: int) -> Call:
        if both:
            return jax_call(lambda a, b: jax_recurrence(a, b, axis, both=True), arrays)
        return jax_call(lambda a, b: (jax_recurrence(a, b, axis),), arrays)

    evaluates, outputs = _states(not both)
    name = JAX_LOOP_PAIRS if both else JAX_LOOP
    return Peer(name, "jax", evaluates, build, scan_reference(affine, outputs=outputs))


def jax_combines(problem: Problem) -> Peer:
    """`jax.lax.scan` of the formula itself, jitted: one element after the other."""

    def build(arrays: Arrays, axis: int) -> Call:
        jax = import_module("jax")

        def step(total: Any, element: Any) -> tuple[Any, Any]:
            total = problem.combine(total, element)
            return total, total

        def compute(*x: Any) -> Any:
            x = tuple(jax.numpy.moveaxis(leaf, axis, 0) for leaf in x)
            first, rest = tuple(leaf[:1] for leaf in x), tuple(leaf[1:] for leaf in x)
            later = jax.lax.scan(step, tuple(leaf[0] for leaf in first), rest)[1]
            joined = zip(first, later, strict=True)
            return tuple(jax.numpy.moveaxis(jax.numpy.concatenate(pair), 0, axis) for pair in joined)

        return jax_call(compute, arrays)

    return Peer(JAX_COMBINES, "jax", "every leaf", build, scan_reference(problem.combine))


def cumsum(leaf: int = 0, compiled: bool = True) -> Peer:
    """`mx.cumsum` of one input leaf: half the bytes of an affine scan, and the floor of a dispatch."""

    def build(arrays: Arrays, axis: int) -> Call:
        return mlx_call(lambda x: (mx.cumsum(x, axis=axis),), (arrays[leaf],), compiled)

    return Peer("mx.cumsum" + _mode(compiled), "mlx", "one leaf", build, scan_reference(add, (leaf,)))


def copy() -> Peer:
    """Every input leaf times one: the same bytes read and written, through MLX's own allocations."""

    def build(arrays: Arrays, _axis: int) -> Call:
        one = mx.array(1, mx.float32)
        mx.eval(one)
        return mlx_call(lambda *x: tuple(leaf * one for leaf in x), arrays, compiled=False)

    return Peer(COPY, "mlx", "every leaf", build, scan_reference(keep_right))


def python_loop() -> Peer:
    """A Python loop over time that builds one MLX graph, as most MLX model code does."""

    def build(arrays: Arrays, axis: int) -> Call:
        def compute(a: mx.array, b: mx.array) -> tuple[mx.array]:
            gates, updates = (mx.split(x, x.shape[axis], axis=axis) for x in (a, b))
            states = [updates[0]]
            for gate, update in zip(gates[1:], updates[1:], strict=True):
                states.append(gate * states[-1] + update)
            return (mx.concatenate(states, axis=axis),)

        return mlx_call(compute, arrays, compiled=False)

    return Peer(LOOP, "mlx", "the states", build, scan_reference(affine, outputs=(1,)))


def as_numpy(result: Any) -> Arrays:
    """The arrays of a result, flat, in float64 or what numbers they are of."""
    leaves = list(result) if isinstance(result, (tuple, list)) else [result]
    return tuple(wide(np.asarray(leaf.astype(mx.float32) if _is_bfloat16(leaf) else leaf)) for leaf in leaves)


def _is_bfloat16(leaf: Any) -> bool:
    return isinstance(leaf, mx.array) and leaf.dtype == mx.bfloat16
