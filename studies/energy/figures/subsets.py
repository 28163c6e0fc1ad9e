"""Training without images of high, middle or low energy: which images these are, and what their absence changes."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from robustlens.analysis.frames import one_dataset, paired, read_evaluations, read_runs
from robustlens.analysis.statistics import Interval, crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from robustlens.report.figure import BLACK, BLUE, GREY, ORANGE, RED, SKY, TEXT_WIDTH, Drawing, drawn, styled
from studies.energy.subsets import baseline

PAPER_THRESHOLDS = (-11.47, -3.87)  # low: at most the first; high: above the second
BINS = 25
ATTACK = "pgd20"
MEASURES = {  # measure: label, colour, marker
    "clean": ("clean accuracy", BLUE, "o"),
    ATTACK: ("accuracy under {attack}", RED, "s"),
    "overfitting": ("robust overfitting: {attack}, best minus last", BLACK, "D"),
}


@styled
def build(context: Context, *, energies: list[Path], evaluations: list[Path]) -> Drawing:
    """energies: `training-images.parquet` files of the recipes that measured. evaluations: suite indexes of recipes
    that leave training images out and of those that they change, with the attacks clean and pgd20 on the checkpoints
    best and last. All of one dataset.
    """
    measured, runs = read_runs(energies), threats.of_training(read_evaluations(evaluations), context)
    one_dataset(measured)
    title = context.dataset_title(one_dataset(runs))
    recipes = list(runs["recipe"].unique())
    if not any(_fewer(recipe, context) for recipe in recipes):
        raise RobustlensError(
            f"no recipe on {title} leaves training images out; give such a recipe `leave_out`, and in `changes` the "
            "recipe that it varies"
        )
    compared = {recipe: other for recipe in recipes if (other := baseline(recipe, recipes, context))}
    others = [context.recipe_label(recipe) for recipe in sorted(set(compared.values()))]
    figure = Figure(figsize=(TEXT_WIDTH, 3.1 + 0.42 * len(compared)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.3, 0.8 + 0.42 * len(compared)))
    _histograms(above, measured, context)
    factors = _differences(below.subplots(), runs, compared, context)
    seeds = measured["seed"].nunique()
    text = (
        f"Above: marginal energies of the training images of {title} under each classifier by which images are "
        f"chosen, {seeds} seed{'s' * (seeds > 1)}; dashed, thresholds of low and of high energy that a summary of "
        "the paper gives, for a classifier that it does not name. Below: training without some of the images minus "
        f"{' or '.join(others)}, differences paired over seeds and test images with 95 % intervals "
        f"over {' or '.join(factors)}. Accuracies are of the best checkpoint."
    )
    text = " ".join([text, *threats.notes(runs, context)])
    return Drawing(figure, "Training without some of the images", context.caption(text))


def _fewer(recipe: str, context: Context) -> bool:
    """Whether the recipe is another one without some of its training images."""
    known = context.recipes.get(recipe)
    return known is not None and known.leaves_out and context.changes(recipe) is not None


def _histograms(part: SubFigure, measured: pd.DataFrame, context: Context) -> None:
    recipes = sorted(measured["recipe"].unique())
    panels = part.subplots(1, len(recipes), sharex=True, squeeze=False)[0]
    for axes, recipe in zip(panels, recipes, strict=True):
        _histogram(axes, measured[measured["recipe"] == recipe])
        axes.set_title(drawn(context.recipe_label(recipe)), pad=14)  # above the labels of the thresholds
    panels[0].set_ylabel("images (%)")
    part.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


def _histogram(axes: Axes, measured: pd.DataFrame) -> None:
    energy, right = measured["marginal"].to_numpy(), (measured["prediction"] == measured["label"]).to_numpy()
    share = 100 / len(energy)
    axes.hist(
        [energy[right], energy[~right]],
        BINS,
        weights=[np.full(right.sum(), share), np.full((~right).sum(), share)],
        stacked=True,
        color=[SKY, ORANGE],
        label=["classified correctly", "misclassified"],
    )
    for threshold in PAPER_THRESHOLDS:
        axes.axvline(threshold, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            f"\u2212{-threshold:g}",
            (threshold, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=GREY,
            fontsize=7,
        )
    axes.set_xlabel("$E(x)$ of training images")


def _differences(axes: Axes, runs: pd.DataFrame, compared: dict[str, str], context: Context) -> list[str]:
    """Draws the differences; returns what their intervals are over. compared: {recipe: what it is compared with}."""
    recipes, factors, attack = list(compared), {}, drawn(context.attack_label(ATTACK))
    for number, (measure, (label, shade, mark)) in enumerate(MEASURES.items()):
        found = [_interval(runs, recipe, other, measure) for recipe, other in compared.items()]
        estimates = np.array([interval.estimate for interval in found])
        errors = np.array([(i.estimate - i.low, i.high - i.estimate) for i in found]).T
        places = np.arange(len(recipes)) + 0.24 * (number - 1)
        style = {"fmt": mark, "markersize": 4, "linewidth": 1.0, "capsize": 2, "color": shade}
        axes.errorbar(estimates, places, xerr=errors, label=label.format(attack=attack), **style)
        factors |= dict.fromkeys(interval.factors for interval in found)
    axes.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    for place in range(1, len(recipes)):
        axes.axhline(place - 0.5, color=GREY, linewidth=0.2, zorder=0)
    axes.set_yticks(range(len(recipes)), [drawn(_label(recipe, context)) for recipe in recipes])
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    axes.set_xlabel("difference (points)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, columnspacing=1.0, handletextpad=0.3)
    return list(factors)


def _label(recipe: str, context: Context) -> str:
    return context.recipe_label(recipe) + ("" if _fewer(recipe, context) else ", all images")


def _interval(runs: pd.DataFrame, recipe: str, other: str, measure: str) -> Interval:
    """The difference of one recipe to another, in points."""
    differences = 100 * paired(_values(runs, recipe, measure), _values(runs, other, measure), "value")
    if differences.size == 0:
        raise RobustlensError(
            f"{recipe} and {other} have no seed and test image in common under clean and {ATTACK}, best and last "
            "checkpoint; evaluate both with these"
        )
    return crossed_interval(differences)


def _values(runs: pd.DataFrame, recipe: str, measure: str) -> pd.DataFrame:
    """seed, index and value of each test image: 1 for a right prediction; best minus last for `overfitting`."""
    keys = ["seed", "index"]
    rows = runs[(runs["recipe"] == recipe) & (runs["attack"] == ("clean" if measure == "clean" else ATTACK))]
    right = rows.assign(value=(rows["prediction_adversarial"] == rows["label"]).astype(float)).set_index(keys)
    best, last = (right[right["checkpoint"] == checkpoint]["value"] for checkpoint in ("best", "last"))
    values = (best - last).dropna() if measure == "overfitting" else best
    return values.rename("value").reset_index()
