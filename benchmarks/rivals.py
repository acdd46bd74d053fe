"""The obvious alternatives to a scan of monoscan's: a loop of JAX's, scans of NumPy and MLX, a filter of SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.model import Arrays, Call, Peer, Problem, Reference
from benchmarks.options import FORWARD, Options
from benchmarks.peers import AUTO, Compute, as_mlx, jax_call, mlx_call
from benchmarks.problems import scan_reference

JAX_LOOP = "jax lax.scan"
ALSO = f"{AUTO}, "
"""How peers begin that run something else than the case, for a bar: they are in no ranking."""
ADDITION = f"{ALSO}one addition by MLX"


def other_inputs(peer: Peer, name: str, change: Callable[[Arrays], Arrays]) -> Peer:
    """A peer on inputs that are changed, which nothing but its time is asked of."""
    return Peer(ALSO + name, peer.package, peer.evaluates, lambda x, axis: peer.build(change(x), axis), None)


def one_addition() -> Peer:
    """What MLX takes for the least that it can do with arrays of this size: the time of a call, whatever is computed."""

    def build(arrays: Arrays, axis: int) -> Call:
        return mlx_call(lambda *leaves: (leaves[0] + leaves[-1],), arrays, compiled=True)

    return Peer(ADDITION, "mlx", "the sum", build, None)


def jax_states(
    problem: Problem, identity: tuple[Any, ...], leaves: tuple[Any, ...], axis: int, options: Options = FORWARD
) -> tuple[Any, ...]:
    """The scan by `jax.lax.scan`, to be traced by JAX; halves are added up in float32, as everywhere."""
    jax = import_module("jax")
    dtypes = [np.result_type(x.dtype, *(x.dtype for x in leaves[:i])) for i, x in enumerate(leaves)]

    def step(total: Any, now: Any) -> tuple[Any, Any]:
        before = total
        total = problem.combine(total, tuple(x.astype(t.dtype) for x, t in zip(now, total, strict=True)))
        shown = total if options.inclusive else before
        return total, tuple(t.astype(dtype) for t, dtype in zip(shown, dtypes, strict=True))

    moved = tuple(jax.numpy.moveaxis(x, axis, 0) for x in leaves)
    start = tuple(
        jax.numpy.broadcast_to(jax.numpy.asarray(one).astype(_accumulating(dtype)), x.shape[1:])
        for one, x, dtype in zip(identity, moved, dtypes, strict=True)
    )
    return tuple(jax.numpy.moveaxis(x, 0, axis) for x in jax.lax.scan(step, start, moved, reverse=options.reverse)[1])


def jax_loop(problem: Problem, identity: tuple[Any, ...], options: Options = FORWARD) -> Peer:
    """`jax.lax.scan` of the formula, jitted."""

    def build(arrays: Arrays, axis: int) -> Call:
        return jax_call(lambda *leaves: jax_states(problem, identity, leaves, axis, options), arrays)

    return Peer(JAX_LOOP, "jax", "every leaf", build, options.answer(scan_reference(problem.combine)))


def _accumulating(dtype: Any) -> Any:
    return np.float32 if dtype == np.float16 else dtype


def numpy_scan(problem: Problem, scan: Callable[..., np.ndarray]) -> Peer:
    """A scan of NumPy's, such as `np.cumsum`, in the dtype of its input."""

    def build(arrays: Arrays, axis: int) -> Call:
        (x,) = (np.ascontiguousarray(x) for x in arrays)
        return lambda: (scan(x, axis=axis, dtype=x.dtype),)

    return Peer("NumPy", "numpy", "every leaf", build, scan_reference(problem.combine))


def scipy_filter(problem: Problem) -> Peer:
    """`scipy.signal.lfilter`, for filters that stay the same: all gates are the first one."""
    plain = scan_reference(problem.combine)

    def build(arrays: Arrays, axis: int) -> Call:
        lfilter = import_module("scipy.signal").lfilter
        (first, second), _ = arrays[0].reshape(-1, 2, 2)[0]
        x, taps = np.ascontiguousarray(arrays[1][..., 0]), np.array([1, -first, -second], np.float32)
        return lambda: (lfilter(np.float32([1]), taps, x, axis=axis),)

    reference = Reference(lambda arrays, axis: (plain.whole(arrays, axis)[1][..., 0],))
    return Peer("SciPy lfilter", "scipy", "h alone", build, reference)


def mlx_own(problem: Problem, name: str, place: Compute = as_mlx, options: Options = FORWARD) -> Peer:
    """A scan of MLX's, such as `mx.cumsum`, of each leaf."""

    def build(arrays: Arrays, axis: int) -> Call:
        scan, given = getattr(mx, name), {"axis": axis, **options.of_scan()}
        return mlx_call(lambda *leaves: tuple(scan(x, **given) for x in leaves), arrays, compiled=True, place=place)

    return Peer(f"mx.{name}", "mlx", "every leaf", build, options.answer(scan_reference(problem.combine)))
