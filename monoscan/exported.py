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
    the shapes that they are given; `loop`, and what runs in order, is written step by step. What was exported is for
    inference: it has MLX's derivatives and not this library's.

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
    """``mx.custom_function``, to which derivatives are given; the plain function where it is to be exported."""
    rules: mx.custom_function = _Plain(function) if active() else mx.custom_function(function)  # type: ignore[assignment]
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
