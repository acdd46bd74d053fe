"""The public calls on states: ``act`` and ``loop``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import mlx.core as mx

from monoscan.monoids.base import Semigroup
from monoscan.scan.later import act as acts
from monoscan.scan.later import call
from monoscan.scan.later import calls as ragged
from monoscan.scan.later import loop as loops
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import ActOptions, LoopOptions, Output, State, Unpack

Stream = Any


@overload
def act(
    operator: Semigroup,
    elems: Tree,
    state: None = ...,
    /,
    axis: int = ...,
    *,
    return_carry: bool = ...,
    **options: Unpack[ActOptions],
) -> Any: ...
@overload
def act(
    operator: Semigroup,
    elems: Tree,
    state: State,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[False] = ...,
    **options: Unpack[ActOptions],
) -> State: ...
@overload
def act(
    operator: Semigroup,
    elems: Tree,
    state: State,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[True],
    **options: Unpack[ActOptions],
) -> tuple[State, State]: ...
@overload
def act(
    operator: Semigroup,
    elems: Tree,
    state: Tree = ...,
    /,
    axis: int = ...,
    *,
    return_carry: bool = ...,
    **options: Unpack[ActOptions],
) -> Any: ...
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
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    strategy: str = "auto",
    stream: Stream = None,
) -> Any:
    """The states that a sequence drives: ``y[i] = act(y[i-1], x[i])``, by the operator's action on the right.

    A state is often smaller than an element: the row of a matrix product, the vector of an affine map, the mean
    and the covariance of a filter. Actions on the left are those of ``Dual(operator)``.

    Args:
        operator (Semigroup): What acts; `Semigroup.right` says how.
        elems (array or tree): Arrays of one length along ``axis``, as `scan` takes them. A leaf that is the same at
            every step may be `fixed`: it has no such axis.
        state (array or tree, optional): The state before the first element, without the scan axis; its batch axes
            broadcast with those of the elements. Default: ``None``, where the first element begins the state.
        axis (int, optional): The scan axis. Default: ``0``.
        reverse (bool, optional): Start at the last element. Default: ``False``.
        inclusive (bool, optional): Whether position i holds the state after element i. If not, it holds the one
            before it, the first ``state``. Default: ``True``.
        return_carry (bool, optional): Return ``(states, last)``, the last state in the accumulation dtype (float32
            for halves). Default: ``False``.
        lengths (array, optional): Integers: the first so many positions of each row count, as in `scan`.
            Default: ``None``, which is all.
        mask (array, optional): Truth values: the positions that count, as in `scan`. Default: ``None``, which is all.
        offsets (array, optional): N + 1 integers ``[0, ..., n]``, between which N sequences lie, as in `scan`: the state
            and the last one have the N sequences in the place of the axis. Default: ``None``.
        strategy (str, optional): As in `scan`; ``"sequential"`` is the fold in order, and the reference.
            Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array or tree: The states, in their own tree; with ``return_carry`` a pair.

    Raises:
        TreeError: The elements do not form the operator's tree, or the state not the action's.
        ScanTypeError: A dtype does not fit, or ``act`` returns another than the state has.
        StrategyError: A forced strategy cannot run it.
        ScanError: There is neither a state nor a ``begin``; axis, lengths or shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> turn = mx.broadcast_to(mx.array([[0.0, 1.0], [-1.0, 0.0]]), (3, 2, 2))
        >>> ms.act(ms.MatMul(), turn, mx.array([1.0, 2.0]))
        array([[-2, 1],
               [-1, -2],
               [2, -1]], dtype=float32)
    """
    asked = call.options(
        "act", reverse=reverse, inclusive=inclusive, return_carry=return_carry, strategy=strategy, stream=stream
    )
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        if lengths is not None or mask is not None or offsets is not None:
            results, last = ragged.act(asked, operator, elems, state, axis, (lengths, mask, offsets))
        else:
            results, last = acts.run(asked, operator, elems, state, axis)
    return (results, last) if return_carry else results


@overload
def loop(
    step: Callable[[Any, Any], tuple[Any, Output]],
    xs: Tree | None,
    state: Tree,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[False] = ...,
    **options: Unpack[LoopOptions],
) -> Output: ...
@overload
def loop(
    step: Callable[[Any, Any], tuple[Any, Output]],
    xs: Tree | None,
    state: State,
    /,
    axis: int = ...,
    *,
    return_carry: Literal[True],
    **options: Unpack[LoopOptions],
) -> tuple[Output, State]: ...
@overload
def loop(
    step: Callable[[Any, Any], Any],
    xs: Tree | None,
    state: Tree,
    /,
    axis: int = ...,
    *,
    return_carry: bool = ...,
    **options: Unpack[LoopOptions],
) -> Any: ...
def loop(
    step: Callable[[Any, Any], Any],
    xs: Tree | None,
    state: Tree,
    /,
    axis: int = 0,
    *,
    event: int | tuple[int, ...] = 0,
    state_event: int | tuple[int, ...] = 0,
    length: int | None = None,
    reverse: bool = False,
    return_carry: bool = False,
    lengths: Any = None,
    mask: Any = None,
    offsets: Any = None,
    stream: Stream = None,
) -> Any:
    """Outputs of steps that follow one another: ``state, y[i] = step(state, x[i])``, as in ``lax.scan``.

    Nothing is asked of ``step``: it need not be associative. It sees one position: no loop axis and no batch axes. The
    batch runs in parallel, the steps in order, where ``step`` can be traced in one kernel.

    Args:
        step (callable): ``step(state, x)``, which returns a pair ``(state, output)``, in MLX operations.
        xs (array or tree, optional): Arrays of one length along ``axis``; ``None`` for ``length`` steps of
            ``step(state, None)``.
        state (array or tree): The state before the first step, without the loop axis; its batch axes broadcast with
            those of ``xs``.
        axis (int, optional): The loop axis. Default: ``0``.
        event (int or tuple(int), optional): How many trailing axes of each leaf of ``xs`` one step sees. Default: ``0``.
        state_event (int or tuple(int), optional): The same of the state. Default: ``0``.
        length (int, optional): The number of steps, where ``xs`` is ``None``. Default: ``None``.
        reverse (bool, optional): Start at the last position. Default: ``False``.
        return_carry (bool, optional): Return ``(outputs, state)`` with the state after the last step, in the
            accumulation dtype (float32 for halves). Default: ``False``.
        lengths (array, optional): Integers: the first so many positions of each row count, as in `scan`.
            Default: ``None``, which is all.
        mask (array, optional): Truth values: the positions that count, as in `scan`. Default: ``None``, which is all.
        offsets (array, optional): N + 1 integers ``[0, ..., n]``, between which N sequences lie, as in `scan`: the state
            and the last one have the N sequences in the place of the axis. Default: ``None``.
            Outputs at positions that do not count are zero.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array or tree: The outputs, in the tree that ``step`` returns; with ``return_carry`` a pair.

    Raises:
        TreeError: ``step`` returns no pair, or a state of another tree.
        ScanTypeError: A dtype does not fit.
        ScanError: Axis, lengths or shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> def leak(v, x):
        ...     v = 0.5 * v + x
        ...     spike = v > 1.5
        ...     return mx.where(spike, 0.0, v), spike
        >>> ms.loop(leak, mx.ones((5,)), mx.array(0.0))
        array([False, False, True, False, False], dtype=bool)
    """
    asked = call.options("loop", reverse=reverse, return_carry=return_carry, stream=stream)
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        given = loops.steps_of(step, xs, axis, event, state_event, length)
        if lengths is not None or mask is not None or offsets is not None:
            outputs, last = ragged.loop(asked, *given, state, axis, (lengths, mask, offsets))
        else:
            outputs, last = loops.run(asked, *given, state, axis)
    return (outputs, last) if return_carry else outputs
