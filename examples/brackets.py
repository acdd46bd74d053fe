"""Matching brackets in parallel: where a text breaks, and how deep it goes.

`Bracket` counts what is left open and what closes nothing. Its scan says so for every
prefix: the first position where something closes nothing is where the text breaks.
"""

from pathlib import Path

import mlx.core as mx
import numpy as np

import monoscan as ms

OPEN, CLOSE = "([{", ")]}"


def check(text: str) -> tuple[bool, int, int]:
    """Whether the brackets match, the greatest depth, and where the first one closes nothing (or -1)."""
    bracket = ms.Bracket()
    signs = mx.array([(c in OPEN) - (c in CLOSE) for c in text])
    closes, opens = ms.scan(bracket, bracket.embed(signs))
    matched = bracket.project((closes[-1], opens[-1])).item()
    unopened = np.flatnonzero(np.array(closes))
    return matched, opens.max().item(), int(unopened[0]) if unopened.size else -1


def plain(text: str) -> tuple[bool, int, int]:
    """The same with a counter."""
    depth, deepest, first = 0, 0, -1
    for place, c in enumerate(text):
        if c in CLOSE and depth == 0:
            first = place if first < 0 else first
        else:
            depth += (c in OPEN) - (c in CLOSE)
        deepest = max(deepest, depth)
    return depth == 0 and first < 0, deepest, first


def main() -> None:
    source = Path(__file__).read_text().replace('"([{", ")]}"', "")
    for name, text in {"this file": source, "an open end": "f(a[0]", "a stray one": "f(a[0])) + (b)"}.items():
        matched, deepest, first = check(text)
        assert (matched, deepest, first) == plain(text), "another answer than the counter's"
        where = f", broken at {first}" if first >= 0 else ""
        print(f"{name:12} {'matched' if matched else 'not matched'}, {deepest} deep{where}")
    print("as a counter walks through them")


if __name__ == "__main__":
    main()
