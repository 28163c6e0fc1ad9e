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
from robustlens.report.figure import BLACK, BLUE, GREY, INK, ORANGE, RED, SKY, TEXT_WIDTH, Drawing, drawn, styled
from robustlens.report.finding import excludes_zero, printed
from robustlens.report.lists import listed
from studies.energy.subsets import baseline

PAPER_THRESHOLDS = (-11.47, -3.87)  # low: at most the first; high: above the second
BINS = 25
ATTACK = "pgd20"
PANELS = {  # panel: the measures in it, each with label, colour, marker and whether the marker is filled
    "accuracy at the best checkpoint": {
        ATTACK: ("under {attack}", RED, "s", True),
        "clean": ("clean", BLUE, "o", False),
    },
    "robust overfitting": {"overfitting": ("{attack}, best minus last", BLACK, "D", True)},
}
ROW = 0.27  # inches


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
    others = listed([context.recipe_label(recipe) for recipe in sorted(set(compared.values()))])
    found = {
        recipe: {name: _interval(runs, recipe, other, name) for panel in PANELS.values() for name in panel}
        for recipe, other in compared.items()
    }
    found = dict(sorted(found.items(), key=lambda item: -item[1][ATTACK].estimate))
    height = 0.85 + ROW * len(compared)
    figure = Figure(figsize=(TEXT_WIDTH, 1.9 + height), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.9, height))
    _histograms(above, measured, context)
    _differences(below, found, context)
    factors = dict.fromkeys(interval.factors for of_recipe in found.values() for interval in of_recipe.values())
    seeds = measured["seed"].nunique()
    text = (
        f"{_finding(found, others, context)} Above: marginal energies of the training images of {title}, as measured "
        f"by the classifier that decides which are left out, {seeds} seed{'s' * (seeds > 1)}. Dashed: the thresholds "
        "of low and of high energy in a summary of the paper, which does not say by which classifier. Below: training "
        f"without some of the images minus \u201c{others}\u201d, paired by seed and test image, with 95 % intervals "
        f"over {' or '.join(factors)}; sorted."
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
        hatch=["", "//////"],
        edgecolor=["none", BLACK],
        linewidth=0,
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
            color=INK,
            fontsize=7,
        )
    axes.set_xlabel("$E(x)$ of training images (nat)")


def _finding(found: dict[str, dict[str, Interval]], others: str, context: Context) -> str:
    """How many trainings differ, by intervals that exclude 0, and which of these the most."""
    parts = []
    for measure, what in ((ATTACK, f"accuracy under {context.attack_label(ATTACK)}"), ("overfitting", "overfitting")):
        sure = {recipe: of[measure] for recipe, of in found.items() if excludes_zero(of[measure])}
        part = f"{what} differs for {len(sure)} of {len(found)} trainings"
        if sure:
            most = max(sure, key=lambda recipe: abs(sure[recipe].estimate))
            part += f" (the largest difference: {printed(sure[most], 'points')}, \u201c{_label(most, context)}\u201d)"
        parts.append(part)
    return f"Compared with \u201c{others}\u201d, by intervals that exclude 0, {listed(parts)}."


def _differences(part: SubFigure, found: dict[str, dict[str, Interval]], context: Context) -> None:
    """A panel for each of PANELS, the recipes as rows. found: {recipe: {measure: difference}}, from the top."""
    attack = drawn(context.attack_label(ATTACK))
    panels = part.subplots(1, len(PANELS), sharey=True, width_ratios=(1.5, 1))
    for axes, (title, measures) in zip(panels, PANELS.items(), strict=True):
        for number, (measure, (label, shade, mark, filled)) in enumerate(measures.items()):
            intervals = [of_recipe[measure] for of_recipe in found.values()]
            estimates = np.array([interval.estimate for interval in intervals])
            errors = np.array([(i.estimate - i.low, i.high - i.estimate) for i in intervals]).T
            places = np.arange(len(found)) + 0.28 * (number - (len(measures) - 1) / 2)
            face = shade if filled else "white"
            style = {"fmt": mark, "markersize": 4, "markerfacecolor": face, "linewidth": 1.0, "color": shade}
            axes.errorbar(estimates, places, xerr=errors, label=label.format(attack=attack), **style)
        axes.axvline(0, color=BLACK, linewidth=0.6, zorder=0)
        for place in range(1, len(found)):
            axes.axhline(place - 0.5, color=GREY, linewidth=0.2, zorder=0)
        axes.set_title(title, pad=18)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.985), ncols=2, columnspacing=1.0, handletextpad=0.3)
        axes.set_xlabel("difference (points)")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(found)), [drawn(_label(recipe, context)) for recipe in found])
    panels[0].set_ylim(len(found) - 0.5, -0.5)


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
