"""What the tests of the adjoint's loop share."""

from __future__ import annotations

import io
import re

import mlx.core as mx
import numpy as np
import pytest

from monoscan.cache import Cache
from monoscan.lowering.targets.cpu import backward


def without_loops(patch: pytest.MonkeyPatch) -> None:
    """Gradients run array operations, as if no loop could be rendered, and no loop is known from before."""
    patch.setattr(backward, "can_render", lambda spec: False)
    patch.setattr(backward, "COMPILED", Cache(16))


def primitives(*outputs: mx.array) -> list[str]:
    """The names of the primitives in the graph of some arrays, those of kernels without what says how to export them."""
    file = io.StringIO()
    mx.export_to_dot(file, *outputs)
    return [name.partition("(")[0] for name in re.findall(r'label ="([^"]*)", shape=rectangle', file.getvalue())]


def random(rng: np.random.Generator, *shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
    return mx.array(rng.uniform(-1, 1, shape)).astype(dtype)
