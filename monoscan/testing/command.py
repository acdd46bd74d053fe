"""What ``monoscan laws package.module:Name`` does."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import reduce

from monoscan import errors
from monoscan.monoids.base import Semigroup
from monoscan.testing.check import DTYPES, check_laws
from monoscan.testing.report import LawError

_SILENT_FOR = 2.0


def run_laws(target: str, seed: int = 0, examples: int = 100, dtypes: Sequence[str] = DTYPES) -> int:
    """Checks the laws of the operator that a name stands for, and prints what came of it.

    Args:
        target (str): ``package.module:Name``, an operator or a class of operators that
            needs no arguments.
        seed (int, optional): Decides which examples are drawn. Default: ``0``.
        examples (int, optional): How many a law and level. Default: ``100``.
        dtypes (sequence(str), optional): As for `check_laws`.

    Returns:
        int: 0 if all laws hold, 1 if one does not, 2 if there is no such operator or it
        cannot be checked.
    """
    try:
        operator = load(target)
        report = check_laws(operator, dtypes=dtypes, seed=seed, examples=examples, target=target, progress=_progress())
    except LawError as error:
        print(error)
        return 1
    except (errors.ScanError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    return 0


def load(target: str) -> Semigroup:
    """The operator that ``package.module:Name`` stands for.

    Raises:
        ScanError: There is no such operator; the message says what is there instead.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise errors.ScanError(f"[laws] expects package.module:Name; got {target!r}, as in monoscan:Affine.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = reduce(getattr, path.split("."), importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        raise errors.ScanError(
            f"[laws] cannot import {module_name}: {error}. Run it where the module can be found."
        ) from error
    except AttributeError as error:
        raise errors.ScanError(f"[laws] {module_name} has no {path}.") from error
    return _operator(target, found)


def _operator(target: str, found: object) -> Semigroup:
    if isinstance(found, type) and issubclass(found, Semigroup):
        kind = found
        try:
            found = kind()
        except TypeError as error:
            raise errors.ScanError(
                f"[laws] {target} needs arguments ({error}). Name an instance, as my_op = {kind.__name__}(...)."
            ) from error
    if not isinstance(found, Semigroup):
        raise errors.ScanError(
            f"[laws] {target} is {type(found).__name__}, no operator. ms.monoid(function, identity=...) makes one."
        )
    return found


def _progress() -> Callable[[str], None]:
    """Says what is being checked, once it has taken two seconds."""
    start = time.monotonic()

    def say(what: str) -> None:
        elapsed = time.monotonic() - start
        if elapsed > _SILENT_FOR:
            print(f"[laws] {elapsed:.0f} s: {what}", file=sys.stderr, flush=True)

    return say
