"""What stronger attacks than PGD-20 take from each class, against how robust the class is."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset
from robustlens.analysis.statistics import Interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.cells import number
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import excludes_zero
from robustlens.report.lists import listed
from studies.classwise.drops import class_drops, drop_slope_interval
from studies.classwise.results import REFERENCE, WEAKER, best_runs, by_recipe, over_what

IN_A_ROW = 3
MANY = 50  # classes; the points of more are small

Pairs = dict[str, tuple[pd.DataFrame, pd.DataFrame]]  # recipe -> its rows under PGD-20 and under a stronger attack


@styled
def build(context: Context, *, evaluations: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset."""
    runs = best_runs(context, evaluations)
    dataset, found = one_dataset(runs), _pairs(runs)
    if not found:
        raise RobustlensError(f"no attack beside {', '.join(WEAKER)} on {dataset}; add one to the evaluation suite")
    beside = min(IN_A_ROW, len(found))
    rows = -(-len(found) // beside)
    width = TEXT_WIDTH if beside > 1 else 0.6 * TEXT_WIDTH
    figure = Figure(figsize=(width, 0.5 + 2.2 * rows), layout="constrained")
    panels = figure.subplots(rows, beside, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(found) :]:
        axes.axis("off")
    slopes = {}
    for axes, (attack, pairs) in zip(panels.flat, found.items(), strict=False):
        slopes[attack] = _panel(axes, context, pairs)
        axes.set_title(f"{drawn(context.attack_label(attack))}\n{_told(slopes[attack])}", loc="left")
    reference = context.attack_label(REFERENCE)
    for axes in panels.flat[len(found) - beside : len(found)]:
        axes.set_xlabel(drawn(f"accuracy, {reference} (%)"))
        axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("drop (points)")
    recipes = dict.fromkeys(recipe for pairs in found.values() for recipe in pairs)
    labels = {recipe: drawn(context.recipe_label(recipe)) for recipe in recipes}
    handles = [Line2D([], [], label=label, **_look(context, recipe)) for recipe, label in labels.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 6 if beside > 1 else 3))
    seeds = runs[runs["attack"] == REFERENCE].groupby("recipe")["seed"].nunique()
    text = (
        f"{_finding(slopes, context)} From {reference} to stronger attacks on {context.dataset_title(dataset)}: each "
        "point is a class of a recipe: its accuracy under the one, and what the other attack takes from it on the "
        "same images; means over the seeds, best checkpoints. The line has the slope, averaged over the recipes, and "
        "goes through the mean of the points; where it falls, less robust classes lose more. The band is the slope's "
        f"95 % interval over {over_what(seeds)}; it allows for bias, so that the line need not be inside. The slope "
        "takes accuracies from one half of each class's images and drops from the other half, and the other way "
        "round, because chance tilts the points themselves upwards."
    )
    images = {attack: min(part["index"].nunique() for _, part in pairs.values()) for attack, pairs in found.items()}
    if fewer := [attack for attack, count in images.items() if count < max(images.values())]:
        smaller = "; ".join(f"{context.attack_label(attack)}: {images[attack]}" for attack in fewer)
        text += f" Test images: {max(images.values())}, with these exceptions: {smaller}."
    caption = context.caption(" ".join([text, *threats.notes(runs, context)]))
    return Drawing(figure, "What stronger attacks take from each class", caption)


def _finding(slopes: dict[str, Interval | None], context: Context) -> str:
    """Under which attacks the interval of the slope is on one side of 0."""
    names = {attack: context.attack_label(attack) for attack in slopes}
    known = {attack: slope for attack, slope in slopes.items() if slope and not math.isnan(slope.estimate)}
    falling = [names[attack] for attack, slope in known.items() if excludes_zero(slope) and slope.estimate < 0]
    rising = [names[attack] for attack, slope in known.items() if excludes_zero(slope) and slope.estimate > 0]
    open_ones = [names[attack] for attack in slopes if names[attack] not in (*falling, *rising)]
    parts = [
        *([f"less robust classes lose more under {listed(falling)}"] if falling else []),
        *([f"less robust classes lose less under {listed(rising)}"] if rising else []),
        *([f"it stays open which classes lose more under {listed(open_ones)}"] if open_ones else []),
    ]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def _pairs(runs: pd.DataFrame) -> dict[str, Pairs]:
    """Stronger attack -> the recipes that have both, with a seed and an image in common."""
    reference, found = by_recipe(runs, REFERENCE), {}
    for attack in (name for name in runs["attack"].unique() if name not in WEAKER):
        stronger = by_recipe(runs, attack)
        pairs = {recipe: (part, stronger[recipe]) for recipe, part in reference.items() if recipe in stronger}
        if kept := {recipe: pair for recipe, pair in pairs.items() if class_drops(*pair) is not None}:
            found[attack] = kept
    return found


def _look(context: Context, recipe: str) -> dict:
    return {"color": context.colour(recipe), "marker": context.marker(recipe), "linestyle": "", "markersize": 3.5}


def _told(slope: Interval | None) -> str:
    if slope is None or math.isnan(slope.estimate):
        return "no slope"
    if math.isinf(slope.low):
        return f"slope {number(slope.estimate, 2)}"
    return f"slope {number(slope.estimate, 2)} [{number(slope.low, 2)}, {number(slope.high, 2)}]"


def _panel(axes: Axes, context: Context, pairs: Pairs) -> Interval | None:
    """The points of all recipes and the line; returns its slope."""
    points = {recipe: 100 * np.array(class_drops(*pair)) for recipe, pair in pairs.items()}
    axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    for recipe, (robust, drop) in points.items():
        many = {"markersize": 1.2} if len(robust) > MANY else {}
        axes.plot(robust, drop, alpha=0.7, markeredgewidth=0, **_look(context, recipe) | many)
    x, y = np.concatenate(list(points.values()), axis=1)
    slope = drop_slope_interval([part for pair in pairs.values() for part in pair])
    if slope is None or math.isnan(slope.estimate):
        return slope
    ends = np.array([x.min(), x.max()])
    lines = {end: y.mean() + getattr(slope, end) * (ends - x.mean()) for end in ("estimate", "low", "high")}
    axes.plot(ends, lines["estimate"], color=BLACK, linewidth=1)
    if math.isinf(slope.low):
        return slope
    axes.fill_between(ends, lines["low"], lines["high"], color=GREY, alpha=0.25, linewidth=0, zorder=0)
    return slope
