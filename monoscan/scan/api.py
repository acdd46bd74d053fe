"""The public calls on operators; what they share stands in `monoscan.scan.call`."""

from __future__ import annotations

import contextlib
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.lowering.plan import shapeless
from monoscan.lowering.trace.reads.captures import capture
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.linear import Affine, LogAffine
from monoscan.scan import act as states
from monoscan.scan import aggregate, call, elements
from monoscan.scan import loop as loops
from monoscan.tree import Tree

Stream = Any


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
    strategy: str = "auto",
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
        check_start("scan", monoid, init, state)
    if isinstance(monoid, Aggregator):
        results, carry = aggregate.scan(monoid, elems, axis, state, asked, stream)
    else:
        results, carry = call.run(asked, monoid, elems, axis, init, stream)
    return (results, carry) if return_carry else results


def fold(
    monoid: Semigroup | Aggregator,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    init: Tree | None = None,
    state: Tree | None = None,
    strategy: str = "auto",
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
        check_start("fold", monoid, init, state)
    if isinstance(monoid, Aggregator):
        return aggregate.fold(monoid, elems, axis, state, asked, stream)
    return call.run(asked, monoid, elems, axis, init, stream)[1]


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
    strategy: str = "auto",
    stream: Stream = None,
) -> Any:
    r"""The states :math:`h_t = a_t h_{t-1} + b_t` alone, without the products of the gates.

    Args:
        a (array or number): The gates; a number is the same at every step.
        b (array): The inputs; batch axes broadcast against those of ``a``.
        h0 (array, optional): The state before the first step, without the scan axis and with
            no more axes than the inputs have without it. Default: ``None``, which is 0.
        axis (int, optional): The time axis. Default: ``0``.
        reverse (bool, optional): Run from the last step back: :math:`h_t = a_t h_{t+1} + b_t`.
            Default: ``False``.
        return_carry (bool, optional): Return ``(h, last)``, the last state in the
            accumulation dtype. Default: ``False``.
        log_gates (bool, optional): ``a`` holds the logarithms of the gates: :math:`h_t = e^{a_t} h_{t-1} + b_t`,
            with the exponential inside the kernel. Default: ``False``.
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
        gates = a if isinstance(a, mx.array) else _everywhere(a, b, axis)
        results, carry = call.run(asked, operator, (gates, b), axis, init, None)
    return (results[1], carry[1]) if return_carry else results[1]


def _everywhere(gate: Any, b: Any, axis: Any) -> Any:
    """A number as gates of one row along the axis; anything else as it is: what is wrong with it is said later."""
    gate = dtypes.number(gate)
    fits = isinstance(gate, (int, float, complex)) and isinstance(b, mx.array) and type(axis) is int
    if not fits or not -b.ndim <= axis < b.ndim or not dtypes.holds(dtypes.name_of(b.dtype), gate):
        return gate
    constant = dtypes.constant(gate, dtypes.name_of(b.dtype))
    if shapeless.tracing():  # which a size must not enter
        return mx.zeros_like(b) + constant
    shape = [1] * b.ndim
    shape[axis] = b.shape[axis]
    return mx.full(shape, constant)  # in memory: loops along the axis read no strides of 0


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
    strategy: str = "auto",
    stream: Stream = None,
    act: bool = False,
    state: Tree | None = None,
    loop: bool = False,
    event: int | tuple[int, ...] = 0,
    state_event: int | tuple[int, ...] = 0,
    length: int | None = None,
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

    Returns:
        Plan: The plan; of an aggregator a `PassPlan`, which prints likewise.

    Raises:
        ScanError: As in `scan` and `act`; or there is a ``state`` of no act, or an ``init`` of one.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.explain(ms.Sum(), mx.ones((8,))).strategy
        'native'
    """
    if loop:
        if init is not None or state is None:
            raise errors.ScanError("[explain] a loop starts from a state: give state=, and no init.")
        asked = call.options("loop", reverse=reverse, return_carry=return_carry, stream=stream)
        given = loops.steps_of(monoid, elems, axis, event, state_event, length)
        return loops.prepare(asked, *given, state, axis)[0]
    name = "act" if act else "scan"
    asked = call.options(
        name, reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
    )
    if act and init is not None:
        raise errors.ScanError("[explain] init is no argument of act; give state=.")
    if not act:
        check_start("explain", monoid, init, state)
    if isinstance(monoid, Aggregator):
        return aggregate.explain(monoid, elems, axis, state, asked)
    if act:
        return states.prepare(asked, monoid, elems, state, axis)[0]
    if not isinstance(monoid, Semigroup):
        raise errors.ScanTypeError(elements.not_an_operator("scan", monoid))
    return call.prepare(asked, capture(monoid, "scan"), elems, axis, init)[0]


def check_start(where: str, monoid: object, init: Tree | None, state: Tree | None) -> None:
    """What a scan starts from is an element of an operator, and a state of an aggregator.

    Raises:
        ScanError: The other one is given.
    """
    aggregates = isinstance(monoid, Aggregator)
    if (init if aggregates else state) is None:
        return
    if aggregates:
        raise errors.ScanError(f"[{where}] an aggregator starts from a state and takes no init; give state=.")
    other = "act=True, or init=" if where == "explain" else "init=, or call ms.act, which goes on from a state"
    raise errors.ScanError(f"[{where}] state is no argument of scan; give {other}.")
