"""A stand-in for kernels that MLX starts: where inputs have no values yet it is an operation that has no rule for ``mx.vmap``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx
from shim_driver import Shim

from monoscan import dtypes
from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.targets.gpu.hidden import hidden
from monoscan.lowering.targets.gpu.launch import Output


@attrs.define
class LazyShim(Shim):
    """Starts kernels as MLX does, on the machine as soon as there are values.

    Args:
        later: What computes outputs from inputs in a compiled function. Default: zeros, for nobody reads them.
        hides: Whether kernels are hidden from ``mx.vmap``.
    """

    later: Callable[..., Sequence[mx.array]] | None = None
    hides: bool = True

    def __call__(
        self, spec: GpuSpec, arrays: Sequence[mx.array], outputs: Sequence[Output], groups: int
    ) -> list[mx.array]:
        with contextlib.suppress(ValueError):  # no values yet
            return super().__call__(spec, arrays, outputs, groups)
        kernel = without_rule(outputs, arrays, self.later)
        return hidden(kernel, arrays) if self.hides else kernel


def without_rule(
    outputs: Sequence[Output], inputs: Sequence[mx.array], later: Callable[..., Sequence[mx.array]] | None = None
) -> list[mx.array]:
    """Zeros, or what is computed ``later`` from the inputs, by an operation for which MLX has no rule."""
    made = later(*inputs) if later else [mx.zeros(y.shape, dtypes.by_name(y.dtype)) for y in outputs]
    return list(mx.depends(list(made), list(inputs)))
