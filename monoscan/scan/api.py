"""The public calls on operators; what they share stands in `monoscan.scan.call`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, overload

import mlx.core as mx

from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.linear import Affine, LogAffine
from monoscan.scan.later import aggregate, call, gates
from monoscan.scan.later import calls as ragged
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import Elements, FoldOptions, RecurrenceOptions, ScanOptions, Strategy, Unpack

Stream = Any


@overload
def scan(
    monoid: Semigroup,
    elems: Elements,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[False] = ...,
    **options: Unpack[ScanOptions],
) -> Elements: ...
@overload
def scan(
    monoid: Semigroup,
    elems: Elements,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[True],
    **options: Unpack[ScanOptions],
) -> tuple[Elements, Elements]: ...
@overload
def scan(
    monoid: Semigroup | Aggregator,
    elems: Tree,
    /,
    axis: int = ...,
    *,
    return_carry: bool = ...,
    **options: Unpack[ScanOptions],
) -> Any: ...
def scan(
    monoid: Semigroup | Aggregator,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    init: Tree | None = None,
    state: Tree | None = None,
    return_carry: bool = False,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    strategy: Strategy = "auto",
    stream: Stream = None,
) -> Any:
    """All running totals of a sequence: ``scan[i] = x_0 . x_1 . ... . x_i``.

    Args:
        monoid (Semigroup or Aggregator): What to combine with; an aggregator takes its inputs in the place of
            elements, and the results are its outputs.
        elems (array or tree): Arrays of one length along ``axis``. The last ``event`` axes
            of each belong to an element; all others are batch axes, which broadcast between
            leaves by NumPy's rule once the scan axis is removed. An input of an aggregator may be `fixed`, or the
            `position`.
        axis (int, optional): The scan axis; a negative one needs leaves of equal rank.
            Default: ``0``.
        reverse (bool, optional): Fold from the last element back, as flip, scan, flip does.
            Default: ``False``.
        inclusive (bool, optional): Whether position i includes element i. If not, it holds
            the fold of what comes before, and the first holds ``init``, else the identity.
            Default: ``True``.
        init (array or tree, optional): An element without the scan axis, combined in front; numbers, NumPy's too,
            become arrays.
            Its batch axes broadcast with those of the elements: where it has more, so have
            the results. Default: ``None``.
        state (array or tree, optional): Of an aggregator, the state before the first position, without the scan axis.
            Default: ``None``, where the first element begins it.
        return_carry (bool, optional): Return ``(result, carry)``; the carry is the last
            inclusive value, or the last state, in the accumulation dtype (float32 for halves). Default: ``False``.
        lengths (array, optional): Integers: the first so many positions of each row count. Of the shape of the batch (the
            scan axis taken out), aligned with it from the left; with ``offsets``, of that with the sequences in the place of
            the scan axis. Clipped to what there is. Default: ``None``, which is all.
        mask (array, optional): Truth values: the positions that count. Of the shape of the batch with the scan axis,
            aligned with it from the left. Default: ``None``, which is all.
        offsets (array, optional): N + 1 integers ``[0, ..., n]``, between which N sequences lie one after another on the
            scan axis, in all rows alike. What they start from, the carry and the folds then have the N sequences in the
            place of the scan axis. Default: ``None``.
        strategy (str, optional): ``"auto"``, or one of ``"native"``, ``"kernel"``,
            ``"blelloch"``, ``"hillis_steele"``, ``"brent_kung"``, ``"sequential"``.
            Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array or tree: The tree of ``elems``; with ``return_carry`` a pair.

    Raises:
        TreeError: The elements do not form the operator's tree.
        ScanTypeError: A leaf has a dtype that the operator, or ``init``, does not fit.
        IdentityError: An exclusive scan, or an empty one, has neither identity nor ``init``.
        StrategyError: A forced strategy cannot run it.
        ScanError: Axis, lengths or shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> a, b = mx.full((4,), 0.5), mx.ones((4,))
        >>> decay, h = ms.scan(ms.Affine(), (a, b))
        >>> h
        array([1, 1.5, 1.75, 1.875], dtype=float32)
    """
    asked = call.options(
        "scan", reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
    )
    if state is not None or isinstance(monoid, Aggregator):
        aggregate.check_start("scan", monoid, init, state)
    if lengths is not None or mask is not None or offsets is not None:
        with contextlib.nullcontext() if stream is None else mx.stream(stream):
            results, carry = ragged.scan(asked, monoid, elems, axis, init, state, (lengths, mask, offsets))
    elif isinstance(monoid, Aggregator):
        results, carry = aggregate.scan(monoid, elems, axis, state, asked, stream)
    else:
        results, carry = call.run(asked, monoid, elems, axis, init, stream)
    return (results, carry) if return_carry else results


@overload
def fold(monoid: Semigroup, elems: Elements, /, axis: int = ..., **options: Unpack[FoldOptions]) -> Elements: ...
@overload
def fold(monoid: Aggregator, elems: Tree, /, axis: int = ..., **options: Unpack[FoldOptions]) -> Any: ...
def fold(
    monoid: Semigroup | Aggregator,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    init: Tree | None = None,
    state: Tree | None = None,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    strategy: Strategy = "auto",
    stream: Stream = None,
) -> Any:
    """The total of a sequence, which is the last value of its scan.

    Args:
        monoid (Semigroup or Aggregator): What to combine with; of an aggregator, the output of the last state.
        elems (array or tree): Arrays of one length along ``axis``, as `scan` takes them.
        axis (int, optional): The scan axis. Default: ``0``.
        reverse (bool, optional): Fold from the last element back. Default: ``False``.
        init (array or tree, optional): An element, combined in front. Default: ``None``.
        state (array or tree, optional): Of an aggregator, the state before the first position. Default: ``None``.
        lengths (array, optional): Integers: the first so many positions of each row count. Of the shape of the batch (the
            scan axis taken out), aligned with it from the left; with ``offsets``, of that with the sequences in the place of
            the scan axis. Clipped to what there is. Default: ``None``, which is all.
        mask (array, optional): Truth values: the positions that count. Of the shape of the batch with the scan axis,
            aligned with it from the left. Default: ``None``, which is all.
        offsets (array, optional): N + 1 integers ``[0, ..., n]``, between which N sequences lie one after another on the
            scan axis, in all rows alike. What they start from, the carry and the folds then have the N sequences in the
            place of the scan axis. Default: ``None``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array or tree: The total, without the scan axis, with the dtypes of the scan.

    Raises:
        ScanError: As in `scan`; the fold of an empty axis needs an identity or ``init``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.fold(ms.Max(), mx.array([3.0, 7.0, 5.0]))
        array(7, dtype=float32)
    """
    asked = call.options("fold", reverse=reverse, results=False, strategy=strategy, stream=stream)
    if state is not None or isinstance(monoid, Aggregator):
        aggregate.check_start("fold", monoid, init, state)
    if lengths is not None or mask is not None or offsets is not None:
        with contextlib.nullcontext() if stream is None else mx.stream(stream):
            return ragged.fold(asked, monoid, elems, axis, init, state, (lengths, mask, offsets))
    if isinstance(monoid, Aggregator):
        return aggregate.fold(monoid, elems, axis, state, asked, stream)
    return call.run(asked, monoid, elems, axis, init, stream)[1]


@overload
def linear_recurrence(
    a: Any,
    b: Any,
    /,
    h0: Any = ...,
    axis: int = ...,
    *,
    return_carry: Literal[False] = ...,
    **options: Unpack[RecurrenceOptions],
) -> mx.array: ...
@overload
def linear_recurrence(
    a: Any,
    b: Any,
    /,
    h0: Any = ...,
    axis: int = ...,
    *,
    return_carry: Literal[True],
    **options: Unpack[RecurrenceOptions],
) -> tuple[mx.array, mx.array]: ...
@overload
def linear_recurrence(
    a: Any, b: Any, /, h0: Any = ..., axis: int = ..., *, return_carry: bool, **options: Unpack[RecurrenceOptions]
) -> Any: ...
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
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    strategy: Strategy = "auto",
    stream: Stream = None,
) -> Any:
    """The states ``h[t] = a[t] * h[t-1] + b[t]`` alone, without the products of the gates.

    Args:
        a (array or number): The gates; a number is the same at every step.
        b (array): The inputs; batch axes broadcast against those of ``a``.
        h0 (array, optional): The state before the first step, without the scan axis and with
            no more axes than the inputs have without it. Default: ``None``, which is 0.
        axis (int, optional): The time axis. Default: ``0``.
        reverse (bool, optional): Run from the last step back: ``h[t] = a[t] * h[t+1] + b[t]``.
            Default: ``False``.
        return_carry (bool, optional): Return ``(h, last)``, the last state in the
            accumulation dtype. Default: ``False``.
        log_gates (bool, optional): ``a`` holds the logarithms of the gates: ``h[t] = exp(a[t]) * h[t-1] + b[t]``,
            with the exponential inside the kernel. Default: ``False``.
        lengths (array, optional): Integers: the first so many positions of each row count. Of the shape of the batch (the
            scan axis taken out), aligned with it from the left; with ``offsets``, of that with the sequences in the place of
            the scan axis. Clipped to what there is. Default: ``None``, which is all.
        mask (array, optional): Truth values: the positions that count. Of the shape of the batch with the scan axis,
            aligned with it from the left. Default: ``None``, which is all.
        offsets (array, optional): N + 1 integers ``[0, ..., n]``, between which N sequences lie one after another on the
            scan axis, in all rows alike. What they start from, the carry and the folds then have the N sequences in the
            place of the scan axis. Default: ``None``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array: The states; with ``return_carry`` a pair.

    Raises:
        ScanError: As in `scan`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.linear_recurrence(mx.full((3,), 0.5), mx.ones((3,)), h0=mx.array(2.0))
        array([2, 2, 2], dtype=float32)
    """
    asked = call.options(
        "linear_recurrence", reverse=reverse, return_carry=return_carry, strategy=strategy, stream=stream, wanted=(1,)
    )
    operator, one = (LogAffine(), 0) if call.flag("linear_recurrence", "log_gates", log_gates) else (Affine(), 1)
    init = None if h0 is None else (one, h0)
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        given = a if isinstance(a, mx.array) else gates.everywhere(a, b, axis)
        if lengths is not None or mask is not None or offsets is not None:
            results, carry = ragged.scan(asked, operator, (given, b), axis, init, None, (lengths, mask, offsets))
        else:
            results, carry = call.run(asked, operator, (given, b), axis, init, None)
    return (results[1], carry[1]) if return_carry else results[1]
