"""``explain``: what a call would run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monoscan import errors
from monoscan.monoids.aggregator import Aggregator
from monoscan.scan.later import act as states
from monoscan.scan.later import aggregate, call, split
from monoscan.scan.later import calls as ragged
from monoscan.scan.later import loop as loops
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import Strategy

Stream = Any


def explain(
    monoid: Any,
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
    loop: bool = False,
    event: int | tuple[int, ...] = 0,
    state_event: int | tuple[int, ...] = 0,
    length: int | None = None,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    group: Any = None,
) -> Any:
    """What `scan` would run with these arguments, `act` or `loop`, and why: the plan, which prints.

    Nothing is compiled for it: of a kernel that was not built yet it says that it will be tried,
    and of one that could not be built in this process why.

    Args:
        monoid (Semigroup, Aggregator or callable): As in `scan`; the step of a loop.
        elems (array or tree): As in `scan`; ``xs`` of a loop.
        axis (int, optional): As in `scan`. Default: ``0``.
        reverse (bool, optional): As in `scan`. Default: ``False``.
        inclusive (bool, optional): As in `scan`. Default: ``True``.
        init (array or tree, optional): As in `scan`. Default: ``None``.
        return_carry (bool, optional): As in `scan`. Default: ``False``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): As in `scan`. Default: ``None``.
        act (bool, optional): Whether to explain `act`, which takes no ``init``. Default: ``False``.
        state (array or tree, optional): As in `act`, `loop`, and `scan` of an aggregator. Default: ``None``.
        loop (bool, optional): Whether to explain `loop`. Default: ``False``.
        event (int or tuple(int), optional): As in `loop`. Default: ``0``.
        state_event (int or tuple(int), optional): As in `loop`. Default: ``0``.
        length (int, optional): As in `loop`. Default: ``None``.
        lengths (array, optional): As in `scan`. Default: ``None``.
        mask (array, optional): As in `scan`. Default: ``None``.
        offsets (array, optional): As in `scan`. Default: ``None``.
        group (Group or int, optional): Explain the calls of `monoscan.distributed` on these ranks, or on so many.
            Default: ``None``, which is one machine.

    Returns:
        Plan: The plan; of an aggregator a `PassPlan`, and on ranks a `SplitPlan`, which print likewise.

    Raises:
        ScanError: As in `scan` and `act`; or there is a ``state`` of no act, or an ``init`` of one.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.explain(ms.Sum(), mx.ones((8,))).strategy
        'native'
    """
    raw = (lengths, mask, offsets)
    bounded = any(each is not None for each in raw)
    if group is not None:
        if loop or bounded or isinstance(monoid, Aggregator):
            what = "a loop" if loop else "an aggregator" if isinstance(monoid, Aggregator) else "a ragged sequence"
            raise errors.ScanError(f"[explain] {what} is not split over ranks: leave group out.")
        return split.explain(
            monoid, elems, axis, reverse=reverse, inclusive=inclusive, init=init, return_carry=return_carry,
            strategy=strategy, stream=stream, act=act, state=state, group=group,
        )  # fmt: skip
    if loop:
        if init is not None or state is None:
            raise errors.ScanError("[explain] a loop starts from a state: give state=, and no init.")
        asked = call.options("loop", reverse=reverse, return_carry=return_carry, stream=stream)
        given = loops.steps_of(monoid, elems, axis, event, state_event, length)
        if bounded:
            return ragged.plan(asked, *given, axis, None, state, raw)
        return loops.prepare(asked, *given, state, axis)[0]
    name = "act" if act else "scan"
    asked = call.options(
        name, reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
    )
    if act and init is not None:
        raise errors.ScanError("[explain] init is no argument of act; give state=.")
    if not act:
        aggregate.check_start("explain", monoid, init, state)
    if bounded:
        return ragged.plan(asked, monoid, elems, axis, init, state, raw)
    if isinstance(monoid, Aggregator):
        return aggregate.explain(monoid, elems, axis, state, asked)
    if act:
        return states.prepare(asked, monoid, elems, state, axis)[0]
    return call.planned(asked, monoid, elems, axis, init)
