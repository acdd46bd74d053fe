"""A user's function at work: who runs it, on what, and what becomes of the errors in it."""

from __future__ import annotations

import re
from dis import opmap
from pathlib import Path
from typing import Any

import attrs

from monoscan import errors


@attrs.frozen
class Role:
    """Who runs a user's function, which one, and on what; as a context, the one rule for what it raises.

    What the function itself raises passes unchanged. Where an operation of MLX refuses its
    operands, which MLX says without a word of the scan, it is a `ScanError` that does.

    Args:
        where: The call and the operator.
        part: What the function is to the operator.
        given: What it gets.
        hint: What its writer may have missed.
        slices: Whether that is whole slices, and not one element.
        form: A sentence on how it is called, for a function that takes something else.
    """

    where: str
    part: str
    given: str
    hint: str = ""
    slices: bool = False
    form: str = ""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None or isinstance(error, errors.ScanError):
            return
        text = str(error)
        if _miscalled(error):
            form = self.form and f" {self.form}"
            raise errors.ScanTypeError(
                f"{self.where}: {self.part} is called with {self.given}, but {text}.{form}"
            ) from error
        if not _raised_by_mlx(error):
            return
        if text == "std::bad_cast":
            raise errors.ScanTypeError(
                f"{self.where} uses a Python integer that MLX does not take: those from 2**63 on are written as arrays, "
                "mx.array(np.array(value, np.uint64))."
            ) from error
        if "Attempting to eval" in text or "Only length-1 arrays" in text:
            raise errors.TraceError(
                f"{self.where}: {self.part} reads the value of an array (a Python if, while, bool(), float(), .item() or NumPy "
                "call); it is traced once for all elements. Use mx.where(condition, x, y) to select."
            ) from error
        said = text.rstrip(".") + "."
        raise errors.ScanError(
            f"{self.where}: {self.part} fails on {self.given}: {said}{self.hint and ' ' + self.hint}"
        ) from error


_WORDS = (
    "[",
    "too many indices for array",
    "invalid axis",
    "cannot index mlx",
    "cannot perform",
    "std::bad_cast",
    "only length-1 arrays",
)
"""How MLX's messages begin: with the name of an operation, or, of Python's operators and indices, so."""


_PACKAGE = str(Path(errors.__file__).parent)


def _miscalled(error: BaseException) -> bool:
    """Whether the function takes another number of arguments than it gets here."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    arity = isinstance(error, TypeError) and re.search(r"\) (takes|missing) .* argument", str(error))
    return bool(arity) and trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def _raised_by_mlx(error: BaseException) -> bool:
    """Whether an operation of MLX raised it, and no Python statement."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and trace.tb_frame.f_code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]:
        return False
    return str(error).lower().startswith(_WORDS)
