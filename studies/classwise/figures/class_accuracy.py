"""Accuracy of each class, without attack and under PGD-20, recipe by recipe."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robustlens.analysis.classwise import accuracy_interval, shared_answers
from robustlens.analysis.frames import one_dataset, seeds_by_images
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.classwise.class_names import read_class_names
from studies.classwise.results import CLEAN, REFERENCE, best_runs, by_recipe, over_what

NAMED = 30  # classes at most for each to have a tick
BARS = 200  # classes at most for each to have a bar; of more, points
ATTACKS = {CLEAN: 0.35, REFERENCE: 1.0}  # how opaque its bars are


@styled
def build(context: Context, *, evaluations: list[Path], names: list[Path]) -> Drawing:
    """evaluations: indexes of suites, of one dataset; names: of its classes."""
    runs = best_runs(context, evaluations)
    dataset = one_dataset(runs)
    named, parts = read_class_names(names)[dataset].names, by_recipe(runs, REFERENCE)
    if not parts:
        raise RobustlensError(f"no {REFERENCE} on {dataset}; add it to the evaluation suite")
    order = _by_robustness(runs[runs["attack"] == REFERENCE])
    figure = Figure(figsize=(TEXT_WIDTH, 0.9 + 1.35 * len(parts)), layout="constrained")
    panels = figure.subplots(len(parts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, recipe in zip(panels, parts, strict=True):
        for attack, opacity in ATTACKS.items():
            shown = runs[(runs["recipe"] == recipe) & (runs["attack"] == attack)]
            _draw(axes, shown, order, context.colour(recipe), opacity)
        axes.set_title(drawn(context.recipe_label(recipe)), loc="left", pad=2)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy (%)")
    panels[-1].set_xlim(-0.6, len(order) - 0.4)
    if len(order) <= NAMED:
        turned = any(len(name) > 4 for name in named)
        angle = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        panels[-1].set_xticks(range(len(order)), [drawn(named[c]) for c in order], **angle)
    else:
        panels[-1].set_xticks([])
        panels[-1].set_xlabel(f"{len(order)} classes, from the least to the most robust")
    labels = {CLEAN: "without attack", REFERENCE: f"under {context.attack_label(REFERENCE)}"}
    handles = [Patch(color=GREY, alpha=opacity, label=drawn(labels[attack])) for attack, opacity in ATTACKS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    seeds = runs.groupby("recipe")["seed"].nunique()
    text = (
        f"{_finding(runs[runs['attack'] == REFERENCE], order, named, context)} Accuracy of each class of "
        f"{context.dataset_title(dataset)} without attack and under "
        f"{context.attack_label(REFERENCE)}, best checkpoints, with 95 % intervals over "
        f"{over_what(seeds)}. Classes are ordered by their mean robust accuracy over "
        "all recipes: where recipes agree on the order, accuracies rise from left to right in every panel."
    )
    if len(order) > BARS:
        text += " Light points are without attack; the band has the intervals under attack."
    return Drawing(figure, "Accuracy of each class", context.caption(" ".join([text, *threats.notes(runs, context)])))


def _finding(attacked: pd.DataFrame, order: list[int], named: tuple[str, ...], context: Context) -> str:
    """How robust the first and the last class are, on average over the recipes, and how many of these are the least
    accurate on the first one."""
    rates = _rates(attacked)
    lowest = rates.groupby("recipe").min()
    agreed = sum(
        rates[recipe, order[0]] == lowest[recipe] for recipe in lowest.index if (recipe, order[0]) in rates.index
    )
    ends = {f"class {named[c]}": _over_recipes(attacked, c) for c in (order[0], order[-1])}
    return (
        f"Under {context.attack_label(REFERENCE)} the accuracy of a class, on average over the recipes, is "
        f"{extremes(ends, '%')}; {agreed} of {len(lowest)} recipes are the least accurate on class {named[order[0]]}."
    )


def _over_recipes(attacked: pd.DataFrame, label: int) -> Interval:
    """Of one class, in %, over the seeds and images that all recipes have."""
    rows = attacked[attacked["label"] == label]
    right = rows.assign(right=100.0 * (rows["prediction_adversarial"] == rows["label"]))
    tables = [seeds_by_images(part, "right") for _, part in right.groupby("recipe")]
    return crossed_interval((sum(tables) / len(tables)).dropna(how="all").dropna(axis=1).to_numpy())


def _rates(attacked: pd.DataFrame) -> pd.Series:
    """Robust accuracy, 0..1, by recipe and label."""
    right = attacked.assign(right=attacked["prediction_adversarial"] == attacked["label"])
    return right.groupby(["recipe", "label"])["right"].mean()


def _by_robustness(attacked: pd.DataFrame) -> list[int]:
    """The classes from the least to the most robust one, on average over the recipes."""
    rates = _rates(attacked).groupby("label").mean()
    return [int(c) for c in rates.sort_values(kind="stable").index]


def _draw(axes: Axes, runs: pd.DataFrame, order: list[int], colour: str, opacity: float) -> None:
    """The accuracies of one recipe under one attack, over the images that all seeds have."""
    right, labels = shared_answers([runs])
    intervals = {int(c): accuracy_interval(right[:, 0, labels == c]) for c in np.unique(labels)}
    places = [place for place, c in enumerate(order) if c in intervals]
    found = [intervals[c] for c in order if c in intervals]
    heights = 100 * np.array([interval.estimate for interval in found])
    low, high = (100 * np.array([getattr(interval, end) for interval in found]) for end in ("low", "high"))
    if len(order) > BARS:
        axes.plot(places, heights, color=colour, alpha=opacity, marker=".", markersize=1.5, linestyle="")
        if opacity == 1:
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        return
    thin = 0.8 if len(order) <= NAMED else 0.3
    # Bars in front of each other, so intervals stand beside each other.
    shift = -0.12 if opacity < 1 else 0.12
    axes.bar(places, heights, width=0.8, color=colour, alpha=opacity, linewidth=0)
    bars = {"fmt": "none", "ecolor": BLACK, "elinewidth": thin}
    axes.errorbar(np.array(places) + shift, heights, yerr=[heights - low, high - heights], **bars)
