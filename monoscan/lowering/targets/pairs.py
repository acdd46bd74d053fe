"""Complex arrays as arrays of their parts and back: programs are real, and so is all that runs them.

The bridge does it in the same memory. Without it MLX's own view does, which has no derivatives: it gets
them here. The gradient of MLX, dL/da + i dL/db, is that of the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes, exported
from monoscan.lowering.strategies.slices import Combine, Leaves
from monoscan.lowering.targets.cpu import build
from monoscan.mapped import listed

View = Callable[[mx.array], mx.array]


def pairs(x: mx.array) -> mx.array:
    """A complex array as its parts, along a last axis of size 2; any other as it is."""
    if x.dtype != mx.complex64:
        return x
    if exported.active():
        return _as_pairs(x)
    bridge = build.LOADER.bridge
    return _viewed(x) if bridge is None else bridge.pairs(x)


def from_pairs(x: mx.array, dtype: str) -> mx.array:
    """The array of this dtype: complex numbers from their parts, any other as it is."""
    if dtype not in dtypes.COMPLEX:
        return x
    if exported.active():
        return _as_complex(x)
    bridge = build.LOADER.bridge
    return _viewed_back(x) if bridge is None else bridge.from_pairs(x)


def of_pairs(combine: Combine, names: Sequence[str]) -> Combine:
    """A ``combine`` of leaves without complex numbers as one of leaves of these dtypes."""

    def combine_leaves(left: Leaves, right: Leaves) -> Leaves:
        found = combine([pairs(x) for x in left], [pairs(x) for x in right])
        return [from_pairs(y, name) for y, name in zip(found, names, strict=True)]

    return combine_leaves


def _differentiable(view: View, back: Callable[[], View]) -> Any:
    """A view whose derivatives are views, backwards the other one."""

    @mx.custom_function
    def call(x: mx.array) -> mx.array:
        return view(mx.stop_gradient(x))

    @call.vjp
    def call_vjp(_: Any, cotangent: mx.array, __: Any) -> Any:
        return back()(cotangent)

    @call.jvp
    def call_jvp(_: Any, tangents: Any) -> Any:
        return call(*listed(tangents))

    @call.vmap
    def call_vmap(x: Any, axis: Any) -> tuple[mx.array, int]:
        (array,), (place,) = listed(x), listed(axis)
        moved: Any = call(mx.moveaxis(array, place, 0))
        return moved, 0

    return call


def _as_pairs(x: mx.array) -> mx.array:
    return mx.expand_dims(x, -1).view(mx.float32)


def _as_complex(x: mx.array) -> mx.array:
    return x.view(mx.complex64).squeeze(-1)


_viewed: View = _differentiable(_as_pairs, lambda: _viewed_back)
_viewed_back: View = _differentiable(_as_complex, lambda: _viewed)
