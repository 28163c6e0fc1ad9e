"""What the figures over weights and over sizes share."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes

from robustlens.analysis.frames import seeds_by_images
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.report.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from studies.proxy.curves import MATCHED, Curve
from studies.proxy.results import of_attack

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE)  # of curves
MARKERS = "osD^v"  # beside the colours


def accuracies(axes: Axes, runs: pd.DataFrame, curve: Curve, attack: str, colour: str, label: str) -> None:
    """The accuracies of a curve's recipes as points with intervals. runs: with points, of one dataset and threat."""
    found = {
        number: interval(rows) for number, name in curve.recipes.items() if len(rows := of_attack(runs, name, attack))
    }
    marker = MARKERS[COLOURS.index(colour)]
    axes.plot(list(found), [i.estimate for i in found.values()], color=colour, marker=marker, markersize=4, label=label)
    axes.vlines(
        list(found), [i.low for i in found.values()], [i.high for i in found.values()], color=colour, linewidth=0.8
    )


def matched_line(axes: Axes, runs: pd.DataFrame, curves: Iterable[Curve], attack: str) -> None:
    """A line across for what the curves are matched with, each recipe once, with its interval as a band."""
    for recipe in dict.fromkeys(curve.matched for curve in curves if curve.matched):
        if len(rows := of_attack(runs, recipe, attack)):
            level = interval(rows)
            axes.axhline(level.estimate, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label=MATCHED)
            axes.axhspan(level.low, level.high, color=GREY, alpha=0.15, linewidth=0)


def legend(axes: Axes) -> tuple[list, list[str]]:
    """The handles and labels of a panel, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    return list(once.values()), list(once)


def interval(rows: pd.DataFrame) -> Interval:
    """The accuracy in % with its interval over seeds and images. rows: of one recipe under one attack, with points."""
    return crossed_interval(seeds_by_images(rows, "points").to_numpy())
