"""`gae` and `vtrace`."""

from __future__ import annotations

import mlx.core as mx

from monoscan import errors
from monoscan.arguments import flag
from monoscan.monoids import domain
from monoscan.rl.backwards import Gate, backwards
from monoscan.rl.given import Steps, aligned, array_of, ended, steps_of


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
    r_t, values = array_of("gae", "r_t", r_t), array_of("gae", "values", values)
    at = domain.axis_of("gae", "r_t", r_t, axis)
    steps = r_t.shape[at]
    if values.ndim != r_t.ndim or values.shape[at] != steps + 1:
        raise errors.ScanError(
            f"[gae] values needs one step more than r_t along axis {axis}, for the state after the last step; got "
            f"{values.shape} for {r_t.shape}."
        )
    before, after = mx.split(values, [steps], at)[0], mx.split(values, [1], at)[1]
    discounts, weights = steps_of("gae", "discount_t", discount_t), steps_of("gae", "lambda_", lambda_)
    ends, stop = ended("gae", dones), flag("gae", "stop_target_gradients", stop_target_gradients)
    aligned("gae", axis, r_t=r_t, discount_t=discounts, lambda_=weights, values=before, dones=ends)
    advantages = backwards("gae", _advantages, (r_t, discounts, after, before, weights), ends, axis)
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
        "r_t": array_of(call, "r_t", r_t),
        "discount_t": steps_of(call, "discount_t", discount_t),
        "v_t": array_of(call, "v_t", v_t),
        "v_tm1": array_of(call, "v_tm1", v_tm1),
        "rho_tm1": array_of(call, "rho_tm1", rho_tm1),
        "lambda_": steps_of(call, "lambda_", lambda_),
        "clip_rho_threshold": steps_of(call, "clip_rho_threshold", clip_rho_threshold),
    }
    ends, stop = ended(call, dones), flag(call, "stop_target_gradients", stop_target_gradients)
    aligned(call, axis, **inputs, dones=ends)
    found = backwards(call, _errors, tuple(inputs.values()), ends, axis)
    if not stop:
        return found
    values: mx.array = inputs["v_tm1"]
    return mx.stop_gradient(found) + (mx.stop_gradient(values) - values)  # nothing, with a slope


def _advantages(r: mx.array, discount: mx.array, after: mx.array, before: mx.array, weight: mx.array) -> Gate:
    return discount * weight, r + discount * after - before


def _errors(
    r: mx.array, discount: mx.array, after: mx.array, before: mx.array, rho: mx.array, weight: mx.array, most: mx.array
) -> Gate:
    gate, error = _advantages(r, discount, after, before, weight)
    return gate * mx.minimum(rho, 1), mx.minimum(rho, most) * error
