"""The robust accuracy of the worst class, and the average, epoch by epoch."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from studies.classwise.history import robust_by_class
from studies.classwise.results import span

IN_A_ROW = 2


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset."""
    runs = read_runs(history, ["epoch", "split", "class_total", "class_robust"])
    runs = runs[runs["split"] == "validation"]
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    rows = -(-len(recipes) // IN_A_ROW)
    figure = Figure(figsize=(TEXT_WIDTH, 0.5 + 1.9 * rows), layout="constrained")
    panels = figure.subplots(rows, IN_A_ROW, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(recipes) :]:
        axes.axis("off")
    for axes, recipe in zip(panels.flat, recipes, strict=False):
        _lines(axes, runs[runs["recipe"] == recipe], context.colour(recipe))
        axes.set_title(drawn(context.recipe_label(recipe)), loc="left")
    for axes in panels[:, 0]:
        axes.set_ylabel("robust accuracy (%)")
    for axes in panels.flat[max(len(recipes) - IN_A_ROW, 0) : len(recipes)]:
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    handles = [
        Line2D([], [], color=GREY, linestyle="--", label="average of the classes"),
        Line2D([], [], color=GREY, label="worst class"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    counts, seeds = np.array(runs["class_total"].iloc[0]), runs["seed"].nunique()
    text = (
        f"Robust accuracy on validation images of {title} during training ({span(counts)} images per "
        "class): average over the classes (dashed) and the class that is worst at that epoch. "
        + (f"Thin: each of {seeds} seeds; thick: their mean." if seeds > 1 else "One seed.")
    )
    return Drawing(figure, "Worst class and average over epochs", context.caption(text))


def _lines(axes: Axes, runs: pd.DataFrame, colour: str) -> None:
    rates = [100 * robust_by_class(run) for _, run in runs.groupby("seed")]
    epochs = np.sort(runs["epoch"].unique())
    for part, style in ((np.mean, "--"), (np.min, "-")):
        lines = np.array([part(of_run, axis=1) for of_run in rates])
        if len(lines) > 1:
            axes.plot(epochs, lines.T, color=colour, linestyle=style, linewidth=0.6, alpha=0.5)
        axes.plot(epochs, lines.mean(axis=0), color=colour, linestyle=style)
