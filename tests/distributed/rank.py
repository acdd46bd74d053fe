"""What a rank of a test knows, once its process is bound in time: its number, its part, its collectives."""

from __future__ import annotations

import faulthandler
import sys
from typing import Any

import mlx.core as mx
import numpy as np
from ranks import SECONDS

faulthandler.dump_traceback_later(SECONDS, exit=True)
mx.set_default_device(mx.cpu)

from monoscan.tree import flatten  # noqa: E402  # within the bound

RANK = int(sys.argv[2])
GATHERS: list[int] = []
"""The bytes that this rank sent, one entry for each collective."""
_all_gather = mx.distributed.all_gather


def _counted(x: mx.array, **options: Any) -> mx.array:
    GATHERS.append(x.nbytes)
    return _all_gather(x, **options)


mx.distributed.all_gather = _counted


def arrays(found: Any) -> list[np.ndarray]:
    return [np.array(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x) for x in flatten(found)[0]]


def share(whole: Any, lengths: list[int], axis: int = 0) -> Any:
    """This rank's part of what NumPy holds, as a tree of arrays: a lone leaf by itself."""
    lo = sum(lengths[:RANK])
    leaves = [mx.array(np.take(x, range(lo, lo + lengths[RANK]), axis)) for x in whole]
    return leaves[0] if len(leaves) == 1 else tuple(leaves)


def whole(leaves: Any) -> Any:
    made = [mx.array(x) for x in leaves]
    return made[0] if len(made) == 1 else tuple(made)
