"""`S5`: a diagonal state space with the HiPPO matrix's eigenvalues, in continuous time."""

from __future__ import annotations

from typing import Any, final

import mlx.core as mx
import numpy as np

from monoscan import errors
from monoscan.arguments import sizes, steps_from
from monoscan.nn.lru import Diagonal
from monoscan.nn.recurrent import Shape


@final
class S5(Diagonal):
    """The simplified state space layer: ``h' = Lambda h + B x`` by zero-order hold, ``y = 2 Re(C h) + D * x``.

    ``Lambda`` starts from the eigenvalues of the normal part of the HiPPO-LegS matrix, of which one of each conjugate
    pair is kept; each state has a step size of its own.

    Source: Smith, Warrington and Linderman, *Simplified State Space Layers for Sequence Modeling* (ICLR 2023).

    Args:
        input_dims (int): The number of inputs and outputs.
        state_dims (int): The number of states, even: half as many complex ones are kept.
        blocks (int, optional): How many HiPPO matrices stand on the diagonal at first. Default: ``1``.
        dt_min (float, optional): The least step size at first. Default: ``0.001``.
        dt_max (float, optional): The greatest. Default: ``0.1``.

    Raises:
        ScanError: ``state_dims`` is no multiple of twice ``blocks``.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.S5(4, 8)
        >>> y, state = layer(mx.ones((2, 16, 4)))
        >>> y.shape, state.shape
        ((2, 16, 4), (2, 4))
    """

    def __init__(
        self, input_dims: int, state_dims: int, blocks: int = 1, dt_min: float = 0.001, dt_max: float = 0.1
    ) -> None:
        super().__init__()
        self.input_dims, self.state_dims, blocks = sizes(
            "S5", input_dims=input_dims, state_dims=state_dims, blocks=blocks
        )
        steps_from("S5", dt_min, dt_max)
        if state_dims % (2 * blocks):
            raise errors.ScanError(f"[S5] state_dims is a multiple of 2 * blocks = {2 * blocks}; got {state_dims}.")
        values, vectors = _hippo(state_dims // blocks)
        kept = len(values)
        basis = np.kron(np.eye(blocks), vectors)  # (state_dims, kept of each block)
        normal = mx.random.normal((state_dims, input_dims), scale=input_dims**-0.5)
        inwards = basis.conj().T @ np.array(normal)
        outwards = mx.random.normal((2, input_dims, state_dims), scale=(2 * state_dims) ** -0.5)
        back = (np.array(outwards[0]) + 1j * np.array(outwards[1])) @ basis
        self.Lambda = _parts(np.tile(values, blocks))
        self.B, self.C = _parts(inwards), _parts(back)
        self.D = mx.random.normal((input_dims,))
        self.log_step = mx.random.uniform(np.log(dt_min), np.log(dt_max), (blocks * kept,))

    def state_shape(self) -> Shape:
        return (self.state_dims // 2,)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, state_dims={self.state_dims}"

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """``exp(Lambda dt)``, and ``(exp(Lambda dt) - 1) / Lambda * B x``."""
        decay, turn = self.Lambda
        step = mx.exp(self.log_step)
        decay = mx.minimum(decay, -1e-4)
        modulus, phase = mx.exp(decay * step), turn * step
        along, across = mx.cos(phase), modulus * mx.sin(phase)
        gate = modulus * along + 1j * across
        short = mx.expm1(decay * step) * along - 2 * mx.square(
            mx.sin(phase / 2)
        )  # the real part of gate - 1, to its digits
        weight = (short + 1j * across) / (decay + 1j * turn)
        real, imaginary = (x @ part.T for part in self.B)
        return gate, weight * (real + 1j * imaginary)

    def outputs(self, found: mx.array, x: mx.array) -> mx.array:
        """``2 Re(C h) + D * x``."""
        real, imaginary = self.C
        return 2 * (found.real @ real.T - found.imag @ imaginary.T) + self.D * x


def _hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of the normal part of HiPPO-LegS with positive imaginary part, and their vectors.

    Source: Gu et al., *On the Parameterization and Initialization of Diagonal State Space Models* (NeurIPS 2022).
    """
    root = np.sqrt(np.arange(size) + 0.5)
    skew = np.outer(root, root)
    skew = np.tril(skew, -1) - np.triu(skew, 1)  # what is left of -LegS + p p' beside its diagonal, up to the sign
    values, vectors = np.linalg.eigh(1j * skew)  # of a skew matrix times i, which is Hermitian
    upper = values > 0
    return -0.5 + 1j * values[upper], vectors[:, upper]


def _parts(values: np.ndarray) -> mx.array:
    """Complex numbers as their two parts: optimizers know real arrays."""
    return mx.array(np.stack([values.real, values.imag]).astype(np.float32))
