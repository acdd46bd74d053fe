"""What MLX's own scans of commutative primitives compute, and where a kernel does it better."""

from __future__ import annotations

from math import prod

from monoscan import dtypes
from monoscan.lowering.plan.problem import Problem

SHORT_ROWS = 64
"""Of rows up to this long a kernel needs longer than MLX for the start of each (measured)."""

FEW_ELEMENTS = 512
"""Below this the call itself takes most of the time, and a compiler is not worth waiting for."""

MANY_FLOATS = 1 << 14
"""From so many floats on a kernel of sums or products is as fast as MLX's scan in many columns and 1.5 to 5 times as
fast elsewhere, on one core; with fewer MLX's starts as fast, and no compiler is waited for (measured)."""


def no_native_scan(problem: Problem) -> str | None:
    """Why MLX has no scan for this, or ``None`` if it has."""
    facts = problem.facts
    if problem.acts is not None:
        return "MLX has no scan of states"
    if facts.native is None:
        return "MLX has no scan that computes it"
    if not facts.commutative:
        return "not commutative, and MLX's GPU scans swap operands"
    if problem.program is None:
        return f"not traceable: {problem.traced.reason}"
    name = problem.accumulators[0]
    if len(problem.accumulators) != 1 or problem.layout.event[0] or name in dtypes.COMPLEX:
        return "MLX scans single arrays of real numbers"
    return None


def native_scan_holds(problem: Problem) -> str | None:
    """What of this scan holds the sizes of a trace; ``None`` where nothing does."""
    name = problem.facts.native
    if not problem.options.results and name not in ("cumsum", "cumprod"):
        return "MLX's reductions of it take no empty axis"
    if problem.layout.init is not None or problem.options.return_carry:
        return "an init and a carry are slices, which hold the sizes of a trace"
    return None


def better_fused(problem: Problem) -> str | None:
    """Why a kernel should run this rather than MLX; ``None`` where there is no reason."""
    if problem.facts.associativity == "exact":
        return None
    if not problem.options.results:
        return "MLX's reductions group floats anew, and may overflow where the fold in order does not"
    if problem.layout.init is not None and problem.facts.native in ("cumsum", "cumprod"):
        return "MLX's scans take no init, which comes first with floats"
    if problem.facts.native == "logcumsumexp" and problem.accumulators[0] == "float64":
        return "mx.logcumsumexp computes the exponentials of float64 to 1e-7"
    return None


def faster_fused(problem: Problem, length: int) -> str | None:
    """Why a kernel takes less time than MLX's scan of so many steps (measured on one core); ``None`` if it does not."""
    if not problem.options.results:
        return None
    dtype, native = problem.results[0], problem.facts.native
    if dtype in dtypes.HALF:
        return "MLX's scans of halves take up to seven times as long, since each step converts"
    if native == "logcumsumexp":
        return "mx.logcumsumexp takes up to twelve times as long"
    layout = problem.layout
    items = prod(layout.aligned_shape(0, length)[: layout.rank + 1])
    if problem.options.shapeless or items < FEW_ELEMENTS:
        return None
    inner = prod(layout.aligned_shape(0, length)[layout.axis + 1 : layout.rank + 1])
    if inner == 1 and length <= SHORT_ROWS:
        return None
    slower = problem.facts.associativity == "exact" or items >= MANY_FLOATS
    return f"mx.{native} takes up to five times as long" if slower else None
