"""The hand-written part of kernels: the headers in ``lowering/kernels``, put together in order.

A kernel's text includes them by name. They are put in place here, each once, so that a compiler needs no
search path, and what a kernel is made from is one text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "kernels"

_INCLUDE = re.compile(r'#include "(\w+\.(?:h|cpp))"')


def expand(source: str) -> str:
    """A kernel with all that it includes, the contract with the bridge first."""
    return "\n".join([*_lines('#include "contract.h"\n' + source, "kernel", set())]) + "\n"


def expand_each(sources: str) -> str:
    """The same for the texts of several kernels, one after the other."""
    starts = re.split(r"(?m)^(?=#define MS_WIDTH)", sources)
    return "\n".join([starts[0], *map(expand, starts[1:])]).lstrip("\n")


def driver() -> str:
    """What kernels are linked with."""
    return expand('#include "driver.cpp"\n')


def uses_driver(source: str) -> bool:
    """Whether a kernel is linked with the driver; one written by hand may do without."""
    return '#line 1 "driver.h"' in expand(source)


@functools.cache
def header(name: str) -> str:
    """The text of a header."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _lines(text: str, name: str, seen: set[str]) -> Iterator[str]:
    yield f'#line 1 "{name}"'
    for number, line in enumerate(text.splitlines(), 1):
        found = _INCLUDE.fullmatch(line)
        if found is None:
            yield "" if line == "#pragma once" else line
        elif found[1] not in seen:
            seen.add(found[1])
            yield from _lines(header(found[1]), found[1], seen)
            yield f'#line {number + 1} "{name}"'
