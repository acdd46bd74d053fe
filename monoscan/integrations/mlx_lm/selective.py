"""Selective state spaces: `MambaBlock`, of Mamba and Falcon-Mamba, and `JambaMambaMixer`."""

from __future__ import annotations

from typing import Any, final

import mlx.core as mx

from monoscan.integrations.mlx_lm.convolution import silu_of_convolution
from monoscan.integrations.mlx_lm.layer import Accelerated
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.inputs import fixed
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan


@final
class _GatedSelective(Aggregator):
    """Inputs: what the step size is the softplus of, A, B, C, x, D, and what the gate is the SiLU of."""

    operator = Affine()
    event = (0, 1, 1, 1, 0, 0, 0)

    def prepare(
        self, step: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array, D: mx.array, z: mx.array
    ) -> Any:
        delta = mx.logaddexp(step, 0.0)
        return mx.exp(delta * A), delta * x * B

    def present(
        self, h: mx.array, step: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array, D: mx.array, z: mx.array
    ) -> mx.array:
        return ((h * C).sum() + D * x) * (z * mx.sigmoid(z))


class MambaBlock(Accelerated):
    """From the convolution to the gate two kernels, with the projections between them as they are."""

    def __call__(self: Any, x: mx.array, cache: Any) -> mx.array:
        time = x.shape[1]
        sequences = self.sequences(cache, time)
        if time == 1 and not sequences:
            out: mx.array = self.stock.__call__(self, x, cache)
            return out
        before = self.start(cache, x, 0, (self.conv_kernel_size - 1, self.intermediate_size))
        x, z = mx.split(self.in_proj(x), 2, axis=-1)
        x, before = silu_of_convolution(self.conv1d.weight, self.conv1d.get("bias"), x, before, sequences)
        y, state = self.selective(
            x, z, self.start(cache, x, 1, (self.intermediate_size, self.ssm_state_size)), sequences
        )
        if self.stores(cache):
            cache[0], cache[1] = before, state
            if sequences:
                cache.advance(time)
        out = self.out_proj(y)
        return out

    def selective(
        self: Any, x: mx.array, z: mx.array, state: mx.array, sequences: dict[str, Any]
    ) -> tuple[mx.array, mx.array]:
        """Gated outputs and the last state."""
        rank, size = self.time_step_rank, self.ssm_state_size
        delta, B, C = self.normed(*mx.split(self.x_proj(x), [rank, rank + size], axis=-1))
        wide = (B[..., None, :], C[..., None, :])
        inputs = (self.dt_proj(delta), fixed(-mx.exp(self.A_log)), *wide, x, fixed(self.D), z)
        y, last = scan(_GatedSelective(), inputs, 1, state=state, return_carry=True, **sequences)
        return y, last.astype(x.dtype)

    def normed(self: Any, *parts: mx.array) -> tuple[mx.array, ...]:
        """The step size, B and C, normed in Falcon-Mamba."""
        if not self.use_bcdt_rms:
            return parts
        return tuple(mx.fast.rms_norm(part, weight=None, eps=self.args.mixer_rms_eps) for part in parts)

    def stores(self, cache: Any) -> bool:
        """As in mlx-lm, which leaves other caches as they are."""
        return hasattr(cache, "make_mask")


class JambaMambaMixer(MambaBlock):
    """The same with three norms."""

    def normed(self: Any, *parts: mx.array) -> tuple[mx.array, ...]:
        norms = (self.dt_layernorm, self.b_layernorm, self.c_layernorm)
        return tuple(norm(part) for norm, part in zip(norms, parts, strict=True))

    def stores(self, cache: Any) -> bool:
        return cache is not None
