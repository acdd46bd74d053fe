"""Numbers and tables as text."""

from __future__ import annotations


def milliseconds(seconds: float) -> str:
    """Three digits, without a point from 100 on."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown_table(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table with padded columns, so that it reads well in a terminal too."""
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    rows = [header, ["-" * width for width in widths], *lines]
    return "\n".join("| " + " | ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) + " |" for row in rows)
