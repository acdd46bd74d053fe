"""`deer`: a nonlinear recurrence, all steps at once, by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.arguments import real, whole
from monoscan.exported import with_rules
from monoscan.held import floats, to_mlx
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.lowering.trace.roles import Role
from monoscan.mapped import listed
from monoscan.monoids.linear import MatrixAffine
from monoscan.scan.api_states import act

Step = Callable[[mx.array, Any], mx.array]
_NUMBERS = dtypes.FLOATS | dtypes.COMPLEX


def deer(
    step: Step,
    xs: Any,
    state: mx.array,
    *,
    guess: mx.array | None = None,
    iterations: int = 100,
    tolerance: float = 1e-5,
) -> mx.array:
    """The states ``h[t] = step(h[t-1], x[t])`` of a nonlinear recurrence, found for all steps at once.

    Each round replaces ``step`` by its tangent at the states of the round before, which makes a linear recurrence of
    matrices, and solves that as a scan: Newton's method for the whole sequence. It takes a few rounds where steps contract,
    up to as many as there are steps where they do not. `loop` runs the same recurrence in order and is faster on a CPU
    where the batch is wide or the step traces to a kernel; this is for long sequences with a parallel device behind them.
    Gradients are exact at the solution: they pass through one last linear round. Derivatives of gradients, in
    which the matrices of that round count as constants, are refused: take them through `loop`.

    Source: Lim et al., *Parallelizing non-linear sequential models over the sequence length* (ICLR 2024).

    Args:
        step (callable): ``step(state, x)`` of one position, smooth, in MLX operations.
        xs (array or tree): Inputs of T steps along the first axis.
        state (array): The state before the first step, of shape ``(n,)``.
        guess (array, optional): States to start from, of shape ``(T, n)``. Default: ``None``, zeros.
        iterations (int, optional): The most rounds. Default: ``100``.
        tolerance (float, optional): The greatest change of a state, relative to the greatest state or 1, at which rounds
            end. Where values cannot be looked at, as inside ``mx.compile``, all rounds run, and states that have not settled
            are NaN. Default: ``1e-5``.

    Returns:
        array: The states, of shape ``(T, n)``.

    Raises:
        ScanTypeError: ``xs``, ``state`` or ``guess`` is no array.
        ScanError: Shapes do not fit, or the rounds end before the states settle.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import linalg
        >>> weights = mx.array([[0.5, -0.3], [0.2, 0.4]])
        >>> h = linalg.deer(lambda h, x: mx.tanh(weights @ h + x), mx.ones((5, 2)), mx.zeros((2,)))
        >>> h[-1]
        array([0.812154, 0.909814], dtype=float32)
    """
    if not callable(step):
        raise errors.ScanTypeError(f"[deer] step must be a function step(state, x); got {step!r:.60}.")
    iterations, tolerance = whole("deer", "iterations", iterations, 1), real("deer", "tolerance", tolerance)
    if tolerance < 0:
        raise errors.ScanError(f"[deer] tolerance must be 0 or more; got {tolerance:g}.")
    xs = tree.map_leaves(_inputs, xs)
    state = floats("[deer] state", state, kinds=_NUMBERS, cast=True)
    lengths = {x.shape[0] for x in tree.flatten(xs)[0]}
    if state.ndim != 1 or len(lengths) != 1:
        raise errors.ScanError(
            f"[deer] expects xs of one length along their first axis and a state of shape (n,); got lengths "
            f"{sorted(lengths)} and a state of shape {state.shape}."
        )
    steps = lengths.pop()
    zeros = mx.zeros((steps, *state.shape), state.dtype)
    found = zeros if guess is None else floats("[deer] guess", guess, kinds=_NUMBERS, cast=True)
    if found.shape != (steps, *state.shape):
        raise errors.ScanError(
            f"[deer] guess must have the shape {(steps, *state.shape)}, a state for each step of xs; got {found.shape}."
        )
    if not steps:
        return found
    leaves, form = tree.flatten(xs)
    captures = capture(step, "deer")
    recurrence, given = _Recurrence(captures, form, len(leaves)), [*leaves, *captures.arrays]
    settled = _settle(recurrence, given, state, found, iterations, tolerance)
    *given, state = (_differentiable_once(x) for x in (*given, state))
    return _round(recurrence, given, state, mx.stop_gradient(settled))


def _differentiable_once(x: mx.array) -> mx.array:
    """The array, of whose gradient no derivative is taken: slopes count as constants in it."""
    if dtypes.name_of(x.dtype) not in _NUMBERS:
        return x

    @with_rules
    def held(x: mx.array) -> mx.array:
        return x

    @held.vjp
    def held_vjp(primals: Any, cotangent: mx.array, _: Any) -> mx.array:
        return _gradient(cotangent, *listed(primals))

    return _array(held(x))


def _array(found: Any) -> mx.array:
    """What a function with rules returns, which has no type."""
    array: mx.array = found
    return array


def _gradient(cotangent: mx.array, x: mx.array) -> mx.array:
    """The cotangent of an array, which refuses to be differentiated."""

    @with_rules
    def same(cotangent: mx.array, _: mx.array) -> mx.array:
        return cotangent

    def refused(*_: Any) -> Any:
        raise errors.ScanError(
            "[deer] derivatives of its gradients would not be those of the recurrence. Take them through ms.loop(step, xs, state)."
        )

    same.vjp(refused)
    same.jvp(refused)
    return _array(same(cotangent, x))


def _inputs(x: Any) -> mx.array:
    """A leaf of the inputs."""
    found: Any = to_mlx("[deer] xs", x)
    if not isinstance(found, mx.array) or not found.ndim:
        raise errors.ScanTypeError(f"[deer] xs must be arrays with the steps along their first axis; got {x!r:.60}.")
    return found


@attrs.frozen
class _Recurrence:
    """A step, of whose inputs those that are captured are arguments as the others are.

    A function that MLX differentiates must not close over arrays that it differentiates further out: evaluated after it,
    they would be cut off from what they were made of, and its gradient zero without a word.

    Args:
        captures: The step, and the arrays that it captures.
        form: The tree of the inputs of a step.
        inputs: How many leaves that has.
    """

    captures: Captures
    form: Any
    inputs: int

    def everywhere(self, h: mx.array, *given: mx.array) -> mx.array:
        """The state after each position, from that before it, the inputs, and what is captured."""
        axes = [0] * (1 + self.inputs) + [None] * (len(given) - self.inputs)
        found: mx.array = mx.vmap(self._of_one, in_axes=tuple(axes))(h, *given)
        return found

    def _of_one(self, h: mx.array, *given: mx.array) -> mx.array:
        x = tree.unflatten(self.form, list(given[: self.inputs]))
        told = f"a state, {tree.shown(h)}, and {tree.shown(x)}"
        with Role(f"[deer] {errors.called(self.captures.root)}", "step", told, form="It is step(state, x)."):
            return _after(self.captures.rebuild(given[self.inputs :])(h, x), h)


def _settle(
    recurrence: _Recurrence,
    given: list[mx.array],
    state: mx.array,
    found: mx.array,
    iterations: int,
    tolerance: float,
) -> mx.array:
    """Rounds until states change no more."""
    given, state = [mx.stop_gradient(x) for x in given], mx.stop_gradient(state)
    change = mx.array(mx.inf)
    for _ in range(iterations):
        before, found = found, mx.stop_gradient(_round(recurrence, given, state, found))
        change = mx.abs(found - before).max() / mx.maximum(mx.abs(found).max(), 1)
        if _holds(change <= tolerance):
            return found
    if _holds(change <= tolerance) is None:
        return mx.where(change <= tolerance, found, mx.nan)  # no answer, and not a wrong one
    raise errors.ScanError(
        f"[deer] states change by {change.item():.2g} still after {iterations} rounds; the recurrence does not contract enough. "
        "Run it in order, with loop, or give more iterations or a guess."
    )


def _holds(condition: mx.array) -> bool | None:
    """Whether it is so; ``None`` where that cannot be looked at yet."""
    try:
        return bool(condition.item())
    except (ValueError, RuntimeError) as error:  # inside mx.compile and mx.vmap, where there are no values
        if "Attempting to eval" not in str(error):
            raise
        return None


def _round(recurrence: _Recurrence, given: list[mx.array], state: mx.array, found: mx.array) -> mx.array:
    """The states of the recurrence of tangents at these states."""
    before = mx.concatenate([state[None], found[:-1]])
    stepped, slopes = recurrence.everywhere(before, *given), _slopes(recurrence, before, given)
    shifts = stepped - (slopes @ mx.stop_gradient(before)[..., None])[..., 0]
    states: mx.array = act(MatrixAffine(), (slopes[1:], shifts[1:]), stepped[0])
    return mx.concatenate([stepped[:1], states])


def _after(found: Any, h: mx.array) -> mx.array:
    """What a step returned, which is a state as the one before it."""
    if not isinstance(found, mx.array) or found.shape != h.shape:
        got = found.shape if isinstance(found, mx.array) else tree.shown(found)
        raise errors.ScanError(f"[deer] step(h, x) returns the next state, of shape {h.shape}; got {got}.")
    return found


def _slopes(recurrence: _Recurrence, before: mx.array, given: list[mx.array]) -> mx.array:
    """The matrices of derivatives of the step by the state, taken for constants."""
    numbers = [i for i, x in enumerate(given) if dtypes.name_of(x.dtype) in _NUMBERS]  # MLX knows none by indices

    def of_numbers(h: mx.array, *some: mx.array) -> mx.array:
        known = dict(zip(numbers, some, strict=True))
        return recurrence.everywhere(h, *(known.get(i, x) for i, x in enumerate(given)))

    at = [mx.stop_gradient(x) for x in (before, *(given[i] for i in numbers))]
    still = [mx.zeros_like(x) for x in at[1:]]
    columns = []
    for i in range(before.shape[1]):
        direction = mx.zeros_like(before)
        direction[:, i] = 1
        columns.append(mx.jvp(of_numbers, at, [direction, *still])[1][0])
    return mx.stop_gradient(mx.stack(columns, -1))
