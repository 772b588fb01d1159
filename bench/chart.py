"""The charts: the common operations as ratios to in step, and the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .cases import CASES
from .contenders import ORIGINAL, SLOTS, STEP
from .curves import DATACLASS, DICT, NAMES, TUPLE, Panel, conditions
from .curves import PANELS as CURVES
from .targets import Results
from .text import HEADINGS, times

PANELS = ("make", "read", "set", "index", "key", "to_tuple")
COLUMNS = 3
OURS, THEIRS, PEER = "#0b7285", "#e8590c", "#b8c0c8"
INK, FAINT = "#212529", "#868e96"
# What tells lines of one colour apart, and the names that stand at their ends.
DASHES = {SLOTS: "--", DATACLASS: "--", DICT: ":", TUPLE: "-."}
LABELS = {name: HEADINGS.get(name, name).replace("-\n", "").replace("\n", " ") for name in NAMES}
LINE_HEIGHT = 0.075  # of a panel


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
    everything = [value for ratios in panels.values() for value in ratios.values()]
    limits = (min(everything) / 1.6, max(everything) * 3.5)
    keys = list(panels)
    heights = [
        max(len(panels[key]) for key in keys[first : first + COLUMNS])
        for first in range(0, len(keys), COLUMNS)
    ]
    figure, grid = _grid(
        "Cost relative to fastoutputs in step (= 1), logarithmic: shorter is cheaper",
        (13, 0.27 * sum(heights) + 0.5 * len(heights) + 0.5),
        heights,
        COLUMNS,
    )
    for place, axes in enumerate(grid.flat):
        if place < len(keys):
            _panel(axes, CASES[keys[place]].title, panels[keys[place]], limits)
            # Bars are equally thick everywhere, whether a panel has five of them or twelve.
            axes.set_ylim(heights[place // COLUMNS] - 0.4, -0.6)
        else:
            axes.set_visible(False)
    _save(figure, path)


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
    _frame(axes, title)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for label in axes.get_yticklabels():
        if colour(label.get_text()) != PEER:
            label.set_color(colour(label.get_text()))
            label.set_fontweight("bold")
    axes.spines["bottom"].set_visible(False)


def draw_curves(path: Path, results: Mapping[str, Any]) -> None:
    """A panel for each curve, its lines named where they end."""
    keys = list(results["panels"])
    rows = math.ceil(len(keys) / COLUMNS)
    figure, grid = _grid(
        f"Curves: lower is better, but for threads ({conditions(results)})",
        (13, 3.3 * rows + 0.4),
        [1] * rows,
        COLUMNS,
    )
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_visible(False)
    for key, axes in zip(keys, grid.flat):
        _lines(axes, CURVES[key], results["panels"][key])
    figure.draw_without_rendering()  # where the ends of the lines are is known from here on
    for key, axes in zip(keys, grid.flat):
        _label_ends(axes, results["panels"][key])
    _save(figure, path)


def _lines(axes: plt.Axes, panel: Panel, found: Mapping[str, Any]) -> None:
    for name, values in found["curves"].items():
        axes.plot(
            found["counts"],
            values,
            color=colour(name),
            linestyle=DASHES.get(name, "-"),
            linewidth=1.3 if colour(name) == PEER else 2,
            marker="o",
            markersize=3,
            zorder=2 if colour(name) == PEER else 3,
        )
    _frame(axes, panel.title)
    axes.set_xscale("log", base=10 if max(found["counts"]) > 100 else 2)
    axes.set_yscale("log")
    axes.set_xlabel(panel.along, color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: panel.readable(value))
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.minorticks_off()
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color=PEER, linewidth=0.4)


def _label_ends(axes: plt.Axes, found: Mapping[str, Any]) -> None:
    """The names at the right, as far apart as they must be, each tied to the end of its line."""
    last = found["counts"][-1]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = {name: to_axes.transform((last, values[-1])) for name, values in found["curves"].items()}
    ranked = sorted(ends, key=lambda name: ends[name][1])
    heights = spread([float(ends[name][1]) for name in ranked], LINE_HEIGHT)
    for name, height in zip(ranked, heights):
        axes.annotate(
            LABELS[name],
            ends[name],
            (1.06, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=INK if colour(name) == PEER else colour(name),
            fontweight="normal" if colour(name) == PEER else "bold",
            fontsize=8,
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour(name), "linewidth": 0.5},
        )


def spread(heights: list[float], least: float) -> list[float]:
    """Ascending heights, moved apart to at least that distance, and as little as that takes."""
    # Neighbours that would touch share one block, which stands where its members wanted to on average.
    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([height])
        while len(blocks) > 1 and _foot(blocks[-1], least) < _foot(blocks[-2], least) + least * len(
            blocks[-2]
        ):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [_foot(block, least) + least * place for block in blocks for place in range(len(block))]


def _foot(block: list[float], least: float) -> float:
    return sum(block) / len(block) - least * (len(block) - 1) / 2


def short(count: float) -> str:
    """1,000 as 1k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"


# What both charts have.


def _grid(
    title: str, size: tuple[float, float], heights: list[int], columns: int
) -> tuple[plt.Figure, Any]:
    plt.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}
    figure, grid = plt.subplots(
        len(heights),
        columns,
        squeeze=False,
        figsize=size,
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    figure.suptitle(title, color=INK, fontsize=12)
    return figure, grid


def _frame(axes: plt.Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
