"""The options of a call, as plans know them."""

from __future__ import annotations

import functools
from typing import Any

import attrs

EXPORTED = "what is exported holds operations of MLX alone"
"""Why there is no kernel."""

STRATEGIES = ("auto", "native", "kernel", "blelloch", "hillis_steele", "brent_kung", "sequential")


@attrs.frozen(eq=False)
class Options:
    """The options of a public call; one object for each set of values, so that keys compare by identity.

    Args:
        call: The public function, for messages.
        reverse: Fold from the last element back.
        inclusive: Each position includes its own element.
        return_carry: The carry is wanted.
        results: The results are wanted; a fold wants the carry alone.
        strategy: The strategy asked for, or ``"auto"``.
        device: The device type that the stream is on.
        wanted: The leaves whose results are wanted, or ``None`` for all.
        shapeless: The scan is to fit every size, not only those at hand.
        fixed: The leaves of an act's elements that are the same at every step.
        exported: It is to be made of MLX's own operations alone.
        target: The kind of GPU to plan for, ``metal`` or ``cuda``, or ``None`` for what MLX has here.
    """

    call: str = "scan"
    reverse: bool = False
    inclusive: bool = True
    return_carry: bool = False
    results: bool = True
    strategy: str = "auto"
    device: str = "cpu"
    wanted: tuple[int, ...] | None = None
    shapeless: bool = False
    fixed: tuple[int, ...] = ()
    exported: bool = False
    target: str | None = None


@functools.lru_cache(maxsize=1024)
def changed(asked: Options, **changes: Any) -> Options:
    """The same options but for these: always the same object."""
    return attrs.evolve(asked, **changes)


def of_leaves(asked: Options, start: int, stop: int) -> Options:
    """The same options for a part of the leaves."""
    wanted = None if asked.wanted is None else tuple(i - start for i in asked.wanted if start <= i < stop)
    return changed(asked, wanted=wanted)
