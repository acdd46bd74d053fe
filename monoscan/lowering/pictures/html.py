"""A plan as HTML, for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from monoscan.lowering.pictures.network import DRAWN, LONGEST, Network, record
from monoscan.lowering.pictures.svg import draw

if TYPE_CHECKING:
    from monoscan.lowering.plan.plan import Plan, Reason

_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"


def page(plan: Plan) -> str:
    """The plan as a table, with the network where it can be drawn."""
    return f'<div style="font-size:90%">{_section(plan, "")}</div>'


def network(plan: Plan, strategy: str | None = None) -> Network:
    """The network of a plan, its tree down to single elements.

    Args:
        plan: The plan.
        strategy: The strategy to draw. Default: that of the plan.

    Raises:
        ScanError: The strategy has no network, or there are too many elements.
    """
    options = plan.problem.options
    length = plan.problem.layout.length
    return record(strategy or plan.strategy, length, reverse=options.reverse, inclusive=options.inclusive)


def _section(plan: Plan, title: str) -> str:
    first, *lines = plan.summary()
    rows = "".join(_row(*line.split(maxsplit=1)) for line in lines)
    reasons = "".join(_reason(reason, reason.row == plan.row) for reason in plan.reasons)
    parts = "".join(_section(part, f"part {i}: ") for i, part in enumerate(plan.parts))
    indent = ' style="margin-left:2em"' if title else ""
    return f"<div{indent}><b>{escape(title + first)}</b><table>{rows}{reasons}</table>{parts}{_picture(plan)}</div>"


def _row(name: str, text: str) -> str:
    return "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in ("", name, text)) + "</tr>"


def _reason(reason: Reason, taken: bool) -> str:
    weight = "font-weight:bold" if taken else "color:gray"
    cells = (f"{'→ ' if taken else ''}{reason.row}", reason.title, reason.text)
    return "<tr>" + "".join(f'<td style="{_CELL};{weight}">{escape(cell)}</td>' for cell in cells) + "</tr>"


def _picture(plan: Plan) -> str:
    """The network, of what is short enough and made of combines that can be seen."""
    shown = plan.problem.options.results and plan.problem.layout.init is None and plan.combine != "kernel"
    return draw(network(plan)) if shown and plan.strategy in DRAWN and plan.problem.layout.length <= LONGEST else ""
