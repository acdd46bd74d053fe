"""Counts: what a strategy costs in combines, in depth and in bytes."""

from __future__ import annotations

from math import ceil, log2, prod

from monoscan import dtypes
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.hillis_steele import BASE


def work_and_depth(strategy: str, n: int, base: int = BASE) -> tuple[int, int]:
    """Combines along one row of length ``n``, and the longest chain of them.

    Trees run Hillis-Steele on what is left at ``base`` elements.
    """
    levels = ceil(log2(n)) if n > 1 else 0
    if strategy in ("native", "kernel", "sequential", "trivial"):
        return max(n - 1, 0), max(n - 1, 0)
    if strategy == "reduce":
        return max(n - 1, 0), levels
    if strategy == "hillis_steele" or n <= base:
        return n * levels - 2**levels + 1 if n else 0, levels
    work, depth = work_and_depth(strategy, n // 2, base)
    return n // 2 + work + (n - 1) // 2, depth + (2 if n > 2 else 1)


def element_bytes(problem: Problem) -> int:
    """Bytes of one element as stored."""
    pairs = zip(problem.stored, problem.layout.event, strict=True)
    return sum(dtypes.itemsize(name) * prod(event) for name, event in pairs)


def rows(problem: Problem) -> int:
    """How many independent scans run side by side."""
    return problem.layout.items // problem.layout.length if problem.layout.length else 0


def moved_bytes(problem: Problem, strategy: str, work: int) -> int:
    """Bytes to and from memory: in and out once where one loop does all, else per array operation."""
    if strategy in ("native", "kernel", "trivial"):
        return 2 * element_bytes(problem) * problem.layout.items
    operations = len(problem.program.code) if problem.program else 2 * len(problem.stored)
    widest = max(dtypes.itemsize(name) for name in problem.accumulators)
    return work * rows(problem) * operations * 3 * widest
