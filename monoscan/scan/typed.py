"""What type checkers know of the public calls: results have the type of what was given.

Elements of NumPy and numbers become MLX arrays, which no annotation of a tree can say: their results are annotated as they
were given, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Unpack as Unpack

Elements = TypeVar("Elements")
State = TypeVar("State")
Output = TypeVar("Output")
Strategy = Literal["auto", "native", "kernel", "blelloch", "hillis_steele", "brent_kung", "sequential"]


class Where(TypedDict, total=False):
    """What all calls take beside elements."""

    reverse: bool
    lengths: Any
    mask: Any
    offsets: Any
    stream: Any


class FoldOptions(Where, total=False):
    """What `fold` takes."""

    init: Any
    state: Any
    strategy: Strategy


class ScanOptions(FoldOptions, total=False):
    """What `scan` takes."""

    inclusive: bool


class RecurrenceOptions(Where, total=False):
    """What `linear_recurrence` takes."""

    log_gates: bool
    strategy: Strategy


class ActOptions(Where, total=False):
    """What `act` takes."""

    inclusive: bool
    strategy: Strategy


class LoopOptions(Where, total=False):
    """What `loop` takes."""

    event: int | tuple[int, ...]
    state_event: int | tuple[int, ...]
    length: int | None
