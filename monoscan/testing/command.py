"""What ``monoscan laws package.module:Name`` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from monoscan import errors
from monoscan.monoids import named
from monoscan.testing.laws.check import check_laws
from monoscan.testing.laws.drawn import DTYPES, EXAMPLES, SIZE
from monoscan.testing.laws.report import LawError

_SILENT_FOR = 2.0


def run_laws(
    target: str, seed: int = 0, examples: int = EXAMPLES, dtypes: Sequence[str] = DTYPES, size: int = SIZE
) -> int:
    """Checks the laws of the operator that a name stands for, and prints what came of it.

    Args:
        target (str): ``package.module:Name``, or an operator of this library, as
            ``Affine`` or ``Segmented(Sum())``.
        seed (int, optional): Decides which examples are drawn. Default: ``0``.
        examples (int, optional): How many a law and level. Default: ``100``.
        dtypes (sequence(str), optional): As for `check_laws`.
        size (int, optional): As for `check_laws`. Default: ``2``.

    Returns:
        int: 0 if all laws hold, 1 if one does not, 2 if there is no such operator or it
        cannot be checked.
    """
    try:
        operator = named.operator(target)
        report = check_laws(
            operator, dtypes=dtypes, seed=seed, examples=examples, size=size, target=target, progress=_progress()
        )
    except LawError as error:
        print(error)
        return 1
    except (errors.ScanError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    return 0


def _progress() -> Callable[[str], None]:
    """Says what is being checked, once it has taken two seconds."""
    start = time.monotonic()

    def say(what: str) -> None:
        elapsed = time.monotonic() - start
        if elapsed > _SILENT_FOR:
            print(f"[laws] {elapsed:.0f} s: {what}", file=sys.stderr, flush=True)

    return say
