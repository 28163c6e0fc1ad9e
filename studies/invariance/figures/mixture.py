"""Natural and adversarial images as BatchNorm sees them, over training."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, band, drawn, styled
from studies.invariance.training import (
    MEANS,
    MOVED_ADVERSARIAL,
    MOVED_NATURAL,
    MOVED_SHARED,
    by_epoch,
    of,
    read_statistics,
)

DISTANCE = {MEANS: "-"}
MOVEMENT = {MOVED_SHARED: "-", MOVED_ADVERSARIAL: "--", MOVED_NATURAL: ":"}
STYLES = {"-": "one BatchNorm", "--": "of two, the adversarial one", ":": "of two, the natural one"}


@styled
def build(context: Context, *, statistics: list[Path]) -> Drawing:
    """statistics: `statistics.parquet` files of one dataset."""
    runs = read_statistics(statistics)
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 2.6 + 0.17 * -(-len(recipes) // 3)), layout="constrained")
    left, right = figure.subplots(1, 2)
    _lines(left, runs, DISTANCE, context)
    left.set_title("natural against adversarial inputs", loc="left")
    left.set_ylabel("squared distance of the means")
    _lines(right, runs, MOVEMENT, context)
    right.set_title("movement of the running means", loc="left")
    right.set_ylabel("running standard deviations")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.set_yscale("log")
    left.legend(handles=[Line2D([], [], color=GREY, linestyle=style, label=name) for style, name in STYLES.items()])
    handles = [Line2D([], [], color=context.colour(r), label=drawn(context.recipe_label(r))) for r in recipes]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    text = (
        f"What BatchNorm sees of natural and of adversarial images on {title}, mean over layers, epoch by epoch. "
        "Left: squared difference of a channel's means, divided by its variance. Right: how far running means move "
        "from one observed step to the next. Means over seeds, with a band of one standard deviation where there are "
        "several."
    )
    return Drawing(figure, "Statistics of natural and of adversarial features", context.caption(text))


def _lines(axes: Axes, runs: pd.DataFrame, shown: dict[tuple[str, str], str], context: Context) -> None:
    """shown: statistic -> the style of its line."""
    for which, style in shown.items():
        for recipe, rows in of(runs, which).groupby("recipe", sort=False):
            values = by_epoch(rows)
            look = {"linestyle": style, "linewidth": 1}
            band(axes, values.columns.to_numpy(), values.to_numpy(), context.colour(recipe), **look)
