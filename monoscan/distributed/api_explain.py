"""``explain``: what a call would do on each rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monoscan import errors
from monoscan.distributed.cost import SplitPlan, split_plan
from monoscan.distributed.group import group_of
from monoscan.distributed.part import part_of
from monoscan.monoids import domain
from monoscan.monoids.base import Semigroup
from monoscan.scan import call
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import Strategy

Stream = Any
Group = Any


def explain(
    monoid: Semigroup,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    init: Tree | None = None,
    return_carry: bool = False,
    strategy: Strategy = "auto",
    stream: Stream = None,
    act: bool = False,
    state: Tree | None = None,
    group: Group | int = None,
) -> SplitPlan:
    """What `scan` or `act` would do on each rank, and what it would send; one rank may ask alone, for nothing is sent.

    Args:
        monoid (Semigroup): As in `scan`.
        elems (array or tree): This rank's elements; those of the others are taken to be as many.
        axis (int, optional): As in `scan`. Default: ``0``.
        reverse (bool, optional): As in `scan`. Default: ``False``.
        inclusive (bool, optional): As in `scan`. Default: ``True``.
        init (array or tree, optional): As in `scan`. Default: ``None``.
        return_carry (bool, optional): As in `scan`. Default: ``False``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): As in `scan`. Default: ``None``.
        act (bool, optional): Whether to explain `act`. Default: ``False``.
        state (array or tree, optional): As in `act`. Default: ``None``.
        group (Group or int, optional): The ranks, or how many. Default: ``None``, which is the default group.

    Returns:
        SplitPlan: Collectives, bytes, the plans of both passes, and a time that is projected from their estimates.

    Raises:
        ScanError: As in `scan`; or there is an ``init`` of an act, or a ``state`` of a scan.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> import monoscan.distributed
        >>> ms.distributed.explain(ms.Sum(), mx.ones((8,)), group=4).collectives
        1
    """
    if (init if act else state) is not None:
        raise errors.ScanError("[distributed.explain] a scan starts from init, an act from state.")
    number = domain.whole(group)
    if type(number) is not int:
        number = group_of("distributed.explain", group, None).size()
    elif number < 1:
        raise errors.ScanError(f"[distributed.explain] group must have at least one rank; got {number}.")
    asked = call.options(
        "act" if act else "scan", reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy,
        stream=stream,
    )  # fmt: skip
    return split_plan(part_of(asked, monoid, elems, axis, state if act else init, act), number)
