"""The public calls on states: ``act``, and ``loop``, which is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monoscan import errors
from monoscan.distributed import ragged
from monoscan.distributed.call import as_trees, run
from monoscan.distributed.exchange import Link
from monoscan.distributed.part import Part, part_of
from monoscan.lowering.plan.options import Options
from monoscan.monoids.base import Semigroup
from monoscan.scan import api_states, call
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import Strategy

Stream = Any
Group = Any


def act(
    operator: Semigroup,
    elems: Tree,
    state: Tree | None = None,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    return_carry: bool = False,
    strategy: Strategy = "auto",
    stream: Stream = None,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    group: Group = None,
    timeout: float | None = None,
) -> Any:
    """The states that a sequence drives which is split over ranks.

    Ranks tell one another the products of their elements, which may be larger than states are: of matrices of size k,
    that takes k times the work of their states.

    Args:
        operator (Semigroup): What acts, as in `monoscan.act`.
        elems (array or tree): This rank's elements, as in `scan`.
        state (array or tree, optional): The state before the whole sequence; every rank gives the same.
            Default: ``None``, where the first element begins it.
        axis (int, optional): The axis along which the sequence is split. Default: ``0``.
        reverse (bool, optional): Start at the last element of the last rank. Default: ``False``.
        inclusive (bool, optional): As in `monoscan.act`. Default: ``True``.
        return_carry (bool, optional): Return ``(states, last)``, the last that of the whole sequence, on every rank.
            Default: ``False``.
        strategy (str, optional): As in `monoscan.act`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.
        lengths (array, optional): As in `scan`. Default: ``None``.
        mask (array, optional): As in `scan`. Default: ``None``.
        offsets (array, optional): As in `scan`. Default: ``None``.
        group (Group, optional): The ranks. Default: ``None``, which is the default group.
        timeout (float, optional): As in `scan`. Default: ``None``.

    Returns:
        array or tree: The states after this rank's elements; with ``return_carry`` a pair.

    Raises:
        DistributedError: As in `scan`.
        ScanError: As in `monoscan.act`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> import monoscan.distributed
        >>> ms.distributed.act(ms.Affine(), (mx.full((3,), 0.5), mx.ones((3,))), mx.array(2.0))
        array([2, 2, 2], dtype=float32)
    """

    def alone() -> Any:
        return api_states.act(
            operator, elems, state, axis, reverse=reverse, inclusive=inclusive, return_carry=return_carry,
            strategy=strategy, stream=stream, lengths=lengths, mask=mask, offsets=offsets,
        )  # fmt: skip

    def asked() -> Options:
        return call.options(
            "act", reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
        )

    def part() -> Part:
        return part_of(asked(), operator, elems, axis, state, True)

    def shared(link: Link) -> Any:
        both = ragged.act(link, asked, lambda: (operator, elems), axis, state, bounds)
        return both if return_carry else both[0]

    bounds = lengths, mask, offsets
    return run("act", alone, part, as_trees, shared, bounds, group, timeout, stream)


def loop(*given: Any, group: Group = None, timeout: float | None = None, **options: Any) -> Any:
    """Refuses: the steps of a loop follow one another, and a rank cannot start before the one in front of it ends.

    Args:
        given: What `monoscan.loop` takes.
        group (Group, optional): The ranks. Default: ``None``, which is the default group.
        timeout (float, optional): As in `scan`. Default: ``None``.
        options: What `monoscan.loop` takes.

    Raises:
        ScanError: Always, on every rank.

    Example:
        >>> import monoscan.distributed
        >>> monoscan.distributed.loop(lambda s, x: (s, x), None, None)
        Traceback (most recent call last):
        ...
        monoscan.errors.ScanError: [distributed.loop] a loop claims nothing of its steps, so ranks could only run one after
        another. Make the step an operator with ms.monoid and call act, or run ms.loop on one rank.
    """

    def refuse(*_: Any) -> Any:
        raise errors.ScanError(
            "[distributed.loop] a loop claims nothing of its steps, so ranks could only run one after another. Make the step "
            "an operator with ms.monoid and call act, or run ms.loop on one rank."
        )

    return run("loop", refuse, refuse, as_trees, refuse, (), group, timeout, None)
