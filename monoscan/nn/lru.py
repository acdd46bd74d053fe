"""`LRU`: a diagonal complex recurrence that is linear in the state."""

from __future__ import annotations

import math
from typing import Any, final

import mlx.core as mx

from monoscan import dtypes, errors
from monoscan.arguments import sizes
from monoscan.monoids.inputs import fixed
from monoscan.monoids.linear import Affine
from monoscan.nn.recurrent import Recurrent, Shape, State
from monoscan.scan.api_states import act


class Diagonal(Recurrent):
    """``h[t] = gate * h[t-1] + u[t]``, with gates that are the same at every step: the inputs are both."""

    state_kinds = dtypes.FLOATS | dtypes.COMPLEX

    def run(self, x: mx.array, state: State | None, options: dict[str, Any]) -> tuple[mx.array, State]:
        gate, u = self.inputs(x)
        found, last = act(Affine(), (fixed(gate), u), state, x.ndim - 2, return_carry=True, **options)
        return found, last


@final
class LRU(Diagonal):
    """The linear recurrent unit: ``h[t] = lambda * h[t-1] + gamma * B x[t]``, ``y[t] = Re(C h[t]) + D * x[t]``.

    ``lambda`` is diagonal and complex, ``exp(-exp(nu) + i exp(theta))``, so that it stays in the unit circle.

    Source: Orvieto et al., *Resurrecting Recurrent Neural Networks for Long Sequences* (ICML 2023).

    Args:
        input_dims (int): The number of inputs and outputs.
        state_dims (int): The number of complex states.
        r_min (float, optional): The least modulus of ``lambda`` at first. Default: ``0``.
        r_max (float, optional): The greatest. Default: ``1``.
        max_phase (float, optional): The greatest phase, in radians. Default: ``2 pi``.

    Raises:
        ScanError: A size is no whole number of 1 or more, or moduli are not between 0 and 1.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.LRU(4, 8)
        >>> y, state = layer(mx.ones((2, 16, 4)))
        >>> y.shape, state.shape, state.dtype
        ((2, 16, 4), (2, 8), mlx.core.complex64)
    """

    def __init__(
        self, input_dims: int, state_dims: int, r_min: float = 0.0, r_max: float = 1.0, max_phase: float = 2 * math.pi
    ) -> None:
        super().__init__()
        self.input_dims, self.state_dims = sizes("LRU", input_dims=input_dims, state_dims=state_dims)
        if not 0 <= r_min <= r_max <= 1:
            raise errors.ScanError(
                f"[LRU] moduli go from r_min to r_max within 0 and 1; got {r_min!r:.20} and {r_max!r:.20}."
            )
        squares = mx.random.uniform(r_min**2, r_max**2, (state_dims,))
        phases = max_phase * mx.random.uniform(shape=(state_dims,))
        self.nu_log = mx.log(-0.5 * mx.log(mx.clip(squares, 1e-7, 1 - 1e-7)))
        self.theta_log = mx.log(mx.maximum(phases, 1e-7))
        modulus = mx.exp(-mx.exp(self.nu_log))
        self.gamma_log = 0.5 * mx.log(1 - modulus**2)
        self.B = mx.random.normal((2, state_dims, input_dims), scale=(2 * input_dims) ** -0.5)
        self.C = mx.random.normal((2, input_dims, state_dims), scale=state_dims**-0.5)
        self.D = mx.random.normal((input_dims,))

    def state_shape(self) -> Shape:
        return (self.state_dims,)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, state_dims={self.state_dims}"

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """The gates, and the inputs ``gamma * B x``, as complex numbers."""
        modulus, phase = mx.exp(-mx.exp(self.nu_log)), mx.exp(self.theta_log)
        real, imaginary = (x @ (part * mx.exp(self.gamma_log)[:, None]).T for part in self.B)
        gate = modulus * mx.cos(phase) + 1j * (modulus * mx.sin(phase))
        return gate, real + 1j * imaginary

    def outputs(self, found: mx.array, x: mx.array) -> mx.array:
        """``Re(C h) + D * x``."""
        real, imaginary = self.C
        return found.real @ real.T - found.imag @ imaginary.T + self.D * x
