"""Operators by name: ``Affine``, ``Segmented(Sum())``, ``package.module:Name``."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import monoscan.monoids as library
from monoscan import errors
from monoscan.monoids import written
from monoscan.monoids.base import Semigroup


def operator(text: str) -> Semigroup:
    """The operator that a command line names.

    Args:
        text: An operator of this library, called or not, as ``Moments(2)`` or ``Affine``, or
            ``package.module:Name`` of an importable one (an operator, a class of one that
            takes no arguments, or a function that returns one). Inside a call it is written
            with dots: ``Segmented(package.module.Name())``.

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


def text(given: Semigroup) -> str | None:
    """What `operator` finds this operator by, or ``None`` if it has no such name."""
    return next(_places(given), None) or _written(given)


def _written(given: Any) -> str | None:
    """An operator of this library as a call, if its arguments are literals and operators."""
    kind = type(given)
    place = next(_places(given), None) if isinstance(given, Semigroup) else None
    if place is not None:
        return _called(place)
    if getattr(library, kind.__name__, None) is not kind:
        return _literal(given)
    if isinstance(given, library.Tuple):
        arguments: list[tuple[str, Any]] = [("", part) for part in given.parts]
    elif isinstance(given, library.Struct):
        arguments = list(given.items)
    else:
        arguments = written.arguments(given)
    shown = [(f"{keyword}=" * bool(keyword), _written(value)) for keyword, value in arguments]
    if any(value is None for _, value in shown):
        return None
    return f"{kind.__name__}({', '.join(f'{start}{value}' for start, value in shown)})"


def _called(place: str) -> str:
    """A name as it is written inside a call."""
    module, _, name = place.partition(":")
    return f"{module}.{name}" + "()" * isinstance(getattr(sys.modules[module], name), type)


def _literal(value: Any) -> str | None:
    plain = isinstance(value, (bool, int, float, str)) or value is None
    nested = isinstance(value, tuple) and all(_literal(each) is not None for each in value)
    return repr(value) if plain or nested else None


def _places(given: Semigroup) -> Iterator[str]:
    """The names in the modules of an operator's class and function that stand for it."""
    for source in (type(given), getattr(given, "function", None)):
        module = sys.modules.get(getattr(source, "__module__", None) or "")
        if module is None or module.__name__ == "__main__" or module.__name__.startswith("monoscan."):
            continue
        for name, value in vars(module).items():
            if value is given or (value is type(given) and _made_alike(value, given)):
                yield f"{module.__name__}:{name}"


def _made_alike(kind: Any, given: Semigroup) -> bool:
    """Whether the class without arguments makes this operator."""
    try:
        return bool(kind() == given)
    except (TypeError, ValueError):
        return False


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
    """Calls of this library's names, and of those of importable modules, on literals: nothing else is evaluated."""
    try:
        return _evaluate(ast.parse(text, mode="eval").body, text)
    except SyntaxError as error:
        raise errors.ScanError(f"[operator] cannot read the operator {text!r}: {error.msg}.") from error


def _evaluate(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        found = getattr(library, node.id, None)
        if found is None:
            raise errors.ScanError(_unknown(node.id))
        return found
    if isinstance(node, ast.Attribute):
        module, _, name = ast.unparse(node).rpartition(".")
        return _imported(f"{module}:{name}")
    if isinstance(node, ast.Call):
        arguments = [_evaluate(argument, text) for argument in node.args]
        keywords = {keyword.arg: _evaluate(keyword.value, text) for keyword in node.keywords if keyword.arg}
        return _evaluate(node.func, text)(*arguments, **keywords)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise errors.ScanError(f"[operator] {text!r} may hold operators and literals only.") from error


def _unknown(name: str) -> str:
    """What to say of a name that no operator has."""
    folded = {known.casefold(): known for known in catalogue()}
    close = [folded[found] for found in get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"[operator] there is no operator {name}.{guess} Known are {', '.join(catalogue())}."


def catalogue() -> list[str]:
    """The names of all operators of this library."""
    values = vars(library).items()
    named = [name for name, value in values if isinstance(value, type) and issubclass(value, Semigroup)]
    return sorted(name for name in named if not name.startswith("Custom") and name not in ("Semigroup", "Monoid"))
