"""What all accelerated layers share."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import mlx.core as mx


def on_metal() -> bool:
    """Whether MLX would run it by a kernel of Metal."""
    return bool(mx.metal.is_available() and mx.default_device() == mx.gpu)


@functools.cache
def accelerated(kind: Any, stock: type, exact: bool) -> type:
    """The class of a layer of that class of mlx-lm, with the calls of ``kind``."""
    return type(stock.__name__, (kind, stock), {"stock": stock, "exact": exact})


def _blank(kind: Any, stock: type, exact: bool) -> Any:
    """A layer without parameters, for pickle to fill."""
    made: Any = accelerated(kind, stock, exact)
    return made.__new__(made)


class Accelerated:
    """The first base of a class whose second is the class of a layer in mlx-lm.

    Layers keep their parameters; only their class is another. ``stock`` is the class that they had.
    """

    stock: ClassVar[Any]
    exact: ClassVar[bool]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As the layer that it was, and how its class is made, which has no name in a module."""
        _, _, *parts = tuple(super().__reduce_ex__(protocol))
        kind, stock = type(self).__bases__
        return _blank, (kind, stock, self.exact), *parts

    def sequences(self, cache: Any, time: int) -> dict[str, Any]:
        """The option of a scan that says which positions count, where the cache knows."""
        lengths, left = (getattr(cache, name, None) for name in ("lengths", "left_padding"))
        if not self.exact or (lengths is None and left is None):
            return {}
        return {"lengths": lengths} if left is None else {"mask": cache.make_mask(time)}

    def start(self, cache: Any, x: mx.array, index: int, shape: tuple[int, ...]) -> mx.array:
        """The state that the cache holds, else zeros."""
        held = None if cache is None else cache[index]
        return mx.zeros((x.shape[0], *shape), x.dtype) if held is None else held
