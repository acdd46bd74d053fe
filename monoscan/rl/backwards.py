"""The recurrence from the last step back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.flagged import Segmented
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan

Gate = tuple[mx.array, mx.array]
"""An element of `Affine`: a gate, and what is added."""


@final
@attrs.frozen
class Backwards(Aggregator):
    """A recurrence from the last step back, which starts anew where an episode ended.

    Args:
        call: The public function, for messages.
        element: The element of a step, from the reward, the discount, the value after it if there is one, and the rest.
        ends: The last input says whether the episode ended with this step: what comes after it is never read.
    """

    call: str
    element: Callable[..., Gate]
    ends: bool

    @property
    def name(self) -> str:
        return f"rl.{self.call}"

    @property
    def operator(self) -> Semigroup:
        return Segmented(Affine()) if self.ends else Affine()

    def prepare(self, r: mx.array, discount: mx.array, *rest: mx.array) -> Any:
        if not self.ends:
            return self.element(r, discount, *rest)
        *rest_, done = rest
        zero = mx.zeros_like(r)
        after = [mx.where(done, zero, x) for x in rest_[:1]]
        return done, self.element(r, mx.where(done, zero, discount), *after, *rest_[1:])

    def present(self, state: mx.array, *inputs: mx.array) -> mx.array:
        return state


def backwards(
    call: str,
    element: Callable[..., Gate],
    inputs: tuple[Any, ...],
    ends: mx.array | None,
    axis: int,
    state: mx.array | None = None,
) -> mx.array:
    """What the recurrence shows at each step: inputs as `Backwards` takes them, and what comes after the last step."""
    given = inputs if ends is None else (*inputs, ends)
    found: mx.array = scan(Backwards(call, element, ends is not None), given, axis, reverse=True, state=state)
    return found
