"""Operators by name: ``Affine``, ``Segmented(Sum())``, ``package.module:Name``."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import monoscan.monoids as library
from monoscan import errors
from monoscan.monoids.base import Semigroup


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
            raise errors.ScanError(
                f"[operator] {text} must be called with arguments, as '{text}(...)': {error}."
            ) from error
    if not isinstance(found, Semigroup):
        raise errors.ScanError(f"[operator] {text} is {type(found).__name__}, not an operator.")
    return found


def _imported(text: str) -> Any:
    module_name, _, path = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise errors.ScanError(
            f"[operator] cannot import {module_name} from {Path.cwd().name}/ or the environment: {error}."
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise errors.ScanError(f"[operator] {module_name} has no {path}; it has {_public(found)}.")
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
        raise errors.ScanError(f"[operator] cannot read the operator {text!r}: {error.msg}.") from error


def _evaluate(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        found = getattr(library, node.id, None)
        if found is None:
            raise errors.ScanError(f"[operator] there is no operator {node.id}; known are {', '.join(catalogue())}.")
        return found
    if isinstance(node, ast.Call):
        arguments = [_evaluate(argument, text) for argument in node.args]
        keywords = {keyword.arg: _evaluate(keyword.value, text) for keyword in node.keywords if keyword.arg}
        return _evaluate(node.func, text)(*arguments, **keywords)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise errors.ScanError(f"[operator] {text!r} may hold operators and literals only.") from error


def catalogue() -> list[str]:
    """The names of all operators of this library."""
    values = vars(library).items()
    named = [name for name, value in values if isinstance(value, type) and issubclass(value, Semigroup)]
    return sorted(name for name in named if not name.startswith("Custom") and name not in ("Semigroup", "Monoid"))
