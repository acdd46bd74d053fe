"""What MLX's own scans of commutative primitives compute, and where a kernel does it better."""

from __future__ import annotations

from monoscan import dtypes
from monoscan.lowering.plan.problem import Problem


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


def in_order(problem: Problem) -> bool:
    """Whether a kernel stands in for MLX's scan and keeps its order: chained calls then have the bits of one call."""
    if problem.parts:
        return all(in_order(part) for part in problem.parts)
    chosen = problem.options.strategy == "auto" and problem.options.results
    return chosen and no_native_scan(problem) is None and better_fused(problem) is not None
