"""`discounted_returns` and `lambda_returns`."""

from __future__ import annotations

import mlx.core as mx

from monoscan import arguments
from monoscan.arguments import flag
from monoscan.monoids.inputs import Fixed
from monoscan.monoids.linear import Affine
from monoscan.rl.backwards import Gate, backwards
from monoscan.rl.given import BESIDE, Steps, aligned, array_of, ended, last_of, steps_of
from monoscan.scan.api_states import act


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
    r_t, v_t = array_of(call, "r_t", r_t), steps_of(call, "v_t", v_t)
    state = v_t.array if isinstance(v_t, Fixed) else last_of(call, v_t, axis)
    discounts, ends = steps_of(call, "discount_t", discount_t), ended(call, dones)
    stop = flag(call, "stop_target_gradients", stop_target_gradients)
    batch = aligned(call, axis, r_t=r_t, discount_t=discounts, dones=ends)
    arguments.batch(call, BESIDE, r_t=batch, v_t=state.shape)
    if ends is not None:
        returns = backwards(call, _returns, (r_t, discounts), ends, axis, state)
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
    r_t, v_t = array_of(call, "r_t", r_t), array_of(call, "v_t", v_t)
    discounts, shares = steps_of(call, "discount_t", discount_t), steps_of(call, "lambda_", lambda_)
    ends, stop = ended(call, dones), flag(call, "stop_target_gradients", stop_target_gradients)
    aligned(call, axis, r_t=r_t, discount_t=discounts, v_t=v_t, lambda_=shares, dones=ends)
    inputs = r_t, discounts, v_t, shares
    returns = backwards(call, _lambda_returns, inputs, ends, axis, last_of(call, v_t, axis))
    return mx.stop_gradient(returns) if stop else returns


def _returns(r: mx.array, discount: mx.array) -> Gate:
    return discount, r


def _lambda_returns(r: mx.array, discount: mx.array, after: mx.array, weight: mx.array) -> Gate:
    return discount * weight, r + discount * (1 - weight) * after
