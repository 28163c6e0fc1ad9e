"""Natural and adversarial images as BatchNorm sees them, over training."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, band, drawn, styled
from robustlens.report.finding import extremes, printed
from robustlens.report.lists import listed
from studies.invariance.training import (
    CHANGED_ADVERSARIAL,
    CHANGED_NATURAL,
    CHANGED_SHARED,
    MEANS,
    MOVED_ADVERSARIAL,
    MOVED_NATURAL,
    MOVED_SHARED,
    VARIANCES,
    by_epoch,
    differences,
    late,
    of,
    of_seeds,
    read_statistics,
)

SHARED, SPLIT = "arat-shared-batchnorm", "arat"  # what the claims about split BatchNorm compare
STYLES = {"-": "one BatchNorm", "--": "of two, the adversarial one", ":": "of two, the natural one"}
# Panel title -> the label of its axis, and each statistic with the style of its lines
PANELS = {
    "natural against adversarial inputs: means": ("squared distance", {MEANS: "-"}),
    "natural against adversarial inputs: variances": ("logarithm of their ratio", {VARIANCES: "-"}),
    "movement of the running means": (
        "standard deviations",
        {MOVED_SHARED: "-", MOVED_ADVERSARIAL: "--", MOVED_NATURAL: ":"},
    ),
    "movement of the running variances": (
        "logarithm of their ratio",
        {CHANGED_SHARED: "-", CHANGED_ADVERSARIAL: "--", CHANGED_NATURAL: ":"},
    ),
}


@styled
def build(context: Context, *, statistics: list[Path]) -> Drawing:
    """statistics: `statistics.parquet` files of one dataset."""
    runs = read_statistics(statistics)
    title, recipes = context.dataset_title(one_dataset(runs)), list(runs["recipe"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 4.4 + 0.17 * -(-len(recipes) // 3)), layout="constrained")
    panels = list(figure.subplots(2, 2, sharex=True).flat)
    for axes, (name, (label, shown)) in zip(panels, PANELS.items(), strict=True):
        _lines(axes, runs, shown, context)
        axes.set_title(name, loc="left")
        axes.set_ylabel(label)
        axes.set_yscale("log")
    for axes in panels[2:]:
        axes.set_xlabel("epoch")
    styles = [Line2D([], [], color=GREY, linestyle=style, label=name) for style, name in STYLES.items()]
    panels[2].legend(handles=styles)
    handles = [
        Line2D(
            [],
            [],
            color=context.colour(r),
            marker=context.marker(r),
            markersize=3,
            label=drawn(context.recipe_label(r)),
        )
        for r in recipes
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    text = (
        f"{_finding(runs, context)} What BatchNorm sees of natural and of adversarial images on {title}, mean over "
        "layers, epoch by epoch. Above: how far apart both kinds are at its inputs: the squared difference of a "
        "channel's means, divided by its variance (left), and the absolute logarithm of the ratio of its variances "
        "(right). Below: how far running means (left) and running variances (right) move from one observed step to "
        "the next. A BatchNorm that both kinds of images share is updated twice a step, and moves farther for that "
        f"reason alone; the claims about split BatchNorm are judged with a factor for it{_uncorrected(runs)}. Means "
        "over seeds, with a band of one standard deviation where there are several."
    )
    return Drawing(figure, "Statistics of natural and of adversarial features", context.caption(text))


def _finding(runs: pd.DataFrame, context: Context) -> str:
    """How far apart the means of both kinds of images are, in the second half of the epochs."""
    values = {
        context.recipe_label(recipe): crossed_interval(of_seeds(late(rows)).to_numpy()[:, None])
        for recipe, rows in of(runs, MEANS).groupby("recipe", sort=False)
    }
    if not values:
        return "How far apart natural and adversarial images are was not observed."
    return (
        f"In the second half of the epochs the squared distance of natural and adversarial means is {extremes(values)}."
    )


def _uncorrected(runs: pd.DataFrame) -> str:
    """What these claims would be judged by without the factor, where it was observed."""
    one = late(of(runs[runs["recipe"] == SHARED], MOVED_SHARED))
    parts = []
    for which, name in ((MOVED_ADVERSARIAL, "adversarial"), (MOVED_NATURAL, "natural")):
        values = differences(one, late(of(runs[runs["recipe"] == SPLIT], which)))
        if values.size:
            parts.append(f"{printed(crossed_interval(values))} for the {name} one")
    if not parts:
        return ""
    return (
        ". Without that factor, the movement of the shared BatchNorm's means minus that of one of two is "
        f"{listed(parts)}, and an interval that holds 0 would leave its claim open"
    )


def _lines(axes: Axes, runs: pd.DataFrame, shown: dict[tuple[str, str], str], context: Context) -> None:
    """shown: statistic -> the style of its line."""
    for which, style in shown.items():
        for recipe, rows in of(runs, which).groupby("recipe", sort=False):
            values = by_epoch(rows)
            few = {"marker": context.marker(recipe), "markersize": 3, "markevery": max(1, len(values.columns) // 4)}
            look = {"linestyle": style, "linewidth": 1, "opacity": 0.1, **few}
            band(axes, values.columns.to_numpy(), values.to_numpy(), context.colour(recipe), **look)
