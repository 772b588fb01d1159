"""The decoding measurement as a picture."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .decode import Variant, relative

COLOURS = ("#e8590c", "#1098ad", "#0b7285")
INK, FAINT, GRID = "#212529", "#868e96", "#e9ecef"
TITLE = {"loc": "left", "fontsize": 10, "color": INK}


def draw(path: Path, found: list[Variant], tokens: int) -> None:
    original, best = found[0], found[-1]
    saved = 1 - relative(best, original)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.2), width_ratios=(1.35, 1), layout="constrained"
    )
    figure.suptitle(
        f"The same {tokens} tokens of a two-layer Llama, {saved:.0%} less time",
        x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK,
    )  # fmt: skip
    _rounds(left, found)
    _outputs(right, found)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _labels(found: list[Variant]) -> list[str]:
    return [variant.name.replace(", ", "\n") for variant in found]


def _rounds(axes: plt.Axes, found: list[Variant]) -> None:
    """Every round a dot, so that the noise is seen beside the difference."""
    spread = random.Random(0)
    for row, (variant, colour) in enumerate(zip(found, COLOURS, strict=True)):
        middle = statistics.median(variant.per_token)
        heights = [row + spread.uniform(-0.16, 0.16) for _ in variant.per_token]
        axes.scatter(variant.per_token, heights, s=16, color=colour, alpha=0.45, linewidth=0)
        axes.plot([middle, middle], [row - 0.27, row + 0.27], color=colour, linewidth=2.5)
        axes.text(
            middle, row - 0.31, f"{middle:.0f} µs",
            ha="center", va="bottom", color=colour, fontweight="bold",
        )  # fmt: skip
    # A round that the machine interrupted would squeeze all others together.
    everything = sorted(value for variant in found for value in variant.per_token)
    low, high = everything[0], everything[int(0.97 * (len(everything) - 1))]
    margin = 0.08 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(len(found) - 0.5, -0.6)
    axes.set_yticks(range(len(found)), _labels(found))
    axes.set_title("One token of generate(), µs: a dot a round, axis not from 0", **TITLE)
    axes.grid(axis="x", color=GRID)
    _clean(axes, "top", "right", "left")


def _outputs(axes: plt.Axes, found: list[Variant]) -> None:
    costs = [variant.in_outputs for variant in found]
    bars = axes.barh(range(len(found)), costs, color=COLOURS, height=0.5)
    axes.bar_label(bars, [f"{cost:.2f} µs" for cost in costs], padding=5, color=INK)
    axes.set_xlim(0, max(costs) * 1.25)
    axes.set_ylim(len(found) - 0.5, -0.6)
    axes.set_yticks([])
    axes.set_title("Making and reading its two outputs, alone", **TITLE)
    axes.xaxis.set_visible(False)
    _clean(axes, "top", "right", "bottom")


def _clean(axes: plt.Axes, *sides: str) -> None:
    for side in sides:
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
