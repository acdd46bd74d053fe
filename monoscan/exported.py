"""`exporting`: scans made of MLX's own operations alone, which ``mx.export_function`` can write to a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import mlx.core as mx

EXPORTING: ContextVar[bool] = ContextVar("exporting", default=False)


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Inside this context, scans are made of MLX's own operations alone, so that ``mx.export_function`` can write them.

    A kernel of this library, and a function with derivatives of its own, are nothing that MLX can write to a file; it
    refuses them as "Unable to serialize primitive". Here scans run by MLX's own scans and by trees of array operations, of
    the shapes that they are given; `loop`, and what runs in order, is written step by step. Gradients are MLX's own, of
    these operations, and can be exported too, but for complex numbers, whose views MLX does not differentiate.

    Example:
        >>> import tempfile
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> def states(a, b):
        ...     return ms.linear_recurrence(a, b)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ms.exporting():
        ...         mx.export_function(f"{folder}/states.mlxfn", states, mx.ones((4,)), mx.ones((4,)))
        ...     run = mx.import_function(f"{folder}/states.mlxfn")
        ...     run(mx.full((4,), 0.5), mx.ones((4,)))[0]
        array([1, 1.5, 1.75, 1.875], dtype=float32)
    """
    token = EXPORTING.set(True)
    try:
        yield
    finally:
        EXPORTING.reset(token)


def active() -> bool:
    """Whether scans are to be exported."""
    return EXPORTING.get()


def with_rules(function: Callable[..., Any]) -> mx.custom_function:
    """``mx.custom_function``, to which derivatives are given; the plain function, with MLX's, where it is to be exported.

    MLX differentiates what is inside as well, to throw it away; by constants it does not get far.
    """
    if active():
        return _Plain(function)  # type: ignore[return-value]
    rules: mx.custom_function = mx.custom_function(lambda *arrays: function(*map(mx.stop_gradient, arrays)))
    return rules


class _Plain:
    """A function that is given derivatives and keeps none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arrays: Any) -> Any:
        return self._function(*arrays)

    def vjp(self, rule: Any) -> Any:
        return rule

    jvp = vmap = vjp
