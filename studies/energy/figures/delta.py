"""Mean ΔE(x) against epochs for every recipe, on training and on validation images."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset, read_runs
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, band, drawn, styled

COLUMNS = 4
TITLE_WIDTH = 22  # characters
LINES = {"train": ("training images", "-"), "validation": ("validation images", (0, (3, 1.5)))}
OWN_AXIS = 5.0  # a recipe whose curve reaches this many times the median recipe's gets its own vertical axis


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    """history: `history.parquet` files of one dataset."""
    runs = read_runs(history)
    title = context.dataset_title(one_dataset(runs))
    recipes = list(runs["recipe"].unique())
    reach = runs.groupby("recipe")["delta_marginal"].agg(lambda values: values.abs().max())
    own = {recipe for recipe in recipes if reach[recipe] > OWN_AXIS * reach.median()}
    rows, columns = -(-len(recipes) // COLUMNS), min(COLUMNS, len(recipes))
    figure = Figure(figsize=(TEXT_WIDTH, 0.5 + 1.55 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes, recipe in zip(panels, recipes, strict=False):
        _draw(axes, runs[runs["recipe"] == recipe], context.colour(recipe))
        heading = context.recipe_label(recipe) + (" (own axis)" if recipe in own else "")
        axes.set_title(drawn(textwrap.fill(heading, TITLE_WIDTH)), fontsize=8)
    _share([axes for axes, recipe in zip(panels, recipes, strict=False) if recipe not in own])
    for axes in panels[len(recipes) :]:
        axes.set_visible(False)
    for axes in panels[max(len(recipes) - columns, 0) : len(recipes)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("mean $\\Delta E(x)$", fontsize=9)
    handles = [Line2D([], [], color=BLACK, linestyle=line, label=label) for label, line in LINES.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    seeds = runs.groupby("recipe")["seed"].nunique()
    counts = " to ".join(str(n) for n in sorted({seeds.min(), seeds.max()}))
    text = (
        f"Mean ΔE(x) = E(x) \u2212 E(x*) on {title} during training, x* by PGD on the cross-entropy; mean and "
        f"standard deviation over {counts} seed{'s' * bool(seeds.max() > 1)}. Panels share the vertical "
        "axis unless they say otherwise."
    )
    return Drawing(figure, "Energy gap of every recipe", context.caption(text))


def _draw(axes: Axes, runs: pd.DataFrame, shade: str) -> None:
    for split, (_, line) in LINES.items():
        table = runs[runs["split"] == split].pivot(index="seed", columns="epoch", values="delta_marginal")
        band(axes, table.columns.to_numpy(), table.to_numpy(), shade, linestyle=line)
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=0)


def _share(panels: list[Axes]) -> None:
    """Give all panels the vertical range that holds every one of their curves."""
    limits = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
