"""How often discriminators tell generated images from real ones, against the radius that both may be moved by."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.discrimination.area import CHANCE
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.proxy.results import read_areas

MARKERS = "osD^vP*X<>"  # in the order of the generators
NORMS = {"l2": "L2", "linf": "L\u221e"}


@styled
def build(context: Context, *, discrimination: list[Path]) -> Drawing:
    """discrimination: one file per run, of one dataset, from the stage `discriminate`."""
    curves, arcs = read_runs(discrimination), read_areas(discrimination)
    dataset, norm = one_dataset(curves), NORMS[curves["norm"].iloc[0]]
    budgets = sorted(curves["steps"].unique())
    figure = Figure(figsize=(TEXT_WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(1, len(budgets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, steps in zip(panels, budgets, strict=True):
        _panel(axes, curves[curves["steps"] == steps], arcs, context)
        axes.set_title(f"{steps} steps at each radius")
        axes.set_xlabel(f"radius ({norm})")
    panels[0].set_ylabel("balanced accuracy (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    text = (
        f"{_finding(arcs, budgets[-1], context)} Balanced accuracy of discriminators that are adversarially trained "
        f"to tell real test images of {context.dataset_title(dataset)} from generated ones, on images that are moved "
        f"by up to the radius in {norm}; at each radius that of the discriminator that is best on validation images. "
        "In brackets the area above chance (ARC) of each panel. The closer generated images are to real ones, copies "
        "included, the sooner a curve falls."
    )
    return Drawing(figure, "Telling real from generated images", context.caption(text))


def _finding(arcs: pd.DataFrame, steps: int, context: Context) -> str:
    """Whose images are the hardest and whose the easiest to tell from real ones, with most steps of training."""
    means = arcs[arcs["steps"] == steps].groupby("recipe", sort=False)["arc"].mean()
    areas = {context.recipe_label(recipe): area for recipe, area in means.items()}
    return f"The area above chance, after {steps} steps, is {extremes(areas)}."


def _panel(axes: Axes, curves: pd.DataFrame, arcs: pd.DataFrame, context: Context) -> None:
    axes.axhline(100 * CHANCE, color=GREY, linewidth=0.6)
    for number, recipe in enumerate(curves["recipe"].unique()):
        means = 100 * curves[curves["recipe"] == recipe].groupby("epsilon")["accuracy"].mean()
        areas = arcs[arcs["recipe"] == recipe].groupby("steps")["arc"].mean()
        label = f"{drawn(context.recipe_label(recipe))} ({', '.join(f'{area:.3f}' for area in areas)})"
        axes.plot(
            means.index,
            means,
            color=context.colour(recipe),
            marker=MARKERS[number % len(MARKERS)],
            markersize=3.5,
            label=label,
        )
