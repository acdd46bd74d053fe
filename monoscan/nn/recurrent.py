"""What all layers share: a scan over time, and one step of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module

from monoscan import dtypes, errors
from monoscan.held import floats, to_mlx
from monoscan.monoids.aggregator import Aggregator
from monoscan.scan.api import scan
from monoscan.scan.ragged.given import lengths_of
from monoscan.tree import Tree

State = Tree
Shape = tuple[int, ...]


class Recurrent(Module, ABC):
    """A layer over time: ``y, state = layer(x, state, lengths)``.

    Inputs have shape ``(..., time, dims)``. What a layer computes of single positions stands in `inputs` and `outputs`,
    and what goes through time in `run`.
    """

    input_dims: int
    state_kinds = dtypes.FLOATS
    """The dtypes that a state may have."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def state_shape(self) -> Shape | None:
        """The shape of a state behind its batch axes, by which states are looked at; ``None`` for a state of several arrays."""
        return None

    @abstractmethod
    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """What goes through time, from the inputs of the layer."""

    @abstractmethod
    def run(self, x: mx.array, state: State | None, options: dict[str, Any]) -> tuple[mx.array, State]:
        """What comes out of time, and the last state."""

    def outputs(self, found: mx.array, x: mx.array) -> mx.array:
        """The outputs of the layer, from what comes out of time."""
        return found

    def __call__(
        self, x: mx.array, state: State | None = None, lengths: mx.array | None = None
    ) -> tuple[mx.array, State]:
        """All outputs, and the last state.

        Args:
            x (array): The inputs, of shape ``(..., time, dims)``.
            state (array or tree, optional): The state that an earlier call returned. Default: ``None``, the start.
            lengths (array, optional): Of each row of the batch, how many of its first positions are valid: the state is
                the one after these, and nothing behind them is read. Default: ``None``, all.

        Returns:
            tuple: The outputs, of shape ``(..., time, output_dims)``, and the last state, in float32 or complex64.

        Raises:
            ScanError: Shapes do not fit, or there are neither steps nor a state.
            ScanTypeError: Inputs are no floats, or lengths no integers.
        """
        x = self._checked(x, "time")
        state = None if state is None else self._begun(state, x.shape[:-2])
        if state is None and x.shape[-2] == 0:
            raise errors.ScanError(
                f"[{type(self).__name__}] no steps have no last state where none is given; got x of shape {x.shape}. "
                "Give state, which an earlier call returned."
            )
        lengths = lengths_of(f"[{type(self).__name__}]", lengths, x.shape[:-2])
        if lengths is not None:
            x = _without_padding(x, lengths)
        found, last = self.run(x, state, {} if lengths is None else {"lengths": lengths})
        y = self.outputs(found, x)  # float32 parameters would make float32 of halves
        return (y.astype(x.dtype) if dtypes.name_of(y.dtype) in dtypes.FLOATS else y), last

    def step(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """One position, for decoding: what a call gives for a sequence of length 1.

        Args:
            x (array): The input, of shape ``(..., dims)``.
            state (array or tree, optional): The state before it. Default: ``None``, the start.

        Returns:
            tuple: The output, of shape ``(..., output_dims)``, and the state after it.
        """
        y, state = self(self._checked(x)[..., None, :], state)
        return y[..., 0, :], state

    def _checked(self, x: Any, *axes: str) -> mx.array:
        """Inputs of shape ``(..., *axes, dims)``."""
        x = to_mlx(f"[{type(self).__name__}] x", x)
        dims = self.input_dims
        if not isinstance(x, mx.array) or x.ndim < len(axes) + 1 or x.shape[-1] != dims:
            got = x.shape if isinstance(x, mx.array) else f"{x!r:.40}"
            shape = ", ".join(("...", *axes, str(dims)))
            raise errors.ScanError(f"[{type(self).__name__}] expects x of shape ({shape}); got {got}.")
        name = dtypes.name_of(x.dtype)
        if name not in dtypes.FLOATS:  # outputs have the dtype of inputs: integers would cut them off
            raise errors.ScanTypeError(
                f"[{type(self).__name__}] expects x of floats; got {name}. Cast it with .astype(mx.float32); tokens need an "
                "embedding first."
            )
        return x

    def _begun(self, state: Any, batch: Shape) -> Any:
        """A state with the batch axes of the inputs, or some that broadcast to them."""
        call, own = type(self).__name__, self.state_shape()
        if own is None:
            return state
        held = floats(f"[{call}] state", state, kinds=self.state_kinds, cast=True)
        front = held.shape[: held.ndim - len(own)]
        fits = held.shape[len(front) :] == own and len(front) <= len(batch)
        if not fits or any(a not in (1, b) for a, b in zip(front[::-1], batch[::-1], strict=False)):
            raise errors.ScanError(
                f"[{call}] expects a state of shape {(*batch, *own)}, the batch of x and {own}; got {held.shape}. Give the state "
                "that an earlier call on such a batch returned, or None."
            )
        return held


class Aggregated(Recurrent):
    """A layer whose `rule` is an aggregator: one loop over time, which keeps no state for the gradient."""

    @property
    @abstractmethod
    def rule(self) -> Aggregator:
        """What is scanned."""

    def run(self, x: mx.array, state: State | None, options: dict[str, Any]) -> tuple[mx.array, State]:
        found, last = scan(self.rule, self.inputs(x), x.ndim - 2, state=state, return_carry=True, **options)
        return found, last


def _without_padding(x: mx.array, lengths: mx.array) -> mx.array:
    """Zeros behind the ends of rows: there a NaN would reach the gradients of weights, by products with zero."""
    from_left = lengths.reshape(lengths.shape + (1,) * (x.ndim - lengths.ndim))
    valid = mx.arange(x.shape[-2])[:, None] < from_left
    return mx.where(valid, x, mx.zeros_like(x))
