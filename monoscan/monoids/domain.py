"""Which dtypes an operator takes, and constants of every dtype."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from numbers import Integral
from typing import Any, Protocol, TypeVar

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx

Given = TypeVar("Given")
ORDERED = dtypes.FLOATS | dtypes.INTEGERS | {"bool"}


class Operator(Protocol):
    """What messages say of an operator."""

    @property
    def name(self) -> str:
        """How they call it."""
        ...

    @property
    def template(self) -> Any:
        """The tree of its elements, with a name for each leaf."""
        ...


def require(
    operator: Operator, stored: tuple[str, ...], allowed: AbstractSet[str], why: str, leaves: range | None = None
) -> None:
    """Refuses leaves of other dtypes.

    Args:
        operator (Operator): Whose leaves they are.
        stored (tuple(str)): The dtype of each leaf.
        allowed (set(str)): The dtypes that the operator takes.
        why (str): What the message says about the reason, as ``"its identity is -inf"``.
        leaves (range, optional): The leaves to look at. Default: all of them.

    Raises:
        ScanTypeError: A leaf has another dtype.
    """
    names = tree.flatten(operator.template)[0]
    for i in leaves or range(len(stored)):
        name, dtype = names[i], stored[i]
        if dtype in allowed:
            continue
        if dtype in dtypes.COMPLEX:  # what rules out other dtypes too need not be what rules these out
            reason, way = f", since {why}" if allowed >= ORDERED else "", _PARTS.format(name)
        else:
            reason, way = f", since {why}", f"Cast it first, as in {name}.astype(mx.{_example(allowed)})."
        raise errors.ScanTypeError(
            f"[{operator.name}] takes {_words(allowed)} only{reason}; leaf {name} is {dtype}. {way}"
        )


def _words(allowed: AbstractSet[str]) -> str:
    kinds = {"floats": dtypes.FLOATS, "integers": dtypes.INTEGERS, "complex64": dtypes.COMPLEX, "bool": {"bool"}}
    return " and ".join(word for word, kind in kinds.items() if kind <= allowed)


def _example(allowed: AbstractSet[str]) -> str:
    preferred = ("float32", "int32", "bool_")
    return next(name for name in preferred if name.removesuffix("_") in allowed)


def given(call: str, name: str, value: Any) -> mx.array:
    """An input of ``embed``, which must be an array, of MLX or of what can be made one of MLX.

    Raises:
        TreeError: It is something else.
        ScanTypeError: It is an array that MLX cannot hold.
    """
    value = to_mlx(f"[{call}] {name}", value)
    if isinstance(value, mx.array):
        return value
    number = isinstance(value, (bool, int, float))
    way = f"Spread it: mx.full(shape, {value!r})." if number else "Convert it with mx.array(...)."
    if isinstance(value, (tuple, list)) and any(isinstance(each, mx.array) for each in value):
        way = "Give each array as an argument of its own."
    raise errors.TreeError(f"[{call}] {name} must be an array; got {tree.shown(value)}. {way}")


def element(operator: Operator, given: Given, call: str = "project") -> Given:
    """What ``project`` was given, or ``embed`` where elements are not made but given: an element of the operator.

    Raises:
        TreeError: It forms another tree, as raw input does, or holds what is no array.
    """
    template, given = operator.template, converted(f"[{operator.name}.{call}]", given)
    leaves = tree.flatten_like(given, tree.flatten(template)[1])
    if leaves is None or not all(isinstance(leaf, mx.array) for leaf in leaves):
        kind = "a single array" if tree.flatten(template)[1] is tree.LEAF else tree.describe(template)
        source = ", as scan and fold return" if call == "project" else ""
        raise errors.TreeError(f"[{operator.name}.{call}] expects an element, {kind}{source}; got {tree.shown(given)}.")
    return given


def converted(call: str, given: Given) -> Given:
    """A tree in which arrays that others hold are arrays of MLX.

    Raises:
        ScanTypeError: One is an array that MLX cannot hold.
    """
    found: Given = tree.map_leaves(lambda x: x if isinstance(x, mx.array) else to_mlx(f"{call} input", x), given)
    return found


def floats(call: str, **inputs: Any) -> tuple[mx.array, ...]:
    """Inputs of ``embed`` by name, which must be arrays; halves become float32.

    Raises:
        TreeError: One is no array.
    """
    return tuple(accumulating(given(call, name, value)) for name, value in inputs.items())


def real(call: str, name: str, value: Any) -> mx.array:
    """An input of ``embed``, which must be an array of real numbers.

    Raises:
        TreeError: It is no array.
        ScanTypeError: It is complex.
    """
    x = given(call, name, value)
    if dtypes.name_of(x.dtype) in dtypes.COMPLEX:
        raise errors.ScanTypeError(f"[{call}] {name} must be real; got complex64. {_PARTS.format(name)}")
    return x


def numbers(call: str, **inputs: Any) -> tuple[mx.array, ...]:
    """Inputs of ``embed`` by name, as real floats: integers and halves become float32.

    Raises:
        TreeError: One is no array.
        ScanTypeError: One is complex.
    """
    return tuple(_float(real(call, name, value)) for name, value in inputs.items())


def _float(x: mx.array) -> mx.array:
    return accumulating(x) if dtypes.name_of(x.dtype) in dtypes.FLOATS else x.astype(mx.float32)


_PARTS = "Its parts are mx.real({0}), mx.imag({0}) and mx.abs({0})."


def accumulating(x: mx.array) -> mx.array:
    """The array, in float32 if it is of halves: an element that adds up is not rounded to half on its way."""
    return x.astype(mx.float32) if dtypes.name_of(x.dtype) in dtypes.HALF else x


def counting(x: mx.array) -> mx.array:
    """The array as counts: halves in float32, narrow integers and bool in int32, which do not wrap so soon."""
    return x.astype(mx.int32) if dtypes.name_of(x.dtype) in _NARROW else accumulating(x)


_NARROW = frozenset({"bool", "int8", "uint8", "int16", "uint16"})


def whole(value: Any) -> Any:
    """A NumPy integer as Python's; anything else as it is, for a validator to look at."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def axis_of(call: str, name: str, x: mx.array, axis: Any) -> int:
    """An axis of an array, counted from the front.

    Raises:
        ScanError: It has no such axis.
    """
    number = whole(axis)
    if type(number) is not int or not -x.ndim <= number < x.ndim:
        raise errors.ScanError(f"[{call}] axis {axis!r:.20} is no axis of {name}, whose shape is {x.shape}.")
    return number % x.ndim


def trailing(event: Any) -> Any:
    """Numbers of trailing axes, NumPy's as Python's; anything else as it is, for who reads them to look at."""
    return tuple(map(whole, event)) if type(event) is tuple else whole(event)


def fill(like: mx.array, value: complex) -> mx.array:
    """An array like another with one number throughout."""
    return mx.broadcast_to(dtypes.constant(value, dtypes.name_of(like.dtype)), like.shape)


def lowest(like: mx.array) -> mx.array:
    """The identity of ``max``: -inf, the smallest integer, or False."""
    return fill(like, dtypes.lowest(dtypes.name_of(like.dtype)))


def highest(like: mx.array) -> mx.array:
    """The identity of ``min``: inf, the largest integer, or True."""
    return fill(like, dtypes.highest(dtypes.name_of(like.dtype)))


def places(index: mx.array, size: int) -> mx.array:
    """Which of ``size`` places each index names: negative ones count from the end, what lies outside is clamped.

    MLX's own gathers count from the end too, but read out of bounds.
    """
    index = index if dtypes.holds(dtypes.name_of(index.dtype), size) else index.astype(mx.int32)
    if dtypes.name_of(index.dtype) in dtypes.UNSIGNED:
        return mx.minimum(index, size - 1)
    return mx.clip(mx.where(index < 0, index + size, index), 0, size - 1)
