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
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.classwise.history import late_epochs, measured
from studies.classwise.results import span

# Label of a panel -> what it shows, and how
PANELS = {"accuracy (%)": {"Average": "--", "Worst class": "-"}, "MCD (points)": {"MCD": "-"}, "CV": {"CV": "-"}}


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset."""
    runs = read_runs(history, ["epoch", "split", "class_total", "class_robust"])
    runs = runs[runs["split"] == "validation"]
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 0.5 + 1.5 * len(recipes)), layout="constrained")
    panels = figure.subplots(len(recipes), len(PANELS), sharex=True, sharey="col", squeeze=False)
    for of_recipe, recipe in zip(panels, recipes, strict=True):
        for axes, (label, shown) in zip(of_recipe, PANELS.items(), strict=True):
            for name, style in shown.items():
                _lines(axes, runs[runs["recipe"] == recipe], name, color=context.colour(recipe), linestyle=style)
            axes.set_ylabel(label)
        of_recipe[0].set_title(drawn(context.recipe_label(recipe)), loc="left", pad=2)
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
    handles = [
        Line2D([], [], color=GREY, linestyle="--", label="average of the classes"),
        Line2D([], [], color=GREY, label="worst class"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    counts, seeds = np.array(runs["class_total"].iloc[0]), runs["seed"].nunique()
    text = (
        f"{_finding(runs, recipes, context)} Robust accuracy on validation images of {title} during training "
        f"({span(counts)} images per class). Left: "
        "average over the classes (dashed) and the class that is worst at that epoch. Middle: the best class minus the "
        "worst (MCD). Right: the variance over classes of accuracies between 0 and 1 (CV). "
        + (f"Thin: each of {seeds} seeds; thick: their mean." if seeds > 1 else "One seed.")
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


def _lines(axes: Axes, runs: pd.DataFrame, name: str, **look: str) -> None:
    """One of MEASURES, of the runs of a recipe."""
    epochs, lines = np.sort(runs["epoch"].unique()), np.array([measured(run, name) for _, run in runs.groupby("seed")])
    if len(lines) > 1:
        axes.plot(epochs, lines.T, linewidth=0.6, alpha=0.5, **look)
    axes.plot(epochs, lines.mean(axis=0), **look)
