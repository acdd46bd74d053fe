"""What the tests of the adjoint's loop share."""

from __future__ import annotations

import io
import re

import mlx.core as mx
import numpy as np


def primitives(*outputs: mx.array) -> list[str]:
    """The names of the primitives in the graph of some arrays."""
    file = io.StringIO()
    mx.export_to_dot(file, *outputs)
    return re.findall(r'label ="([^"]*)", shape=rectangle', file.getvalue())


def random(rng: np.random.Generator, *shape: int, dtype: mx.Dtype = mx.float32) -> mx.array:
    return mx.array(rng.uniform(-1, 1, shape)).astype(dtype)
