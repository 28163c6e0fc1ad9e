"""Mean ΔE(x) against epochs: a panel for each recipe of the main tables, and one for all others."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from robustlens.analysis.frames import last_epoch, one_dataset, read_runs
from robustlens.analysis.statistics import crossed_interval
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, LINES, TEXT_WIDTH, Drawing, band, drawn, label_ends, styled
from robustlens.report.finding import counted, extremes

COLUMNS = 4
PANEL, LOWER = 1.3, 1.95  # inches: of a panel of the main recipes, and of that of the others
TITLE_WIDTH = 22  # characters
SPLITS = {"train": ("training images", "-"), "validation": ("validation images", (0, (3, 1.5)))}
LINEAR = 0.1  # nat: up to here the vertical axis is linear, beyond it is logarithmic


@styled
def build(context: Context, *, main: list[Path], further: list[Path]) -> Drawing:
    """main, further: `history.parquet` files of one dataset. Those of `further` share a panel; there may be none."""
    runs = read_runs([*main, *further])
    title = context.dataset_title(one_dataset(runs))
    recipes = list(read_runs(main, columns=["epoch"])["recipe"].unique())
    others = [recipe for recipe in runs["recipe"].unique() if recipe not in recipes]
    rows, columns = -(-len(recipes) // COLUMNS), min(COLUMNS, len(recipes))
    heights = [PANEL * rows + 0.5] + [LOWER] * bool(others)
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))
    panels = parts[0].subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, recipe in zip(panels, recipes, strict=False):
        for other in recipes:
            axes.plot(*_mean(runs, other, "train"), color="#D0D0D0", linewidth=0.7, zorder=0.5)
        _draw(axes, runs[runs["recipe"] == recipe], context.colour(recipe))
        axes.set_title(drawn(textwrap.fill(context.recipe_label(recipe), TITLE_WIDTH)), fontsize=8)
    _scale(panels[0], runs[runs["recipe"].isin(recipes)])
    for axes in panels[len(recipes) :]:
        axes.set_visible(False)
    for axes in panels[max(len(recipes) - columns, 0) : len(recipes)]:
        axes.tick_params(labelbottom=True)
    parts[0].supxlabel("epoch", fontsize=9)
    parts[0].supylabel("mean $\\Delta E(x)$ (nat)", fontsize=9)
    handles = [Line2D([], [], color=BLACK, linestyle=line, label=label) for label, line in SPLITS.values()]
    handles.append(Line2D([], [], color="#D0D0D0", linewidth=0.9, label="the other recipes, training images"))
    parts[0].legend(handles=handles, loc="outside upper center", ncols=3)
    if others:
        _together(parts[1].subplots(), runs, others, context)
    text = (
        f"{_finding(runs, recipes, context)} Mean ΔE(x) = E(x) \u2212 E(x*) on {title} during training, x* by PGD on "
        "the cross-entropy; mean and standard deviation over "
        f"{counted(runs.groupby('recipe')['seed'].nunique().to_list(), 'seed')}. The vertical axes are linear up to "
        f"{LINEAR:g} and logarithmic beyond."
    )
    if others:
        text += " Below: other recipes and variants, training images."
    return Drawing(figure, "Energy gap of every recipe", context.caption(text))


def _finding(runs: pd.DataFrame, recipes: list[str], context: Context) -> str:
    """The smallest and the largest gap that a recipe ends with."""
    last = last_epoch(runs[runs["split"] == "train"])
    gaps = {
        context.recipe_label(recipe): crossed_interval(of_recipe["delta_marginal"].abs().to_numpy()[:, None])
        for recipe, of_recipe in last[last["recipe"].isin(recipes)].groupby("recipe", sort=False)
    }
    return f"At the last epoch the mean gap |ΔE(x)| of training images is {extremes(gaps, 'nat')}."


def _curves(runs: pd.DataFrame, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs (n,) and values (seeds, n) of one recipe."""
    table = runs[runs["split"] == split].pivot(index="seed", columns="epoch", values="delta_marginal")
    return table.columns.to_numpy(), table.to_numpy()


def _mean(runs: pd.DataFrame, recipe: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    epochs, values = _curves(runs[runs["recipe"] == recipe], split)
    return epochs, values.mean(axis=0)


def _draw(axes: Axes, runs: pd.DataFrame, shade: str) -> None:
    for split, (_, line) in SPLITS.items():
        band(axes, *_curves(runs, split), shade, linestyle=line)
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=0)


def _scale(axes: Axes, runs: pd.DataFrame) -> None:
    """A vertical axis on which gaps that differ a hundredfold are all seen."""
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    values = runs["delta_marginal"]
    low, high = values.min(), values.max()
    ends = [sign * 10.0**power for sign in (-1, 1) for power in range(-1, 7)]
    ticks = [tick for tick in sorted([0.0, *ends]) if 1.4 * low <= tick <= 1.4 * high or tick in (0.0, -LINEAR)]
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\u2212")))
    axes.minorticks_off()
    axes.set_ylim(min(1.4 * low, -1.4 * LINEAR), max(1.4 * high, 0.2 * LINEAR))


def _together(axes: Axes, runs: pd.DataFrame, recipes: list[str], context: Context) -> None:
    """All recipes in one panel, each with its name at the end of its line."""
    ends = {}
    for number, recipe in enumerate(recipes):
        shade, line = context.colour(recipe), LINES[number % len(LINES)]
        epochs, values = _mean(runs, recipe, "train")
        axes.plot(epochs, values, color=shade, linestyle=line, linewidth=1.2)
        ends[drawn(context.recipe_label(recipe))] = (values[-1], shade)
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    _scale(axes, runs[runs["recipe"].isin(recipes)])
    axes.set_xlim(epochs[0], epochs[-1])
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean $\\Delta E(x)$ (nat)")
    label_ends(axes, epochs[-1], ends, LOWER - 0.5)
