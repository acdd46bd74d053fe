"""A picture of data, filtered and smoothed level: a PNG with matplotlib, else characters."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from monoscan.demo.nile import Levels, Series

WIDTH = 88
HEIGHT = 17


def has_matplotlib() -> bool:
    """Whether a PNG can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def png(path: Path, years: Series, flows: Series, levels: Levels) -> None:
    """Draws the picture into a file."""
    from matplotlib.figure import Figure  # an optional dependency, and slow to import

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    low, high = _band(levels)
    axes.fill_between(years, low, high, color="tab:blue", alpha=0.15, label="smoothed, 90% band")
    axes.plot(years, flows, ".", color="0.45", label="flow")
    axes.plot(years, levels.filtered, color="tab:orange", linewidth=1, label="filtered level")
    axes.plot(years, levels.smoothed, color="tab:blue", linewidth=2, label="smoothed level")
    axes.set(title="The Nile at Aswan: local level model by parallel scans", xlabel="year", ylabel="flow / 10⁸ m³")
    axes.legend(ncols=4, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def text(years: Series, flows: Series, levels: Levels) -> str:
    """Draws the picture in characters."""
    low, high = _band(levels)
    bottom, top = float(min(flows.min(), low.min())), float(max(flows.max(), high.max()))
    canvas = np.full((HEIGHT, WIDTH), " ")

    def row(value: float) -> int:
        return round((top - value) / (top - bottom) * (HEIGHT - 1))

    columns = np.linspace(years[0], years[-1], WIDTH)
    at = {name: np.interp(columns, years, values) for name, values in (("low", low), ("high", high))}
    for x in range(WIDTH):
        canvas[row(at["high"][x]) : row(at["low"][x]) + 1, x] = "░"
    for mark, values in (("·", levels.filtered), ("━", levels.smoothed)):
        for x, value in enumerate(np.interp(columns, years, values)):
            canvas[row(value), x] = mark
    for year, flow in zip(years, flows, strict=True):
        canvas[row(flow), round((year - years[0]) / (years[-1] - years[0]) * (WIDTH - 1))] = "o"
    return _framed(canvas, top, bottom, years)


def _framed(canvas: np.ndarray, top: float, bottom: float, years: Series) -> str:
    labels = [f"{top:6.0f} ", *["       "] * (HEIGHT - 2), f"{bottom:6.0f} "]
    lines = [label + "│" + "".join(line) for label, line in zip(labels, canvas, strict=True)]
    axis = f"{years[0]:<{WIDTH // 2}.0f}{years[-1]:>{WIDTH // 2}.0f}"
    key = "o flow   · filtered level   ━ smoothed level   ░ its 90% band   (10^8 cubic metres a year)"
    return "\n".join([*lines, " " * 8 + axis, " " * 8 + key])


def _band(levels: Levels) -> tuple[Series, Series]:
    reach = 1.645 * np.sqrt(levels.smoothed_variance)
    return levels.smoothed - reach, levels.smoothed + reach
