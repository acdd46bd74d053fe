"""Random small functions of two elements, made of MLX operations: most of them are lawful for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
from hypothesis import strategies as st

UNARY: dict[str, Callable[[mx.array], mx.array]] = {
    "neg": mx.negative, "abs": mx.abs, "sin": mx.sin, "tanh": mx.tanh, "sigmoid": mx.sigmoid, "square": mx.square,
    "root": lambda x: mx.sqrt(1 + x * x), "exp": lambda x: mx.exp(mx.minimum(x, 1.0)), "log": lambda x: mx.log1p(x * x),
    "arctan": mx.arctan, "erf": mx.erf, "guarded": lambda x: mx.where(x > 0, mx.sqrt(x), x), "floor": mx.floor,
}  # fmt: skip
BINARY: dict[str, Callable[[mx.array, mx.array], mx.array]] = {
    "add": mx.add, "sub": mx.subtract, "mul": mx.multiply, "max": mx.maximum, "min": mx.minimum, "logaddexp": mx.logaddexp,
    "ratio": lambda x, y: x / (1 + y * y), "choose": lambda x, y: mx.where(x < y, x * y, x + y),
    "arctan2": lambda x, y: mx.arctan2(x, 1 + y * y),
}  # fmt: skip
BOUNDED = ("tanh", "sin", "sigmoid", "arctan")


@attrs.frozen
class Combine:
    """A function of two elements.

    Args:
        leaves: How many leaves an element has.
        captured: How many arrays it captures.
        steps: Operations on earlier values: the left leaves, the right ones, the captured, then results.
        results: For each leaf a bounded function, and of which value.
    """

    leaves: int
    captured: int
    steps: tuple[tuple[str, int, int], ...]
    results: tuple[tuple[str, int], ...]

    def __call__(self, left: Any, right: Any, *captured: mx.array) -> Any:
        values = [*left, *right, *captured] if self.leaves > 1 else [left, right, *captured]
        for name, i, j in self.steps:
            values.append(UNARY[name](values[i]) if name in UNARY else BINARY[name](values[i], values[j]))
        found = [UNARY[name](values[i]) for name, i in self.results]
        return tuple(found) if self.leaves > 1 else found[0]


@st.composite
def combines(draw: st.DrawFn, leaves: int | None = None) -> Combine:
    """Functions of up to three leaves, one captured array and a few operations."""
    number = leaves or draw(st.integers(1, 3))
    captured = draw(st.integers(0, 1))
    count = 2 * number + captured
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from([*BINARY, *UNARY]))
        steps.append((name, draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))))
        count += 1
    results = [(draw(st.sampled_from(BOUNDED)), draw(st.integers(0, count - 1))) for _ in range(number)]
    return Combine(number, captured, tuple(steps), tuple(results))
