"""The public calls on operators, with the signatures of those on one machine and the group in addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlx.core as mx

from monoscan.distributed import ragged
from monoscan.distributed.call import as_trees, run
from monoscan.distributed.exchange import Link
from monoscan.distributed.part import Leaves, Part, part_of
from monoscan.lowering.plan.options import Options, changed
from monoscan.monoids.base import Semigroup
from monoscan.monoids.linear import Affine, LogAffine
from monoscan.scan import api, call, gates
from monoscan.tree import Tree, unflatten

if TYPE_CHECKING:
    from monoscan.scan.typed import Strategy

Stream = Any
Group = Any


def scan(
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
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    group: Group = None,
    timeout: float | None = None,
) -> Any:
    """All running totals of a sequence that is split over ranks: rank r holds what comes after that of rank r - 1.

    Every rank makes the call, with its own part, which may be empty, and gets the results of its part. They tell one
    another their totals in the call, by one all-gather (two where a total takes more than 4032 bytes), and the
    gradient takes as many again. Without a launcher there is one rank, and it is `monoscan.scan`.

    Args:
        monoid (Semigroup): What to combine with, the same on every rank.
        elems (array or tree): This rank's elements; shapes differ between ranks in the length alone.
        axis (int, optional): The axis along which the sequence is split. Default: ``0``.
        reverse (bool, optional): Fold from the last element of the last rank back. Default: ``False``.
        inclusive (bool, optional): As in `monoscan.scan`. Default: ``True``.
        init (array or tree, optional): What stands in front of the whole sequence; every rank gives the same.
            Default: ``None``.
        return_carry (bool, optional): Return ``(result, carry)``, the carry that of the whole sequence, on every rank.
            Default: ``False``.
        strategy (str, optional): As in `monoscan.scan`, for what runs on each rank. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.
        lengths (array, optional): As in `monoscan.scan`, of the whole sequence and the same on every rank.
            Default: ``None``.
        mask (array, optional): As in `monoscan.scan`, of this rank's part. Default: ``None``.
        offsets (array, optional): As in `monoscan.scan`, of the whole sequence and the same on every rank; ``init`` and
            the carry then have the sequences' axis. Default: ``None``.
        group (Group, optional): The ranks. Default: ``None``, which is the default group.
        timeout (float, optional): Seconds to wait for the other ranks. Default: ``None``, which is the environment's
            ``MONOSCAN_DISTRIBUTED_TIMEOUT``, else 600.

    Returns:
        array or tree: The results of this rank's elements; with ``return_carry`` a pair.

    Raises:
        DistributedError: Ranks do not make the same call, another one failed, or one does not answer.
        ScanError: As in `monoscan.scan`; the other ranks then raise a `DistributedError` that says so.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> import monoscan.distributed
        >>> ms.distributed.scan(ms.Sum(), mx.array([1, 2, 3]))      # of one rank
        array([1, 3, 6], dtype=int32)
    """

    def alone() -> Any:
        return api.scan(
            monoid, elems, axis, reverse=reverse, inclusive=inclusive, init=init, return_carry=return_carry,
            strategy=strategy, stream=stream, lengths=lengths, mask=mask, offsets=offsets,
        )  # fmt: skip

    def asked() -> Options:
        return call.options(
            "scan", reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
        )

    def part() -> Part:
        return part_of(asked(), monoid, elems, axis, init, False)

    def shared(link: Link) -> Any:
        both = ragged.scan(link, asked, lambda: (monoid, elems), axis, init, bounds)
        return both if return_carry else both[0]

    bounds = lengths, mask, offsets
    return run("scan", alone, part, as_trees, shared, bounds, group, timeout, stream)


def fold(
    monoid: Semigroup,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    init: Tree | None = None,
    strategy: Strategy = "auto",
    stream: Stream = None,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    group: Group = None,
    timeout: float | None = None,
) -> Any:
    """The total of a sequence that is split over ranks, on every rank.

    Args:
        monoid (Semigroup): What to combine with.
        elems (array or tree): This rank's elements, as in `scan`.
        axis (int, optional): The axis along which the sequence is split. Default: ``0``.
        reverse (bool, optional): As in `scan`. Default: ``False``.
        init (array or tree, optional): As in `scan`. Default: ``None``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.
        lengths (array, optional): As in `scan`. Default: ``None``.
        mask (array, optional): As in `scan`. Default: ``None``.
        offsets (array, optional): As in `scan`. Default: ``None``.
        group (Group, optional): The ranks. Default: ``None``, which is the default group.
        timeout (float, optional): As in `scan`. Default: ``None``.

    Returns:
        array or tree: The total, without the axis.

    Raises:
        DistributedError: As in `scan`.
        ScanError: As in `monoscan.fold`; the fold of what is empty on all ranks needs an identity or ``init``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> import monoscan.distributed
        >>> ms.distributed.fold(ms.Max(), mx.array([3.0, 7.0, 5.0]))
        array(7, dtype=float32)
    """

    def alone() -> Any:
        return api.fold(
            monoid, elems, axis, reverse=reverse, init=init, strategy=strategy, stream=stream, lengths=lengths, mask=mask,
            offsets=offsets,
        )  # fmt: skip

    def asked() -> Options:
        return call.options("fold", reverse=reverse, results=False, strategy=strategy, stream=stream)

    def part() -> Part:
        return part_of(asked(), monoid, elems, axis, init, False)

    def shared(link: Link) -> Any:
        return ragged.fold(link, asked, lambda: (monoid, elems), axis, init, bounds)

    def outcome(held: Part, results: Leaves, carry: Leaves) -> Any:
        return unflatten(held.structure, held.rounded(carry))

    bounds = lengths, mask, offsets
    return run("fold", alone, part, outcome, shared, bounds, group, timeout, stream)


def linear_recurrence(
    a: mx.array | complex,
    b: mx.array,
    /,
    h0: mx.array | None = None,
    axis: int = 0,
    *,
    reverse: bool = False,
    return_carry: bool = False,
    log_gates: bool = False,
    strategy: Strategy = "auto",
    stream: Stream = None,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    group: Group = None,
    timeout: float | None = None,
) -> Any:
    """The states ``h[t] = a[t] * h[t-1] + b[t]`` of a sequence that is split over ranks.

    Args:
        a (array or number): This rank's gates, or one for all steps.
        b (array): This rank's inputs.
        h0 (array, optional): The state before the whole sequence; every rank gives the same. Default: ``None``,
            which is 0.
        axis (int, optional): The time axis, along which the sequence is split. Default: ``0``.
        reverse (bool, optional): Run from the last step of the last rank back. Default: ``False``.
        return_carry (bool, optional): Return ``(h, last)``, the last state of the whole sequence on every rank.
            Default: ``False``.
        log_gates (bool, optional): ``a`` holds the logarithms of the gates. Default: ``False``.
        strategy (str, optional): As in `monoscan.scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.
        lengths (array, optional): As in `scan`. Default: ``None``.
        mask (array, optional): As in `scan`. Default: ``None``.
        offsets (array, optional): As in `scan`. Default: ``None``.
        group (Group, optional): The ranks. Default: ``None``, which is the default group.
        timeout (float, optional): As in `scan`. Default: ``None``.

    Returns:
        array: The states of this rank's steps; with ``return_carry`` a pair.

    Raises:
        DistributedError: As in `scan`.
        ScanError: As in `monoscan.linear_recurrence`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> import monoscan.distributed
        >>> ms.distributed.linear_recurrence(0.5, mx.ones((3,)), mx.array(2.0))
        array([2, 2, 2], dtype=float32)
    """

    def alone() -> Any:
        return api.linear_recurrence(
            a, b, h0, axis, reverse=reverse, return_carry=return_carry, log_gates=log_gates, strategy=strategy,
            stream=stream, lengths=lengths, mask=mask, offsets=offsets,
        )  # fmt: skip

    def operands() -> tuple[Semigroup, Tree, Tree | None]:
        operator, one = (LogAffine(), 0) if call.flag(name, "log_gates", log_gates) else (Affine(), 1)
        given = a if isinstance(a, mx.array) else gates.everywhere(a, b, axis)
        return operator, (given, b), None if h0 is None else (one, h0)

    def asked() -> Options:
        return call.options(name, reverse=reverse, return_carry=return_carry, strategy=strategy, stream=stream)

    def part() -> Part:
        operator, elems, init = operands()
        return part_of(changed(asked(), wanted=(1,)), operator, elems, axis, init, False)

    def shared(link: Link) -> Any:
        first = None if h0 is None else (0.0 if log_gates else 1.0, h0)
        results, carry = ragged.scan(link, asked, lambda: operands()[:2], axis, first, bounds)
        return (results[1], carry[1]) if return_carry else results[1]

    def outcome(held: Part, results: Leaves, carry: Leaves) -> Any:
        return (results[0], carry[1]) if return_carry else results[0]

    name, bounds = "linear_recurrence", (lengths, mask, offsets)
    return run(name, alone, part, outcome, shared, bounds, group, timeout, stream)
