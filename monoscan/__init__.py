"""monoscan: a composable monoid algebra for parallel scans on MLX.

calls
    scan, fold                  running totals and the total, of an operator or an aggregator
    linear_recurrence           h[t] = a[t] * h[t-1] + b[t], the states alone
    act                         the states that elements drive
    loop                        steps in order, as lax.scan
    window                      the fold of the last few elements
    associative_scan            as jax.lax.associative_scan
    Stream, chunks              a sequence in chunks, from memory or from a file
    explain, Plan               what a call would run, and why
    exporting                   scans that mx.export_function can write

operators
    arithmetic, order, logic    Sum Product Max Min MinMax ArgMax ArgMin First Last All Any Xor
    statistics, log space       Mean Moments LogSumExp OnlineSoftmax
    linear recurrences          Affine MatMul MatrixAffine ScaledMatMul KalmanFilter KalmanSmoother
    best paths, runs            SemiringMatMul (of MaxPlus, MinPlus, Log, Boolean) MaxPlusAffine MaxSubarray
    geometry                    Quaternion Rigid3
    text, automata              FiniteMap Bracket
    combinators                 Tuple Struct Dual Maybe Segmented Semidirect Via

of your own
    monoid, Monoid, Semigroup, CustomMonoid, CustomSemigroup, Semiring, Facts, Action
    aggregator, Aggregator, join, fixed, position; ready ones are in monoscan.aggregators

errors
    ScanError, and of it IdentityError ScanTypeError StrategyError TraceError TreeError

modules to import by name
    monoscan.nn                 recurrent layers
    monoscan.testing            laws
    monoscan.distributed        one sequence on many machines
    monoscan.hmm, .kalman       hidden Markov models, linear Gaussian models
    monoscan.linalg             tridiagonal systems, long products, nonlinear recurrences
    monoscan.rl                 returns and advantages
    monoscan.signal             filters, exponentially weighted and rolling statistics
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

try:
    import mlx.core as _mx  # noqa: F401  # without a backend nothing below can be imported
except ImportError as _error:
    raise ImportError(
        'monoscan needs an MLX backend, and none is installed: pip install "monoscan[cpu]" for the CPU, '
        '"monoscan[cuda]" for an NVIDIA GPU.'
    ) from _error

from monoscan import monoids
from monoscan.errors import IdentityError, ScanError, ScanTypeError, StrategyError, TraceError, TreeError
from monoscan.exported import exporting
from monoscan.monoids import *  # noqa: F403  # the catalogue, named one by one in monoscan.monoids
from monoscan.scan.api import fold, linear_recurrence, scan
from monoscan.scan.api_explain import explain
from monoscan.scan.api_slices import associative_scan
from monoscan.scan.api_states import act, loop
from monoscan.scan.api_window import window
from monoscan.scan.stream import Stream, chunks

__version__ = "0.1.0"
__all__ = [
    "IdentityError",
    "Plan",
    "ScanError",
    "ScanTypeError",
    "StrategyError",
    "Stream",
    "TraceError",
    "TreeError",
    "act",
    "associative_scan",
    "chunks",
    "explain",
    "exporting",
    "fold",
    "linear_recurrence",
    "loop",
    "scan",
    "window",
]
__all__ += monoids.__all__

_MODULES = {"distributed", "hmm", "integrations", "kalman", "linalg", "nn", "rl", "signal", "testing"}

if TYPE_CHECKING:
    from monoscan.lowering.plan.plan import Plan
else:

    def __getattr__(name: str) -> object:
        """`Plan`, which comes with the planner: nothing before the first call needs it."""
        if name != "Plan":
            hint = f": import it by name, as in import monoscan.{name}" if name in _MODULES else ""
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}{hint}", name=name, obj=sys.modules[__name__]
            )
        from monoscan.lowering.plan.plan import Plan

        return Plan


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
