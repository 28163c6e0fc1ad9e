"""Training without images of high, middle or low energy: which images these are, and what their absence changes."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from robustlens.analysis.frames import one_dataset, paired, read_runs
from robustlens.analysis.statistics import crossed_interval
from robustlens.errors import RobustlensError
from robustlens.report import names
from robustlens.report.figure import BLACK, BLUE, GREY, ORANGE, RED, SKY, TEXT_WIDTH, Drawing, styled
from robustlens.report.scale import caption

PAPER_THRESHOLDS = (-11.47, -3.87)  # low: at most the first; high: above the second
BINS = 25
MEASURES = {  # measure: label, colour, marker
    "clean": ("clean accuracy", BLUE, "o"),
    "pgd20": ("accuracy under PGD-20", RED, "s"),
    "overfitting": ("robust overfitting: PGD-20, best minus last", BLACK, "D"),
}


@styled
def build(energies: list[Path], evaluations: list[Path], scale: str, title: str) -> Drawing:
    """energies: `training-images.parquet` files of the recipes that measured. evaluations: evaluation files of recipes
    named <recipe>-no-<group> and of <recipe>, attacks clean and pgd20, checkpoints best and last; all of one dataset.
    """
    measured, runs = read_runs(energies), read_runs(evaluations)
    one_dataset(measured)
    one_dataset(runs)
    recipes = [recipe for recipe in runs["recipe"].unique() if "-no-" in recipe]
    if not recipes:
        raise RobustlensError(f"no recipe on {title} leaves training images out; name such recipes <recipe>-no-<group>")
    changed = sorted({_changed(recipe) for recipe in recipes})
    figure = Figure(figsize=(TEXT_WIDTH, 3.1 + 0.42 * len(recipes)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.3, 0.8 + 0.42 * len(recipes)))
    _histograms(above, measured)
    factors = _differences(below.subplots(), runs, recipes)
    seeds = measured["seed"].nunique()
    text = (
        f"Above: marginal energies of the training images of {title} under each classifier by which images are "
        f"chosen, {seeds} seed{'s' * (seeds > 1)}; dashed, thresholds of low and of high energy that a summary of "
        "the paper gives, for a classifier that it does not name. Below: training without some of the images minus "
        f"{' or '.join(map(names.recipe, changed))}, differences paired over seeds and test images with 95 % intervals "
        f"over {' or '.join(factors)}. Accuracies are of the best checkpoint."
    )
    return Drawing(figure, "Training without some of the images", caption(text, scale))


def _changed(recipe: str) -> str:
    return recipe.partition("-no-")[0]


def _histograms(part: SubFigure, measured: pd.DataFrame) -> None:
    recipes = list(measured["recipe"].unique())
    panels = part.subplots(1, len(recipes), sharex=True, squeeze=False)[0]
    for axes, recipe in zip(panels, recipes, strict=True):
        _histogram(axes, measured[measured["recipe"] == recipe])
        axes.set_title(names.drawn(names.recipe(recipe)), pad=14)  # above the labels of the thresholds
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


def _differences(axes: Axes, runs: pd.DataFrame, recipes: list[str]) -> list[str]:
    """Draws the differences; returns what their intervals are over."""
    factors = {}
    for number, (measure, (label, shade, mark)) in enumerate(MEASURES.items()):
        found = [_interval(runs, recipe, measure) for recipe in recipes]
        estimates = np.array([interval.estimate for interval in found])
        errors = np.array([(i.estimate - i.low, i.high - i.estimate) for i in found]).T
        places = np.arange(len(recipes)) + 0.24 * (number - 1)
        style = {"fmt": mark, "markersize": 4, "linewidth": 1.0, "capsize": 2, "color": shade}
        axes.errorbar(estimates, places, xerr=errors, label=label, **style)
        factors |= dict.fromkeys(interval.factors for interval in found)
    axes.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    for place in range(1, len(recipes)):
        axes.axhline(place - 0.5, color=GREY, linewidth=0.2, zorder=0)
    axes.set_yticks(range(len(recipes)), [names.drawn(names.recipe(recipe)) for recipe in recipes])
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    axes.set_xlabel("difference (points)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, columnspacing=1.0, handletextpad=0.3)
    return list(factors)


def _interval(runs: pd.DataFrame, recipe: str, measure: str):
    """The difference to the recipe that was changed, in points."""
    changed = _changed(recipe)
    differences = 100 * paired(_values(runs, recipe, measure), _values(runs, changed, measure), "value")
    if differences.size == 0:
        raise RobustlensError(
            f"{recipe} and {changed} have no seed and test image in common under clean and pgd20, best and last "
            "checkpoint; evaluate both with these"
        )
    return crossed_interval(differences)


def _values(runs: pd.DataFrame, recipe: str, measure: str) -> pd.DataFrame:
    """seed, index and value of each test image: 1 for a right prediction; best minus last for `overfitting`."""
    keys = ["seed", "index"]
    rows = runs[(runs["recipe"] == recipe) & (runs["attack"] == ("clean" if measure == "clean" else "pgd20"))]
    right = rows.assign(value=(rows["prediction_adversarial"] == rows["label"]).astype(float)).set_index(keys)
    best, last = (right[right["checkpoint"] == checkpoint]["value"] for checkpoint in ("best", "last"))
    values = (best - last).dropna() if measure == "overfitting" else best
    return values.rename("value").reset_index()
