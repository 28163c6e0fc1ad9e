"""Accuracy under AutoAttack against clean accuracy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlens.analysis.frames import one_dataset, seeds_by_images
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import GREY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import extremes
from studies.invariance.results import CLEAN, REFERENCE, STRONG, best, read_points, under

SUMS_EVERY = 5  # points of the sum between two lines


@styled
def build(context: Context, *, evaluations: list[Path], averaged: Sequence[Path] = ()) -> Drawing:
    """Indexes of suites, of one dataset. averaged: of runs whose last checkpoint is an average of weights."""
    runs, of_averaged = best(read_points(context, evaluations)), ""
    if averaged:
        rows = read_points(context, averaged)
        runs = pd.concat([runs, rows[rows["checkpoint"] == "last"]])
        of_averaged = " (of averaged weights the last ones)"
    dataset = one_dataset(runs)
    attacks = [attack for attack in (STRONG, REFERENCE) if (runs["attack"] == attack).any()]
    if not attacks:
        raise RobustlensError(f"neither {STRONG} nor {REFERENCE} on {dataset}; add one to the evaluation suite")
    figure = Figure(figsize=(TEXT_WIDTH, 3.8), layout="constrained")
    recipes = []
    for axes, attack in zip(figure.subplots(1, len(attacks), squeeze=False)[0], attacks, strict=True):
        recipes += _points(axes, runs, attack, context)
        axes.set_xlabel("clean (%)")
        axes.set_ylabel(f"{drawn(context.attack_label(attack))} (%)")
    handles = [
        Line2D(
            [],
            [],
            color=context.colour(recipe),
            marker=context.marker(recipe),
            linestyle="",
            markersize=5,
            label=drawn(context.recipe_label(recipe)),
        )
        for recipe in dict.fromkeys(recipes)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    text = (
        f"{_finding(runs, attacks[0], context)} Accuracy under attack against clean accuracy on "
        f"{context.dataset_title(dataset)}, best "
        f"checkpoints{of_averaged}, with 95 % intervals over images and seeds (over images where a recipe has one "
        "seed). Up and to the right is better. Along a grey line the sum of both accuracies is the same; from one line "
        f"to the next it grows by {SUMS_EVERY} points."
    )
    return Drawing(
        figure,
        "Clean against robust accuracy",
        context.caption(" ".join([text, *threats.notes(runs, context)])),
    )


def _finding(runs: pd.DataFrame, attack: str, context: Context) -> str:
    """Which recipe is the least and which the most accurate under the first attack shown."""
    levels = {context.recipe_label(recipe): _level(part) for recipe, part in under(runs, attack).items()}
    return f"Accuracy under {context.attack_label(attack)} is {extremes(levels, '%')}."


def _points(axes: Axes, runs: pd.DataFrame, attack: str, context: Context) -> list[str]:
    """Draw every recipe that has both accuracies; their names."""
    clean, robust = under(runs, CLEAN), under(runs, attack)
    recipes = [recipe for recipe in robust if recipe in clean]
    for recipe in recipes:
        x, y = (_level(part) for part in (clean[recipe], robust[recipe]))
        look = {"color": context.colour(recipe)}
        axes.plot(x.estimate, y.estimate, marker=context.marker(recipe), markersize=5, **look)
        axes.hlines(y.estimate, x.low, x.high, linewidth=0.7, alpha=0.5, **look)
        axes.vlines(x.estimate, y.low, y.high, linewidth=0.7, alpha=0.5, **look)
    _equal_sums(axes)
    return recipes


def _level(part: pd.DataFrame) -> Interval:
    return crossed_interval(seeds_by_images(part, "points").to_numpy())


def _equal_sums(axes: Axes) -> None:
    """Lines along which the sum of both accuracies is the same."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    first, last = left + low, right + high
    for total in np.arange(SUMS_EVERY * np.ceil(first / SUMS_EVERY), last, SUMS_EVERY):
        axes.plot([left, right], [total - left, total - right], color=GREY, linewidth=0.4, alpha=0.5, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
