"""Means and variances of single channels, natural images against adversarial ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.invariance.channels import MEANS, VARIANCES, distance, is_shared, read_channels, shown

FEW = 500  # channels of a panel at most for large points
LABELS = {MEANS: "mean (standard deviations)", VARIANCES: "variance"}


@styled
def build(context: Context, *, channels: list[Path]) -> Drawing:
    """channels: `channels.parquet` files of one dataset."""
    rows = read_channels(channels)
    if rows.empty:
        raise RobustlensError(
            "no BatchNorm to look at; take the cohort `channels` out, or choose an architecture with one"
        )
    title, recipes = context.dataset_title(one_dataset(rows)), list(rows["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 0.3 + 2.7 * len(recipes)), layout="constrained")
    panels = figure.subplots(len(recipes), 2, sharex="col", sharey="col", squeeze=False)
    for line, recipe in zip(panels, recipes, strict=True):
        part = rows[rows["recipe"] == recipe]
        for axes, what in zip(line, LABELS, strict=True):
            points = _panel(axes, part, what, int(rows["depth"].max()))
            axes.set_ylabel(f"adversarial: {LABELS[what]}")
        line[0].set_title(drawn(context.recipe_label(recipe)), loc="left")
        line[1].set_title(f"one BatchNorm for {'both' if is_shared(part) else 'each'}", loc="left")
    for axes, what in zip(panels[-1], LABELS, strict=True):
        axes.set_xlabel(f"natural: {LABELS[what]}")
    bar = figure.colorbar(points, ax=panels, shrink=0.6, label="BatchNorm, from the first to the last")
    bar.set_ticks(np.unique(np.linspace(1, rows["depth"].max(), 6).round()))
    seeds = sorted(rows["seed"].unique())
    text = (
        f"{_finding(rows, context)} Means and variances of the inputs of BatchNorm on {title}. Each point is a "
        "channel: its value on natural test images, and on these attacked by PGD-20, each kind through the BatchNorms "
        "that it is trained with; best checkpoints, in eval mode. Numbers in the panels: how far natural and "
        "adversarial images are apart, and how far each kind is from what BatchNorm has stored for it. Means (left) "
        "are compared by their squared difference divided by the mean of the two variances; variances (right) by the "
        "absolute logarithm of their ratio; averaged over channels, then over BatchNorms. "
        f"{'Seed' if len(seeds) == 1 else 'Seeds'} {', '.join(map(str, seeds))}."
    )
    return Drawing(figure, "Channels of natural and of adversarial images", context.caption(text))


def _finding(rows: pd.DataFrame, context: Context) -> str:
    """How far apart the means of both kinds of images are, recipe by recipe."""
    apart = {
        context.recipe_label(recipe): distance(part, "natural", "adversarial", MEANS)
        for recipe, part in rows.groupby("recipe", sort=False)
    }
    return f"The squared distance of natural and adversarial means is {extremes(apart)}."


def _panel(axes: Axes, part: pd.DataFrame, what: str, deepest: int) -> PathCollection:
    """part: the channels of one recipe."""
    natural, adversarial = shown(part, what)
    look = {"s": 9 if len(part) <= FEW else 1.5, "linewidths": 0, "cmap": "viridis", "vmin": 1, "vmax": max(deepest, 2)}
    points = axes.scatter(natural, adversarial, c=part["depth"], **look)
    middle = float(np.median(natural))
    axes.axline((middle, middle), (middle * 2 + 1, middle * 2 + 1), color=GREY, linewidth=0.6, zorder=0)
    if what == VARIANCES:
        axes.set_xscale("log")
        axes.set_yscale("log")
    pairs = {
        "natural to adversarial": ("natural", "adversarial"),
        "stored to natural": ("running_natural", "natural"),
        "stored to adversarial": ("running_adversarial", "adversarial"),
    }
    told = "\n".join(f"{name}: {distance(part, *pair, what):.3g}" for name, pair in pairs.items())
    axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontsize=7)
    return points
