"""Operators by name: ``Affine``, ``Segmented(Sum())``, ``package.module:Name``."""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan
from monoscan import dtypes, errors, tree
from monoscan.monoids.base import Semigroup
from monoscan.tree import Tree

_BOOL_LEAVES = frozenset({"flag", "valid"})
_INDEX_LEAVES = frozenset({"index"})
_EVENT_SIZES = {"q": 4, "t": 3}
_DTYPES = ("float32", "int32", "bool")


def operator(text: str) -> Semigroup:
    """The operator that a command line names.

    Args:
        text: An operator of this library, called or not, as ``Moments(2)`` or ``Affine``, or
            ``package.module:Name`` of an importable one (an operator, a class of one that
            takes no arguments, or a function that returns one).

    Raises:
        ScanError: There is none of that name.
    """
    found = _imported(text) if ":" in text else _expression(text)
    if not isinstance(found, Semigroup) and callable(found):
        try:
            found = found()
        except TypeError as error:
            raise errors.ScanError(f"[cli] {text} must be called with arguments, as '{text}(...)': {error}.") from error
    if not isinstance(found, Semigroup):
        raise errors.ScanError(f"[cli] {text} is {type(found).__name__}, not an operator.")
    return found


def _imported(text: str) -> Any:
    module_name, _, path = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise errors.ScanError(
            f"[cli] cannot import {module_name} from {Path.cwd().name}/ or the environment: {error}."
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise errors.ScanError(f"[cli] {module_name} has no {path}; it has {_public(found)}.")
        found = getattr(found, name)
    return found


def _public(module: Any) -> str:
    operators = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (isinstance(value, Semigroup) or _is_operator_class(value))
    ]
    return ", ".join(operators) or "no operators"


def _is_operator_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Semigroup)


def _expression(text: str) -> Any:
    """Calls of this library's names on literals: nothing else is evaluated."""
    try:
        return _evaluate(ast.parse(text, mode="eval").body, text)
    except SyntaxError as error:
        raise errors.ScanError(f"[cli] cannot read the operator {text!r}: {error.msg}.") from error


def _evaluate(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        found = getattr(monoscan, node.id, None)
        if found is None:
            raise errors.ScanError(f"[cli] there is no operator {node.id}; known are {', '.join(catalogue())}.")
        return found
    if isinstance(node, ast.Call):
        arguments = [_evaluate(argument, text) for argument in node.args]
        keywords = {keyword.arg: _evaluate(keyword.value, text) for keyword in node.keywords if keyword.arg}
        return _evaluate(node.func, text)(*arguments, **keywords)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise errors.ScanError(f"[cli] {text!r} may hold operators and literals only.") from error


def catalogue() -> list[str]:
    """The names of all operators of this library."""
    values = vars(monoscan).items()
    named = [name for name, value in values if isinstance(value, type) and issubclass(value, Semigroup)]
    return sorted(name for name in named if not name.startswith("Custom") and name not in ("Semigroup", "Monoid"))


def example(found: Semigroup, shape: tuple[int, ...], dtype: str | None = None, event: int | None = None) -> Tree:
    """Elements of the operator: random leaves of this shape, with event axes behind it.

    Args:
        found: The operator.
        shape: The shape of each leaf, without event axes.
        dtype: Of the elements. Default: the first of float32, int32 and bool that the operator takes.
        event: The size of event axes. Default: what the operator needs, else 2.
    """
    names, structure = tree.flatten(found.template if found.template is not None else "x")
    kinds = _kinds(found, names, dtype)
    random = np.random.default_rng(0)
    sizes = [event or _EVENT_SIZES.get(name) or getattr(found, "k", 2) for name in names]
    shapes = [(*shape, *(size,) * axes) for size, axes in zip(sizes, found.events(structure), strict=True)]
    return tree.unflatten(structure, [_leaf(random, s, kind) for s, kind in zip(shapes, kinds, strict=True)])


def _kinds(found: Semigroup, names: list[str], dtype: str | None) -> tuple[str, ...]:
    """The dtype of each leaf."""
    for candidate in (dtype,) if dtype else _DTYPES:
        kinds = tuple("bool" if n in _BOOL_LEAVES else "int32" if n in _INDEX_LEAVES else candidate for n in names)
        with contextlib.suppress(errors.ScanTypeError):
            found.check(kinds)
            break
    return kinds


def _leaf(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> mx.array:
    """Values that no operator finds hard: from 0.5 to 1, or 0 and 1."""
    if kind in dtypes.FLOATS | dtypes.COMPLEX:
        return mx.array(random.uniform(0.5, 1, shape).astype(np.float32)).astype(dtypes.by_name(kind), stream=mx.cpu)
    return mx.array(random.integers(0, 2, shape, np.int8)).astype(dtypes.by_name(kind), stream=mx.cpu)
