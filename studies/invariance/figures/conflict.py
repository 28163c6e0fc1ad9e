"""Gradients and features, step by step over training."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, band, drawn, styled
from robustlens.report.finding import extremes
from studies.invariance.training import (
    CONFLICT,
    COSINE,
    DISTANCE,
    DRIFT,
    GRADIENT,
    by_epoch,
    late,
    of,
    of_seeds,
    read_statistics,
)

# Panel title -> the statistic, the scale of its axis, and the value that separates two sides, if there is one
PANELS = {
    "cosine of the gradients": (COSINE, "linear", 0.0),
    "weights in conflict (share)": (CONFLICT, "linear", 0.5),
    "norm of the invariance gradient": (GRADIENT, "log", None),
    "distance of the features": (DISTANCE, "linear", None),
    "drift of adversarial features, relative": (DRIFT, "log", None),
}
IN_A_ROW = 2


@styled
def build(context: Context, *, statistics: list[Path]) -> Drawing:
    """statistics: `statistics.parquet` files of one dataset."""
    runs = read_statistics(statistics)
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    shown = {name: panel for name, panel in PANELS.items() if len(of(runs, panel[0]))}
    rows = -(-(len(shown) + 1) // IN_A_ROW)
    figure = Figure(figsize=(TEXT_WIDTH, 0.3 + 1.7 * rows), layout="constrained")
    panels = list(figure.subplots(rows, IN_A_ROW, squeeze=False).flat)
    for axes, (name, (which, scale, bar)) in zip(panels, shown.items(), strict=False):
        _lines(axes, of(runs, which), context)
        axes.set_yscale(scale)
        if bar is not None:
            axes.axhline(bar, color=GREY, linewidth=0.6, zorder=0)
        axes.set_title(name, loc="left")
        axes.set_xlabel("epoch")
    for axes in panels[len(shown) :]:
        axes.axis("off")
    looks = {r: _look(runs[runs["recipe"] == r], r, context) for r in recipes}
    handles = [
        Line2D(
            [],
            [],
            color=look["colour"],
            linestyle=look["linestyle"],
            marker=context.marker(r),
            markersize=3.5,
            label=drawn(context.recipe_label(r)),
        )
        for r, look in looks.items()
    ]
    panels[len(shown)].legend(handles=handles, loc="center left")
    text = (
        f"{_finding(runs, shown, context)} Gradients and features in training on {title}, epoch by epoch: means over "
        "the observed steps of an epoch and over seeds, with a band of one standard deviation (dashed: one seed). The "
        "two gradients that are compared are that of both cross-entropies together and that of the invariance loss."
    )
    return Drawing(figure, "Gradients and features over training", context.caption(text))


def _finding(runs: pd.DataFrame, shown: dict[str, tuple], context: Context) -> str:
    """The first statistic shown, in the second half of the epochs."""
    if not shown:
        return "Nothing was observed."
    name, (which, *_) = next(iter(shown.items()))
    rows = of(runs, which)
    values = {
        context.recipe_label(recipe): crossed_interval(of_seeds(late(part)).to_numpy()[:, None])
        for recipe, part in rows.groupby("recipe", sort=False)
    }
    return f"In the second half of the epochs the {name} is {extremes(values)}."


def _lines(axes: Axes, rows: pd.DataFrame, context: Context) -> None:
    for recipe, of_recipe in rows.groupby("recipe", sort=False):
        values = by_epoch(of_recipe)
        few = {"marker": context.marker(recipe), "markersize": 3.5, "markevery": max(1, len(values.columns) // 4)}
        look = _look(of_recipe, recipe, context)
        band(axes, values.columns.to_numpy(), values.to_numpy(), **look, **few, opacity=0.1, linewidth=1)


def _look(of_recipe: pd.DataFrame, recipe: str, context: Context) -> dict[str, str]:
    """Colour and style of a recipe's lines: dashed with one seed."""
    style = "-" if of_recipe["seed"].nunique() > 1 else "--"
    return {"colour": context.colour(recipe), "linestyle": style}
