"""Returns and advantages of reinforcement learning, each one scan from the last step back.

Arrays are time-major as in rlax: ``r_t``, ``discount_t`` and what is aligned with them have T steps along ``axis``, and
any batch axes beside it. ``dones`` says after which steps an episode ended: nothing passes from behind such a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import arguments, dtypes, errors
from monoscan.arguments import flag
from monoscan.held import floats, to_mlx
from monoscan.monoids import domain
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.flagged import Segmented
from monoscan.monoids.inputs import Fixed, fixed
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan
from monoscan.scan.api_states import act

__all__ = ["discounted_returns", "gae", "lambda_returns", "vtrace"]

Steps = Any
"""An array of T steps, or a number, which is the same at every step."""


def discounted_returns(
    r_t: mx.array,
    discount_t: Steps,
    v_t: Steps = 0.0,
    *,
    dones: mx.array | None = None,
    axis: int = 0,
    stop_target_gradients: bool = False,
) -> mx.array:
    """The discounted returns ``G[t] = r[t] + discount[t] * G[t+1]``, with ``v_t`` after the last step.

    Source: Sutton and Barto, *Reinforcement Learning* (2018), section 3.3; rlax has the same names.

    Args:
        r_t (array): The rewards.
        discount_t (array or number): The discounts.
        v_t (array or number, optional): The value that is put in place of what comes after the last step: values of T
            steps, of which the last counts, or a number. Default: ``0``.
        dones (array, optional): Whether the episode ended with a step, bool: its discount is 0. Default: ``None``.
        axis (int, optional): The time axis. Default: ``0``.
        stop_target_gradients (bool, optional): Let no gradient through the returns. Default: ``False``.

    Returns:
        array: The return from each step on, with the shape of ``r_t``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import rl
        >>> rl.discounted_returns(mx.ones((3,)), 0.5)
        array([1.75, 1.5, 1], dtype=float32)
    """
    call = "discounted_returns"
    r_t, v_t = _array(call, "r_t", r_t), _steps(call, "v_t", v_t)
    state = v_t.array if isinstance(v_t, Fixed) else _last(call, v_t, axis)
    discounts, ends = _steps(call, "discount_t", discount_t), _ended(call, dones)
    stop = flag(call, "stop_target_gradients", stop_target_gradients)
    batch = _aligned(call, axis, r_t=r_t, discount_t=discounts, dones=ends)
    arguments.batch(call, _BESIDE, r_t=batch, v_t=state.shape)
    if ends is not None:
        returns = _backwards(call, _returns, (r_t, discounts), ends, axis, state)
    else:  # elements of `Affine` as they are: one row is vectorised over time
        returns = act(Affine(), (discounts, r_t), state, axis, reverse=True)
    return mx.stop_gradient(returns) if stop else returns


def lambda_returns(
    r_t: mx.array,
    discount_t: Steps,
    v_t: mx.array,
    lambda_: Steps = 1.0,
    *,
    dones: mx.array | None = None,
    axis: int = 0,
    stop_target_gradients: bool = False,
) -> mx.array:
    """The lambda returns ``G[t] = r[t] + discount[t] * ((1 - lambda) * v[t] + lambda * G[t+1])``.

    After the last step stands its value ``v_t[-1]``.

    Source: Sutton and Barto, *Reinforcement Learning* (2018), equation 12.18; rlax has the same names.

    Args:
        r_t (array): The rewards.
        discount_t (array or number): The discounts.
        v_t (array): The values of the states that the steps lead to.
        lambda_ (array or number, optional): How much later steps count, from 0 to 1. Default: ``1``.
        dones (array, optional): Whether the episode ended with a step, bool. Default: ``None``.
        axis (int, optional): The time axis. Default: ``0``.
        stop_target_gradients (bool, optional): Let no gradient through the returns. Default: ``False``.

    Returns:
        array: The return from each step on, with the shape of ``r_t``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import rl
        >>> rl.lambda_returns(mx.ones((3,)), 0.5, mx.full((3,), 2.0), 0.5)
        array([2, 2, 2], dtype=float32)
    """
    call = "lambda_returns"
    r_t, v_t = _array(call, "r_t", r_t), _array(call, "v_t", v_t)
    discounts, shares = _steps(call, "discount_t", discount_t), _steps(call, "lambda_", lambda_)
    ends, stop = _ended(call, dones), flag(call, "stop_target_gradients", stop_target_gradients)
    _aligned(call, axis, r_t=r_t, discount_t=discounts, v_t=v_t, lambda_=shares, dones=ends)
    inputs = r_t, discounts, v_t, shares
    returns = _backwards(call, _lambda_returns, inputs, ends, axis, _last(call, v_t, axis))
    return mx.stop_gradient(returns) if stop else returns


def gae(
    r_t: mx.array,
    discount_t: Steps,
    lambda_: Steps,
    values: mx.array,
    *,
    dones: mx.array | None = None,
    axis: int = 0,
    stop_target_gradients: bool = False,
) -> mx.array:
    """Generalized advantage estimates: errors of temporal differences, summed with weights ``discount * lambda``.

    ``A[t] = delta[t] + discount[t] * lambda * A[t+1]`` with
    ``delta[t] = r[t] + discount[t] * values[t+1] - values[t]``.

    Source: Schulman et al., *High-Dimensional Continuous Control Using Generalized Advantage Estimation* (ICLR 2016);
    in rlax ``truncated_generalized_advantage_estimation``, with the same arguments.

    Args:
        r_t (array): The rewards.
        discount_t (array or number): The discounts.
        lambda_ (array or number): How much later errors count, from 0 to 1.
        values (array): The values of T + 1 states: before each step, and after the last one.
        dones (array, optional): Whether the episode ended with a step, bool. Default: ``None``.
        axis (int, optional): The time axis. Default: ``0``.
        stop_target_gradients (bool, optional): Let no gradient through the estimates. Default: ``False``.

    Returns:
        array: The advantage of each step, with the shape of ``r_t``.

    Raises:
        ScanError: Shapes do not fit; ``values`` has one step more than the rewards.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import rl
        >>> rl.gae(mx.ones((3,)), 0.5, 1.0, mx.zeros((4,)))
        array([1.75, 1.5, 1], dtype=float32)
    """
    r_t, values = _array("gae", "r_t", r_t), _array("gae", "values", values)
    at = domain.axis_of("gae", "r_t", r_t, axis)
    steps = r_t.shape[at]
    if values.ndim != r_t.ndim or values.shape[at] != steps + 1:
        raise errors.ScanError(
            f"[gae] values needs one step more than r_t along axis {axis}, for the state after the last step; got "
            f"{values.shape} for {r_t.shape}."
        )
    before, after = mx.split(values, [steps], at)[0], mx.split(values, [1], at)[1]
    discounts, weights = _steps("gae", "discount_t", discount_t), _steps("gae", "lambda_", lambda_)
    ends, stop = _ended("gae", dones), flag("gae", "stop_target_gradients", stop_target_gradients)
    _aligned("gae", axis, r_t=r_t, discount_t=discounts, lambda_=weights, values=before, dones=ends)
    advantages = _backwards("gae", _advantages, (r_t, discounts, after, before, weights), ends, axis)
    return mx.stop_gradient(advantages) if stop else advantages


def vtrace(
    v_tm1: mx.array,
    v_t: mx.array,
    r_t: mx.array,
    discount_t: Steps,
    rho_tm1: mx.array,
    lambda_: Steps = 1.0,
    clip_rho_threshold: float = 1.0,
    *,
    dones: mx.array | None = None,
    axis: int = 0,
    stop_target_gradients: bool = True,
) -> mx.array:
    """The errors of V-trace: targets from another policy's steps, minus the values that they correct.

    ``e[t] = rho[t] * (r[t] + discount[t] * v_t[t] - v_tm1[t]) + discount[t] * c[t] * e[t+1]``, where ``rho`` is clipped
    at ``clip_rho_threshold`` and ``c = lambda * min(rho, 1)``. The targets are ``v_tm1 + e``.

    Source: Espeholt et al., *IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner Architectures*
    (ICML 2018), equation 1; rlax has the same names.

    Args:
        v_tm1 (array): The values of the states before the steps.
        v_t (array): The values of the states that they lead to.
        r_t (array): The rewards.
        discount_t (array or number): The discounts.
        rho_tm1 (array): The importance weights: how much likelier the policy takes these actions than the one that did.
        lambda_ (array or number, optional): How much later errors count, from 0 to 1. Default: ``1``.
        clip_rho_threshold (float, optional): The most that a weight counts. Default: ``1``.
        dones (array, optional): Whether the episode ended with a step, bool. Default: ``None``.
        axis (int, optional): The time axis. Default: ``0``.
        stop_target_gradients (bool, optional): Take the targets as given, as rlax does: gradients reach ``v_tm1`` alone,
            as that of ``-v_tm1``. Default: ``True``.

    Returns:
        array: The errors, with the shape of ``r_t``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import rl
        >>> one, zero = mx.ones((3,)), mx.zeros((3,))
        >>> rl.vtrace(zero, zero, one, 0.5, mx.array([1.0, 0.5, 2.0]))
        array([1.375, 0.75, 1], dtype=float32)
    """
    call = "vtrace"
    inputs = {
        "r_t": _array(call, "r_t", r_t),
        "discount_t": _steps(call, "discount_t", discount_t),
        "v_t": _array(call, "v_t", v_t),
        "v_tm1": _array(call, "v_tm1", v_tm1),
        "rho_tm1": _array(call, "rho_tm1", rho_tm1),
        "lambda_": _steps(call, "lambda_", lambda_),
        "clip_rho_threshold": _steps(call, "clip_rho_threshold", clip_rho_threshold),
    }
    ends, stop = _ended(call, dones), flag(call, "stop_target_gradients", stop_target_gradients)
    _aligned(call, axis, **inputs, dones=ends)
    found = _backwards(call, _errors, tuple(inputs.values()), ends, axis)
    if not stop:
        return found
    values: mx.array = inputs["v_tm1"]
    return mx.stop_gradient(found) + (mx.stop_gradient(values) - values)  # nothing, with a slope


Gate = tuple[mx.array, mx.array]
"""An element of `Affine`: a gate, and what is added."""


def _returns(r: mx.array, discount: mx.array) -> Gate:
    return discount, r


def _lambda_returns(r: mx.array, discount: mx.array, after: mx.array, weight: mx.array) -> Gate:
    return discount * weight, r + discount * (1 - weight) * after


def _advantages(r: mx.array, discount: mx.array, after: mx.array, before: mx.array, weight: mx.array) -> Gate:
    return discount * weight, r + discount * after - before


def _errors(
    r: mx.array, discount: mx.array, after: mx.array, before: mx.array, rho: mx.array, weight: mx.array, most: mx.array
) -> Gate:
    gate, error = _advantages(r, discount, after, before, weight)
    return gate * mx.minimum(rho, 1), mx.minimum(rho, most) * error


@final
@attrs.frozen
class _Backwards(Aggregator):
    """A recurrence from the last step back, which starts anew where an episode ended.

    Args:
        call: The public function, for messages.
        element: The element of a step, from the reward, the discount, the value after it if there is one, and the rest.
        ends: The last input says whether the episode ended with this step: what comes after it is never read.
    """

    call: str
    element: Callable[..., Gate]
    ends: bool

    @property
    def name(self) -> str:
        return f"rl.{self.call}"

    @property
    def operator(self) -> Semigroup:
        return Segmented(Affine()) if self.ends else Affine()

    def prepare(self, r: mx.array, discount: mx.array, *rest: mx.array) -> Any:
        if not self.ends:
            return self.element(r, discount, *rest)
        *rest_, done = rest
        zero = mx.zeros_like(r)
        after = [mx.where(done, zero, x) for x in rest_[:1]]
        return done, self.element(r, mx.where(done, zero, discount), *after, *rest_[1:])

    def present(self, state: mx.array, *inputs: mx.array) -> mx.array:
        return state


def _backwards(
    call: str,
    element: Callable[..., Gate],
    inputs: tuple[Any, ...],
    ends: mx.array | None,
    axis: int,
    state: mx.array | None = None,
) -> mx.array:
    given = inputs if ends is None else (*inputs, ends)
    found: mx.array = scan(_Backwards(call, element, ends is not None), given, axis, reverse=True, state=state)
    return found


def _array(call: str, name: str, given: Any) -> mx.array:
    """An array of floats."""
    return floats(f"[{call}] {name}", given, cast=True)


def _steps(call: str, name: str, given: Any) -> Any:
    """An array of T steps, or what is the same at every step: a number, or an array without axes."""
    number = dtypes.number(given)
    if isinstance(number, (bool, int, float)):
        return fixed(float(number))
    steps = _array(call, name, given)
    return steps if steps.ndim else fixed(steps)


def _ended(call: str, dones: Any) -> mx.array | None:
    if dones is None:
        return None
    ends = to_mlx(f"[{call}] dones", dones)
    if not isinstance(ends, mx.array) or ends.dtype != mx.bool_:
        raise errors.ScanTypeError(f"[{call}] dones must be an array of bool; got {dones!r:.60}.")
    return ends


_BESIDE = "all but that of time"


def _aligned(call: str, axis: int, **given: Any) -> tuple[int, ...]:
    """The batch axes of arrays that have as many steps as one another."""
    arrays = {name: x for name, x in given.items() if isinstance(x, mx.array)}
    axes = {name: domain.axis_of(call, name, x, axis) for name, x in arrays.items()}
    told = ", ".join(f"{name} has {x.shape[axes[name]]} (shape {x.shape})" for name, x in arrays.items())
    if len({x.shape[axes[name]] for name, x in arrays.items()}) > 1:
        raise errors.ScanError(f"[{call}] steps must be as many along axis {axis} everywhere; {told}.")
    if len(set(axes.values())) > 1:
        raise errors.ScanError(
            f"[{call}] axis {axis} counts from the end, which needs as many axes everywhere; {told}. Count it from the front."
        )
    return arguments.batch(
        call, _BESIDE, **{name: x.shape[: axes[name]] + x.shape[axes[name] + 1 :] for name, x in arrays.items()}
    )


def _last(call: str, v_t: mx.array, axis: int) -> mx.array:
    """The values after the last step."""
    at = domain.axis_of(call, "v_t", v_t, axis)
    if not v_t.shape[at]:
        raise errors.ScanError(f"[{call}] v_t is empty along axis {axis}: there is no value after the last step.")
    return v_t[(slice(None),) * at + (-1,)]
