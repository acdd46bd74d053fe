"""What was found, as text to read and to paste into an issue."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field

COPY = "a copy of as many bytes"


@dataclass
class Row:
    """A case that was timed.

    Args:
        case: Its name.
        bytes: What it reads and writes at least.
        seconds: Of one scan.
        peers: The seconds of each peer; or why there are none.
    """

    case: str
    bytes: int
    seconds: float | None
    peers: dict[str, float | str] = field(default_factory=dict)


@dataclass
class Report:
    """All that was found.

    Args:
        machine: The card, the driver, versions.
        wrong: What came out wrong, by case.
        checked: How many cases were compared.
        rows: What was timed.
        notes: What else should be known.
    """

    machine: dict[str, str]
    wrong: dict[str, str] = field(default_factory=dict)
    checked: int = 0
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """All of it, in Markdown."""
        machine = [
            f"- {name}: {value}" for name, value in {**self.machine, "Python": platform.python_version()}.items()
        ]
        parts = ["### monoscan on a GPU", *machine, "", self._correctness(), ""]
        if self.rows:
            parts += [self._table(), "", *self._method(), ""]
        return "\n".join([*parts, *(f"- {note}" for note in self.notes)]).rstrip() + "\n"

    def _correctness(self) -> str:
        if not self.wrong:
            return f"All {self.checked} cases are right."
        lines = [f"**{len(self.wrong)} of {self.checked} cases are wrong:**"]
        return "\n".join([*lines, *(f"- {case}: {text}" for case, text in self.wrong.items())])

    def _table(self) -> str:
        names = list(dict.fromkeys(name for row in self.rows for name in row.peers))
        lines = ["| case | monoscan, ms | GB/s | " + "".join(f"{name} | " for name in names)]
        lines.append("|---" * (3 + len(names)) + "|")
        for row in self.rows:
            speed = "-" if row.seconds is None else f"{row.bytes / row.seconds / 1e9:,.0f}"
            cells = [_cell(row.peers.get(name), row.seconds) for name in names]
            lines.append("| " + " | ".join([row.case, _milliseconds(row.seconds), speed, *cells]) + " |")
        return "\n".join(line.rstrip() for line in lines)

    def _method(self) -> list[str]:
        lines = [
            "Milliseconds of a call, in bursts that are waited for once; in brackets how many times as long as monoscan's."
        ]
        shares = [row.peers[COPY] / row.seconds for row in self.rows
                  if row.seconds and isinstance(row.peers.get(COPY), float)]  # fmt: skip
        if shares:
            lines.append(
                f"Of the speed of a copy: {100 * min(shares):.0f} % at least, {100 * max(shares):.0f} % at most."
            )
        return lines


def _cell(found: float | str | None, own: float | None) -> str:
    if not isinstance(found, float):
        return found or "-"
    return f"{_milliseconds(found)} ({found / own:.2g})" if own else _milliseconds(found)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.3g}"
