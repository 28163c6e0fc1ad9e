"""Average, worst class, variance and gap of the robust accuracies of the classes, epoch by epoch."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, band, drawn, label_ends, styled
from robustlens.report.finding import extremes
from studies.classwise.history import late_epochs, measured
from studies.classwise.results import span

# Label of a panel -> what it shows, and how
PANELS = {"accuracy (%)": {"Average": "--", "Worst class": "-"}, "MCD (points)": {"MCD": "-"}, "CV": {"CV": "-"}}
HEIGHT = 1.75  # inches, of a panel


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset."""
    runs = read_runs(history, ["epoch", "split", "class_total", "class_robust"])
    runs = runs[runs["split"] == "validation"]
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 0.5 + HEIGHT * len(PANELS)), layout="constrained")
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    for axes, (label, shown) in zip(panels, PANELS.items(), strict=True):
        ends = {}
        for recipe in recipes:
            for name, style in shown.items():
                look = {"linestyle": style, "marker": context.marker(recipe), "markersize": 3.5}
                last = _line(axes, runs[runs["recipe"] == recipe], name, context.colour(recipe), **look)
            ends[drawn(context.recipe_label(recipe))] = (last, context.colour(recipe))
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        label_ends(axes, runs["epoch"].max(), ends, HEIGHT - 0.2)
    panels[-1].set_xlabel("epoch")
    panels[-1].set_xlim(right=runs["epoch"].max())
    handles = [
        Line2D([], [], color=GREY, linestyle="--", label="average of the classes"),
        Line2D([], [], color=GREY, label="worst class"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    counts, seeds = np.array(runs["class_total"].iloc[0]), runs["seed"].nunique()
    text = (
        f"{_finding(runs, recipes, context)} Robust accuracy on validation images of {title} during training "
        f"({span(counts)} images per class). Above: average over the classes (dashed) and the class that is worst at "
        "that epoch. Middle: the best class minus the worst (MCD). Below: the variance over classes of accuracies "
        "between 0 and 1 (CV). " + (f"Mean and standard deviation over {seeds} seeds." if seeds > 1 else "One seed.")
    )
    return Drawing(figure, "Classes over epochs", context.caption(text))


def _finding(runs: pd.DataFrame, recipes: list[str], context: Context) -> str:
    """How far the worst class is below the average in the last quarter of the epochs."""
    behind = {}
    for recipe in recipes:
        late = [late_epochs(run) for _, run in runs[runs["recipe"] == recipe].groupby("seed")]
        gaps = [(measured(run, "Average") - measured(run, "Worst class")).mean() for run in late]
        behind[context.recipe_label(recipe)] = crossed_interval(np.array(gaps)[:, None])
    return (
        "In the last quarter of the epochs, how far the worst class is below the average of all is "
        f"{extremes(behind, 'points')}."
    )


def _line(axes: Axes, runs: pd.DataFrame, name: str, colour: str, **look: object) -> float:
    """One of MEASURES, of the runs of a recipe; where the line ends."""
    epochs, lines = np.sort(runs["epoch"].unique()), np.array([measured(run, name) for _, run in runs.groupby("seed")])
    band(axes, epochs, lines, colour, 0.1, linewidth=1.2, markevery=max(1, len(epochs) // 5), **look)
    return float(lines[:, -1].mean())
