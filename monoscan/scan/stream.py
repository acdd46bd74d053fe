"""``Stream``: a scan of a sequence that comes in chunks, of which it keeps the carry and nothing else; and ``chunks``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, final

import mlx.core as mx

from monoscan import errors, tree
from monoscan.held import to_mlx
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.inputs import Position
from monoscan.scan import api
from monoscan.scan.later import aggregate, question, stream_state
from monoscan.scan.later import chunks as reading
from monoscan.tree import Tree

LAST_POSITION = 2**31 - 1
"""The largest index that an int32 holds."""


@final
class Stream:
    """A scan of a sequence that comes in chunks: each goes on where the one before it ended.

    It keeps the carry and how many positions there were, whatever the length of the sequence. Where chunks are cut
    decides how elements are grouped: cut alike, results are the same to the bit; otherwise they are those of one scan
    to rounding, and to the bit with ``strategy="sequential"`` or an operator that is exact. There is no reverse, whose
    first element is the last to come, and gradients stop where a chunk begins.

    Args:
        operator (Semigroup or Aggregator): What to scan with.
        axis (int, optional): The axis along which the sequence is cut. Default: ``0``.
        init (array or tree, optional): An element in front of the first one. Default: ``None``.
        state (array or tree, optional): Of an aggregator the state before the first position. Default: ``None``.
        inclusive (bool, optional): As in `scan`. Default: ``True``.
        strategy (str, optional): As in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Raises:
        ScanTypeError: There is neither an operator nor an aggregator.
        ScanError: An aggregator is given an ``init``, or an operator a ``state``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> totals = ms.Stream(ms.Sum())
        >>> totals.push(mx.array([1, 2, 3]))
        array([1, 3, 6], dtype=int32)
        >>> totals.push(mx.array([4, 5]))
        array([10, 15], dtype=int32)
        >>> totals.carry, totals.position
        (array(15, dtype=int32), 5)
    """

    def __init__(
        self,
        operator: Semigroup | Aggregator,
        /,
        axis: int = 0,
        *,
        init: Tree | None = None,
        state: Tree | None = None,
        inclusive: bool = True,
        strategy: str = "auto",
        stream: Any = None,
    ) -> None:
        if not isinstance(operator, (Semigroup, Aggregator)):
            raise errors.ScanTypeError(question.not_an_operator("Stream", operator))
        aggregate.check_start("Stream", operator, init, state)
        self._operator, self._axis = operator, axis
        self._options: dict[str, Any] = {"inclusive": inclusive, "strategy": strategy, "stream": stream}
        self._first = state if isinstance(operator, Aggregator) else init
        self._carry: Tree | None = self._first
        self._position = 0

    def __repr__(self) -> str:
        return f"<Stream of {self._operator!r} along axis {self._axis}, {self._position} positions so far>"

    @property
    def carry(self) -> Tree | None:
        """The fold of all so far, or the state, in the accumulation dtype; before the first chunk what it starts from."""
        return self._carry

    @property
    def position(self) -> int:
        """How many positions there were."""
        return self._position

    def push(self, chunk: Tree, /) -> Any:
        """The results of the next chunk.

        The carry is evaluated with it, since a lazy one would keep every chunk. If anything fails, the stream is where
        it was before.

        Args:
            chunk (array or tree): Elements, or the inputs of an aggregator, as `scan` takes them.

        Returns:
            array or tree: The results at the positions of the chunk.

        Raises:
            ScanError: As in `scan`; or this is a function that MLX compiles or maps.
        """
        chunk = tree.map_leaves(partial(to_mlx, "[Stream] chunk"), chunk)
        length = self._length(chunk)
        if isinstance(self._operator, Aggregator):
            start: dict[str, Any] = {"state": self._carry}
            chunk = self._placed(chunk, length)
        else:
            start = {"init": self._carry}
        if length == 0 and self._carry is None:
            return api.scan(self._operator, chunk, self._axis, **start, **self._options)
        results, carry = api.scan(self._operator, chunk, self._axis, return_carry=True, **start, **self._options)
        carry = tree.map_leaves(mx.stop_gradient, carry)
        try:
            mx.eval(carry)
        except (ValueError, RuntimeError) as error:
            if "transformations" not in str(error):
                raise
            raise errors.ScanError(
                "[Stream] push keeps its carry from call to call, which mx.compile and mx.vmap cannot know. Call it outside "
                "of them, or scan with init= and return_carry=True."
            ) from error
        self._carry, self._position = carry, self._position + length
        return results

    def over(self, chunks: Iterable[Tree], /) -> Iterator[Any]:
        """The results of one chunk after the other; the next one is read while this one is computed.

        Args:
            chunks (iterable): Chunks, as `push` takes them; `chunks` cuts what lies in a file.

        Returns:
            Iterator: The results of each.
        """
        return map(self.push, reading.ahead(chunks))

    def reset(self) -> None:
        """Back to where it started."""
        self._carry, self._position = self._first, 0

    def state_dict(self) -> dict[str, mx.array]:
        """All that the stream is, as arrays by name, for ``mx.savez``; `save` writes a file.

        Raises:
            ScanError: The carry is a tree that cannot be built again from names, as of a NamedTuple.
        """
        return stream_state.packed(self._operator.name, self._axis, self._position, self._carry)

    def load_state_dict(self, state: dict[str, mx.array], /) -> None:
        """Goes on from what `state_dict` returned. Cut alike, the results are the same to the bit.

        Args:
            state (dict): What `state_dict` returned, or ``mx.load`` of a file.

        Raises:
            ScanError: It is of another operator, another axis, or no state of a stream.
        """
        self._carry, self._position = stream_state.unpacked(self._operator.name, self._axis, state)

    def save(self, path: Any, /) -> None:
        """Writes the state to a file, beside it first: an interrupted write leaves the file as it was.

        Args:
            path (str or Path): Where to; the name ends in ``.npz``, or ``.safetensors``, which holds no float64.

        Raises:
            ScanError: It ends in neither, or is not able to hold a float64.
        """
        stream_state.save(path, self.state_dict())

    def load(self, path: Any, /) -> None:
        """Goes on from what `save` wrote.

        Args:
            path (str or Path): The file.

        Raises:
            ScanError: It holds no state of this operator.
        """
        self.load_state_dict(stream_state.load(path))

    def _length(self, chunk: Tree) -> int:
        """How many positions a chunk has; what is wrong with it is said by the scan."""
        for x in tree.flatten(chunk)[0]:
            if isinstance(x, mx.array) and isinstance(self._axis, int) and -x.ndim <= self._axis < x.ndim:
                return int(x.shape[self._axis])
        return 0

    def _placed(self, inputs: Tree, length: int) -> Tree:
        """Inputs whose position counts from the first chunk on."""
        if not isinstance(inputs, (tuple, list)) or not any(isinstance(x, Position) for x in inputs):
            return inputs
        if self._position + length > LAST_POSITION:
            raise errors.ScanError(
                f"[Stream] {self._operator.name} reads ms.position, an int32, which cannot count to "
                f"{self._position + length:,}."
            )
        return [Position(self._position) if isinstance(x, Position) else x for x in inputs]


def chunks(source: Any, size: int, /, axis: int = 0, *, progress: bool = True) -> Iterator[mx.array]:
    """A long array, cut along an axis, one chunk after the other as an array of MLX.

    Of a file what has been read leaves memory again, so that a sequence of any length takes two chunks of it. float64
    stays float64.

    Args:
        source (str, Path, numpy.ndarray or array): A file ``.npy``, or an array; ``numpy.memmap`` maps other files.
        size (int): The length of a chunk; the last may be shorter.
        axis (int, optional): Where to cut. Default: ``0``.
        progress (bool, optional): Show on a terminal how far it is, after two seconds. Default: ``True``.

    Returns:
        Iterator: The chunks.

    Raises:
        ScanError: ``size`` or ``axis`` does not fit, or the file cannot be read.

    Example:
        >>> import monoscan as ms
        >>> import numpy as np
        >>> [chunk.tolist() for chunk in ms.chunks(np.arange(5), 2)]
        [[0, 1], [2, 3], [4]]
    """
    return reading.run(source, size, axis, progress)
