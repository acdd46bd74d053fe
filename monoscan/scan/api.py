"""The public calls. From a call to its arrays: check, look the plan up, execute, rebuild the tree."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.cache import Cache
from monoscan.lowering.execute import execute
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Options, for_every_size, options, pose
from monoscan.lowering.planner import plan as make_plan
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.monoids.linear import Affine
from monoscan.scan import elements
from monoscan.tree import Tree

Stream = Any
_PLANS: Cache[Plan] = Cache(4096)


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
    strategy: str = "auto",
    stream: Stream = None,
) -> Any:
    """All running totals of a sequence: ``scan[i] = x_0 . x_1 . ... . x_i``.

    Args:
        monoid (Semigroup): What to combine with.
        elems (array or tree): Arrays of one length along ``axis``. The last ``event`` axes
            of each belong to an element; all others are batch axes, which broadcast between
            leaves by NumPy's rule once the scan axis is removed.
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
        return_carry (bool, optional): Return ``(result, carry)``; the carry is the last
            inclusive value, in the accumulation dtype (float32 for halves). Default: ``False``.
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
    chosen = options("scan", reverse, inclusive, return_carry, True, strategy, device_type(stream))
    results, carry = _run(monoid, elems, axis, init, chosen, stream)
    return (results, carry) if return_carry else results


def fold(
    monoid: Semigroup,
    elems: Tree,
    /,
    axis: int = 0,
    *,
    reverse: bool = False,
    init: Tree | None = None,
    strategy: str = "auto",
    stream: Stream = None,
) -> Any:
    """The total of a sequence, which is the last value of its scan.

    Args:
        monoid (Semigroup): What to combine with.
        elems (array or tree): Arrays of one length along ``axis``, as `scan` takes them.
        axis (int, optional): The scan axis. Default: ``0``.
        reverse (bool, optional): Fold from the last element back. Default: ``False``.
        init (array or tree, optional): An element, combined in front. Default: ``None``.
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
    chosen = options("fold", reverse, True, False, False, strategy, device_type(stream))
    _, total = _run(monoid, elems, axis, init, chosen, stream)
    return total


def linear_recurrence(
    a: mx.array,
    b: mx.array,
    /,
    h0: mx.array | None = None,
    axis: int = 0,
    *,
    reverse: bool = False,
    return_carry: bool = False,
    strategy: str = "auto",
    stream: Stream = None,
) -> Any:
    r"""The states :math:`h_t = a_t h_{t-1} + b_t` alone, without the products of the gates.

    Args:
        a (array): The gates.
        b (array): The inputs; batch axes broadcast against those of ``a``.
        h0 (array, optional): The state before the first step, without the scan axis and with
            no more axes than the inputs have without it. Default: ``None``, which is 0.
        axis (int, optional): The time axis. Default: ``0``.
        reverse (bool, optional): Run from the last step back: :math:`h_t = a_t h_{t+1} + b_t`.
            Default: ``False``.
        return_carry (bool, optional): Return ``(h, last)``, the last state in the
            accumulation dtype. Default: ``False``.
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
    chosen = options("linear_recurrence", reverse, True, return_carry, True, strategy, device_type(stream), wanted=(1,))
    init = None if h0 is None else (1, h0)
    results, carry = _run(Affine(), (a, b), axis, init, chosen, stream)
    return (results[1], carry[1]) if return_carry else results[1]


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
    strategy: str = "auto",
    stream: Stream = None,
) -> Plan:
    """What `scan` would run with these arguments, and why: the plan, which prints.

    Nothing is compiled for it: of a kernel that was not built yet it says that it will be tried,
    and of one that could not be built in this process why.

    Args:
        monoid (Semigroup): As in `scan`.
        elems (array or tree): As in `scan`.
        axis (int, optional): As in `scan`. Default: ``0``.
        reverse (bool, optional): As in `scan`. Default: ``False``.
        inclusive (bool, optional): As in `scan`. Default: ``True``.
        init (array or tree, optional): As in `scan`. Default: ``None``.
        return_carry (bool, optional): As in `scan`. Default: ``False``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): As in `scan`. Default: ``None``.

    Returns:
        Plan: The plan.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.explain(ms.Sum(), mx.ones((8,))).strategy
        'native'
    """
    chosen = options("scan", reverse, inclusive, return_carry, True, strategy, device_type(stream))
    return _prepare(monoid, elems, axis, init, chosen)[0]


def device_type(stream: Stream) -> str:
    """``"cpu"`` or ``"gpu"``: the type of the device that a stream is on.

    Raises:
        ScanTypeError: It is neither a stream nor a device.
    """
    device = mx.default_device() if stream is None else getattr(stream, "device", stream)
    if not isinstance(device, (mx.Device, mx.DeviceType)):
        raise errors.ScanTypeError(f"[stream] expects a Stream or a Device, as mx.cpu; got {stream!r:.60}.")
    kind = device.type if isinstance(device, mx.Device) else device
    return "cpu" if kind == mx.cpu or kind == mx.DeviceType.cpu else "gpu"


def _run(
    operator: Semigroup, elems: Tree, axis: int, init: Tree | None, asked: Options, stream: Stream
) -> tuple[Tree, Tree]:
    with nullcontext() if stream is None else mx.stream(stream):
        plan, leaves, captures, start = _prepare(operator, elems, axis, init, asked)
        results, carry = execute(plan, leaves, captures, start)
        if not asked.results:
            pairs = zip(carry, plan.problem.results, strict=True)
            carry = [c if c is None else c.astype(dtypes.by_name(name)) for c, name in pairs]
        structure = plan.problem.structure
        result = tree.unflatten(structure, results) if asked.results else None
        return result, tree.unflatten(structure, carry) if carry else None


def _prepare(
    operator: Semigroup, elems: Tree, axis: int, init: Tree | None, asked: Options
) -> tuple[Plan, list[mx.array], Captures, list[mx.array] | None]:
    """The plan, from the cache where the key is known, and the arrays to run it on."""
    leaves, structure = tree.flatten(elems)
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(elements.not_an_operator(asked.call, operator))
    where = f"[{asked.call}] {operator.name}"
    if type(axis) is not int:
        axis = elements.axis_number(where, axis)
    if not leaves or any(type(leaf) is not mx.array for leaf in leaves):
        elements.check_leaves(where, operator, elems, leaves, structure)
    captures = capture(operator, where)
    stored = tuple([x.dtype for x in leaves])
    shapes = tuple([x.shape for x in leaves])
    start = None
    if init is not None:
        elements.check_leaves(where, operator, elems, leaves, structure)
        start = elements.init_leaves(where, operator, structure, init, _names(stored))
    starts = None if start is None else tuple([tuple(x.shape) for x in start])
    key = (captures.key, structure, shapes, stored, axis, starts, asked, FAILURES.generation)
    plan = _PLANS.find(key)
    if plan is None:
        elements.check_leaves(where, operator, elems, leaves, structure)
        plan = _PLANS.get(key, lambda: _plan(where, captures, structure, shapes, _names(stored), axis, starts, asked))
    if plan.sized and shapeless.tracing():
        return _prepare(operator, elems, axis, init, for_every_size(asked))
    return plan, leaves, captures, start


def _plan(
    where: str, captures: Captures, structure: Any, shapes: Any, stored: Any, axis: int, init: Any, asked: Options
) -> Plan:
    operator = captures.root
    operator.check(stored)
    layout = elements.lay_out(where, operator, structure, shapes, axis, init)
    return make_plan(pose(captures, structure, stored, layout, asked))


def _names(stored: tuple[mx.Dtype, ...]) -> tuple[str, ...]:
    return tuple(dtypes.name_of(dtype) for dtype in stored)
