"""monoscan: a composable monoid algebra for parallel scans on MLX."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import mlx.core as _mx  # noqa: F401  # without a backend nothing below can be imported
except ImportError as _error:
    raise ImportError(
        'monoscan needs an MLX backend, and none is installed: pip install "monoscan[cpu]" for the CPU, '
        '"monoscan[cuda]" for an NVIDIA GPU.'
    ) from _error

from monoscan.errors import IdentityError as IdentityError
from monoscan.errors import ScanError as ScanError
from monoscan.errors import ScanTypeError as ScanTypeError
from monoscan.errors import StrategyError as StrategyError
from monoscan.errors import TraceError as TraceError
from monoscan.errors import TreeError as TreeError
from monoscan.monoids import *  # noqa: F403  # the catalogue, named one by one in monoscan.monoids
from monoscan.scan.api import associative_scan as associative_scan
from monoscan.scan.api import fold as fold
from monoscan.scan.api import linear_recurrence as linear_recurrence
from monoscan.scan.api import scan as scan
from monoscan.scan.api import window as window
from monoscan.scan.api_explain import explain as explain
from monoscan.scan.api_states import act as act
from monoscan.scan.api_states import loop as loop
from monoscan.scan.stream import Stream as Stream
from monoscan.scan.stream import chunks as chunks

__version__ = "0.1.0"

if TYPE_CHECKING:
    from monoscan.lowering.plan.plan import Plan as Plan
else:

    def __getattr__(name: str) -> object:
        """`Plan`, which comes with the planner: nothing before the first call needs it."""
        if name != "Plan":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from monoscan.lowering.plan.plan import Plan

        return Plan
