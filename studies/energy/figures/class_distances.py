"""Quality of the generated images class by class: distance to the real images of the same class."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustlens.analysis.frames import one_dataset, read_scores
from robustlens.errors import RobustlensError
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import counted, short
from robustlens.report.lists import listed
from studies.energy.class_distances import class_distances

WHY_NOT = (
    "There is no distance class by class: it needs more images of each class, generated and real, than features have "
    "dimensions"
)
ABOUT = {
    "frechet": "It is larger with few images per class, so it must not be compared with the distance of all classes "
    "together.",
    "kid": "An unbiased estimate, which may fall below 0. It stands for the {frechet}, which needs more images of each "
    "class, generated and real, than features have dimensions.",
}
NAMED = 30  # classes at most for each to have a tick


@styled
def build(context: Context, *, scores: list[Path]) -> Drawing:
    """scores: `scores.json` files of one dataset; which distance they are compared in: `class_distances`."""
    if not scores:
        raise RobustlensError("no scores of generated images; add recipes to the study's cohort `generation`")
    runs = read_scores(scores)
    title = context.dataset_title(one_dataset(runs))
    measure, distances = class_distances(runs)
    figure = Figure(figsize=(TEXT_WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    labels = runs["names"].iloc[0]
    name, known = labels[measure], runs.loc[distances.index].assign(distances=distances)
    heading = f"{name[0].upper()}{name[1:]}, class by class"
    if known.empty:
        reason = WHY_NOT + (f" ({runs['dims'].max():.0f} here)." if "dims" in runs else ".")
        axes.axis("off")
        axes.text(0.5, 0.5, "\n".join(textwrap.wrap(reason, 70)), ha="center", va="center", transform=axes.transAxes)
        return Drawing(figure, heading, context.caption(f"{name} of generated images of {title}. {reason}"))
    recipes = list(known["recipe"].unique())
    for number, recipe in enumerate(recipes):
        dodge = 0.6 / len(recipes) * (number - (len(recipes) - 1) / 2)
        _draw(axes, known[known["recipe"] == recipe], context, recipe, dodge)
    axes.set_xlabel("class")
    axes.set_ylabel(name)
    if measure == "frechet":
        axes.set_ylim(bottom=0)
    figure.legend(loc="outside upper center", ncols=min(4, len(recipes)))
    seeds = counted(known.groupby("recipe")["seed"].nunique().to_list(), "seed")
    text = (
        f"{_finding(known, context)} {name[0].upper()}{name[1:]} of the generated images of each class of {title} to "
        "the real images of that class; mean and standard "
        f"deviation over {seeds}. " + ABOUT[measure].format(**labels)
    )
    left_out = len(runs) - len(known)
    if left_out:
        text += f" Not shown: {left_out} of {len(runs)} runs, with too few images per class."
    return Drawing(figure, heading, context.caption(text))


def _finding(known: pd.DataFrame, context: Context) -> str:
    """Of each recipe the class with the largest distance to the real images, and the median class."""
    parts = []
    for recipe in known["recipe"].unique():
        means = pd.DataFrame(list(known[known["recipe"] == recipe]["distances"])).mean()
        worst = f"{short(means.max())} (class {means.idxmax()}; the median class has {short(means.median())})"
        parts.append(f"{worst} for {context.recipe_label(recipe)}")
    return f"The largest mean distance is {listed(parts)}; the largest of several is rather too high."


def _draw(axes: Axes, runs: pd.DataFrame, context: Context, recipe: str, dodge: float) -> None:
    table = pd.DataFrame(list(runs["distances"])).rename(columns=int).sort_index(axis=1)  # (seeds, classes)
    few = table.shape[1] <= NAMED
    axes.errorbar(
        table.columns.to_numpy() + dodge,
        table.mean(),
        yerr=table.std(ddof=1) if len(table) > 1 else None,
        color=context.colour(recipe),
        fmt=context.marker(recipe),
        markersize=4.5 if few else 2,
        elinewidth=1.0 if few else 0.4,
        label=drawn(context.recipe_label(recipe)),
    )
    if few:
        axes.set_xticks(table.columns)
        for label in table.columns[:-1]:
            axes.axvline(label + 0.5, color=GREY, linewidth=0.4, alpha=0.5, zorder=0)
