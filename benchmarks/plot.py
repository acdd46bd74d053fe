"""A log-log plot of time against length, as an SVG file: `python -m benchmarks.plot RESULTS.json PLOT.svg`."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.kernels import EXPONENTS, LINEAR_KEYS

WIDTH, HEIGHT, MARGIN = 640, 400, 60
SWATCH, GAP = 18, 6  # of the legend
COLOURS = ("#0f8fbf", "#e0682c", "#a06cd5", "#3fa34d")
INK = "#808080"  # as readable on a dark page as on a light one


@frozen
class Frame:
    """Maps an exponent of two and seconds to a point of the picture."""

    exponents: tuple[int, int]
    decades: tuple[int, int]

    def x(self, exponent: float) -> float:
        """Position of a length of 2^exponent."""
        low, high = self.exponents
        return MARGIN + (exponent - low) / (high - low) * (WIDTH - 2 * MARGIN)

    def y(self, seconds: float) -> float:
        """Position of a time."""
        low, high = self.decades
        return HEIGHT - MARGIN - (math.log10(seconds) - low) / (high - low) * (HEIGHT - 2 * MARGIN)


def curves(results: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Points (exponent, seconds) of each peer, with the buffer cache raised where the suite raises it."""
    exponents = dict(zip(LINEAR_KEYS, EXPONENTS, strict=True))
    found: dict[str, list[tuple[int, float]]] = {}
    for timing in results["timings"]:
        if timing["case"] in exponents and timing["median"] is not None:
            found.setdefault(timing["peer"], []).append((exponents[timing["case"]], timing["median"]))
    return found


def svg(lines: dict[str, list[tuple[int, float]]]) -> str:
    """The picture."""
    times = [seconds for points in lines.values() for _, seconds in points]
    decades = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    frame = Frame((EXPONENTS[0], EXPONENTS[-1]), decades)
    parts = [
        *_grid(frame),
        *(_curve(frame, i, points) for i, points in enumerate(lines.values())),
        *_legend(list(lines)),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="12">',
            *parts,
            "</svg>\n",
        ]
    )


def _grid(frame: Frame) -> list[str]:
    bottom, right = HEIGHT - MARGIN, WIDTH - MARGIN
    parts = [_text(WIDTH / 2, HEIGHT - 15, "length", "middle"), _text(MARGIN, MARGIN - 20, "time", "middle")]
    for exponent in EXPONENTS:
        parts.append(_text(frame.x(exponent), bottom + 20, f"2^{exponent}", "middle"))
    for decade in range(frame.decades[0], frame.decades[1] + 1):
        y = frame.y(10.0**decade)
        parts.append(
            f'<line x1="{MARGIN}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{INK}" stroke-opacity="0.2"/>'
        )
        parts.append(_text(MARGIN - 8, y + 4, _duration(decade), "end"))
    return parts


def _duration(decade: int) -> str:
    unit, name = (0, "s") if decade >= 0 else (-3, "ms") if decade >= -3 else (-6, "us")
    return f"{10 ** (decade - unit)} {name}"


def _curve(frame: Frame, index: int, points: list[tuple[int, float]]) -> str:
    path = " ".join(f"{frame.x(exponent):.1f},{frame.y(seconds):.1f}" for exponent, seconds in sorted(points))
    return f'<polyline points="{path}" fill="none" stroke="{_colour(index)}" stroke-width="2"/>'


def _legend(peers: list[str]) -> list[str]:
    """Two rows above the plot, where no line of the grid crosses them."""
    parts = []
    for index, peer in enumerate(peers):
        x, y = 2 * MARGIN + index // 2 * (WIDTH - 2 * MARGIN) / 2, 14 + 18 * (index % 2)
        parts.append(f'<rect x="{x:.1f}" y="{y - 5}" width="{SWATCH}" height="2" fill="{_colour(index)}"/>')
        parts.append(_text(x + SWATCH + GAP, y, peer, "start"))
    return parts


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{text}</text>'


def main(arguments: list[str]) -> int:
    """Read a results file of the `kernels` suite, write its plot."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    lines = curves(json.loads(Path(arguments[0]).read_text()))
    if not lines:
        print(f"{arguments[0]} has no timings by length; run `python -m benchmarks kernels`", file=sys.stderr)
        return 1
    Path(arguments[1]).write_text(svg(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
