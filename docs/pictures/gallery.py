"""The pictures of the gallery's pages: `python docs/pictures/gallery.py` writes them beside itself."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import mlx.core as mx
import numpy as np
from matplotlib.figure import Figure

import monoscan as ms
from monoscan import rl

HERE = Path(__file__).parent
STYLE = HERE.parent / "gallery" / "pictures.mplstyle"


def rolling() -> Figure:
    """A price, and what the last 20 days say."""
    rng = np.random.default_rng(4)
    price = mx.array((100 * np.exp(np.cumsum(rng.normal(0, 0.02, 300)))).astype(np.float32))
    both = ms.join(mean=ms.aggregators.Mean(), deviation=ms.aggregators.Std(), high=ms.aggregators.Max())
    found = {name: np.array(values) for name, values in ms.window(both, price, 20).items()}
    low, high = (found["mean"] + sign * 2 * found["deviation"] for sign in (-1, 1))

    fig, ax = plt.subplots()
    ax.plot(np.array(price), color="#808080", lw=0.8, label="price")
    (line,) = ax.plot(found["mean"], label="mean")
    ax.fill_between(range(300), low, high, alpha=0.2, color=line.get_color(), lw=0, label="2 deviations")
    ax.step(range(300), found["high"], where="post", lw=1, label="highest")
    ax.set(xlabel="day", xlim=(0, 299))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=4)
    return fig


def gae() -> Figure:
    """Advantages of two episodes, where the critic expects the same everywhere."""
    n, end = 120, 70
    rewards = np.zeros(n, np.float32)
    rewards[[30, 69, 110]] = 1.0
    dones = np.arange(n) == end - 1
    values = np.full(n + 1, 0.3, np.float32)
    advantages = rl.gae(mx.array(rewards), 0.95, 0.95, mx.array(values), dones=mx.array(dones))

    fig, ax = plt.subplots()
    steps = np.flatnonzero(rewards)
    ax.vlines(steps, 0, 1, color="#808080", lw=1.5, label="reward")
    ax.plot(np.array(advantages), label="advantage")
    ax.plot(values[:n], "--", lw=1, label="value")
    ax.axvline(end - 0.5, color="#808080", ls=":", lw=1)
    ax.set(xlabel="step", xlim=(0, n - 1))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=3)
    return fig


def main() -> None:
    """Writes all of them."""
    mpl.rcParams["svg.hashsalt"] = "monoscan"  # the same names of parts in every run
    with plt.style.context(STYLE):
        for picture in (rolling, gae):
            picture().savefig(HERE / f"{picture.__name__}.svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
