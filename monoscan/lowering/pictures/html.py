"""A plan as HTML, for notebooks."""

from __future__ import annotations

from html import escape

import attrs

from monoscan.lowering.pictures.network import Network
from monoscan.lowering.pictures.svg import draw

_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"


@attrs.frozen
class Section:
    """What is printed of one plan.

    Args:
        title: What is scanned.
        lines: Names, each with what it says.
        reasons: A row's number, its title, and why it was passed or taken.
        row: The row that was taken.
        parts: The same of a product's parts.
        network: What is drawn below.
    """

    title: str
    lines: tuple[str, ...]
    reasons: tuple[tuple[int, str, str], ...]
    row: int
    parts: tuple[Section, ...] = ()
    network: Network | None = None


def page(section: Section) -> str:
    """The plan as a table, with the network where it can be drawn."""
    return f'<div style="font-size:90%">{_text(section, "")}</div>'


def _text(section: Section, indent: str = ' style="margin-left:2em"') -> str:
    rows = "".join(_row(*line.split(maxsplit=1)) for line in section.lines)
    reasons = "".join(_reason(*reason, taken=reason[0] == section.row) for reason in section.reasons)
    below = "".join(map(_text, section.parts)) + (draw(section.network) if section.network else "")
    return f"<div{indent}><b>{escape(section.title)}</b><table>{rows}{reasons}</table>{below}</div>"


def _row(name: str, text: str) -> str:
    return "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in ("", name, text)) + "</tr>"


def _reason(row: int, title: str, text: str, taken: bool) -> str:
    weight = "font-weight:bold" if taken else "color:gray"
    cells = (f"{'→ ' if taken else ''}{row}", title, text)
    return "<tr>" + "".join(f'<td style="{_CELL};{weight}">{escape(cell)}</td>' for cell in cells) + "</tr>"
