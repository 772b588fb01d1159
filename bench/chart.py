"""The chart: what the common operations cost with every contender, as ratios to in step."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .cases import CASES
from .contenders import ORIGINAL, SLOTS, STEP
from .report import times
from .targets import Results

PANELS = ("make", "read", "set", "index", "key", "to_tuple")
COLUMNS = 3
OURS, THEIRS, PEER = "#0b7285", "#e8590c", "#b8c0c8"
INK, FAINT = "#212529", "#868e96"


def colour(name: str) -> str:
    return OURS if name in (STEP, SLOTS) else THEIRS if name == ORIGINAL else PEER


def draw(path: Path, results: Results) -> None:
    """Bars on one logarithmic axis, a panel for each case, the cheapest on top."""
    panels = {
        key: {name: value / row[STEP] for name, value in row.items()}
        for key in PANELS
        if STEP in (row := results.get(key, {}))
    }
    if not panels:
        return
    plt.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}
    everything = [value for ratios in panels.values() for value in ratios.values()]
    limits = (min(everything) / 1.6, max(everything) * 3.5)
    keys = list(panels)
    heights = [
        max(len(panels[key]) for key in keys[first : first + COLUMNS])
        for first in range(0, len(keys), COLUMNS)
    ]
    figure, grid = plt.subplots(
        len(heights),
        COLUMNS,
        squeeze=False,
        figsize=(13, 0.27 * sum(heights) + 0.5 * len(heights) + 0.5),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    figure.suptitle(
        "Cost relative to fastoutputs in step (= 1), logarithmic: shorter is cheaper",
        color=INK,
        fontsize=12,
    )
    for place, axes in enumerate(grid.flat):
        if place < len(keys):
            _panel(axes, CASES[keys[place]].title, panels[keys[place]], limits)
            # Bars are equally thick everywhere, whether a panel has five of them or twelve.
            axes.set_ylim(heights[place // COLUMNS] - 0.4, -0.6)
        else:
            axes.set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _panel(
    axes: plt.Axes, title: str, ratios: dict[str, float], limits: tuple[float, float]
) -> None:
    ranked = sorted(ratios, key=ratios.__getitem__)
    lengths = [ratios[name] - limits[0] for name in ranked]
    bars = axes.barh(
        ranked, lengths, left=limits[0], color=[colour(name) for name in ranked], height=0.75
    )
    axes.bar_label(bars, [times(ratios[name]) for name in ranked], padding=3, color=INK)
    axes.axvline(1, color=OURS, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for label in axes.get_yticklabels():
        if colour(label.get_text()) != PEER:
            label.set_color(colour(label.get_text()))
            label.set_fontweight("bold")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(FAINT)
